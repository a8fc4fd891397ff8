//! The resources one by one, as text.

use super::header;
use super::style::{BOLD, WARN};
use super::table;
use super::units::number;
use crate::report::escape::escape;
use crate::snapshot::{ResourceRow, ResourcesDocument};
use std::io::{self, Write};

/// Writes the resources, a table for each kind.
pub fn write(out: &mut impl Write, document: &ResourcesDocument) -> io::Result<()> {
    header::write(out, &document.process, &document.capture)?;
    let kinds = document.kinds.iter().filter(|(_, summary)| summary.count > 0);
    for (kind, summary) in kinds {
        let states: Vec<String> =
            summary.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        write!(out, "{BOLD}{kind}{BOLD:#}  {}", number(summary.count))?;
        writeln!(out, ": {}", escape(&states.join(", ")))?;
        if let Some(level) = &summary.level {
            writeln!(out, "{WARN}{level}:{WARN:#} together they are over a limit")?;
        }
        let rows: Vec<&ResourceRow> =
            document.resources.iter().filter(|row| row.kind == *kind).collect();
        write_kind(out, &rows)?;
        writeln!(out)?;
    }
    let count = document.resources.len() as u64;
    writeln!(out, "{BOLD}{}{BOLD:#} resources", number(count))
}

/// One table, with a column for each metric that any of the rows has.
fn write_kind(out: &mut impl Write, rows: &[&ResourceRow]) -> io::Result<()> {
    let mut metrics: Vec<&str> = Vec::new();
    for row in rows {
        for name in row.metrics.keys() {
            if !metrics.contains(&name.as_str()) {
                metrics.push(name);
            }
        }
    }
    let mut headings = vec!["ADDRESS".to_owned(), "STATE".to_owned()];
    headings.extend(metrics.iter().map(|name| name.to_uppercase()));
    headings.extend(["TYPE".to_owned(), "".to_owned()]);
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = table::plain(&headings, &(2..2 + metrics.len()).collect::<Vec<_>>());
    for row in rows {
        let mut cells = vec![row.address.clone()];
        let state = row.state.as_deref().unwrap_or("unknown");
        cells.push(match &row.level {
            Some(level) => format!("{} ({level})", escape(state)),
            None => escape(state).into_owned(),
        });
        for name in &metrics {
            cells.push(match row.metrics.get(*name) {
                None => "-".to_owned(),
                Some(None) => "unknown".to_owned(),
                Some(Some(value)) => value.to_string(),
            });
        }
        cells.push(escape(&row.class).into_owned());
        cells.push(escape(&details(row)).into_owned());
        table.add_row(cells);
    }
    table::write(out, &table)
}

/// The shown texts, and why something is unknown.
fn details(row: &ResourceRow) -> String {
    let shown = row.show.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let shown = shown.map(|(name, value)| format!("{name} {value}"));
    let unknown = row.unknown.iter().map(|(name, reason)| format!("{name} unknown: {reason}"));
    shown.chain(unknown).collect::<Vec<_>>().join(", ")
}
