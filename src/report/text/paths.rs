//! The ways objects are held that changed, as text.

use super::style::{BOLD, DIM, WARN};
use super::units::{bytes, number};
use crate::report::escape::escape;
use crate::snapshot::graph::compare::{GraphDiff, GraphRow};
use crate::snapshot::holders::Owner;
use crate::snapshot::retention::{PathChange, PathRow};
use std::io::{self, Write};

/// Writes the paths of one kind or type, one below the other.
pub(super) fn write(out: &mut impl Write, rows: &[PathRow]) -> io::Result<()> {
    for row in rows {
        let grown = match (row.grown, row.grown_at_least) {
            (Some(grown), _) => signed(grown.into()),
            (None, Some(least)) => format!("at least {}", signed(least.into())),
            (None, None) => String::new(),
        };
        let since = row.since.map(|since| format!(" since capture {since}")).unwrap_or_default();
        let style = if row.change == PathChange::New { WARN } else { BOLD };
        writeln!(
            out,
            "  {style}{}{since} {grown}{style:#}  {}",
            row.change.text(),
            escape(&row.path)
        )?;
        let known = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), number);
        let mut facts = vec![format!("{} to {}", known(row.first), known(row.last))];
        if let Some(container) = &row.container
            && let (Some(first), Some(last)) = (container.first, container.last)
        {
            let class = container.class.strip_prefix("builtins.").unwrap_or(&container.class);
            facts.push(format!("{} of {} to {}", escape(class), number(first), number(last)));
        }
        facts.extend(row.owner.as_ref().map(owned));
        writeln!(out, "      {DIM}{}{DIM:#}", facts.join(", "))?;
    }
    Ok(())
}

/// What is different between two graphs.
pub(super) fn write_graph(out: &mut impl Write, graph: &GraphDiff) -> io::Result<()> {
    let [was, is] = graph.objects.map(number);
    let [less, more] = graph.bytes.map(bytes);
    write!(out, "\n{BOLD}Graph{BOLD:#}  {was} to {is} objects, {less} to {more}")?;
    if let (Some(stayed), Some(appeared)) = (graph.stayed, graph.appeared) {
        write!(out, "; {} stayed, {} appeared", number(stayed), number(appeared))?;
    }
    writeln!(out)?;
    write_rows(out, "Paths that lead to more", &graph.grew, graph.grew_not_shown)?;
    write_rows(out, "Paths that lead to less", &graph.shrank, graph.shrank_not_shown)?;
    if !graph.largest.is_empty() {
        writeln!(out, "\n{BOLD}Objects that hold more{BOLD:#}")?;
    }
    for object in &graph.largest {
        let [was, is] = object.retained_bytes.map(bytes);
        let was = if object.stayed == Some(false) { "new".to_owned() } else { was };
        let length = object.length.map(|length| format!(" of {}", number(length)));
        let class = escape(&object.class);
        writeln!(
            out,
            "  {was} to {is}  {BOLD}{class}{BOLD:#}{} {DIM}{}{DIM:#}",
            length.unwrap_or_default(),
            object.address
        )?;
        writeln!(out, "      {}", escape(&object.path))?;
    }
    Ok(())
}

fn write_rows(
    out: &mut impl Write,
    title: &str,
    rows: &[GraphRow],
    not_shown: u64,
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{BOLD}{title}{BOLD:#}")?;
    for row in rows {
        let [was, is] = row.count;
        let grown = signed(i128::from(is) - i128::from(was));
        let class = escape(&row.class);
        writeln!(out, "  {BOLD}{grown}{BOLD:#} {class}  {}", escape(&row.path))?;
        let [less, more] = row.retained_bytes.map(bytes);
        let mut facts =
            vec![format!("{} to {}", number(was), number(is)), format!("holding {less} to {more}")];
        facts.extend(row.stayed.map(|stayed| format!("{} stayed", number(stayed))));
        facts.extend(row.owner.as_ref().map(owned));
        writeln!(out, "      {DIM}{}{DIM:#}", facts.join(", "))?;
    }
    if not_shown > 0 {
        writeln!(out, "  {DIM}… and {} more (--top 0){DIM:#}", number(not_shown))?;
    }
    Ok(())
}

fn owned(owner: &Owner) -> String {
    let place = owner.location.as_ref().map(|place| {
        let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("  {}{line}", escape(&place.file))
    });
    format!("{} {}{}", owner.kind, escape(&owner.name), place.unwrap_or_default())
}

fn signed(count: i128) -> String {
    let size = number(u64::try_from(count.unsigned_abs()).unwrap_or(u64::MAX));
    match count {
        0 => String::new(),
        1.. => format!("+{size}"),
        _ => format!("-{size}"),
    }
}
