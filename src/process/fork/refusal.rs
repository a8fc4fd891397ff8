//! What is known to go wrong, found out before anything is touched.

use nix::errno::Errno;

use super::{ForkError, reap, room};
use crate::process::rights::{CAP_SYS_ADMIN, has_capability};
use crate::process::stat::{status_field, status_number};
use crate::process::tasks::task_stat;
use crate::process::{
    Hold, PrivateMemory, Process, ProcessError, StoppedThread, Syscall, available_memory,
    read_bounded,
};

/// Memory that must be left beside what a fork may take.
const LEAST_ROOM: u64 = 16 << 20;
/// Of its memory, the share that a process may well write while it is read: what the machine,
/// without a limit, must have left for a fork that nobody insists on.
const WRITTEN_SHARE: u64 = 4;

/// Whether a process may be forked at all. Says whether its seccomp filters have to be
/// suspended for it.
pub(super) fn check_process(process: &Process, insist: bool) -> Result<bool, ForkError> {
    let pid = process.pid();
    let status = process.read("status")?;
    if let Some((tracer, name)) = process.tracer()? {
        return Err(ProcessError::Traced { pid, tracer, name }.into());
    }
    if has_shadow_stack(&status) {
        return Err(ForkError::ShadowStack { pid });
    }
    let overcommit = read_bounded("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    if counts_every_page(&overcommit) {
        return Err(ForkError::Overcommit);
    }
    if let Some(memory) = process.private_memory() {
        check_room(process, memory, insist)?;
    }
    let filtered = is_filtered(process)?;
    if filtered && !(insist && has_capability(CAP_SYS_ADMIN)) {
        return Err(ForkError::Seccomp { pid });
    }
    Ok(filtered)
}

/// Under a limit every page may come to be there twice, in each copy that lives. The kernel kills
/// the copy first when the limit is met, but it takes the process too when the copy has begun to
/// die and its pages are not yet free (`signal->live` is 0 in `do_exit` before `exit_mm`, and the
/// out-of-memory killer passes over such a process). So nobody may insist there.
fn check_room(process: &Process, memory: PrivateMemory, insist: bool) -> Result<(), ForkError> {
    let pid = process.pid();
    let least = memory.page_table_bytes + LEAST_ROOM;
    if let Some(room) = room::room(process) {
        let copies = 1 + frozen_children(process);
        if room < least.saturating_add(memory.resident_bytes.saturating_mul(copies)) {
            return Err(ForkError::NoRoom { pid, room });
        }
    }
    let written = if insist { 0 } else { memory.resident_bytes / WRITTEN_SHARE };
    match available_memory() {
        Some(room) if room < least + written => Err(ForkError::NoRoomOnMachine { pid, room }),
        _ => Ok(()),
    }
}

/// Copies that others are reading now.
fn frozen_children(process: &Process) -> u64 {
    let children = process.children(false).unwrap_or_default();
    children.into_iter().filter(|&child| reap::signals_nobody(child)).count() as u64
}

/// By `/proc/PID/status`; the field names the features that are on (arch/x86/kernel/shstk.c).
fn has_shadow_stack(status: &[u8]) -> bool {
    let features = status_field(status, "x86_Thread_features");
    features.is_some_and(|on| on.split_ascii_whitespace().any(|one| one == "shstk"))
}

/// By `vm.overcommit_memory`: 2 is "never overcommit".
fn counts_every_page(setting: &[u8]) -> bool {
    setting.trim_ascii() == b"2"
}

/// Any thread may have a filter of its own.
pub(in crate::process) fn is_filtered(process: &Process) -> Result<bool, ForkError> {
    let pid = process.pid();
    let filtered = |tid: i32| {
        let status = read_bounded(&format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
        status_number::<u8>(&status, "Seccomp", 0).is_some_and(|mode| mode != 0)
    };
    let threads = process.threads()?;
    Ok(threads.iter().any(|thread| filtered(thread.tid)))
}

/// Whether a process that is held may be forked as its threads stand.
pub(super) fn check_threads(pid: i32, threads: &[StoppedThread]) -> Result<(), ForkError> {
    for thread in threads {
        let tid = thread.tid;
        match thread.hold {
            Hold::GroupStop(_) => return Err(ForkError::JobStopped { pid }),
            Hold::InKernel if thread.syscall.is_some_and(is_vfork) => {
                return Err(ForkError::Vfork { pid, tid });
            }
            Hold::InKernel if task_stat(pid, tid).is_some_and(|s| !s.is_kernel_worker()) => {
                return Err(ForkError::Uninterruptible { pid, tid });
            }
            Hold::InKernel | Hold::Interrupted | Hold::Signal(_) => {}
        }
    }
    Ok(())
}

/// `clone3` has its flags in memory; a thread asleep in it waits for a child that has it
/// borrowed, whatever they are.
fn is_vfork(call: Syscall) -> bool {
    let number = call.number.cast_signed();
    number == libc::SYS_vfork || number == libc::SYS_clone || number == libc::SYS_clone3
}

/// What the kernel's answer to a fork means.
pub(super) fn refused(pid: i32, result: i64) -> ForkError {
    let errno = i32::try_from(-result).map_or(Errno::UnknownErrno, Errno::from_raw);
    ForkError::Refused { pid, errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_stacks_by_the_kernels_own_words() {
        // As `arch_proc_pid_thread_features` prints them.
        let status = |line: &str| format!("Name:\tpython\n{line}Seccomp:\t0\n").into_bytes();
        for line in ["x86_Thread_features:\tshstk \n", "x86_Thread_features:\tshstk wrss \n"] {
            let locked = format!("{line}x86_Thread_features_locked:\tshstk \n");
            assert!(has_shadow_stack(&status(line)));
            assert!(has_shadow_stack(&status(&locked)));
        }
        // Locked is not on.
        let off = "x86_Thread_features:\t\nx86_Thread_features_locked:\tshstk wrss \n";
        assert!(!has_shadow_stack(&status(off)));
        assert!(!has_shadow_stack(&status("")));
        assert!(!has_shadow_stack(b"x86_Thread_features"));
    }

    #[test]
    fn strict_overcommit_by_its_number() {
        assert!(counts_every_page(b"2\n"));
        for other in [&b"0\n"[..], b"1\n", b"", b"20\n"] {
            assert!(!counts_every_page(other));
        }
    }

    #[test]
    fn what_the_kernel_answers_is_told() {
        let error = refused(7, -i64::from(libc::ENOMEM));
        assert!(matches!(error, ForkError::Refused { pid: 7, errno: Errno::ENOMEM }));
        assert!(error.is_refusal() && !error.is_transient());
    }
}
