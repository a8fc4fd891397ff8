//! Captures by our own library and what they may leave behind, for the tests of `--capture fork`.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test program uses the part it needs, and helpers of tests fail by panicking"
)]

use std::time::{Duration, Instant};

use pyattach::attach::{AttachError, CaptureMode, CaptureOptions, Target};
use pyattach::process::{ForkPlan, FrozenChild, Process, StopError, StopOptions};
use pyattach::snapshot::CensusDocument;

/// The steps of a fork at which `PYATTACH_TEST_DIE_AT` can end our binary.
pub(crate) const STEPS: [&str; 17] = [
    // First, since this run also removes what the others leave.
    "reaped",
    "gadgets",
    "frames written",
    "registers set",
    "mask set",
    "at entry",
    "call set",
    "cloned",
    "at exit",
    "left",
    "mask restored",
    "registers restored",
    "released",
    "frozen",
    "read",
    "killed",
    "before wait",
];

/// How `--capture MODE` captures, with a limit for a loaded machine.
pub(crate) fn options(mode: CaptureMode) -> CaptureOptions {
    CaptureOptions { mode, max_pause: Some(Duration::from_secs(20)), ..CaptureOptions::default() }
}

/// A census by fork.
pub(crate) fn fork_census(target: &Target) -> CensusDocument {
    let census = || target.census(&options(CaptureMode::Fork));
    let overloaded =
        |error: &AttachError| matches!(error, AttachError::Stop(StopError::Deadline { .. }));
    let mut answer = census();
    for _ in 0..5 {
        match &answer {
            // Threads that do not come to run for a second.
            Err(error) if overloaded(error) => answer = census(),
            _ => break,
        }
    }
    let census = answer.unwrap();
    assert_eq!(census.capture.mode, "fork");
    census
}

/// One fork without reading anything: how long every thread stood still, and one of them again.
pub(crate) fn fork_once(process: &Process, plan: &ForkPlan) -> (Duration, Duration) {
    let (child, pause) = frozen(process, plan);
    let ending = child.finish();
    assert_eq!((ending.reaped, ending.left), (1, 0), "{ending:?}");
    (pause, ending.pause)
}

/// A frozen copy, and how long the process stood still for it.
pub(crate) fn frozen<'p>(process: &'p Process, plan: &ForkPlan) -> (FrozenChild<'p>, Duration) {
    for _ in 0..200 {
        let stopped = process.stop(StopOptions::default()).unwrap();
        match stopped.fork(plan, Duration::from_secs(20)) {
            (Ok(child), pause) => return (child, pause.total),
            (Err(error), _) => assert!(error.is_transient(), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("200 attempts to fork met a bad moment");
}

/// The children of a process, with their states: the living and the dead.
pub(crate) fn children(pid: i32) -> Vec<(i32, char)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next().and_then(|state| state.chars().next());
        if let (Some(state), Some(Ok(parent))) = (state, fields.next().map(str::parse::<i32>))
            && parent == pid
        {
            found.push((child, state));
        }
    }
    found
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
