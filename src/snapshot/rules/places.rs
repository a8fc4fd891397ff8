//! What stacks say: which threads are at work, and which frame to name.

use super::super::whole::Whole;
use super::super::{FrameRow, ThreadRow};

/// Parts of paths of files that are not the program's own.
const LIBRARIES: [&str; 6] = [
    "/lib/python3",
    "/lib64/python3",
    "/site-packages/",
    "/dist-packages/",
    "<frozen ",
    "/lib/pypy",
];

/// Code that waits for work: function and the end of its file's name.
const IDLE: [(&str, &str); 6] = [
    ("_worker", "/concurrent/futures/thread.py"),
    ("_run_once", "/asyncio/base_events.py"),
    ("serve_forever", "/socketserver.py"),
    ("worker", "/multiprocessing/pool.py"),
    ("run", "/concurrent/futures/process.py"),
    ("_feed", "/multiprocessing/queues.py"),
];

/// Functions in which a thread waits, innermost.
const WAITS: [(&str, &str); 5] = [
    ("wait", "/threading.py"),
    ("select", "/selectors.py"),
    ("get", "/queue.py"),
    ("_worker", "/concurrent/futures/thread.py"),
    ("join", "/threading.py"),
];

/// A frame is of the program's own code.
pub(super) fn is_own(frame: &FrameRow) -> bool {
    !LIBRARIES.iter().any(|part| frame.file.contains(part))
}

/// The frame to name for a stack: the innermost one of the program's own code, else the
/// innermost.
pub(super) fn telling(stack: &[FrameRow]) -> Option<&FrameRow> {
    stack.iter().find(|frame| is_own(frame)).or_else(|| stack.first())
}

/// `function (file:line)`.
pub(super) fn place(frame: &FrameRow) -> String {
    let name = frame.qualname.as_deref().unwrap_or(&frame.function);
    match frame.line {
        Some(line) => format!("{name} ({}:{line})", frame.file),
        None => format!("{name} ({})", frame.file),
    }
}

/// A frame is that of a function, by its name and the end of its file's.
pub(super) fn is(frame: &FrameRow, (function, file): (&str, &str)) -> bool {
    frame.function == function && frame.file.ends_with(file)
}

/// Threads that do something of their own: not those that wait for work, for time or for each
/// other.
pub(super) fn busy_threads(whole: &Whole) -> u64 {
    whole.threads.iter().filter(|thread| is_busy(thread)).count() as u64
}

fn is_busy(thread: &ThreadRow) -> bool {
    let Some(inner) = thread.frames.first() else { return false };
    if WAITS.iter().any(|&one| is(inner, one)) {
        // A job that waits is a job: only loops that wait for work are idle.
        return !thread.frames.iter().take(4).any(|frame| IDLE.iter().any(|&one| is(frame, one)))
            && !thread.main;
    }
    true
}
