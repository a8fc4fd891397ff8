//! Verdicts over a series of snapshots, as text.

use super::style::{BOLD, DIM, ERROR, WARN};
use super::units::{bytes, milliseconds, number};
use super::{header, paths, table};
use crate::report::escape::escape;
use crate::snapshot::TrendDocument;
use crate::snapshot::trend::{ProcessTrend, SeriesRow, Verdict};
use comfy_table::Cell;
use std::io::{self, Write};

/// Paths shown of one series.
const PATHS: usize = 3;

/// Writes the verdicts. `all` shows the stable series too.
pub fn write(out: &mut impl Write, document: &TrendDocument, all: bool) -> io::Result<()> {
    for file in &document.damaged {
        let (path, what) = (escape(&file.path), escape(&file.what));
        let used = if file.used { "; the rest of it is used" } else { "" };
        writeln!(out, "{WARN}note:{WARN:#} {path}: {what}{used}")?;
    }
    for (index, process) in document.processes.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_process(out, process, all)?;
    }
    if document.processes.is_empty() {
        writeln!(out, "no captures")?;
    }
    Ok(())
}

fn write_process(out: &mut impl Write, trend: &ProcessTrend, all: bool) -> io::Result<()> {
    let process = &trend.process;
    let command = process.cmdline.join(" ");
    let host = trend.host.as_ref().map(|host| format!(" on {}", escape(host)));
    let (pid, host) = (trend.same.pid, host.unwrap_or_default());
    writeln!(out, "{BOLD}Process {pid}{host}{BOLD:#}  {}", escape(&command))?;
    write!(out, "Python {}, ", escape(&process.python.version))?;
    write!(out, "{} in {}", header::plural(trend.captures, "capture"), time(trend.hours))?;
    writeln!(out, " until {}", escape(&trend.last.at))?;
    let (total, longest) = (trend.total_pause_ms, trend.longest_pause_ms);
    let (total, longest) = (milliseconds(total), milliseconds(longest));
    writeln!(out, "{DIM}paused for {total} in all, at most {longest} at once{DIM:#}")?;
    for note in &trend.notes {
        writeln!(out, "{WARN}note:{WARN:#} {}", escape(note))?;
    }
    for change in &trend.changes {
        let (what, from, to) = (&change.what, escape(&change.from), escape(&change.to));
        writeln!(out, "{WARN}changed:{WARN:#} {what} from {from} to {to} at {}", change.at)?;
    }
    writeln!(out)?;
    let shown = |row: &&SeriesRow| {
        all || !matches!(row.verdict, Verdict::Stable | Verdict::Unknown) && row.apart.is_none()
    };
    let rows: Vec<&SeriesRow> = trend.series.iter().filter(shown).collect();
    write_rows(out, &rows)?;
    write_apart(out, trend, all)?;
    write_rest(out, trend, all)
}

fn write_rows(out: &mut impl Write, rows: &[&SeriesRow]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "Nothing grows.");
    }
    let headings = ["VERDICT", "WHAT", "FIRST", "LAST", "PER HOUR", "90% INTERVAL", "P"];
    let mut table = table::plain(&headings, &[2, 3, 4]);
    for row in rows {
        let numbers = row.numbers;
        let amount = |value: f64| amount(value, row.unit);
        let known = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), &amount);
        table.add_row(vec![
            Cell::new(row.verdict.name().to_uppercase()),
            Cell::new(escape(&row.name)),
            Cell::new(known(row.first)),
            Cell::new(known(row.last)),
            Cell::new(numbers.map_or_else(String::new, |it| signed(it.slope_per_hour, row.unit))),
            Cell::new(numbers.map_or_else(String::new, |it| {
                let (low, high) = (signed(it.slope_low, row.unit), signed(it.slope_high, row.unit));
                format!("{low} to {high}")
            })),
            Cell::new(numbers.map_or_else(String::new, |it| probability(it.p_adjusted))),
        ]);
    }
    table::write(out, &table)?;
    for row in rows {
        if let (Some(limit), Some(exhaustion)) = (row.limit, row.exhaustion) {
            let latest = exhaustion.latest.map_or_else(|| "never".to_owned(), time);
            let (limit, likely) = (amount(limit, row.unit), time(exhaustion.hours));
            let soonest = time(exhaustion.soonest);
            write!(out, "{ERROR}{}{ERROR:#} reach their limit of {limit} ", escape(&row.name))?;
            writeln!(out, "in {likely} ({soonest} to {latest})")?;
        }
        if let (Verdict::Growing | Verdict::Suspected, Some(members)) = (row.verdict, row.members) {
            let (stayed, first) = (number(members.stayed), number(members.first));
            let name = escape(&row.name);
            writeln!(out, "{name}: {stayed} of the {first} at the first capture are still there")?;
        }
        if !row.holders.is_empty() {
            writeln!(out, "{BOLD}{}{BOLD:#} held by", escape(&row.name))?;
            paths::write(out, row.holders.get(..PATHS).unwrap_or(&row.holders))?;
        }
    }
    Ok(())
}

/// What grows and is no leak.
fn write_apart(out: &mut impl Write, trend: &ProcessTrend, all: bool) -> io::Result<()> {
    if all {
        return Ok(());
    }
    let mut reasons: Vec<_> = trend.series.iter().filter_map(|row| row.apart).collect();
    reasons.sort();
    reasons.dedup();
    for reason in reasons {
        let rows = trend.series.iter().filter(|row| row.apart == Some(reason));
        let names: Vec<&str> = rows.clone().take(3).map(|row| row.name.as_str()).collect();
        let (count, names) = (rows.count() as u64, names.join(", "));
        let reason = reason.text();
        let types = header::plural(count, "type");
        writeln!(out, "{DIM}not counted: growth of {types} {reason} ({}){DIM:#}", escape(&names))?;
    }
    Ok(())
}

fn write_rest(out: &mut impl Write, trend: &ProcessTrend, all: bool) -> io::Result<()> {
    if all {
        return Ok(());
    }
    let count = |verdict| {
        let left_out = trend.not_shown.get(&verdict).copied().unwrap_or(0);
        let rows = trend.series.iter().filter(|row| row.verdict == verdict);
        left_out + rows.count() as u64
    };
    let (stable, unknown) = (number(count(Verdict::Stable)), count(Verdict::Unknown));
    write!(out, "{DIM}{stable} other series are stable (--all shows them)")?;
    if unknown > 0 {
        write!(out, ", {} had too few captures", number(unknown))?;
    }
    writeln!(out, "{DIM:#}")
}

/// A number in its unit.
pub(super) fn amount(value: f64, unit: &str) -> String {
    let rounded = value.abs().round() as u64;
    let text = if unit == "bytes" { bytes(rounded) } else { number(rounded) };
    if value < -0.5 { format!("-{text}") } else { text }
}

/// The same with its sign, and with digits where it is small.
pub(super) fn signed(value: f64, unit: &str) -> String {
    let sign = if value < 0.0 { "-" } else { "+" };
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 && unit != "bytes" => format!("{sign}{size:.1}"),
        size => format!("{sign}{}", amount(size, unit)),
    }
}

fn probability(p: f64) -> String {
    if p < 0.001 { "<0.001".to_owned() } else { format!("{p:.3}") }
}

/// A time for people: `45 s`, `12 m`, `2 h 51 m`, `3 d 4 h`.
pub(super) fn time(hours: f64) -> String {
    let minutes = (hours * 60.0).round().min(1e12) as u64;
    match minutes {
        0 => format!("{:.0} s", hours * 3600.0),
        1..60 => format!("{minutes} m"),
        60..1440 => format!("{} h {} m", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", number(minutes / 1440), minutes % 1440 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_for_people() {
        assert_eq!(
            [time(0.005), time(0.2), time(2.85), time(76.0)],
            ["18 s", "12 m", "2 h 51 m", "3 d 4 h"]
        );
        assert_eq!([signed(1212.0, "count"), signed(-0.4, "count")], ["+1,212", "-0.4"]);
        assert_eq!([signed(2048.0, "bytes"), signed(0.0, "count")], ["+2.0 KiB", "0"]);
        assert_eq!([probability(1e-9), probability(0.0421)], ["<0.001", "0.042"]);
    }
}
