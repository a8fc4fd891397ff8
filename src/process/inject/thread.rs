//! What a held thread is doing: running, or waiting in which system call.

use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::super::Syscall;
use super::super::fork::frame::Interrupted;
use super::super::fork::memory::TaskMemory;

/// What a held thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It runs code of its own, or its system call has its result.
    Running,
    /// It waits in this system call, which would go on where it was.
    Waiting(Syscall),
}

/// A held thread.
#[derive(Debug, Clone, Copy)]
pub struct HeldThread {
    /// The thread's number.
    pub tid: i32,
    /// `pthread_self()`: where its thread-local storage is.
    pub ident: u64,
    /// What it is doing.
    pub doing: Doing,
    /// Of the call that it waits in only the kernel knows how long it has still to go: sent
    /// away or interrupted, it ends with EINTR.
    pub rest_of_time: bool,
    /// Its instruction pointer.
    pub instruction: u64,
    /// Its stack pointer.
    pub stack: u64,
}

/// Looks at a thread that is held.
pub(super) fn look_at(tid: i32) -> Option<HeldThread> {
    let regs = ptrace::getregs(Pid::from_raw(tid)).ok()?;
    let in_call = regs.orig_rax.cast_signed() >= 0;
    // Calls that are never repeated, such as epoll_wait.
    let ended = regs.rax.cast_signed() == -i64::from(libc::EINTR);
    let waiting = Interrupted::of(&regs) != Interrupted::Nothing || (in_call && ended);
    let call = Syscall {
        number: original_number(tid, &regs),
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
    };
    Some(HeldThread {
        tid,
        ident: regs.fs_base,
        doing: if waiting { Doing::Waiting(call) } else { Doing::Running },
        rest_of_time: Interrupted::of(&regs) == Interrupted::WithRestOfTime,
        instruction: regs.rip,
        stack: regs.rsp,
    })
}

/// The number of a thread's system call. One that was interrupted before goes on as
/// `restart_syscall`; what it was then says the instruction that loads the number, a few bytes
/// before the thread's.
fn original_number(tid: i32, regs: &user_regs_struct) -> u64 {
    /// Calls with a time to go that only the kernel knows (`set_restart_fn` in the kernel).
    const RESTARTED: [i64; 4] =
        [libc::SYS_poll, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_futex];
    const BEFORE: usize = 48;
    if regs.orig_rax.cast_signed() != libc::SYS_restart_syscall {
        return regs.orig_rax;
    }
    let mut code = [0; BEFORE];
    let start = regs.rip.saturating_sub(BEFORE as u64);
    if !TaskMemory(tid).read(start, &mut code) {
        return regs.orig_rax;
    }
    restarted_call(&code)
        .filter(|number| RESTARTED.contains(number))
        .map_or(regs.orig_rax, i64::cast_unsigned)
}

/// The number in the last `mov $number,%eax` before a `syscall` at the end of the code.
fn restarted_call(code: &[u8]) -> Option<i64> {
    let code = code.strip_suffix(&[0x0f, 0x05])?;
    let load = |five: &[u8]| match *five {
        [0xb8, low, high, 0, 0] => Some(i64::from(u16::from_le_bytes([low, high]))),
        _ => None,
    };
    code.windows(5).rev().find_map(load)
}

#[cfg(test)]
mod tests {
    use super::restarted_call;

    #[test]
    fn a_restarted_call_is_known_by_its_code() {
        // mov $7,%eax; syscall, with something between; then another call before it.
        assert_eq!(restarted_call(b"\xb8\x07\0\0\0\x0f\x05"), Some(7));
        let code = b"\xb8\x01\0\0\0\x0f\x05\xb8\xca\0\0\0\x45\x31\xc0\x0f\x05";
        assert_eq!(restarted_call(code), Some(202));
        assert_eq!(restarted_call(b"\xb8\x07\0\0\0\x90\x90"), None);
        assert_eq!(restarted_call(b""), None);
    }
}
