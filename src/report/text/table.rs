//! Tables without rules: a bold heading, columns as wide as their content.

use super::style::BOLD;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::io::{self, Write};

/// An empty table with these headings; the columns in `right` hold numbers.
pub(super) fn plain(headings: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Writes the table, without the blanks that fill its last column.
pub(super) fn write(out: &mut impl Write, table: &Table) -> io::Result<()> {
    for (index, line) in table.lines().enumerate() {
        match index {
            0 => writeln!(out, "{BOLD}{}{BOLD:#}", line.trim_end())?,
            _ => writeln!(out, "{}", line.trim_end())?,
        }
    }
    Ok(())
}
