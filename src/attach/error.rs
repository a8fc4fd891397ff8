//! Everything that can keep us from an answer, with what the user can do and how grave it is.

use crate::cpython::ObjectError;
use crate::layout::discover::DiscoverError;
use crate::layout::resolve::ResolveError;
use crate::memory::MemoryError;
use crate::process::{ForkError, ProcessError, StopError};
use std::time::Duration;
use thiserror::Error;

/// The kinds of trouble that scripts tell apart by the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The process is gone, not ours to read, or traced by somebody else.
    CannotAttach,
    /// Not CPython, or a version or layout that we do not know.
    UnknownInterpreter,
    /// The capture was begun and could not be finished as asked.
    Incomplete,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The process itself.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It could not be stopped.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// It could not be forked, and nothing else was allowed.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// No interpreter that we can read was found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The interpreter's layout is not known or does not fit.
    #[error(transparent)]
    Layout(#[from] ResolveError),
    /// Its memory could not be read.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A structure that everything depends on makes no sense.
    #[error("the interpreter's state could not be read")]
    State(#[source] ObjectError),
    /// The pause would have passed the budget; the process was let go.
    #[error("the capture would have paused process {pid} for longer than {budget:?}")]
    OverBudget {
        /// The process.
        pid: i32,
        /// `--max-pause`, or the built-in limit.
        budget: Duration,
    },
    /// The limit of our own work was reached before anything was found.
    #[error("nothing was found within {work:?} of work on what was captured")]
    Unfinished {
        /// `--max-analysis`, or the built-in limit.
        work: Duration,
    },
}

impl AttachError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Process(error) => error.hint(),
            Self::Stop(error) => error.hint(),
            Self::Fork(error) => error.hint(),
            Self::Discover(error) => error.hint().map(str::to_owned),
            Self::Layout(error) => error.hint().map(str::to_owned),
            Self::Memory(MemoryError::Denied) => {
                Some("run as root, or give pyattach the capability CAP_SYS_PTRACE".to_owned())
            }
            Self::Memory(MemoryError::Ceiling { .. }) => {
                Some("allow more with --max-memory, or use --capture stop".to_owned())
            }
            Self::Memory(_) | Self::State(_) => None,
            Self::OverBudget { .. } => Some(
                "allow a longer pause with --max-pause, try another --capture mode, or use \
                 --capture live, which never pauses"
                    .to_owned(),
            ),
            Self::Unfinished { .. } => Some("allow more with --max-analysis".to_owned()),
        }
    }

    /// How grave it is.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Discover(error) if error.is_unsupported() => Trouble::UnknownInterpreter,
            Self::Layout(error) if error.is_unsupported() => Trouble::UnknownInterpreter,
            Self::Stop(StopError::Deadline { .. })
            | Self::OverBudget { .. }
            | Self::Unfinished { .. }
            | Self::Memory(MemoryError::Ceiling { .. })
            | Self::State(ObjectError::Malformed { .. }) => Trouble::Incomplete,
            Self::Fork(error) if error.is_refusal() => Trouble::Incomplete,
            Self::Fork(ForkError::Stop(StopError::Deadline { .. })) => Trouble::Incomplete,
            _ => Trouble::CannotAttach,
        }
    }
}

impl From<ObjectError> for AttachError {
    fn from(error: ObjectError) -> Self {
        match error.fatal() {
            Some(error) => Self::Memory(error),
            None => Self::State(error),
        }
    }
}
