//! From files to series: which captures belong to one process, in which order, and every number
//! that is followed.

use super::document::{Change, DamagedFile, Family};
use crate::snapshot::file::{KnownNames, MAX_PLACES, SnapshotFile, Summary};
use crate::snapshot::{FileError, Number};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Numbers of resources that are levels, and may leak; others are settings or running totals.
const LEVELS: [&str; 7] =
    ["in_use", "waiters", "queued", "created", "unfinished", "channels", "descriptors"];

/// One capture: its file and its summary.
#[derive(Debug)]
pub(in crate::snapshot) struct Capture {
    pub(in crate::snapshot) path: PathBuf,
    pub(in crate::snapshot) summary: Summary,
    /// Its counts can be judged.
    pub(in crate::snapshot) sound: bool,
}

/// The captures of one process, in their order.
pub(in crate::snapshot) type Process = Vec<Capture>;

/// Reads the summaries, and sorts the captures by process and time.
pub(in crate::snapshot) fn processes(
    paths: &[PathBuf],
    damaged: &mut Vec<DamagedFile>,
) -> Vec<Process> {
    let mut found: BTreeMap<_, Process> = BTreeMap::new();
    for path in paths {
        let capture = match capture(path, damaged) {
            Ok(capture) => capture,
            Err(error) => {
                damaged.push(DamagedFile {
                    path: path.to_string_lossy().into_owned(),
                    what: error.to_string(),
                    used: false,
                });
                continue;
            }
        };
        let summary = &capture.summary;
        let same = &summary.same;
        let key = (summary.host.clone(), same.boot_id.clone(), same.pid, same.start_ticks);
        found.entry(key).or_default().push(capture);
    }
    let mut processes: Vec<Process> = found.into_values().collect();
    for captures in &mut processes {
        captures.sort_by_key(|capture| (clock(&capture.summary), capture.path.clone()));
        // The same capture under two names counts once.
        captures.dedup_by_key(|capture| clock(&capture.summary));
    }
    let begin = |process: &Process| process.first().map(|capture| clock(&capture.summary).1);
    processes.sort_by(|a, b| {
        let host = |process: &Process| process.first().and_then(|it| it.summary.host.clone());
        (host(a), begin(a)).cmp(&(host(b), begin(b)))
    });
    processes
}

/// Reads the summary of a file.
pub(in crate::snapshot) fn capture(
    path: &Path,
    damaged: &mut Vec<DamagedFile>,
) -> Result<Capture, FileError> {
    let file = SnapshotFile::open(path)?;
    damaged.extend(file.damage().iter().map(|what| DamagedFile {
        path: path.to_string_lossy().into_owned(),
        what: what.clone(),
        used: true,
    }));
    let summary = file.summary().clone();
    let sound = summary.capture.is_as_good_as_asked();
    Ok(Capture { path: path.to_owned(), summary, sound })
}

/// The order of the captures of one process: by the clock that nobody sets.
fn clock(summary: &Summary) -> (Option<i64>, i64) {
    (summary.taken.since_boot_ms, summary.taken.unix_ms)
}

/// Hours of each capture since the first, by the clock that nobody sets where all have it.
pub(in crate::snapshot) fn hours(captures: &[Capture]) -> Vec<f64> {
    let boot: Option<Vec<i64>> =
        captures.iter().map(|capture| capture.summary.taken.since_boot_ms).collect();
    let times = boot
        .unwrap_or_else(|| captures.iter().map(|capture| capture.summary.taken.unix_ms).collect());
    let first = times.first().copied().unwrap_or(0);
    times.into_iter().map(|time| time.saturating_sub(first) as f64 / 3_600_000.0).collect()
}

/// A series before it is judged.
#[derive(Debug)]
pub(in crate::snapshot) struct Series {
    pub(in crate::snapshot) family: Family,
    pub(in crate::snapshot) name: String,
    pub(in crate::snapshot) unit: &'static str,
    pub(in crate::snapshot) values: Vec<Option<f64>>,
    pub(in crate::snapshot) limit: Option<f64>,
    /// Of types: instances in the oldest and the permanent generation.
    pub(in crate::snapshot) old: Option<Vec<Option<f64>>>,
}

/// Collects the series of the summaries.
#[derive(Debug)]
struct Gather {
    captures: usize,
    series: BTreeMap<(Family, String), Series>,
}

impl Gather {
    fn set(&mut self, index: usize, family: Family, name: &str, unit: &'static str, value: f64) {
        let captures = self.captures;
        let series = self.series.entry((family, name.to_owned())).or_insert_with(|| Series {
            family,
            name: name.to_owned(),
            unit,
            values: vec![None; captures],
            limit: None,
            old: None,
        });
        if let Some(place) = series.values.get_mut(index) {
            *place = Some(value);
        }
    }

    fn limit(&mut self, family: Family, name: &str, limit: Option<f64>) {
        if let Some(series) = self.series.get_mut(&(family, name.to_owned())) {
            series.limit = limit.or(series.limit);
        }
    }

    fn summary(&mut self, index: usize, capture: &Capture) {
        let summary = &capture.summary;
        let figures = &summary.figures;
        let mut process = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                self.set(index, Family::Process, name, "count", value as f64);
            }
        };
        process("open files", figures.fds);
        process("threads", figures.threads);
        for (kind, &count) in &figures.fds_by_kind {
            process(&format!("open files: {kind}"), Some(count));
        }
        let limit = summary.limits.descriptors.map(|limit| limit as f64);
        self.limit(Family::Process, "open files", limit);
        let memory = [
            ("resident memory", figures.rss_bytes),
            ("proportional memory", figures.pss_bytes),
            ("swapped memory", figures.swap_bytes),
        ];
        for (name, bytes) in memory {
            if let Some(bytes) = bytes {
                self.set(index, Family::Memory, name, "bytes", bytes as f64);
            }
        }
        if capture.sound {
            self.counts(index, summary);
        }
    }

    /// What comes from the heap.
    fn counts(&mut self, index: usize, summary: &Summary) {
        let bytes = summary.objects.shallow_bytes as f64;
        self.set(index, Family::Memory, "tracked objects", "bytes", bytes);
        for (kind, resources) in &summary.resources {
            self.set(index, Family::Resource, kind, "count", resources.count as f64);
            for (state, &count) in &resources.states {
                if resources.states.len() > 1 {
                    let name = format!("{kind}, {state}");
                    self.set(index, Family::Resource, &name, "count", count as f64);
                }
            }
            for metric in LEVELS {
                let Some(&total) = resources.totals.get(metric) else { continue };
                let name = format!("{kind}, {metric}");
                self.set(index, Family::Resource, &name, "count", as_f64(total));
                let limited = metric == "in_use" && !resources.unknown.contains_key("limit");
                if let Some(&limit) = resources.totals.get("limit").filter(|_| limited) {
                    self.limit(Family::Resource, &name, Some(as_f64(limit)));
                }
            }
        }
        for place in &summary.waiting {
            let at = place.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
            let name = format!("{}{at}", place.what);
            self.set(index, Family::Task, &name, "count", place.count as f64);
        }
        let mut threads: BTreeMap<&str, u64> = BTreeMap::new();
        for place in &summary.threads {
            *threads.entry(&place.what).or_default() += place.count;
        }
        for (what, count) in threads {
            self.set(index, Family::Thread, what, "count", count as f64);
        }
    }

    /// What a capture does not have is none of it, where counts are known at all.
    fn finish(self, captures: &[Capture]) -> Vec<Series> {
        let mut all: Vec<Series> = self.series.into_values().collect();
        for series in &mut all {
            let counted = matches!(series.family, Family::Resource | Family::Task | Family::Thread);
            for (value, capture) in series.values.iter_mut().zip(captures) {
                let listed = match series.family {
                    Family::Task => capture.summary.waiting.len() < MAX_PLACES,
                    Family::Thread => capture.summary.threads.len() < MAX_PLACES,
                    _ => true,
                };
                if counted && capture.sound && listed {
                    value.get_or_insert(0.0);
                }
            }
        }
        all
    }
}

fn as_f64(number: Number) -> f64 {
    match number {
        Number::Int(value) => value as f64,
        Number::Float(value) => value,
    }
}

/// The series of the summaries.
pub(in crate::snapshot) fn of_summaries(captures: &[Capture]) -> Vec<Series> {
    let mut gather = Gather { captures: captures.len(), series: BTreeMap::new() };
    for (index, capture) in captures.iter().enumerate() {
        gather.summary(index, capture);
    }
    gather.finish(captures)
}

/// A value for each capture.
type Values = Vec<Option<f64>>;

/// The series of the types.
pub(in crate::snapshot) fn of_types(
    captures: &[Capture],
    damaged: &mut Vec<DamagedFile>,
) -> Vec<Series> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    // Of each type: all instances, and those that are old.
    let mut counts: Vec<(Values, Values)> = Vec::new();
    let mut known = KnownNames::default();
    let mut mapped: Option<(Rc<Vec<String>>, Vec<usize>)> = None;
    for (index, capture) in captures.iter().enumerate().filter(|(_, capture)| capture.sound) {
        let table = SnapshotFile::open(&capture.path).and_then(|mut file| file.table(&mut known));
        let table = match table {
            Ok(table) => table,
            Err(error) => {
                damaged.push(DamagedFile {
                    path: capture.path.to_string_lossy().into_owned(),
                    what: error.to_string(),
                    used: true,
                });
                continue;
            }
        };
        let fresh = mapped.as_ref().is_none_or(|(names, _)| !Rc::ptr_eq(names, &table.names));
        if fresh {
            let columns = table.names.iter().map(|name| match places.get(name) {
                Some(&place) => place,
                None => {
                    places.insert(name.clone(), counts.len());
                    counts.push((vec![None; captures.len()], vec![None; captures.len()]));
                    counts.len() - 1
                }
            });
            mapped = Some((Rc::clone(&table.names), columns.collect()));
        }
        let Some((_, columns)) = &mapped else { continue };
        // A type that a capture does not have has no instances.
        for (all, old) in &mut counts {
            all.get_mut(index).into_iter().for_each(|value| *value = Some(0.0));
            old.get_mut(index).into_iter().for_each(|value| *value = Some(0.0));
        }
        for (&column, (&count, &young)) in columns.iter().zip(table.count.iter().zip(&table.young))
        {
            let Some((all, old)) = counts.get_mut(column) else { continue };
            all.get_mut(index).into_iter().for_each(|value| *value = Some(count as f64));
            let settled = count.saturating_sub(young) as f64;
            old.get_mut(index).into_iter().for_each(|value| *value = Some(settled));
        }
    }
    // Captures before a type was first met had none of it either.
    let read: Vec<bool> = (0..captures.len())
        .map(|index| counts.iter().any(|(all, _)| all.get(index).is_some_and(Option::is_some)))
        .collect();
    places
        .into_iter()
        .filter_map(|(name, place)| {
            let (mut values, mut old) = std::mem::take(counts.get_mut(place)?);
            for (index, _) in read.iter().enumerate().filter(|&(_, &read)| read) {
                values.get_mut(index)?.get_or_insert(0.0);
                old.get_mut(index)?.get_or_insert(0.0);
            }
            let (family, unit) = (Family::Type, "count");
            Some(Series { family, name, unit, values, limit: None, old: Some(old) })
        })
        .collect()
}

/// Kind and address of a resource, all that is needed to know it again.
#[derive(Debug, Deserialize)]
struct Member {
    kind: String,
    address: String,
}

/// The addresses of the resources of a capture, by kind; `None` when they cannot be read.
pub(in crate::snapshot) fn members(
    capture: &Capture,
) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let rows: Vec<Member> = SnapshotFile::open(&capture.path).ok()?.rows("resources").ok()?;
    let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        members.entry(row.kind).or_default().insert(row.address);
    }
    Some(members)
}

/// What was changed from outside between the captures.
pub(in crate::snapshot) fn changes(captures: &[Capture]) -> Vec<Change> {
    let mut changes = Vec::new();
    for pair in captures.windows(2) {
        let [before, after] = pair else { continue };
        changes.extend(changes_between(&before.summary, &after.summary));
    }
    changes
}

/// What was changed from outside between two captures.
pub(in crate::snapshot) fn changes_between(before: &Summary, after: &Summary) -> Vec<Change> {
    let limit = |limit: Option<u64>| limit.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let settings = |summary: &Summary| {
        [
            ("limit of open files", limit(summary.limits.descriptors)),
            ("limit of processes", limit(summary.limits.processes)),
            ("limit of memory", limit(summary.limits.address_space)),
            ("Python", summary.process.python.version.clone()),
            ("executable", summary.process.exe.clone().unwrap_or_default()),
            ("command line", summary.process.cmdline.join(" ")),
            ("user", summary.process.user.clone().unwrap_or_default()),
            ("pyattach", summary.pyattach.clone()),
            ("capture mode", summary.capture.mode.clone()),
        ]
    };
    let pairs = settings(before).into_iter().zip(settings(after));
    pairs
        .filter(|((_, from), (_, to))| from != to)
        .map(|((what, from), (_, to))| Change {
            at: after.taken.at.clone(),
            what: what.to_owned(),
            from,
            to,
        })
        .collect()
}
