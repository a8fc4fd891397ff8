//! `--html FILE`: the answer as a page.

use super::failure::{Code, Failure};
use super::series::is_snapshot;
use crate::report::html;
use crate::report::html::series::Series;
use crate::snapshot::file::save_bytes;
use crate::snapshot::rules::Rules;
use crate::snapshot::trend::{ProcessTrend, TrendDocument, Verdict};
use crate::snapshot::{Diagnosis, SnapshotFile, Whole};
use std::path::{Path, PathBuf};

/// Writes the page on the process that is worst off, of those that these files are about.
pub(super) fn write_trend(
    path: &Path,
    document: &TrendDocument,
    files: &[PathBuf],
) -> Result<(), Failure> {
    let order = |process: &&ProcessTrend| {
        (std::cmp::Reverse(worst(process)), process.captures, process.last.unix_ms)
    };
    let Some(process) = document.processes.iter().max_by_key(order) else {
        return Err(Failure::new("no capture is whole enough for a page", Code::File));
    };
    let mut summaries = Vec::new();
    let mut last: Option<(i64, &PathBuf)> = None;
    for file in files {
        // What is wrong with a file, the document says.
        let Ok(snapshot) = SnapshotFile::open(file) else { continue };
        let summary = snapshot.summary();
        if summary.same != process.same || summary.host != process.host {
            continue;
        }
        let taken = summary.taken.unix_ms;
        if last.is_none_or(|(newest, _)| taken >= newest) {
            last = Some((taken, file));
        }
        summaries.push(summary.clone());
    }
    let Some((_, newest)) = last else {
        return Err(Failure::new("the files changed while they were read", Code::File));
    };
    let snapshot = SnapshotFile::open(newest)?.read_all()?;
    let mut series = Series::of(process, &summaries);
    let others = document.processes.len() - 1;
    if others > 0 {
        series.notes.push(format!(
            "{others} more processes are in these files; the page is about the one that is worst off"
        ));
    }
    let diagnosis = Rules::builtin().judge(&snapshot.whole);
    save(path, html::page(&snapshot.whole, &diagnosis, Some(&series)))
}

/// Writes the page on one capture.
pub(super) fn write_report(
    path: &Path,
    whole: &Whole,
    diagnosis: &Diagnosis,
) -> Result<(), Failure> {
    save(path, html::page(whole, diagnosis, None))
}

fn worst(process: &ProcessTrend) -> Verdict {
    let rows = process.series.iter().filter(|row| row.apart.is_none());
    rows.map(|row| row.verdict).min().unwrap_or(Verdict::Unknown)
}

fn save<E: std::error::Error + 'static>(
    path: &Path,
    page: Result<String, E>,
) -> Result<(), Failure> {
    // Two names beside each other on a command line are soon mixed up.
    if is_snapshot(path) {
        let error = format!("{} has the name of a snapshot, not of a page", path.display());
        let failure = Failure::new(error, Code::Usage);
        return Err(failure.with_hint("the name behind --html is that of the page".to_owned()));
    }
    let page = page.map_err(|error| Failure::new(error, Code::Usage))?;
    Ok(save_bytes(path, page.as_bytes(), true)?)
}
