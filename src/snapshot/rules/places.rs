//! What stacks say: which threads are at work, and which frame to name.

use super::super::sockets::{SocketRow, listening_ports};
use super::super::whole::{User, Whole};
use super::super::{FrameRow, ThreadRow};
use std::collections::BTreeSet;

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

/// Threads without those that serve one connection each and end with it.
pub(super) fn lasting_threads(whole: &Whole) -> u64 {
    const OF_CONNECTION: (&str, &str) = ("process_request_thread", "/socketserver.py");
    let ports = listening_ports(&whole.sockets.rows);
    let accepted = whole.sockets.rows.iter().filter(|row| {
        row.state.as_deref() != Some("LISTEN")
            && SocketRow::port(row.local.as_deref()).is_some_and(|port| ports.contains(port))
    });
    let mut serving = BTreeSet::new();
    for socket in accepted.filter_map(|row| row.python.as_ref()) {
        let users = whole.used.as_ref().and_then(|used| used.get(&socket.address));
        for user in users.into_iter().flatten() {
            if let User::Thread(ident) = user {
                serving.insert(ident.as_str());
            }
        }
    }
    let lasts = |thread: &&ThreadRow| {
        let outermost =
            thread.frames.iter().rev().find(|frame| !frame.file.ends_with("/threading.py"));
        match outermost {
            Some(frame) if is(frame, OF_CONNECTION) => false,
            // The threads of a library's pool are used again.
            Some(frame) => {
                thread.main || !is_own(frame) || !serving.contains(thread.ident.as_str())
            }
            None => true,
        }
    };
    whole.threads.iter().filter(lasts).count() as u64
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
