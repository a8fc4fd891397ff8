//! Objects by type, and the resources, as text.

use super::style::{BOLD, DIM, WARN};
use super::units::{bytes, number};
use super::{header, table};
use crate::report::escape::escape;
use crate::snapshot::census::{CensusDocument, ResourceSummary};
use comfy_table::Cell;
use std::io::{self, Write};

/// Writes a census; the resources come first, as they are what runs out.
pub fn write(out: &mut impl Write, census: &CensusDocument) -> io::Result<()> {
    header::write(out, &census.process, &census.capture)?;
    let mut table = table::plain(&["RESOURCE", "COUNT", "STATES", "TOTALS"], &[1]);
    for (kind, summary) in &census.resources {
        table.add_row(vec![
            Cell::new(kind),
            Cell::new(number(summary.count)),
            Cell::new(states(summary)),
            Cell::new(totals(summary)),
        ]);
    }
    table::write(out, &table)?;
    writeln!(out)?;

    let objects = &census.objects;
    let mut table = table::plain(&["COUNT", "BYTES", "TYPE"], &[0, 1]);
    for row in &objects.types {
        let name = escape(&row.name);
        let name = if row.ambiguous { format!("{name} @{}", row.address) } else { name.into() };
        table.add_row(vec![
            Cell::new(number(row.count)),
            Cell::new(bytes(row.shallow_bytes)),
            Cell::new(name),
        ]);
    }
    table::write(out, &table)?;
    if objects.types_not_shown > 0 {
        let more = number(objects.types_not_shown);
        writeln!(out, "{DIM}… and {more} more types (--top N, --filter PATTERN){DIM:#}")?;
    }
    write!(out, "\n{BOLD}{} objects{BOLD:#} of ", number(objects.total))?;
    write!(out, "{} types, {}", number(objects.type_count), bytes(objects.shallow_bytes))?;
    if objects.permanent > 0 {
        write!(out, "; {} of them in the permanent generation", number(objects.permanent))?;
    }
    writeln!(out)?;
    if objects.untyped > 0 {
        let untyped = number(objects.untyped);
        writeln!(out, "{WARN}{untyped} objects had a type that could not be read{WARN:#}")?;
    }
    Ok(())
}

fn states(summary: &ResourceSummary) -> String {
    let parts = summary.states.iter().map(|(state, count)| format!("{} {state}", number(*count)));
    parts.collect::<Vec<_>>().join(", ")
}

fn totals(summary: &ResourceSummary) -> String {
    let mut parts: Vec<String> =
        summary.totals.iter().map(|(name, total)| format!("{name} {total}")).collect();
    parts.extend(summary.unknown.iter().map(|(name, count)| format!("{name} unknown of {count}")));
    parts.extend(summary.over_limit.iter().map(|(level, count)| format!("{level}: {count}")));
    parts.extend(summary.level.as_ref().map(|level| format!("{level}: all together")));
    parts.join(", ")
}
