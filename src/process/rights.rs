//! What we are allowed to do with a process, as facts for `doctor`.
//!
//! Whether reading and tracing work is found by trying both: the kernel's rules (user ids,
//! capabilities, namespaces, yama, other security modules, filters) are too many to repeat.

use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::{Pid, Uid};

use super::identity::tracer_of;
use super::stat::{status_field, status_number};
use super::stop::TracerThread;
use super::{Process, ProcessError, read_bounded};

/// Bits of include/uapi/linux/capability.h.
const CAP_SYS_PTRACE: u32 = 19;
pub(super) const CAP_SYS_ADMIN: u32 = 21;
const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// The outcome of trying something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Works,
    /// The kernel refused, with this error.
    Refused(Errno),
}

/// Our rights over one process, and what they depend on. `None`: could not be determined.
#[derive(Debug, Clone)]
pub struct Rights {
    /// Seizing a thread with ptrace (tried, without stopping it).
    pub seize: Verdict,
    /// Reading its memory (tried).
    pub read_memory: Verdict,
    /// Who traces it already: number and command name.
    pub tracer: Option<(i32, String)>,
    /// We have `CAP_SYS_PTRACE`.
    pub cap_sys_ptrace: bool,
    /// We have `CAP_SYS_ADMIN`.
    pub cap_sys_admin: bool,
    /// We have `CAP_CHECKPOINT_RESTORE`.
    pub cap_checkpoint_restore: bool,
    /// `kernel.yama.ptrace_scope`; `None` where the kernel has no yama.
    pub ptrace_scope: Option<u8>,
    /// Its real, effective and saved user are all our effective user.
    pub same_user: Option<bool>,
    /// It lives in our user namespace.
    pub same_user_namespace: Option<bool>,
    /// Its root directory and mounts are ours; false for a container seen from outside.
    pub same_root: bool,
    /// It is dumpable (`prctl(PR_SET_DUMPABLE)`): others of its user may look at it.
    pub dumpable: Option<bool>,
    /// Our own seccomp mode: with 2, system calls may be refused whatever our rights.
    pub our_seccomp: Option<u8>,
    /// Our own "no new privileges" flag: with it, set-user-id and file capabilities of the
    /// tool have no effect.
    pub our_no_new_privs: Option<bool>,
}

/// Whether we have a capability (a bit of include/uapi/linux/capability.h).
pub(super) fn has_capability(bit: u32) -> bool {
    holds_capability(&read_bounded("/proc/self/status").unwrap_or_default(), bit)
}

fn holds_capability(status: &[u8], bit: u32) -> bool {
    let set = status_field(status, "CapEff").and_then(|text| u64::from_str_radix(text, 16).ok());
    set.is_some_and(|set| set & (1 << bit) != 0)
}

impl Process {
    /// Finds out what we may do with the process.
    ///
    /// # Errors
    /// Gone or reused.
    pub fn rights(&self) -> Result<Rights, ProcessError> {
        let ours = read_bounded("/proc/self/status").unwrap_or_default();
        let its = self.read("status")?;
        let has = |bit: u32| holds_capability(&ours, bit);
        let rights = Rights {
            // From before our own trial, which is a tracer while it lasts.
            tracer: tracer_of(&its),
            seize: self.try_seize(),
            read_memory: self.try_read(),
            cap_sys_ptrace: has(CAP_SYS_PTRACE),
            cap_sys_admin: has(CAP_SYS_ADMIN),
            cap_checkpoint_restore: has(CAP_CHECKPOINT_RESTORE),
            ptrace_scope: ptrace_scope(),
            same_user: same_user(self.pid),
            same_user_namespace: self.namespaces().user,
            same_root: self.shares_root(),
            dumpable: self.dumpable(&its),
            our_seccomp: status_number(&ours, "Seccomp", 0),
            our_no_new_privs: status_number::<u8>(&ours, "NoNewPrivs", 0).map(|flag| flag != 0),
        };
        self.check()?;
        Ok(rights)
    }

    /// Seizes a thread and lets it go. Seizing alone stops nothing. The attachment belongs to
    /// the thread that made it and can only be undone by ending that thread, so it gets one.
    fn try_seize(&self) -> Verdict {
        let tid = Pid::from_raw(self.living_thread().unwrap_or(self.pid));
        let trial = TracerThread::spawn(move || ptrace::seize(tid, Options::empty()));
        match trial.map(TracerThread::join) {
            Ok(Some(Ok(()))) => Verdict::Works,
            Ok(Some(Err(errno))) => Verdict::Refused(errno),
            Ok(None) | Err(_) => Verdict::Refused(Errno::EAGAIN),
        }
    }

    fn try_read(&self) -> Verdict {
        use std::os::unix::fs::FileExt;
        let errno = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(0));
        let address = match self.maps() {
            Ok(maps) => maps.iter().find(|m| m.readable).map_or(0, |m| m.start),
            Err(ProcessError::Denied { .. }) => return Verdict::Refused(Errno::EACCES),
            Err(_) => return Verdict::Refused(Errno::ESRCH),
        };
        let tid = self.living_thread().unwrap_or(self.pid);
        match std::fs::File::open(format!("/proc/{}/task/{tid}/mem", self.pid)) {
            Ok(file) => match file.read_at(&mut [0; 1], address) {
                Ok(1) => Verdict::Works,
                Ok(_) => Verdict::Refused(Errno::ESRCH),
                Err(error) => Verdict::Refused(errno(error)),
            },
            Err(error) => Verdict::Refused(errno(error)),
        }
    }

    /// The files of a process that is not dumpable belong to root (proc(5)); with a target of
    /// root's the two cases look alike.
    fn dumpable(&self, status: &[u8]) -> Option<bool> {
        let effective: u32 = status_number(status, "Uid", 1)?;
        if effective == 0 {
            return None;
        }
        let owner = std::fs::metadata(format!("/proc/{}/environ", self.pid)).ok()?.uid();
        Some(owner == effective)
    }
}

/// `kernel.yama.ptrace_scope`; `None` where the kernel has no yama.
pub(super) fn ptrace_scope() -> Option<u8> {
    let text = read_bounded("/proc/sys/kernel/yama/ptrace_scope").ok()?;
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

/// True when all user ids of a process are our effective one.
pub(super) fn same_user(pid: i32) -> Option<bool> {
    let status = read_bounded(&format!("/proc/{pid}/status")).ok()?;
    let us = Uid::effective().as_raw();
    (0..3)
        .map(|index| Some(status_number::<u32>(&status, "Uid", index)? == us))
        .try_fold(true, |all, same| Some(all && same?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trial that outlives the answer would make the next look, ours or another's, find a tracer.
    #[test]
    fn nothing_is_left_of_the_trial() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::open(i32::try_from(child.id()).unwrap()).unwrap();
        let looks: Vec<_> =
            (0..300).map(|_| process.rights().map(|rights| rights.tracer)).collect();
        let left = process.tracer();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(looks.iter().all(|tracer| matches!(tracer, Ok(None))), "{looks:?}");
        assert!(matches!(left, Ok(None)), "{left:?}");
    }
}
