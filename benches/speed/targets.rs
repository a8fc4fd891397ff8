//! The processes that are attached to: `bench_target.py` with the ticker that sees every pause.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Fixture, Interpreter, fixtures, scratch};

/// Starts the target of a case.
pub(crate) fn start(python: &Interpreter, arguments: &[&str]) -> Fixture {
    let ticker = python.inside(ticker()).to_string_lossy().into_owned();
    let mut words = vec!["--ticker", &ticker];
    words.extend(arguments);
    Fixture::start(python, "bench_target.py", &words)
}

/// The longest time since the last reset in which the target did not run, in nanoseconds.
pub(crate) fn longest_gap(target: &mut Fixture) -> u64 {
    target.ask("gap read")["gaps_ns"][0].as_u64().unwrap_or(0)
}

/// The built ticker.
fn ticker() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let library = scratch().join("bench-pause_ticker.so");
        let flags = ["-O2", "-shared", "-fPIC", "-pthread", "-o"];
        let source = fixtures().join("tickers/pause_ticker.c");
        let status = Command::new("cc").args(flags).arg(&library).arg(source).status();
        assert!(status.is_ok_and(|status| status.success()), "cc does not build the ticker");
        library
    })
}
