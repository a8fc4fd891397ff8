//! A series as comma-separated values: one row for each capture and series.

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

/// Writes every known value of every series, processes and series in the document's order.
pub fn write(out: impl Write, document: &TrendDocument) -> csv::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    for process in &document.processes {
        let host = process.host.as_deref().unwrap_or_default();
        let pid = process.same.pid.to_string();
        let start = process.same.start_ticks.to_string();
        for row in &process.series {
            let family = format!("{:?}", row.family).to_lowercase();
            for (time, value) in process.times.iter().zip(&row.values) {
                let Some(value) = value else { continue };
                writer.write_record([
                    &time.to_string(),
                    host,
                    &process.same.boot_id,
                    &pid,
                    &start,
                    &process.process.python.version,
                    &family,
                    &row.name,
                    row.unit,
                    &value.to_string(),
                    row.verdict.name(),
                ])?;
            }
        }
    }
    writer.flush()?;
    Ok(())
}
