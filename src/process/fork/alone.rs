//! Holding one thread of a process, and not the others, to have it run something short.
//!
//! Which one does not matter, so that one after the other is tried, and again a moment later, when
//! those that could not be used may be elsewhere.

use std::time::Duration;

use super::choice::{choices, usable};
use crate::process::stop::{Hurry, StopError, Tracer, TracerThread};
use crate::process::{Process, ProcessError, StopOptions};

/// How long one thread may take to stop, and what it runs: on a busy machine its turn may be late.
pub(in crate::process) const WITHIN: Duration = Duration::from_secs(2);
/// Threads that are tried at a time.
const MOST_THREADS: usize = 8;
/// Whether any thread is good enough, and how long to wait before. A thread whose wait would end
/// early if we died is taken when there is no other.
const ATTEMPTS: [(bool, Duration); 5] = [
    (false, Duration::ZERO),
    (true, Duration::ZERO),
    (true, Duration::from_millis(2)),
    (true, Duration::from_millis(10)),
    (true, Duration::from_millis(50)),
];

/// Has `done` try threads, `first` before others, until it says that nothing is left to do. It is
/// told whether any thread is good enough.
///
/// # Errors
/// When the threads cannot be listed.
pub(in crate::process) fn try_threads(
    process: &Process,
    first: Option<i32>,
    mut done: impl FnMut(i32, bool) -> bool,
) -> Result<(), ProcessError> {
    for (any, pause) in ATTEMPTS {
        std::thread::sleep(pause);
        let mut threads: Vec<i32> = process.threads()?.iter().map(|thread| thread.tid).collect();
        threads.sort_by_key(|&tid| Some(tid) != first);
        if threads.into_iter().take(MOST_THREADS).any(|tid| done(tid, any)) {
            break;
        }
    }
    Ok(())
}

/// Holds a thread and has `job` done, if the thread can be used: what that gives, and how long the
/// thread was held.
///
/// # Errors
/// As [`Process::stop`].
pub(in crate::process) fn hold_one<T: Send + 'static>(
    process: &Process,
    tid: i32,
    any: bool,
    job: impl FnOnce(&mut Tracer) -> T + Send + 'static,
) -> Result<(Option<T>, Duration), StopError> {
    process.check()?;
    let pid = process.pid();
    let options = StopOptions { stop_within: WITHIN, hard_deadline: WITHIN.saturating_mul(4) };
    // The tracer thread inherits it. A thread of its own, since what it attaches to is released by
    // its end at the latest.
    let hurry = Hurry::begin();
    let usual = hurry.as_ref().map(Hurry::usual);
    let work = move || {
        let mut tracer = Tracer::new(pid, options, Some(tid), usual);
        let held = tracer.stop_all();
        let usable = |tracer: &Tracer| choices(tracer).iter().any(|one| any || usable(one));
        let value = (held.is_ok() && usable(&tracer)).then(|| job(&mut tracer));
        let released = tracer.release_all();
        Ok((value, released.saturating_duration_since(held?.since)))
    };
    let thread = TracerThread::spawn(work).map_err(StopError::Thread)?;
    let failed = || StopError::Thread(std::io::Error::other("the tracer thread failed"));
    thread.join().unwrap_or_else(|| Err(failed()))
}
