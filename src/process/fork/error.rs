//! Why a process was not forked. It runs on as before in every case.

use nix::errno::Errno;
use thiserror::Error;

use crate::process::{ProcessError, StopError};

/// Why no frozen copy of a process was made.
#[derive(Debug, Error)]
pub enum ForkError {
    /// A system call that its filter does not expect may end the process.
    #[error("process {pid} runs under a seccomp filter, which a fork might violate")]
    Seccomp {
        /// The process.
        pid: i32,
    },
    /// Returns are checked by the processor.
    #[error("process {pid} uses shadow stacks, under which no system call can be run in it")]
    ShadowStack {
        /// The process.
        pid: i32,
    },
    /// Every page of a child counts as used (`vm.overcommit_memory` = 2).
    #[error("this machine does not overcommit memory: a fork would claim the process's size again")]
    Overcommit,
    /// Its control group has a limit that a fork would come near.
    #[error("the memory limit of process {pid} leaves {} MiB, too little for a fork", .room >> 20)]
    NoRoom {
        /// The process.
        pid: i32,
        /// Bytes that are left.
        room: u64,
    },
    /// The machine itself is short of memory.
    #[error("this machine has {} MiB of memory left, too little for a fork of process {pid}", .room >> 20)]
    NoRoomOnMachine {
        /// The process.
        pid: i32,
        /// Bytes that are left.
        room: u64,
    },
    /// The instructions that we need are not there.
    #[error("process {pid} has no libc with the instructions that a fork needs")]
    NoGadgets {
        /// The process.
        pid: i32,
    },
    /// It was stopped by a signal before we came.
    #[error("process {pid} is stopped by a signal (SIGSTOP, Ctrl-Z); it cannot run a fork")]
    JobStopped {
        /// The process.
        pid: i32,
    },
    /// A child that runs in the process's memory has not called exec yet.
    #[error("thread {tid} of process {pid} is in vfork")]
    Vfork {
        /// The process.
        pid: i32,
        /// The thread.
        tid: i32,
    },
    /// A thread in the kernel may hold the lock that a fork needs.
    #[error("thread {tid} of process {pid} sleeps uninterruptibly in the kernel")]
    Uninterruptible {
        /// The process.
        pid: i32,
        /// The thread.
        tid: i32,
    },
    /// No thread stands where a system call can be run in it.
    #[error("no thread of process {pid} can run a system call for us now")]
    NoThread {
        /// The process.
        pid: i32,
    },
    /// A signal came between; everything was put back.
    #[error("process {pid} was interrupted by a signal while it was to fork")]
    Interrupted {
        /// The process.
        pid: i32,
    },
    /// The kernel refused the system call.
    #[error("process {pid} was not able to fork: {}", .errno.desc())]
    Refused {
        /// The process.
        pid: i32,
        /// Its answer.
        errno: Errno,
    },
    /// The fork took longer than the process may stand still.
    #[error("process {pid} did not fork in time")]
    Late {
        /// The process.
        pid: i32,
    },
    /// The frozen copy was killed while it was read.
    #[error("the frozen copy of process {pid} was killed, perhaps for want of memory")]
    Lost {
        /// The process.
        pid: i32,
    },
    /// The process cannot be looked at or traced.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It could not be stopped.
    #[error(transparent)]
    Stop(#[from] StopError),
}

impl ForkError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Process(error) => return error.hint(),
            Self::Stop(error) => return error.hint(),
            Self::Seccomp { .. } => {
                "use --capture copy; with CAP_SYS_ADMIN, --capture fork suspends the filter"
                    .to_owned()
            }
            Self::Refused { errno: Errno::EAGAIN, .. } => {
                "the limit of processes is reached (ulimit -u, pids.max of its cgroup); use \
                 --capture copy"
                    .to_owned()
            }
            _ => "use --capture copy".to_owned(),
        })
    }

    /// True when a moment later it may well succeed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Vfork { .. }
                | Self::Uninterruptible { .. }
                | Self::NoThread { .. }
                | Self::Interrupted { .. }
        )
    }

    /// True when the process could have been looked at, only not in this way.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Process(_) | Self::Stop(_) | Self::Late { .. })
    }
}
