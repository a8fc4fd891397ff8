//! Why no script was run. The target goes on as before in every case.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::attach::{AttachError, Trouble};
use crate::cpython::ObjectError;
use crate::process::{InjectError, ProcessError, StopError};

/// Why a script was not run.
#[derive(Debug, Error)]
pub enum ExecError {
    /// Nothing can be run in the process.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// The process or its interpreter cannot be read.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A function of the interpreter is not exported.
    #[error("the interpreter of process {pid} exports no {name}")]
    NoFunctions {
        /// The process.
        pid: i32,
        /// The first function that is missing.
        name: &'static str,
    },
    /// The ring of pending calls is not where it should be.
    #[error("the pending calls of the interpreter in process {pid} do not look as expected")]
    RingUnknown {
        /// The process.
        pid: i32,
    },
    /// The program's owner does not want it.
    #[error("process {pid} has remote debugging disabled")]
    Disabled {
        /// The process.
        pid: i32,
    },
    /// The interpreter is shutting down.
    #[error("the interpreter of process {pid} is shutting down")]
    Finalizing {
        /// The process.
        pid: i32,
    },
    /// Python's main thread is none that lives.
    #[error("the main thread of the interpreter in process {pid} does not exist any more")]
    NoMainThread {
        /// The process.
        pid: i32,
    },
    /// Not a thread with Python in it.
    #[error("thread {tid} of process {pid} is no thread of its interpreter")]
    NoPythonThread {
        /// The process.
        pid: i32,
        /// The thread asked for.
        tid: i32,
    },
    /// There is no safe way into this thread.
    #[error("no script can be run in thread {tid} of process {pid} now: it {doing}")]
    ThreadUnreachable {
        /// The process.
        pid: i32,
        /// The thread asked for.
        tid: i32,
        /// What it is doing.
        doing: String,
    },
    /// The place for requests is in use.
    #[error("another request is waiting in process {pid}: {what}")]
    Occupied {
        /// The process.
        pid: i32,
        /// Which.
        what: &'static str,
    },
    /// Something moves that should rest for a moment.
    #[error("process {pid} was not found at rest within {within:?}: {what}")]
    Restless {
        /// The process.
        pid: i32,
        /// What was in the way.
        what: &'static str,
        /// How long it was tried.
        within: Duration,
    },
    /// The memory file cannot be used.
    #[error("the memory file in process {pid} cannot be used")]
    File {
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// Its state makes no sense.
    #[error("the state of the interpreter in process {pid} could not be read")]
    State {
        /// The process.
        pid: i32,
        /// Why.
        source: ObjectError,
    },
}

impl ExecError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Inject(error) => error.hint(),
            Self::Attach(error) => error.hint(),
            Self::Disabled { .. } => Some(
                "it was started with PYTHON_DISABLE_REMOTE_DEBUG or -X disable_remote_debug, \
                 which pyattach honours; the reading commands work all the same"
                    .to_owned(),
            ),
            Self::NoMainThread { .. } => Some(
                "an embedded interpreter whose first thread has ended runs no request; the \
                 reading commands work all the same"
                    .to_owned(),
            ),
            Self::NoPythonThread { pid, .. } => {
                Some(format!("pyattach dump {pid} shows the threads by their kernel ids"))
            }
            Self::ThreadUnreachable { .. } => Some(
                "before Python 3.14 only the main thread takes requests while it runs; leave out \
                 --thread"
                    .to_owned(),
            ),
            Self::Occupied { .. } => Some(
                "it was there until the time limit: whoever placed it has not been served; \
                 pyattach dump shows what the main thread does"
                    .to_owned(),
            ),
            Self::Restless { .. } => Some("try again in a moment".to_owned()),
            Self::NoFunctions { .. }
            | Self::RingUnknown { .. }
            | Self::Finalizing { .. }
            | Self::File { .. }
            | Self::State { .. } => None,
        }
    }

    /// How grave it is.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Attach(error) => error.trouble(),
            Self::RingUnknown { .. } | Self::NoFunctions { .. } => Trouble::UnknownInterpreter,
            Self::Inject(InjectError::Stop(StopError::Deadline { .. }))
            | Self::Restless { .. }
            | Self::State { .. } => Trouble::Incomplete,
            _ => Trouble::CannotAttach,
        }
    }

    /// The process was stopped by a signal meanwhile.
    pub(super) fn is_job_stop(&self) -> bool {
        matches!(self, Self::Inject(InjectError::JobStopped { .. }))
    }

    /// True when a moment later it may well succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Inject(error) => error.is_transient(),
            // Also what another one of us has left that was killed: it is taken up in a moment.
            Self::Occupied { .. }
            | Self::Restless { .. }
            | Self::State { .. }
            | Self::ThreadUnreachable { .. } => true,
            _ => false,
        }
    }
}

impl From<ProcessError> for ExecError {
    fn from(error: ProcessError) -> Self {
        Self::Inject(error.into())
    }
}

impl From<StopError> for ExecError {
    fn from(error: StopError) -> Self {
        Self::Inject(error.into())
    }
}
