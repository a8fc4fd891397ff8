//! The least that stopping and releasing all threads can take, and what our library takes for it.
//!
//! The bare one is written for itself, with none of the checks that a tool needs. Each runs in a process of its own (the
//! benchmark calls itself).

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use pyattach::process::{Process, StopOptions};

/// The first argument that asks for a bare stop; a PID follows.
pub(crate) const WORD: &str = "--bare-stop";
/// The same by our library.
pub(crate) const OURS: &str = "--our-stop";

/// Of so many stops the fastest counts.
const STOPS: usize = 5;
const BETWEEN: Duration = Duration::from_millis(3);

/// Stops and releases; prints the time in nanoseconds, and the threads.
pub(crate) fn main(pid: &str, stop: fn(i32) -> Result<(Duration, usize), String>) -> ExitCode {
    let mut best: Option<(Duration, usize)> = None;
    for _ in 0..STOPS {
        let done = pid.parse().map_err(|_| format!("no number: {pid}")).and_then(stop);
        match done {
            Ok(done) => best = Some(best.map_or(done, |best| best.min(done))),
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        }
        std::thread::sleep(BETWEEN);
    }
    let (taken, threads) = best.unwrap_or_default();
    println!("{} ns for {threads} threads", taken.as_nanos());
    ExitCode::SUCCESS
}

/// `PTRACE_INTERRUPT`, `wait`, `PTRACE_DETACH`, of each thread, all at once.
pub(crate) fn bare(pid: i32) -> Result<(Duration, usize), String> {
    let mut threads = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| e.to_string())?;
    for task in tasks.flatten() {
        let tid = task.file_name().to_str().and_then(|name| name.parse().ok());
        let tid = Pid::from_raw(tid.ok_or("no number")?);
        ptrace::seize(tid, Options::empty()).map_err(|e| e.to_string())?;
        threads.push(tid);
    }
    let begin = Instant::now();
    for &tid in &threads {
        ptrace::interrupt(tid).map_err(|e| e.to_string())?;
    }
    for &tid in &threads {
        waitpid(tid, Some(WaitPidFlag::__WALL)).map_err(|e| e.to_string())?;
    }
    for &tid in &threads {
        ptrace::detach(tid, None).map_err(|e| e.to_string())?;
    }
    Ok((begin.elapsed(), threads.len()))
}

/// [`Process::stop`], and its release.
pub(crate) fn ours(pid: i32) -> Result<(Duration, usize), String> {
    let process = Process::open(pid).map_err(|e| e.to_string())?;
    let stopped = process.stop(StopOptions::default()).map_err(|e| e.to_string())?;
    let pause = stopped.release();
    Ok((pause.total, pause.threads))
}
