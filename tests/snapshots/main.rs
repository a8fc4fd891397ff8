//! Snapshots over time, of real programs: files, comparisons, verdicts, and the watch.

#[path = "../not_run/mod.rs"]
mod not_run;
#[path = "../support/mod.rs"]
mod support;

mod files;
mod holders;
mod series;
mod watch;
