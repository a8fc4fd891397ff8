//! What is different between two snapshots.
//!
//! Two captures cannot tell a leak from a warm-up, so nothing here is a verdict: what has a limit
//! comes first, by how near it is; what is known to be no leak is set apart. Objects are compared
//! only within one process, where an address means something. Knows files only.

use super::file::Moment;
use super::graph::compare::{GraphDiff, compare};
use super::retention::{PathChange, PathRow};
use super::trend::{Apart, Change, DamagedFile, Family, Members, OF_MODULES, gather};
use super::whole::{CollectorRow, SameProcess};
use super::{FileError, ProcessInfo, SnapshotFile, VERSION};
use gather::{Capture, Series};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The document of `diff --json`.
#[derive(Debug, Clone, Serialize)]
pub struct DiffDocument {
    /// "pyattach.diff/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The older capture.
    pub old: Side,
    /// The newer one.
    pub new: Side,
    /// What the two have to do with each other.
    pub relation: Relation,
    /// Between the captures; `null` when the clocks cannot be compared.
    pub hours: Option<f64>,
    /// What was changed from outside: limits, versions.
    pub changes: Vec<Change>,
    /// Everything that is different: what may hurt first, what is set apart last.
    pub rows: Vec<DiffRow>,
    /// The ways resources and types of these are held that changed, the most growth first.
    pub holders: Vec<PathRow>,
    /// What is different between the graphs of references, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphDiff>,
    /// Series that are the same in both.
    pub unchanged: u64,
    /// Series left out.
    pub not_shown: u64,
    /// Files that are not whole.
    pub damaged: Vec<DamagedFile>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl DiffDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.diff/1";
}

/// One of the two captures.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// When it was taken.
    pub taken: Moment,
    /// The machine's name.
    pub host: Option<String>,
    /// Which process it is.
    pub same: SameProcess,
    /// The process.
    pub process: ProcessInfo,
    /// It is as good as was asked for.
    pub complete: bool,
}

/// What two captures have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// One process at two times.
    Process,
    /// The same program, started again or started twice.
    Program,
    /// Two programs.
    None,
}

/// How something is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// There was none.
    Appeared,
    /// There is more.
    Grew,
    /// As many, but most of them others.
    Replaced,
    /// There is less.
    Shrank,
    /// There is none left.
    Gone,
}

impl Difference {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Grew => "grew",
            Self::Replaced => "replaced",
            Self::Shrank => "shrank",
            Self::Gone => "gone",
        }
    }
}

/// One number that is different.
#[derive(Debug, Clone, Serialize)]
pub struct DiffRow {
    /// What it is of.
    pub family: Family,
    /// Its name within the family.
    pub name: String,
    /// "count" or "bytes".
    pub unit: &'static str,
    /// How it is different.
    pub difference: Difference,
    /// Why growth is no leak all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart: Option<Apart>,
    /// Before.
    pub old: f64,
    /// After.
    pub new: f64,
    /// After less before.
    pub change: f64,
    /// The same for each hour; `null` between two processes.
    pub per_hour: Option<f64>,
    /// The limit that it may reach.
    pub limit: Option<f64>,
    /// Hours until then at this pace.
    pub exhausted_in_hours: Option<f64>,
    /// Of the objects before, those that are still there; `null` between two processes.
    pub members: Option<Members>,
}

/// Compares two files. `graph`: rows of each list of the graphs' differences, if these are wanted.
pub fn diff(old: &Path, new: &Path, graph: Option<usize>) -> Result<DiffDocument, FileError> {
    let mut damaged = Vec::new();
    let captures = [gather::capture(old, &mut damaged)?, gather::capture(new, &mut damaged)?];
    let [before, after] = &captures;
    let relation = relation(before, after);
    let hours = hours(before, after).filter(|&hours| hours > 0.0);
    let mut series = gather::of_summaries(&captures);
    let types = gather::of_types(&captures, false, &mut damaged);
    let imported = types.iter().any(|series| series.name == OF_MODULES[0] && grew(series));
    series.extend(types);

    let same = relation == Relation::Process;
    let members = if same { members(before, after) } else { BTreeMap::new() };
    let all = series.len() as u64;
    let pace = hours.filter(|_| same);
    let mut rows: Vec<DiffRow> = series
        .into_iter()
        .filter_map(|series| row(series, pace, &members, imported && same))
        .collect();
    rows.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
    let unchanged = all - rows.len() as u64;
    let graph = match graph {
        Some(rows) => Some(graphs(old, new, same, rows)?),
        None => None,
    };
    let holders = holders(&captures, &rows, &mut damaged);
    Ok(DiffDocument {
        schema: DiffDocument::SCHEMA,
        pyattach: VERSION,
        old: side(before),
        new: side(after),
        relation,
        hours,
        changes: gather::changes_between(&before.summary, &after.summary),
        rows,
        holders,
        graph,
        unchanged,
        not_shown: 0,
        damaged,
        notes: notes(before, after, relation, hours),
    })
}

/// The ways everything that is different is held.
fn holders(captures: &[Capture], rows: &[DiffRow], damaged: &mut Vec<DamagedFile>) -> Vec<PathRow> {
    let held = |row: &&DiffRow| {
        matches!(row.family, Family::Resource | Family::Type) && row.apart.is_none()
    };
    let totals = |row: &DiffRow| vec![Some(row.old as u64), Some(row.new as u64)];
    let wanted = rows.iter().filter(held);
    let wanted = wanted.map(|row| ((row.family, row.name.clone()), totals(row))).collect();
    let mut found: Vec<PathRow> =
        gather::paths(captures, wanted, damaged).into_values().flatten().collect();
    found.retain(|path| !matches!(path.change, PathChange::Same | PathChange::Unknown));
    found.iter_mut().for_each(|path| path.values.clear());
    found.sort_by_key(|path| {
        let grown = std::cmp::Reverse(path.grown.unwrap_or(0));
        (path.family, grown, path.name.clone(), path.path.clone())
    });
    found
}

fn graphs(old: &Path, new: &Path, same: bool, rows: usize) -> Result<GraphDiff, FileError> {
    let read = |path: &Path| match SnapshotFile::open(path)?.graph()? {
        Some(graph) => Ok(graph),
        None => Err(FileError::NoGraph { path: path.to_owned() }),
    };
    Ok(compare(&read(old)?, &read(new)?, same, rows))
}

fn side(capture: &Capture) -> Side {
    let summary = &capture.summary;
    Side {
        taken: summary.taken.clone(),
        host: summary.host.clone(),
        same: summary.same.clone(),
        process: summary.process.clone(),
        complete: capture.sound,
    }
}

fn relation(before: &Capture, after: &Capture) -> Relation {
    let (before, after) = (&before.summary, &after.summary);
    let known = !before.same.boot_id.is_empty();
    if known && before.same == after.same {
        return Relation::Process;
    }
    let program = |summary: &super::file::Summary| {
        (summary.process.cmdline.clone(), summary.process.cwd.clone())
    };
    if program(before) == program(after) { Relation::Program } else { Relation::None }
}

/// Between two captures: by the boot's clock where it is the same boot.
fn hours(before: &Capture, after: &Capture) -> Option<f64> {
    let (before, after) = (&before.summary, &after.summary);
    let of_boot = before.taken.since_boot_ms.zip(after.taken.since_boot_ms);
    let of_boot = of_boot.filter(|_| before.same.boot_id == after.same.boot_id);
    let (from, to) = of_boot.unwrap_or((before.taken.unix_ms, after.taken.unix_ms));
    Some(to.checked_sub(from)? as f64 / 3_600_000.0)
}

fn notes(before: &Capture, after: &Capture, relation: Relation, hours: Option<f64>) -> Vec<String> {
    let mut notes = Vec::new();
    match relation {
        Relation::Process => notes.push(
            "two captures cannot tell a leak from a cache that warms up: trend over eight and \
             more can"
                .to_owned(),
        ),
        Relation::Program => notes.push(
            "the process was started again: counts are compared, objects cannot be".to_owned(),
        ),
        Relation::None => notes.push("these are two programs".to_owned()),
    }
    if !(before.sound && after.sound) {
        notes.push("one of the captures is incomplete: its counts are left out".to_owned());
    }
    if relation == Relation::Process {
        notes.extend(collector(&before.summary.collectors, &after.summary.collectors));
    }
    if hours.is_none() && relation == Relation::Process {
        notes.push("the second file is not newer than the first".to_owned());
    }
    notes
}

/// What the collector did in between: without it, garbage looks like growth.
fn collector(before: &[CollectorRow], after: &[CollectorRow]) -> Option<String> {
    if after.iter().any(|collector| collector.enabled == Some(false)) {
        let off = "the garbage collector is switched off: what is in reference cycles stays";
        return Some(off.to_owned());
    }
    let mut sums = Vec::new();
    let mut collected = 0;
    for now in after {
        let then = before.iter().find(|then| then.interpreter == now.interpreter)?;
        let pairs = then.stats.as_ref()?.iter().zip(now.stats.as_ref()?);
        for (generation, (then, now)) in pairs.enumerate() {
            sums.resize(sums.len().max(generation + 1), 0);
            let sum = sums.get_mut(generation)?;
            *sum += now.collections.checked_sub(then.collections)?;
            collected += now.collected.checked_sub(then.collected)?;
        }
    }
    let old = *sums.last()?;
    let others: u64 = sums.iter().rev().skip(1).sum();
    Some(format!(
        "the garbage collector looked at the oldest objects {old} times in between, at younger \
         ones {others} times, and freed {collected}"
    ))
}

fn grew(series: &Series) -> bool {
    matches!(series.values[..], [Some(old), Some(new)] if new > old)
}

/// Of the resources before, by kind: how many, and how many are still there.
fn members(before: &Capture, after: &Capture) -> BTreeMap<String, Members> {
    let (Some(then), Some(now)) = (gather::members(before), gather::members(after)) else {
        return BTreeMap::new();
    };
    let none = BTreeSet::new();
    then.into_iter()
        .map(|(kind, then)| {
            let stayed = then.intersection(now.get(&kind).unwrap_or(&none)).count() as u64;
            (kind, Members { first: then.len() as u64, stayed })
        })
        .collect()
}

fn row(
    series: Series,
    hours: Option<f64>,
    members: &BTreeMap<String, Members>,
    imported: bool,
) -> Option<DiffRow> {
    let [Some(old), Some(new)] = series.values[..] else { return None };
    let members = match series.family {
        Family::Resource => members.get(&series.name).copied(),
        _ => None,
    };
    let replaced = members.is_some_and(|it| it.first > 0 && it.stayed * 2 < it.first);
    let difference = match () {
        () if new > old && old == 0.0 => Difference::Appeared,
        () if new > old => Difference::Grew,
        () if new < old && new == 0.0 => Difference::Gone,
        () if new < old => Difference::Shrank,
        () if replaced => Difference::Replaced,
        () => return None,
    };
    let change = new - old;
    let of_type = series.family == Family::Type && change > 0.0;
    let settled = series.old.as_deref().is_some_and(
        |old| matches!(old[..], [Some(before), Some(after)] if after - before >= 0.2 * change),
    );
    let apart = match () {
        () if of_type && imported && OF_MODULES.contains(&series.name.as_str()) => {
            Some(Apart::Imports)
        }
        () if of_type && !settled => Some(Apart::Uncollected),
        () => None,
    };
    let per_hour = hours.map(|hours| change / hours);
    let left = series.limit.map(|limit| (limit - new).max(0.0));
    let exhausted = left.zip(per_hour).filter(|&(_, pace)| pace > 0.0);
    Some(DiffRow {
        family: series.family,
        name: series.name,
        unit: series.unit,
        difference,
        apart,
        old,
        new,
        change,
        per_hour,
        limit: series.limit,
        exhausted_in_hours: exhausted.map(|(left, pace)| left / pace),
        members,
    })
}

/// What comes first: what is not set apart, what grew, the nearest limit, what has limits, the
/// largest growth, then the name.
fn order(row: &DiffRow) -> (bool, bool, f64, Family, f64, &str) {
    let limit = row.exhausted_in_hours.unwrap_or(f64::INFINITY);
    let less = row.change <= 0.0 && row.difference != Difference::Replaced;
    (row.apart.is_some(), less, limit, row.family, -row.change.abs(), &row.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::file::{Snapshot, sample};

    fn service(minute: i64) -> Snapshot {
        let many = if minute == 0 { 0 } else { 10 };
        let mut whole = sample::whole(minute);
        sample::add_type(&mut whole, "shop.Order", 100 + 5 * many);
        sample::add_type(&mut whole, "shop.Same", 7);
        sample::add_type(&mut whole, "builtins.module", 100 + many);
        sample::add_type(&mut whole, "builtins.function", 1000 + 90 * many);
        let addresses = |from: u64, count| (0..count).map(|n| from + n * 16).collect::<Vec<u64>>();
        sample::add_resources(&mut whole, "socket", &addresses(0x1000, 10 + many));
        let moving = if minute == 0 { 0x5000 } else { 0x9000 };
        sample::add_resources(&mut whole, "http_client", &addresses(moving, 6));
        whole.process.fds = Some(50 + many);
        sample::snapshot(whole, minute)
    }

    fn compare(old: &Snapshot, new: &Snapshot) -> DiffDocument {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        old.save(&paths[0], false).unwrap();
        new.save(&paths[1], false).unwrap();
        diff(&paths[0], &paths[1], None).unwrap()
    }

    #[test]
    fn what_has_a_limit_comes_first_and_imports_are_set_apart() {
        let document = compare(&service(0), &service(30));
        assert_eq!(document.relation, Relation::Process);
        let first = &document.rows[0];
        assert_eq!((first.name.as_str(), first.per_hour), ("open files", Some(20.0)));
        assert_eq!(first.exhausted_in_hours, Some((1024.0 - 60.0) / 20.0));
        let find = |name: &str| document.rows.iter().find(|row| row.name == name);
        let sockets = find("socket").unwrap();
        assert_eq!((sockets.old, sockets.new), (10.0, 20.0));
        assert_eq!(sockets.members, Some(Members { first: 10, stayed: 10 }));
        assert_eq!(find("http_client").unwrap().difference, Difference::Replaced);
        assert_eq!(find("builtins.function").unwrap().apart, Some(Apart::Imports));
        assert_eq!(find("shop.Order").unwrap().apart, None);
        assert!(find("shop.Same").is_none());
    }

    #[test]
    fn a_restart_is_no_growth_of_one_process() {
        let mut later = service(30);
        later.summary.same.start_ticks += 5;
        let document = compare(&service(0), &later);
        assert_eq!(document.relation, Relation::Program);
        assert!(document.rows.iter().all(|row| row.members.is_none() && row.per_hour.is_none()));
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let (old, new) = (service(0), service(30));
        let text = || serde_json::to_string(&compare(&old, &new)).unwrap();
        assert_eq!(text(), text());
    }
}
