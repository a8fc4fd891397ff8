//! The signal frame that makes an injection survive us.
//!
//! Before a thread is made to run anything, a frame as the kernel makes it for a signal handler
//! (`struct rt_sigframe` of arch/x86/include/asm/sigframe.h) is put below its stack. It holds
//! all that the thread is: registers, signal mask, floating-point state. Whatever the thread
//! runs for us ends in `rt_sigreturn` on this frame, so that it goes on where it was, also when
//! we are not there any more to put it back.
//!
//! A second frame is for the child, should it ever run: it ends the child.

use nix::errno::Errno;
use nix::libc::user_regs_struct;

use super::gadgets::Gadgets;

/// Below the stack pointer, in use without being reserved (System V ABI, x86_64).
const RED_ZONE: u64 = 128;
/// `pretcode`, `struct ucontext`, `struct siginfo`.
const FRAME: usize = 8 + 304 + 128;
/// What the child ends with, should it run: tells our left-over children from others.
pub(super) const CHILD_EXIT_CODE: u8 = 86;

/// `uc_flags`: floating-point state by XSAVE, the stack segment is saved and to be restored
/// (arch/x86/include/uapi/asm/ucontext.h).
const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
/// No valid mode of an alternate stack: `rt_sigreturn` then leaves the thread's as it is
/// (`restore_altstack` in kernel/signal.c ignores EINVAL).
const KEEP_ALTSTACK: u32 = 3;

/// Offsets in the frame.
const UC_FLAGS: usize = 8;
const SS_FLAGS: usize = 8 + 24;
const MCONTEXT: usize = 8 + 40;
const SIGMASK: usize = MCONTEXT + 256;
/// Offsets in `struct sigcontext_64`.
const SEGMENTS: usize = MCONTEXT + 144;
const FPSTATE: usize = MCONTEXT + 184;

/// `struct _fpx_sw_bytes` in the legacy area, and its marks
/// (arch/x86/include/uapi/asm/sigcontext.h).
const SW_BYTES: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// The legacy area and the header of XSAVE.
const XSAVE_LEAST: usize = 512 + 64;
/// `XCR0` as ptrace shows it (`xstate_fx_sw_bytes`), and the header's `XSTATE_BV`.
const XCR0: usize = SW_BYTES;
const XSTATE_BV: usize = 512;
/// The tiles of AMX: a thread has room for them only once it has used them.
const AMX: u64 = 1 << 17 | 1 << 18;

/// Two frames, ready to be written.
#[derive(Debug)]
pub(in crate::process) struct Frames {
    /// Where the bytes go.
    pub(in crate::process) at: u64,
    pub(in crate::process) bytes: Vec<u8>,
    /// The thread's stack pointer while it runs for us.
    pub(in crate::process) stack: u64,
    /// The child's stack pointer.
    pub(super) child_stack: u64,
    /// Memory above the frames that is left for whoever asked for it.
    pub(in crate::process) room_at: u64,
}

impl Frames {
    /// The frames for a thread with these registers, mask and XSAVE state (`NT_X86_XSTATE`), below
    /// `room` bytes for the caller. `None` when the state has not the kernel's form, or the stack
    /// pointer is absurd.
    pub(in crate::process) fn build(
        regs: &user_regs_struct,
        mask: u64,
        xstate: &[u8],
        gadgets: &Gadgets,
        room: u64,
    ) -> Option<Self> {
        let state = floating_point(xstate)?;
        // As `get_sigframe` does it: XSAVE wants 64, the frame lies 8 below a multiple of 16.
        let top = regs.rsp.checked_sub(RED_ZONE)?.checked_sub(room)?;
        let state_at = top.checked_sub(state.len() as u64)? & !63;
        let stack = (state_at.checked_sub(FRAME as u64)? & !15).checked_sub(8)?;
        let child_stack = (stack.checked_sub(FRAME as u64)? & !15).checked_sub(8)?;
        let mut bytes = vec![0; usize::try_from(state_at - child_stack).ok()?];
        let child = child_registers(regs, gadgets, child_stack);
        let parent_at = usize::try_from(stack - child_stack).ok()?;
        write_frame(bytes.get_mut(..parent_at)?, gadgets, &child, !0, None)?;
        let resumed = resumed(regs);
        write_frame(bytes.get_mut(parent_at..)?, gadgets, &resumed, mask, Some(state_at))?;
        bytes.extend_from_slice(&state);
        Some(Self { at: child_stack, bytes, stack, child_stack, room_at: top })
    }
}

/// The registers with which the thread goes on when we cannot put it back ourselves: as after
/// a signal handler, with an interrupted system call repeated where it may be
/// (`handle_signal` in arch/x86/kernel/signal.c).
fn resumed(regs: &user_regs_struct) -> user_regs_struct {
    let mut resumed = *regs;
    match Interrupted::of(regs) {
        Interrupted::Nothing => {}
        Interrupted::Repeatable => {
            resumed.rip = regs.rip.wrapping_sub(2);
            resumed.rax = regs.orig_rax;
        }
        // The kernel forgets what is left of the time when a handler returns.
        Interrupted::WithRestOfTime => resumed.rax = negative(Errno::EINTR as i32),
    }
    resumed
}

/// What our interrupt has done to the system call of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Interrupted {
    /// None was under way, or it has its result.
    Nothing,
    /// Calling it again does the same.
    Repeatable,
    /// The kernel would go on with what is left of a relative time; nobody else can.
    WithRestOfTime,
}

impl Interrupted {
    /// By the registers of a thread that our interrupt holds. The codes are those of
    /// include/linux/errno.h, which programs never see.
    pub(in crate::process) fn of(regs: &user_regs_struct) -> Self {
        const ERESTARTSYS: i32 = 512;
        const ERESTARTNOINTR: i32 = 513;
        const ERESTARTNOHAND: i32 = 514;
        const ERESTART_RESTARTBLOCK: i32 = 516;
        if regs.orig_rax.cast_signed() < 0 {
            return Self::Nothing;
        }
        let code = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK]
            .into_iter()
            .find(|&code| regs.rax == negative(code));
        match code {
            None => Self::Nothing,
            Some(ERESTART_RESTARTBLOCK) if !waits_until_a_time(regs) => Self::WithRestOfTime,
            Some(_) => Self::Repeatable,
        }
    }
}

/// Locks with a time limit: the time is absolute.
fn waits_until_a_time(regs: &user_regs_struct) -> bool {
    const COMMAND: u64 = 127;
    regs.orig_rax == libc::SYS_futex.cast_unsigned()
        && regs.rsi & COMMAND == libc::FUTEX_WAIT_BITSET as u64
}

fn negative(code: i32) -> u64 {
    i64::from(-code).cast_unsigned()
}

/// Registers with which a child ends itself: `exit_group`.
fn child_registers(regs: &user_regs_struct, gadgets: &Gadgets, stack: u64) -> user_regs_struct {
    let mut child = *regs;
    child.rip = gadgets.syscall();
    child.rax = libc::SYS_exit_group.cast_unsigned();
    child.rdi = u64::from(CHILD_EXIT_CODE);
    child.rsp = stack;
    child.rbp = 0;
    child
}

fn write_frame(
    frame: &mut [u8],
    gadgets: &Gadgets,
    regs: &user_regs_struct,
    mask: u64,
    state_at: Option<u64>,
) -> Option<()> {
    let flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    let flags = if state_at.is_some() { flags | UC_FP_XSTATE } else { flags };
    put(frame, 0, &gadgets.restorer.to_le_bytes())?;
    put(frame, UC_FLAGS, &flags.to_le_bytes())?;
    put(frame, SS_FLAGS, &KEEP_ALTSTACK.to_le_bytes())?;
    let general = [
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.eflags,
    ];
    for (index, value) in general.into_iter().enumerate() {
        put(frame, MCONTEXT + 8 * index, &value.to_le_bytes())?;
    }
    for (index, value) in [regs.cs, regs.gs, regs.fs, regs.ss].into_iter().enumerate() {
        put(frame, SEGMENTS + 2 * index, &(value as u16).to_le_bytes())?;
    }
    put(frame, FPSTATE, &state_at.unwrap_or(0).to_le_bytes())?;
    put(frame, SIGMASK, &mask.to_le_bytes())
}

/// The state as a signal frame holds it, from the form that ptrace gives.
fn floating_point(xstate: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(xstate.get(at..at + 8)?.try_into().ok()?))
    };
    let mut features = word(XCR0)?;
    if word(XSTATE_BV)? & AMX == 0 {
        features &= !AMX;
    }
    let size = (2..63)
        .filter(|feature| features & 1 << feature != 0)
        .map(end_of_feature)
        .fold(XSAVE_LEAST, usize::max);
    let mut state = xstate.get(..size)?.to_vec();
    put(&mut state, SW_BYTES, &[0; 48])?;
    put(&mut state, SW_BYTES, &MAGIC1.to_le_bytes())?;
    put(&mut state, SW_BYTES + 4, &u32::try_from(size + 4).ok()?.to_le_bytes())?;
    put(&mut state, SW_BYTES + 8, &features.to_le_bytes())?;
    put(&mut state, SW_BYTES + 16, &u32::try_from(size).ok()?.to_le_bytes())?;
    state.extend_from_slice(&MAGIC2.to_le_bytes());
    Some(state)
}

/// Where a feature's part of an XSAVE area ends (CPUID leaf 13; the target runs on our
/// machine).
fn end_of_feature(feature: u32) -> usize {
    #[allow(unused_unsafe, reason = "safe in newer releases of Rust")]
    // SAFETY: every x86_64 processor has CPUID.
    let leaf = unsafe { std::arch::x86_64::__cpuid_count(13, feature) };
    (leaf.eax as usize).saturating_add(leaf.ebx as usize)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at + value.len())?.copy_from_slice(value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regs() -> user_regs_struct {
        // SAFETY: a structure of integers.
        let mut regs: user_regs_struct = unsafe { std::mem::zeroed() };
        regs.rsp = 0x7fff_0000_1238;
        regs.rip = 0x1000;
        regs.orig_rax = u64::MAX;
        regs
    }

    fn xstate() -> Vec<u8> {
        let mut state = vec![0; 4096];
        // x87, SSE, AVX
        put(&mut state, XCR0, &7_u64.to_le_bytes()).unwrap();
        state
    }

    fn word(frames: &Frames, at: u64) -> u64 {
        let from = usize::try_from(at - frames.at).unwrap();
        u64::from_le_bytes(frames.bytes[from..from + 8].try_into().unwrap())
    }

    #[test]
    fn frames_lie_below_the_red_zone_and_are_aligned() {
        let gadgets = Gadgets { restorer: 0x5000, ret: 0x6000 };
        let frames = Frames::build(&regs(), 0xabc, &xstate(), &gadgets, 100).unwrap();
        assert_eq!(frames.room_at, regs().rsp - RED_ZONE - 100);
        assert!(frames.at + frames.bytes.len() as u64 <= frames.room_at);
        assert_eq!((frames.stack % 16, frames.child_stack % 16), (8, 8));
        assert_eq!(word(&frames, frames.stack), 0x5000);
        assert_eq!(word(&frames, frames.stack + SIGMASK as u64), 0xabc);
        let state = word(&frames, frames.stack + FPSTATE as u64);
        assert_eq!(state % 64, 0);
        assert_eq!(word(&frames, state + SW_BYTES as u64) as u32, MAGIC1);
        assert_eq!(word(&frames, frames.child_stack), 0x5000);
        // The child's instruction pointer: index 16 of the registers.
        assert_eq!(word(&frames, frames.child_stack + MCONTEXT as u64 + 128), gadgets.syscall());
    }

    #[test]
    fn interrupted_calls_are_repeated_or_end_with_eintr() {
        let interrupted = |number: i64, code: i32, command: u64| {
            let mut regs = regs();
            (regs.orig_rax, regs.rax, regs.rsi) = (number.cast_unsigned(), negative(code), command);
            let resumed = resumed(&regs);
            (resumed.rip, resumed.rax)
        };
        assert_eq!(interrupted(libc::SYS_read, 512, 0), (0xffe, 0));
        let lock = libc::SYS_futex;
        let until = 128 | libc::FUTEX_WAIT_BITSET as u64;
        assert_eq!(interrupted(lock, 516, until), (0xffe, lock.cast_unsigned()));
        assert_eq!(interrupted(libc::SYS_poll, 516, 0), (0x1000, negative(libc::EINTR)));
        assert_eq!(interrupted(libc::SYS_poll, libc::EINTR, 0), (0x1000, negative(libc::EINTR)));
        assert_eq!(interrupted(-1, 512, 0), (0x1000, negative(512)));
    }

    #[test]
    fn absurd_states_are_refused() {
        let gadgets = Gadgets { restorer: 0x5000, ret: 0x6000 };
        assert!(Frames::build(&regs(), 0, &[0; 100], &gadgets, 0).is_none());
        assert!(Frames::build(&regs(), 0, &[0xff; 600], &gadgets, 0).is_none());
        let mut low = regs();
        low.rsp = 64;
        assert!(Frames::build(&low, 0, &xstate(), &gadgets, 0).is_none());
    }
}
