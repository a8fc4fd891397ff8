//! From files to series: which captures belong to one process, in which order, and every number
//! that is followed.

use super::document::{Change, DamagedFile, Family};
use super::parallel;
use crate::snapshot::file::{KnownNames, MAX_PLACES, SnapshotFile, Summary};
use crate::snapshot::retention::{PathRow, Paths};
use crate::snapshot::whole::CollectorRow;
use crate::snapshot::{FileError, Number};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    let read = parallel::map(
        paths,
        || (),
        |(), path| {
            let mut damaged = Vec::new();
            (capture(path, &mut damaged), damaged)
        },
    );
    for (path, (capture, found_damaged)) in paths.iter().zip(read) {
        damaged.extend(found_damaged);
        let capture = match capture {
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

/// Files of which the types are in memory at once.
const BATCH: usize = 64;

/// The series of one type.
#[derive(Debug)]
struct OfType {
    all: Values,
    /// Of these, those that are old.
    old: Values,
    /// Their shallow sizes; empty unless asked for.
    bytes: Values,
}

/// The series of the types: their counts, and if `bytes` their sizes.
pub(in crate::snapshot) fn of_types(
    captures: &[Capture],
    bytes: bool,
    damaged: &mut Vec<DamagedFile>,
) -> Vec<Series> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut types: Vec<OfType> = Vec::new();
    let mut known = KnownNames::default();
    let mut mapped: Option<(Arc<Vec<String>>, Vec<usize>)> = None;
    let mut read = vec![false; captures.len()];
    let sound: Vec<(usize, &Capture)> =
        captures.iter().enumerate().filter(|(_, capture)| capture.sound).collect();
    for batch in sound.chunks(BATCH) {
        let tables = parallel::map(
            batch,
            || known.clone(),
            |known, (_, capture)| {
                let file = SnapshotFile::reopen(&capture.path, capture.summary.clone());
                (file.and_then(|mut file| file.table(known, bytes)), known.clone())
            },
        );
        for ((index, capture), (table, names)) in batch.iter().zip(tables) {
            known = names;
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
            if mapped.as_ref().is_none_or(|(names, _)| !Arc::ptr_eq(names, &table.names)) {
                let columns = table.names.iter().map(|name| match places.get(name) {
                    Some(&place) => place,
                    None => {
                        places.insert(name.clone(), types.len());
                        let none = || vec![None; captures.len()];
                        let bytes = if bytes { none() } else { Vec::new() };
                        types.push(OfType { all: none(), old: none(), bytes });
                        types.len() - 1
                    }
                });
                mapped = Some((Arc::clone(&table.names), columns.collect()));
            }
            let Some((_, columns)) = &mapped else { continue };
            read.get_mut(*index).into_iter().for_each(|read| *read = true);
            let figures = table.count.iter().zip(&table.young);
            for (row, (&column, (&count, &young))) in columns.iter().zip(figures).enumerate() {
                let Some(of_type) = types.get_mut(column) else { continue };
                let set = |values: &mut Values, number: u64| {
                    values.get_mut(*index).into_iter().for_each(|it| *it = Some(number as f64));
                };
                set(&mut of_type.all, count);
                set(&mut of_type.old, count.saturating_sub(young));
                table.shallow_bytes.get(row).into_iter().for_each(|&size| {
                    set(&mut of_type.bytes, size);
                });
            }
        }
    }
    let mut series = Vec::with_capacity(types.len());
    let mut types: Vec<Option<OfType>> = types.into_iter().map(Some).collect();
    for (name, place) in places {
        let Some(of_type) = types.get_mut(place).and_then(Option::take) else { continue };
        let OfType { mut all, mut old, bytes: mut sizes } = of_type;
        // A type that a capture does not have has no instances.
        for values in [&mut all, &mut old, &mut sizes] {
            for (value, _) in values.iter_mut().zip(&read).filter(|&(_, &read)| read) {
                value.get_or_insert(0.0);
            }
        }
        let of = |unit, values, old| {
            let (family, name) = (Family::Type, name.clone());
            Series { family, name, unit, values, limit: None, old }
        };
        series.push(of("count", all, Some(old)));
        if bytes {
            series.push(of("bytes", sizes, None));
        }
    }
    series
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

/// The ways these kinds and types are held, over the captures.
pub(in crate::snapshot) fn paths(
    captures: &[Capture],
    wanted: BTreeMap<(Family, String), Vec<Option<u64>>>,
    damaged: &mut Vec<DamagedFile>,
) -> BTreeMap<(Family, String), Vec<PathRow>> {
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let mut paths = Paths::new(wanted, captures.len());
    for (index, capture) in captures.iter().enumerate().filter(|(_, capture)| capture.sound) {
        match SnapshotFile::open(&capture.path).and_then(|mut file| file.held()) {
            Ok(held) => held.iter().for_each(|held| paths.add(index, held)),
            Err(error) => damaged.push(DamagedFile {
                path: capture.path.to_string_lossy().into_owned(),
                what: error.to_string(),
                used: true,
            }),
        }
    }
    paths.finish()
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
    let collector = |summary: &Summary, of: fn(&CollectorRow) -> String| {
        let main = summary.collectors.iter().min_by_key(|collector| collector.interpreter);
        main.map(of).unwrap_or_default()
    };
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
            ("garbage collector", collector(summary, switch)),
            ("thresholds of the garbage collector", collector(summary, thresholds)),
        ]
    };
    let pairs = settings(before).into_iter().zip(settings(after));
    pairs
        .filter(|((what, from), (_, to))| {
            // A file of before that was stored says nothing of it.
            let unknown = |text: &str| what.ends_with("collector") && text.is_empty();
            from != to && !unknown(from) && !unknown(to)
        })
        .map(|((what, from), (_, to))| Change {
            at: after.taken.at.clone(),
            what: what.to_owned(),
            from,
            to,
        })
        .collect()
}

fn switch(collector: &CollectorRow) -> String {
    let switch = collector.enabled.map(|enabled| if enabled { "on" } else { "off" });
    switch.unwrap_or_default().to_owned()
}

fn thresholds(collector: &CollectorRow) -> String {
    let thresholds = collector.thresholds.iter().flatten();
    thresholds.map(i64::to_string).collect::<Vec<_>>().join(", ")
}
