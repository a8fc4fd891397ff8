//! Why a process cannot be looked at, and what to do about it.

use std::io;

use thiserror::Error;

/// What is done when descriptors are listed.
pub(super) const LISTING: &str = "listing its file descriptors";

/// Why a question about a process has no answer. The variants differ in what the user can do.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// There is no process of this number.
    #[error("there is no process {pid}")]
    NoSuchProcess {
        /// The number asked for.
        pid: i32,
    },
    /// The number is that of a thread.
    #[error("{tid} is a thread of process {pid}, not a process")]
    IsThread {
        /// The number asked for.
        tid: i32,
        /// The process it belongs to.
        pid: i32,
    },
    /// It ended while we looked.
    #[error("process {pid} ended while it was being looked at")]
    Gone {
        /// The process.
        pid: i32,
    },
    /// It ended and another one has its number now.
    #[error("process {pid} ended, and its number now belongs to another process")]
    Reused {
        /// The process.
        pid: i32,
    },
    /// It put another program in its own place (`exec`) while we looked.
    #[error("process {pid} started another program while it was being looked at")]
    Replaced {
        /// The process.
        pid: i32,
    },
    /// A thread of the kernel has no memory of its own.
    #[error("process {pid} is a kernel thread")]
    KernelThread {
        /// The process.
        pid: i32,
    },
    /// It ended, and its parent has not asked for its exit status yet.
    #[error("process {pid} has ended and is a zombie")]
    Zombie {
        /// The process.
        pid: i32,
    },
    /// The kernel refuses.
    #[error("permission denied for process {pid}: {what}")]
    Denied {
        /// The process.
        pid: i32,
        /// What was refused.
        what: String,
    },
    /// Somebody else traces it: a process has one tracer at a time.
    #[error("process {pid} is already traced by process {tracer} ({name})")]
    Traced {
        /// The process.
        pid: i32,
        /// Its tracer; 0 when it is outside our PID namespace.
        tracer: i32,
        /// The tracer's command name.
        name: String,
    },
    /// A 32-bit program.
    #[error("process {pid} is a 32-bit program; only x86_64 programs are supported")]
    ThirtyTwoBit {
        /// The process.
        pid: i32,
    },
    /// Any other error of the operating system.
    #[error("process {pid}: {what}")]
    Io {
        /// The process.
        pid: i32,
        /// What was being done.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl ProcessError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            // The kernel goes by the folder's owner here, not by who may trace.
            Self::Denied { what, .. } if what == LISTING => Some(
                "run as the process's user, or with CAP_DAC_READ_SEARCH beside CAP_SYS_PTRACE; in \
                 a container: --cap-add=SYS_PTRACE --cap-add=DAC_READ_SEARCH"
                    .to_owned(),
            ),
            Self::Denied { pid, .. } => Some(denied_hint(*pid)),
            Self::Traced { tracer, name, .. } => Some(if *tracer == 0 {
                "the tracer is in another PID namespace; end it there (a debugger, strace, or \
                 another profiler)"
                    .to_owned()
            } else {
                format!("end or detach {name} (process {tracer}) and try again")
            }),
            Self::IsThread { pid, .. } => Some(format!("use the process: {pid}")),
            Self::NoSuchProcess { .. } => Some(
                "in a container, use the process's number as this PID namespace has it".to_owned(),
            ),
            Self::Zombie { .. } => {
                Some("its parent process has to collect its exit status".to_owned())
            }
            Self::Replaced { .. } => Some("look at the process again".to_owned()),
            Self::Gone { .. }
            | Self::Reused { .. }
            | Self::KernelThread { .. }
            | Self::ThirtyTwoBit { .. }
            | Self::Io { .. } => None,
        }
    }

    /// The error for an `io::Error` met while `what` was done. ESRCH and ENOENT are how
    /// `/proc` says that the process ended.
    pub(crate) fn from_io(pid: i32, what: &str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => Self::Gone { pid },
            Some(libc::EACCES | libc::EPERM) => Self::Denied { pid, what: what.to_owned() },
            _ => Self::Io { pid, what: what.to_owned(), source },
        }
    }
}

/// What helps against a refusal here and now.
fn denied_hint(pid: i32) -> String {
    let scope = super::rights::ptrace_scope();
    let mut hint = match scope {
        Some(3) => {
            return "ptrace is switched off until the next boot (kernel.yama.ptrace_scope = 3)"
                .to_owned();
        }
        Some(2) => "kernel.yama.ptrace_scope is 2: run as root or with CAP_SYS_PTRACE".to_owned(),
        Some(1) if super::rights::same_user(pid) == Some(true) => {
            "kernel.yama.ptrace_scope is 1: run with sudo, give the tool CAP_SYS_PTRACE, or \
             `sysctl kernel.yama.ptrace_scope=0`"
                .to_owned()
        }
        _ => "run as the process's user, as root, or with CAP_SYS_PTRACE".to_owned(),
    };
    hint.push_str("; in a container: --cap-add=SYS_PTRACE");
    hint
}
