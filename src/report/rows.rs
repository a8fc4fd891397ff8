//! A series as rows of a table: one for each capture and series, the same for every format.

use crate::snapshot::TrendDocument;

/// One number of one capture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'d> {
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: i64,
    /// The machine's name.
    pub host: Option<&'d str>,
    /// The kernel's id of the machine's boot.
    pub boot_id: &'d str,
    /// Process id.
    pub pid: i32,
    /// Start of the process, in clock ticks since boot.
    pub start_ticks: u64,
    /// Version of Python.
    pub python: &'d str,
    /// What the series is of: "process", "resource", "task", "thread", "type", "memory".
    pub family: &'static str,
    /// Its name within the family.
    pub name: &'d str,
    /// "count" or "bytes".
    pub unit: &'static str,
    /// The number.
    pub value: f64,
    /// What is said of the whole series.
    pub verdict: &'static str,
}

/// Every known value of every series, processes and series in the document's order.
pub fn rows(document: &TrendDocument) -> impl Iterator<Item = Row<'_>> {
    document.processes.iter().flat_map(|process| {
        process.series.iter().flat_map(move |series| {
            let values = process.times.iter().zip(&series.values);
            values.filter_map(move |(&taken_ms, value)| {
                Some(Row {
                    taken_ms,
                    host: process.host.as_deref(),
                    boot_id: &process.same.boot_id,
                    pid: process.same.pid,
                    start_ticks: process.same.start_ticks,
                    python: &process.process.python.version,
                    family: series.family.name(),
                    name: &series.name,
                    unit: series.unit,
                    value: (*value)?,
                    verdict: series.verdict.name(),
                })
            })
        })
    })
}
