//! The catalogue as text: its entries, and one entry tried on a process.

use super::header;
use super::style::{BOLD, DIM, WARN};
use super::table;
use super::units::number;
use crate::report::escape::escape;
use crate::snapshot::catalog::{EntryRow, ExpressionRow};
use crate::snapshot::{ResourceRow, ResourcesDocument};
use std::io::{self, Write};

/// Resources that `catalog try` shows in full.
const SHOWN: usize = 5;

/// Writes the list of entries.
pub fn write_list(out: &mut impl Write, entries: &[EntryRow]) -> io::Result<()> {
    let mut table = table::plain(&["ID", "KIND", "WHAT", "TYPES", "FROM"], &[]);
    for entry in entries {
        table.add_row(vec![
            escape(&entry.id).into_owned(),
            escape(&entry.kind).into_owned(),
            escape(&entry.about).into_owned(),
            escape(&entry.types.join(" ")).into_owned(),
            escape(&entry.source).into_owned(),
        ]);
    }
    table::write(out, &table)
}

/// Writes what an entry's expressions give on a process.
pub fn write_try(
    out: &mut impl Write,
    entry: &EntryRow,
    document: &ResourcesDocument,
) -> io::Result<()> {
    header::write(out, &document.process, &document.capture)?;
    let count = document.resources.len();
    let types = entry.types.join(", ");
    writeln!(out, "{BOLD}{}{BOLD:#}: {} of {}", entry.id, number(count as u64), escape(&types))?;
    if count == 0 {
        writeln!(
            out,
            "{DIM}No tracked object is of these types. Are the names right (module and class as in \
             `pyattach census`)?{DIM:#}"
        )?;
    }
    for row in document.resources.iter().take(SHOWN) {
        writeln!(out)?;
        write_row(out, entry, row)?;
    }
    if count > SHOWN {
        let more = number((count - SHOWN) as u64);
        writeln!(
            out,
            "\n{DIM}… and {more} more (pyattach resources --kind {}){DIM:#}",
            entry.kind
        )?;
    }
    if let Some(level) = document.kinds.get(&entry.kind).and_then(|summary| summary.level.as_ref())
    {
        writeln!(out, "\n{WARN}{level}:{WARN:#} all of them together are over a total limit")?;
    }
    Ok(())
}

fn write_row(out: &mut impl Write, entry: &EntryRow, row: &ResourceRow) -> io::Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#} {}", row.address, escape(&row.class))?;
    let mut table = table::plain(&["", "NAME", "VALUE", "EXPRESSION"], &[]);
    let value = |name: &str, value: Option<String>| match (value, row.unknown.get(name)) {
        (Some(value), _) => escape(&value).into_owned(),
        (None, Some(reason)) => format!("unknown: {}", escape(reason)),
        (None, None) => "none".to_owned(),
    };
    let mut add = |group: &str, name: &str, shown: String, text: &str| {
        table.add_row(vec![group.to_owned(), name.to_owned(), shown, escape(text).into_owned()]);
    };
    let conditions = |rows: &[ExpressionRow]| {
        let parts = rows.iter().map(|row| format!("{} = {}", row.name, row.text));
        parts.collect::<Vec<_>>().join("; ")
    };
    add("state", "", value("state", row.state.clone()), &conditions(&entry.state));
    for expression in &entry.metrics {
        let found = row.metrics.get(&expression.name).copied().flatten();
        let shown = value(&expression.name, found.map(|number| number.to_string()));
        add("metric", &expression.name, shown, &expression.text);
    }
    for expression in &entry.show {
        let found = row.show.get(&expression.name).and_then(Option::as_ref);
        let shown = value(&expression.name, found.map(ToString::to_string));
        add("show", &expression.name, shown, &expression.text);
    }
    for expression in &entry.links {
        let shown = row.links.get(&expression.name).cloned();
        add("link", &expression.name, value(&expression.name, shown), &expression.text);
    }
    if let Some(level) = &row.level {
        add("limit", level, "passed".to_owned(), &conditions(&entry.limits));
    }
    table::write(out, &table)
}
