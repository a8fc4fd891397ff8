//! Running a script inside the target: the one part of pyattach that has the target run code.
//!
//! Stands beside the reading path, which uses nothing of it. A script gets into the target by one
//! of three ways ([`Way`]), chosen by the version and by what the thread is doing
//! ([`situation`]):
//!
//! - the interpreter's own request for debuggers (PEP 768, 3.14+, [`request`]);
//! - a pending call, written into the ring that the main thread looks at between two bytecodes
//!   ([`ring`]);
//! - a thread that waits in a system call without the GIL is sent through three functions of the
//!   interpreter, as if a signal handler ran, and back to its call
//!   ([`Held::send_away`](crate::process::Held::send_away)).
//!
//! A running thread is never made to run anything. What is not taken up in time is taken back.
//! [`payload`] is what runs there, [`records`] what comes back, [`session`] the whole: [`placing`],
//! [`waiting`], [`ending`], and [`traces`] of what has to be removed.

mod caller;
mod compiled;
mod ending;
mod error;
mod functions;
mod memory;
mod payload;
mod placing;
mod records;
mod request;
mod ring;
pub mod scripts;
mod session;
mod situation;
mod traces;
mod waiting;

pub use error::ExecError;
pub use session::{Piece, plan, run};

use std::fmt;
use std::time::Duration;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its name in tracebacks.
    pub name: String,
    /// Its text, in any encoding that Python reads.
    pub source: Vec<u8>,
    /// What it finds in `argv`.
    pub arguments: Vec<String>,
}

/// How it is to be run.
#[derive(Debug, Clone, Copy)]
pub struct ExecOptions {
    /// Within which it must have begun and ended.
    pub timeout: Duration,
    /// The thread, by the kernel's number; `None` for the main thread.
    pub thread: Option<i32>,
    /// Most bytes of output.
    pub room: u64,
}

/// How a script gets into the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The request for debuggers of PEP 768.
    Request,
    /// A pending call.
    PendingCall,
    /// A thread that waits in a system call is borrowed.
    BorrowedThread,
}

impl Way {
    /// The word used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "debugger-request",
            Self::PendingCall => "pending-call",
            Self::BorrowedThread => "borrowed-thread",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "the interpreter's request for debuggers (PEP 768)",
            Self::PendingCall => "a pending call of the main thread",
            Self::BorrowedThread => "a thread borrowed from its system call",
        })
    }
}

/// How the script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By itself.
    Done,
    /// It called `sys.exit`; the `repr` of the code.
    Exited(String),
    /// It raised; the traceback.
    Raised(String),
    /// It does not compile; the compiler's message.
    NotCompiled(String),
    /// At the time limit, by an exception from us.
    Stopped,
    /// It did not end at the time limit; what its thread is doing.
    StillRunning(String),
    /// It was taken up, but nobody will tell how it ended; why.
    Lost(String),
    /// It was never begun: the request was taken back; why nobody took it up.
    TakenBack(String),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it got there.
    pub way: Way,
    /// A system call was ended early so that the thread looked up.
    pub interrupted: bool,
    /// What the thread was doing when we came.
    pub doing: String,
    /// How it ended.
    pub ending: Ending,
    /// The variable `result` as JSON, or why there is none of it.
    pub result: Option<Result<serde_json::Value, String>>,
    /// From the first interrupt of the target to the script's first line.
    pub latency: Option<Duration>,
    /// Of that, from when the target was released with the request.
    pub pickup: Option<Duration>,
    /// From its first line to its end.
    pub runtime: Option<Duration>,
    /// How long the target stood still for it, in all.
    pub pause: Duration,
    /// Its output was longer than there was room for.
    pub cut: bool,
    /// What could not be removed from the target.
    pub left_behind: Vec<String>,
}

/// What would be done.
#[derive(Debug, Clone)]
pub struct Planned {
    /// How it would get there.
    pub way: Way,
    /// A system call would be ended early.
    pub interrupt: bool,
    /// What the thread is doing.
    pub doing: String,
    /// How long the target stood still to find out.
    pub pause: Duration,
}
