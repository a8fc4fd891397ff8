//! The document of `trend --json`: plain data.

use super::verdict::{Numbers, Verdict};
use crate::snapshot::ProcessInfo;
use crate::snapshot::file::Moment;
use crate::snapshot::retention::PathRow;
use crate::snapshot::whole::SameProcess;
use serde::Serialize;
use std::collections::BTreeMap;

/// The document of `trend --json`.
#[derive(Debug, Clone, Serialize)]
pub struct TrendDocument {
    /// "pyattach.trend/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// Files read.
    pub files: u64,
    /// Files that could not be read, or not wholly.
    pub damaged: Vec<DamagedFile>,
    /// One for each process, by host and time; a restart makes another.
    pub processes: Vec<ProcessTrend>,
}

impl TrendDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.trend/1";

    /// The worst verdict of all series that are not set apart.
    pub fn worst(&self) -> Option<Verdict> {
        let series = self.processes.iter().flat_map(|process| &process.series);
        series.filter(|row| row.apart.is_none()).map(|row| row.verdict).min()
    }

    /// Leaves out the values, and the series that are neither growing nor otherwise worth a row.
    pub fn brief(&mut self) {
        for process in &mut self.processes {
            let stable = |row: &SeriesRow| {
                row.family == Family::Type
                    && matches!(row.verdict, Verdict::Stable | Verdict::Unknown)
            };
            let paths = process.series.iter_mut().flat_map(|row| &mut row.holders);
            paths.for_each(|path| path.values.clear());
            for row in process.series.iter().filter(|row| stable(row)) {
                *process.not_shown.entry(row.verdict).or_default() += 1;
            }
            process.series.retain(|row| !stable(row));
        }
    }
}

/// A file that could not be read wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedFile {
    /// Its name.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// Something of it was used all the same.
    pub used: bool,
}

/// What became of one process.
#[derive(Debug, Clone, Serialize)]
pub struct ProcessTrend {
    /// Which process it is.
    pub same: SameProcess,
    /// The machine's name.
    pub host: Option<String>,
    /// The process at its last capture.
    pub process: ProcessInfo,
    /// The first capture.
    pub first: Moment,
    /// The last.
    pub last: Moment,
    /// From the first to the last.
    pub hours: f64,
    /// Captures.
    pub captures: u64,
    /// Of these, incomplete ones: their counts are not judged.
    pub incomplete: u64,
    /// The process stood still for so long in all, in milliseconds.
    pub total_pause_ms: f64,
    /// And at most at once.
    pub longest_pause_ms: f64,
    /// The times of the captures, in milliseconds since 1970.
    pub times: Vec<i64>,
    /// The series, the worst first.
    pub series: Vec<SeriesRow>,
    /// Series left out, by verdict.
    pub not_shown: BTreeMap<Verdict, u64>,
    /// What was changed from outside: limits, versions.
    pub changes: Vec<Change>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// What a series is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Open files, threads: the operating system's figures that have limits.
    Process,
    /// A kind of resources, or a number of it.
    Resource,
    /// asyncio tasks that wait at one place.
    Task,
    /// Threads with one purpose.
    Thread,
    /// Instances of a type.
    Type,
    /// Bytes.
    Memory,
}

impl Family {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Resource => "resource",
            Self::Task => "task",
            Self::Thread => "thread",
            Self::Type => "type",
            Self::Memory => "memory",
        }
    }
}

/// One series.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesRow {
    /// What it is of.
    pub family: Family,
    /// Its name within the family.
    pub name: String,
    /// "count" or "bytes".
    pub unit: &'static str,
    /// What can be said of it.
    pub verdict: Verdict,
    /// Why a rise is no leak all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart: Option<Apart>,
    /// The numbers behind the verdict; `null` when there were too few captures.
    pub numbers: Option<Numbers>,
    /// At the first capture that has it.
    pub first: Option<f64>,
    /// At the last.
    pub last: Option<f64>,
    /// The limit that it may reach.
    pub limit: Option<f64>,
    /// When it reaches the limit at this pace, from the last capture.
    pub exhaustion: Option<Exhaustion>,
    /// Of the objects at the first capture, those that are still there.
    pub members: Option<Members>,
    /// Of resources and types that grow: the ways they are held that changed most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<PathRow>,
    /// At each capture; `null` where it is not known.
    pub values: Vec<Option<f64>>,
}

/// Why a rise is no leak all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Apart {
    /// Modules were imported: their functions, classes and dicts come with them.
    Imports,
    /// The growth is in the young generations: the collector has not looked at it yet.
    Uncollected,
}

impl Apart {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Imports => "comes with imported modules",
            Self::Uncollected => "not yet looked at by the collector",
        }
    }
}

/// When a limit is reached, in hours from the last capture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Exhaustion {
    /// By the slope.
    pub hours: f64,
    /// By the steepest slope of its interval.
    pub soonest: f64,
    /// By the flattest; `null` when that is never.
    pub latest: Option<f64>,
}

/// Objects that stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Members {
    /// At the first capture.
    pub first: u64,
    /// Of these, at the same address in the last one.
    pub stayed: u64,
}

/// Something that was changed from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The capture that shows it first.
    pub at: String,
    /// What.
    pub what: String,
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
}
