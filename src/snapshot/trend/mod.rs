//! Verdicts over a series of snapshots: what grows, how fast, and when it hurts.
//!
//! Captures are grouped by process identity, so that a restart begins a new series. Every number
//! of the summaries and the count of every type is tested; the probabilities are corrected for
//! how many were. Knows files only.

mod document;
mod finding;
pub(in crate::snapshot) mod gather;
mod judge;
mod parallel;
mod statistics;
#[cfg(test)]
mod tests;
mod verdict;

pub use document::{
    Apart, Change, DamagedFile, Exhaustion, Family, Members, ProcessTrend, SeriesRow, TrendDocument,
};
pub use verdict::{Numbers, Verdict};

use crate::snapshot::VERSION;
use crate::snapshot::retention::PathChange;
use gather::{Capture, Series, members};
use judge::{Tested, test};
use statistics::{Point, adjusted, mann_kendall};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Fewer members say nothing about churn.
const LEAST_MEMBERS: u64 = 5;
/// Ways of holding that are kept of one series.
const MOST_PATHS: usize = 8;
/// Types whose instances come with every module.
pub(in crate::snapshot) const OF_MODULES: [&str; 22] = [
    "builtins.module",
    "builtins.function",
    "builtins.type",
    "builtins.dict",
    "builtins.tuple",
    "builtins.cell",
    "builtins.property",
    "builtins.staticmethod",
    "builtins.classmethod",
    "builtins.builtin_function_or_method",
    "builtins.method_descriptor",
    "builtins.classmethod_descriptor",
    "builtins.wrapper_descriptor",
    "builtins.getset_descriptor",
    "builtins.member_descriptor",
    "builtins.weakref",
    "weakref.ReferenceType",
    "builtins.ReferenceType",
    "abc.ABCMeta",
    "_abc._abc_data",
    "importlib._bootstrap.ModuleSpec",
    "_frozen_importlib.ModuleSpec",
];

/// Judges the series of these files.
pub fn trend(paths: &[PathBuf]) -> TrendDocument {
    of_files(paths, false)
}

/// The same, and beside the instances of each type their shallow sizes, which are not judged.
pub fn with_sizes(paths: &[PathBuf]) -> TrendDocument {
    of_files(paths, true)
}

fn of_files(paths: &[PathBuf], sizes: bool) -> TrendDocument {
    let mut damaged = Vec::new();
    let processes = gather::processes(paths, &mut damaged);
    let processes = processes
        .into_iter()
        .filter_map(|captures| of_process(&captures, sizes, &mut damaged))
        .collect();
    damaged.sort_by(|a, b| (&a.path, &a.what).cmp(&(&b.path, &b.what)));
    damaged.dedup();
    TrendDocument {
        schema: TrendDocument::SCHEMA,
        pyattach: VERSION,
        files: paths.len() as u64,
        damaged,
        processes,
    }
}

fn of_process(
    captures: &[Capture],
    sizes: bool,
    damaged: &mut Vec<DamagedFile>,
) -> Option<ProcessTrend> {
    let (first, last) = (captures.first()?, captures.last()?);
    let hours = gather::hours(captures);
    let stayed = stayed(captures);
    let mut rows = judge_all(gather::of_summaries(captures), &hours, &stayed, false);
    let types = gather::of_types(captures, sizes, damaged);
    let (types, sizes): (Vec<Series>, Vec<Series>) =
        types.into_iter().partition(|series| series.old.is_some());
    let modules = types.iter().find(|series| series.name == "builtins.module");
    let imports = modules.is_some_and(|series| rises(&series.values));
    rows.extend(judge_all(types, &hours, &BTreeMap::new(), imports));
    rows.extend(sizes.into_iter().map(|series| row(series, None, 1.0, &BTreeMap::new(), false)));
    rows.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
    add_holders(&mut rows, captures, damaged);
    let pauses = captures.iter().filter_map(|capture| capture.summary.capture.total_pause_ms);
    let incomplete = captures.iter().filter(|capture| !capture.sound).count() as u64;
    Some(ProcessTrend {
        same: last.summary.same.clone(),
        host: last.summary.host.clone(),
        process: last.summary.process.clone(),
        first: first.summary.taken.clone(),
        last: last.summary.taken.clone(),
        hours: hours.last().copied().unwrap_or(0.0),
        captures: captures.len() as u64,
        incomplete,
        total_pause_ms: pauses.clone().sum(),
        longest_pause_ms: pauses.fold(0.0, f64::max),
        times: captures.iter().map(|capture| capture.summary.taken.unix_ms).collect(),
        series: rows,
        not_shown: BTreeMap::new(),
        changes: gather::changes(captures),
        notes: notes(captures, incomplete),
    })
}

fn notes(captures: &[Capture], incomplete: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if captures.len() < judge::ENOUGH {
        let (have, need) = (captures.len(), judge::ENOUGH);
        notes.push(format!(
            "{have} captures: from {need} on, spread over the usual load, growth can be told \
             from a warm-up or a wave"
        ));
    }
    if incomplete > 0 {
        notes.push(format!("{incomplete} incomplete captures are not judged"));
    }
    let backwards = captures.windows(2).filter(|pair| match pair {
        [before, after] => after.summary.taken.unix_ms < before.summary.taken.unix_ms,
        _ => false,
    });
    let backwards = backwards.count();
    if backwards > 0 {
        notes.push(format!(
            "the clock was set back {backwards} times; the order is that of the boot's own clock"
        ));
    }
    notes
}

/// Of the resources at the first sound capture, by kind: how many, and how many are still there.
fn stayed(captures: &[Capture]) -> BTreeMap<String, Members> {
    let mut sound = captures.iter().filter(|capture| capture.sound);
    let (Some(first), Some(last)) = (sound.next(), sound.next_back()) else {
        return BTreeMap::new();
    };
    let (Some(first), Some(last)) = (members(first), members(last)) else {
        return BTreeMap::new();
    };
    let none = BTreeSet::new();
    first
        .into_iter()
        .map(|(kind, then)| {
            let stayed = then.intersection(last.get(&kind).unwrap_or(&none)).count() as u64;
            (kind, Members { first: then.len() as u64, stayed })
        })
        .collect()
}

/// Judges series of which the probabilities are corrected together.
fn judge_all(
    all: Vec<Series>,
    hours: &[f64],
    stayed: &BTreeMap<String, Members>,
    imports: bool,
) -> Vec<SeriesRow> {
    let tested: Vec<Option<Tested>> =
        parallel::map(&all, || (), |(), series| test(&points(&series.values, hours)));
    let probabilities: Vec<f64> =
        tested.iter().map(|tested| tested.map_or(1.0, |tested| tested.numbers.p)).collect();
    let corrected = adjusted(&probabilities, all.len());
    all.into_iter()
        .zip(tested)
        .zip(corrected)
        .map(|((series, tested), p)| row(series, tested, p, stayed, imports))
        .collect()
}

fn points(values: &[Option<f64>], hours: &[f64]) -> Vec<Point> {
    let known = values.iter().zip(hours);
    known.filter_map(|(value, &at)| Some(Point { at, value: (*value)? })).collect()
}

fn row(
    series: Series,
    tested: Option<Tested>,
    p_adjusted: f64,
    stayed: &BTreeMap<String, Members>,
    imports: bool,
) -> SeriesRow {
    let known = || series.values.iter().copied().flatten();
    let captures = known().count();
    let mut verdict =
        tested.map_or(Verdict::Unknown, |tested| tested.verdict(captures, p_adjusted));
    let members = match series.family {
        Family::Resource => stayed.get(&series.name).copied(),
        _ => None,
    };
    let replaced = members.is_some_and(|it| it.first >= LEAST_MEMBERS && it.stayed * 2 < it.first);
    if verdict == Verdict::Stable && replaced {
        verdict = Verdict::Churn;
    }
    let rising = matches!(verdict, Verdict::Growing | Verdict::Suspected);
    let apart = match series.family {
        Family::Type if rising && imports && OF_MODULES.contains(&series.name.as_str()) => {
            Some(Apart::Imports)
        }
        Family::Type if rising && is_young(&series) => Some(Apart::Uncollected),
        _ => None,
    };
    let numbers = tested.map(|tested| Numbers { p_adjusted, ..tested.numbers });
    let exhaustion = match (verdict, numbers, series.limit) {
        (Verdict::Growing | Verdict::Suspected, Some(numbers), Some(limit)) => {
            exhaustion(&numbers, limit)
        }
        _ => None,
    };
    SeriesRow {
        first: known().next(),
        last: known().last(),
        family: series.family,
        unit: series.unit,
        limit: series.limit,
        name: series.name,
        values: series.values,
        verdict,
        apart,
        numbers,
        exhaustion,
        members,
        holders: Vec::new(),
    }
}

/// Of what grows, the ways it is held that changed most.
fn add_holders(rows: &mut [SeriesRow], captures: &[Capture], damaged: &mut Vec<DamagedFile>) {
    let key = |row: &SeriesRow| (row.family, row.name.clone());
    let held = |row: &&SeriesRow| matches!(row.family, Family::Resource | Family::Type);
    let totals = |row: &SeriesRow| {
        row.values.iter().map(|value| value.map(|value| value as u64)).collect::<Vec<_>>()
    };
    let alarms = rows.iter().filter(held).filter(|row| row.is_alarm());
    let wanted = alarms.map(|row| (key(row), totals(row))).collect();
    let mut paths = gather::paths(captures, wanted, damaged);
    for row in rows {
        row.holders = paths.remove(&key(row)).unwrap_or_default();
        row.holders.retain(|path| path.change != PathChange::Same);
        row.holders.truncate(MOST_PATHS);
    }
}

/// The growth is in the young generations, and the old ones do not grow.
fn is_young(series: &Series) -> bool {
    let Some(old) = &series.old else { return false };
    let growth = |values: &[Option<f64>]| {
        let mut known = values.iter().copied().flatten();
        let first = known.next().unwrap_or(0.0);
        known.next_back().unwrap_or(first) - first
    };
    growth(old) < 0.2 * growth(&series.values) && !rises(old)
}

/// It rises by more than accident.
fn rises(values: &[Option<f64>]) -> bool {
    let known = values.iter().copied().flatten().enumerate();
    let points: Vec<Point> =
        known.map(|(index, value)| Point { at: index as f64, value }).collect();
    mann_kendall(&points).p_rising < 0.1
}

fn exhaustion(numbers: &Numbers, limit: f64) -> Option<Exhaustion> {
    let left = (limit - numbers.fitted_last).max(0.0);
    let hours = |slope: f64| Some(left / slope).filter(|_| slope > 0.0);
    Some(Exhaustion {
        hours: hours(numbers.slope_per_hour)?,
        soonest: hours(numbers.slope_high)?,
        latest: hours(numbers.slope_low),
    })
}

/// What comes first: what is not set apart, the worst verdict, the nearest limit, what has
/// limits, the strongest growth for its size, then the name.
fn order(row: &SeriesRow) -> (bool, Verdict, f64, Family, f64, &str) {
    let limit = row.exhaustion.map_or(f64::INFINITY, |exhaustion| exhaustion.hours);
    let growth =
        row.numbers.map_or(0.0, |numbers| numbers.growth / row.first.unwrap_or(0.0).abs().max(1.0));
    (row.apart.is_some(), row.verdict, limit, row.family, -growth, &row.name)
}
