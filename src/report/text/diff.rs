//! The differences of two snapshots, as text.

use super::style::{BOLD, DIM, WARN};
use super::trend::{amount, signed, time};
use super::units::number;
use super::{header, paths, table};
use crate::report::escape::escape;
use crate::snapshot::DiffDocument;
use crate::snapshot::diff::{DiffRow, Relation, Side};
use comfy_table::Cell;
use std::io::{self, Write};

/// Writes the differences.
pub fn write(out: &mut impl Write, document: &DiffDocument) -> io::Result<()> {
    let between = match (document.relation, document.hours) {
        (Relation::Process, Some(hours)) => format!("the same process, {} later", time(hours)),
        (Relation::Process, None) => "the same process".to_owned(),
        (Relation::Program, _) => "the same program, another process".to_owned(),
        (Relation::None, _) => "another program".to_owned(),
    };
    writeln!(out, "{BOLD}Before{BOLD:#}  {}", side(&document.old))?;
    writeln!(out, "{BOLD}After{BOLD:#}   {}: {between}", side(&document.new))?;
    for file in &document.damaged {
        writeln!(out, "{WARN}note:{WARN:#} {}: {}", escape(&file.path), escape(&file.what))?;
    }
    for note in &document.notes {
        writeln!(out, "{WARN}note:{WARN:#} {}", escape(note))?;
    }
    for change in &document.changes {
        let (from, to) = (escape(&change.from), escape(&change.to));
        writeln!(out, "{WARN}changed:{WARN:#} {} from {from} to {to}", change.what)?;
    }
    writeln!(out)?;
    let (apart, rows): (Vec<&DiffRow>, Vec<&DiffRow>) =
        document.rows.iter().partition(|row| row.apart.is_some());
    write_rows(out, &rows)?;
    write_holders(out, document)?;
    write_apart(out, &apart)?;
    if let Some(graph) = &document.graph {
        paths::write_graph(out, graph)?;
    }
    write!(out, "{DIM}{} others are as before", number(document.unchanged))?;
    if document.not_shown > 0 {
        write!(out, "; {} more are different (--top 0)", number(document.not_shown))?;
    }
    writeln!(out, "{DIM:#}")
}

fn side(side: &Side) -> String {
    let command = side.process.cmdline.join(" ");
    let command = escape(&command);
    format!("process {} at {}  {command}", side.same.pid, escape(&side.taken.at))
}

fn write_rows(out: &mut impl Write, rows: &[&DiffRow]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "Nothing is different.");
    }
    let headings = ["", "WHAT", "BEFORE", "AFTER", "CHANGE", "PER HOUR", "NOTE"];
    let mut table = table::plain(&headings, &[2, 3, 4, 5]);
    for row in rows {
        let mut notes = Vec::new();
        if let Some(limit) = row.limit {
            notes.push(format!("of at most {}", amount(limit, row.unit)));
        }
        notes.extend(row.exhausted_in_hours.map(|hours| format!("reached in {}", time(hours))));
        if let Some(members) = row.members {
            let (stayed, first) = (number(members.stayed), number(members.first));
            notes.push(format!("{stayed} of {first} stayed"));
        }
        table.add_row(vec![
            Cell::new(row.difference.name()),
            Cell::new(escape(&row.name)),
            Cell::new(amount(row.old, row.unit)),
            Cell::new(amount(row.new, row.unit)),
            Cell::new(signed(row.change, row.unit)),
            Cell::new(row.per_hour.map_or_else(String::new, |pace| signed(pace, row.unit))),
            Cell::new(notes.join(", ")),
        ]);
    }
    table::write(out, &table)
}

/// Who holds what changed, kind by kind.
fn write_holders(out: &mut impl Write, document: &DiffDocument) -> io::Result<()> {
    /// Paths of one kind or type, and kinds and types.
    const PATHS: usize = 4;
    const NAMES: usize = 12;
    let mut names: Vec<&str> = document.holders.iter().map(|row| row.name.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    for name in names.into_iter().take(NAMES) {
        let rows = document.holders.iter().filter(|row| row.name == name);
        let rows: Vec<_> = rows.take(PATHS).cloned().collect();
        writeln!(out, "\n{BOLD}{}{BOLD:#} held by", escape(name))?;
        paths::write(out, &rows)?;
    }
    Ok(())
}

/// What grew and is no leak, each reason in a line.
fn write_apart(out: &mut impl Write, rows: &[&DiffRow]) -> io::Result<()> {
    let mut reasons: Vec<_> = rows.iter().filter_map(|row| row.apart).collect();
    reasons.sort();
    reasons.dedup();
    for reason in reasons {
        let of = rows.iter().filter(|row| row.apart == Some(reason));
        let objects: f64 = of.clone().map(|row| row.change).sum();
        let (types, reason) = (header::plural(of.count() as u64, "type"), reason.text());
        let objects = signed(objects, "count");
        writeln!(out, "{DIM}not counted: {objects} objects of {types} {reason}{DIM:#}")?;
    }
    Ok(())
}
