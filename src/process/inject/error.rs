//! Why nothing was run in a process. It goes on as before in every case.

use nix::errno::Errno;
use thiserror::Error;

use crate::process::fork::ForkError;
use crate::process::{ProcessError, StopError};

/// Why a process could not be made to run something for us.
#[derive(Debug, Error)]
pub enum InjectError {
    /// A system call that its filter does not expect may end the process.
    #[error(
        "process {pid} runs under a seccomp filter, which may end it for a system call of ours"
    )]
    Seccomp {
        /// The process.
        pid: i32,
    },
    /// It would be ended for writing more than this into a file, in memory or not.
    #[error(
        "process {pid} may write no file beyond {bytes} bytes (RLIMIT_FSIZE), and would be ended for it"
    )]
    FileLimit {
        /// The process.
        pid: i32,
        /// The limit.
        bytes: u64,
    },
    /// Returns are checked by the processor.
    #[error("process {pid} uses shadow stacks, under which nothing can be run in it")]
    ShadowStack {
        /// The process.
        pid: i32,
    },
    /// The instructions that we need are not there.
    #[error("process {pid} has no libc with the instructions that are needed to run anything")]
    NoGadgets {
        /// The process.
        pid: i32,
    },
    /// It was stopped by a signal before we came.
    #[error("process {pid} is stopped by a signal (SIGSTOP, Ctrl-Z); it runs nothing")]
    JobStopped {
        /// The process.
        pid: i32,
    },
    /// No thread stands where a system call can be run in it.
    #[error("no thread of process {pid} can run a system call for us now")]
    NoThread {
        /// The process.
        pid: i32,
    },
    /// A signal came between; everything was put back.
    #[error("process {pid} was interrupted by a signal while it ran a system call for us")]
    Interrupted {
        /// The process.
        pid: i32,
    },
    /// The kernel refused a system call.
    #[error("process {pid} was not able to {what}: {}", .errno.desc())]
    Refused {
        /// The process.
        pid: i32,
        /// What it was to do.
        what: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A system call took too long; it ends by itself.
    #[error("process {pid} did not run a system call in time")]
    Late {
        /// The process.
        pid: i32,
    },
    /// Its memory could not be written.
    #[error("the memory of process {pid} cannot be written at {at:#x}")]
    Write {
        /// The process.
        pid: i32,
        /// Where.
        at: u64,
    },
    /// The process cannot be looked at or traced.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It could not be stopped.
    #[error(transparent)]
    Stop(#[from] StopError),
}

impl InjectError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Process(error) => error.hint(),
            Self::Stop(error) => error.hint(),
            Self::JobStopped { pid } => Some(format!("let it run: kill -CONT {pid}")),
            Self::Seccomp { .. } => Some(
                "the reading commands (report, dump, census, resources) need no code in the \
                 process"
                    .to_owned(),
            ),
            Self::Refused { pid, errno: Errno::EMFILE, .. } => Some(format!(
                "its limit of open files is reached, by a leak perhaps (pyattach report {pid}); \
                 prlimit --pid {pid} --nofile=NUMBER raises it"
            )),
            _ => None,
        }
    }

    /// True when a moment later it may well succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::NoThread { .. }
                | Self::Interrupted { .. }
                | Self::Stop(StopError::Deadline { .. })
        )
    }
}

impl From<ForkError> for InjectError {
    /// What the parts that both use can say.
    fn from(error: ForkError) -> Self {
        match error {
            ForkError::Process(error) => Self::Process(error),
            ForkError::Stop(error) => Self::Stop(error),
            ForkError::NoGadgets { pid } => Self::NoGadgets { pid },
            other => Self::Process(ProcessError::Io {
                pid: 0,
                what: "preparing".to_owned(),
                source: std::io::Error::other(other),
            }),
        }
    }
}
