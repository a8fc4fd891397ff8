//! Snapshots over time, of real programs: files, comparisons, verdicts, and the watch.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod series;
mod watch;
