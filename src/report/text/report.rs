//! The report as text: what the process holds, what is wrong with it.

use super::findings::{counts, wrapped, write as write_findings, write_not_judged};
use super::style::{BOLD, DIM, WARN};
use super::units::number;
use super::{header, table};
use crate::report::escape::escape;
use crate::snapshot::report::{ReportDocument, Stored};
use crate::snapshot::{Number, ResourceSummary};
use comfy_table::{Cell, Table};
use std::io::{self, Write};

/// States named of one kind.
const STATES: usize = 4;

/// Kinds that are part of others, or of every program.
const MINOR: [&str; 9] = [
    "asyncio_condition",
    "asyncio_future",
    "asyncio_lock",
    "asyncio_semaphore",
    "condition",
    "future",
    "queue",
    "semaphore",
    "sqlalchemy_record",
];

/// Writes a report in lines of about `width` characters.
pub fn write(out: &mut impl Write, report: &ReportDocument, width: usize) -> io::Result<()> {
    if let Some(stored) = &report.stored {
        write_stored(out, stored)?;
    }
    header::write_process(out, &report.process, &report.capture)?;
    let mut rows = heading();
    let limit = report.limits.descriptors.map_or_else(|| "?".to_owned(), number);
    let open = number(report.open_descriptors());
    rows.add_row(vec![
        Cell::new("descriptors"),
        Cell::new(open),
        Cell::new(limit),
        Cell::new(""),
        Cell::new(fitting(&report.sockets.descriptors, room(width, &report.resources))),
    ]);
    let threads: u64 = report.threads.values().sum();
    rows.add_row(vec![
        Cell::new("threads"),
        Cell::new(number(report.process.os_threads.unwrap_or(threads))),
        Cell::new(""),
        Cell::new(""),
        Cell::new(fitting(&report.threads, room(width, &report.resources))),
    ]);
    add_kinds(&mut rows, &report.resources, width);
    table::write(out, &rows)?;
    write_minor(out, &report.resources, width)?;
    let total = report.findings.len();
    writeln!(out, "\n{BOLD}FINDINGS{BOLD:#}  {}\n", counts(&report.findings))?;
    if total == 0 {
        writeln!(out, "No rule found anything.\n")?;
    }
    let findings: Vec<_> = report.findings.iter().map(|finding| (finding, None)).collect();
    write_findings(out, &findings, width)?;
    let not_judged: Vec<_> = report.not_judged.iter().map(|one| (one, None)).collect();
    write_not_judged(out, &not_judged, width)?;
    writeln!(out, "{DIM}{}{DIM:#}", header::how(&report.capture))
}

/// Which file, of when and where, and what of it is missing.
fn write_stored(out: &mut impl Write, stored: &Stored) -> io::Result<()> {
    let host = stored.host.as_ref().map(|host| format!(" on {}", escape(host))).unwrap_or_default();
    let (path, at) = (escape(&stored.path), escape(&stored.taken.at));
    writeln!(out, "{DIM}stored capture of {at}{host}, from {path}{DIM:#}")?;
    for damage in &stored.damage {
        writeln!(out, "{WARN}damaged:{WARN:#} {}", escape(damage))?;
    }
    Ok(())
}

/// The table's headings.
pub(super) fn heading() -> Table {
    table::plain(&["RESOURCE", "COUNT", "LIMIT", "IN USE", "STATES"], &[1, 2, 3])
}

/// Room for the states, behind the longest name of a kind and three numbers.
fn room(width: usize, kinds: &std::collections::BTreeMap<String, ResourceSummary>) -> usize {
    let shown = kinds.iter().filter(|(_, summary)| summary.count > 0);
    let longest = shown.map(|(kind, _)| kind.chars().count()).max().unwrap_or(0).max(11);
    width.saturating_sub(longest + 30).max(16)
}

/// A row for each kind of which there is any.
pub(super) fn add_kinds(
    rows: &mut Table,
    kinds: &std::collections::BTreeMap<String, ResourceSummary>,
    width: usize,
) {
    let room = room(width, kinds);
    for (kind, summary) in
        kinds.iter().filter(|(kind, summary)| summary.count > 0 && !is_minor(kind, summary))
    {
        let text = |name: &str| summary.totals.get(name).map(readable).unwrap_or_default();
        let mut states = fitting(&summary.states, room);
        let waiters = summary.totals.get("waiters").filter(|one| **one != Number::Int(0));
        if let Some(waiters) = waiters {
            states = format!("{states}; {} waiting", readable(waiters));
        }
        if let Some(count) = summary.unknown.values().max() {
            states = format!("{states}; {count} not read");
        }
        rows.add_row(vec![
            Cell::new(escape(kind)),
            Cell::new(number(summary.count)),
            Cell::new(text("limit")),
            Cell::new(text("in_use")),
            Cell::new(escape(&states)),
        ]);
    }
}

/// What every program has by the dozen is counted in one line, unless it passes a limit.
fn is_minor(kind: &str, summary: &ResourceSummary) -> bool {
    MINOR.contains(&kind) && summary.level.is_none() && summary.over_limit.is_empty()
}

/// Writes the line of what is left out of the table.
pub(super) fn write_minor(
    out: &mut impl Write,
    kinds: &std::collections::BTreeMap<String, ResourceSummary>,
    width: usize,
) -> io::Result<()> {
    let minor = kinds.iter().filter(|(kind, summary)| summary.count > 0 && is_minor(kind, summary));
    let parts: Vec<String> =
        minor.map(|(kind, summary)| format!("{} {kind}", number(summary.count))).collect();
    if parts.is_empty() {
        return Ok(());
    }
    for line in wrapped(&format!("and {}", parts.join(", ")), width) {
        writeln!(out, "{DIM}{line}{DIM:#}")?;
    }
    Ok(())
}

fn readable(value: &Number) -> String {
    match value {
        Number::Int(value) => match u64::try_from(*value) {
            Ok(value) => number(value),
            Err(_) => value.to_string(),
        },
        Number::Float(value) => format!("{value:.1}"),
    }
}

/// The most frequent states, as many as there is room for.
fn fitting(counts: &std::collections::BTreeMap<String, u64>, room: usize) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut text = String::new();
    for (index, (state, count)) in counts.iter().enumerate() {
        let part = format!("{} {state}", number(**count));
        let full = index > 0 && text.chars().count() + 2 + part.chars().count() > room;
        if full || index >= STATES {
            return format!("{text}, …");
        }
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(&part);
    }
    text
}
