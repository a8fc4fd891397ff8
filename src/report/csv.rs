//! A series as comma-separated values.

use super::rows::rows;
use crate::snapshot::TrendDocument;
use std::io::Write;

/// The names of the columns.
pub const COLUMNS: [&str; 11] = [
    "taken_ms",
    "host",
    "boot_id",
    "pid",
    "start_ticks",
    "python",
    "family",
    "name",
    "unit",
    "value",
    "verdict",
];

/// Writes all rows.
pub fn write(out: impl Write, document: &TrendDocument) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    for row in rows(document) {
        writer.write_record([
            &row.taken_ms.to_string(),
            row.host.unwrap_or_default(),
            row.boot_id,
            &row.pid.to_string(),
            &row.start_ticks.to_string(),
            row.python,
            row.family,
            row.name,
            row.unit,
            &row.value.to_string(),
            row.verdict,
        ])?;
    }
    writer.flush()?;
    Ok(())
}
