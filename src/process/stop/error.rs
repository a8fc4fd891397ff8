//! Why a process could not be stopped.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::process::ProcessError;

/// Why a process could not be stopped. It runs on as before in every case.
#[derive(Debug, Error)]
pub enum StopError {
    /// The process cannot be looked at or traced.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A thread did not stop in time.
    #[error("thread {tid} ({name}, state {state}) of process {pid} did not stop within {within:?}")]
    Deadline {
        /// The process.
        pid: i32,
        /// The first thread that did not stop.
        tid: i32,
        /// Its name.
        name: String,
        /// Its state, as the kernel's letter.
        state: char,
        /// The time it had.
        within: Duration,
    },
    /// The timers that bound the stop could not be made; without them nothing is stopped.
    #[error("the timers that bound the pause could not be set")]
    Watchdog(#[source] io::Error),
    /// The tracer thread could not be made, or failed.
    #[error("the tracer thread could not do its work")]
    Thread(#[source] io::Error),
}

impl StopError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Process(error) => error.hint(),
            Self::Deadline { .. } => {
                Some("the machine may be overloaded; try again, or allow a longer pause".to_owned())
            }
            Self::Watchdog(_) => {
                Some("the limit of pending signals may be reached (ulimit -i)".to_owned())
            }
            Self::Thread(_) => None,
        }
    }
}
