//! Running system calls in a stopped thread, and putting the thread back.
//!
//! The thread is sent into `rt_sigreturn` on a frame that restores it ([`super::frame`]); at
//! the entry of that system call it is told to run another one instead, and then to return
//! into `rt_sigreturn`. So at every instruction at which we can die the thread finds its own
//! way back. It is put back by us at a stop on its way out of the kernel, where the kernel
//! looks at interrupted system calls: they go on as if nothing had been.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::frame::Frames;
use super::gadgets::Gadgets;
use super::memory::TaskMemory;
use super::steps;
use crate::process::Hold;
use crate::process::stop::{Alarm, StopEvent, next_stop, swallow_stop, wait_for_stop};
use crate::process::tasks::task_stat;

/// Stops that a thread may make on its way before we give up.
const MOST_STOPS: usize = 12;
/// Between two looks for a stop when no alarm can be had.
const NAP: Duration = Duration::from_micros(50);
/// How often to look whether the thread still lives.
const LOOK: Duration = Duration::from_millis(2);
/// Room for a processor's XSAVE area: with AVX-512, and more than any.
const USUAL_XSTATE: usize = 4 << 10;
const LARGEST_XSTATE: usize = 64 << 10;
/// Not in the headers that `libc` knows (include/uapi/linux/elf.h).
const NT_X86_XSTATE: libc::c_int = 0x202;
/// Signals by which the kernel reports an instruction's fault; blocked ones would end the
/// process.
const FAULTS: [i32; 6] =
    [libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGSYS];

/// A system call.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct Call {
    pub(in crate::process) number: i64,
    pub(in crate::process) args: [u64; 6],
}

/// How it ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct Done {
    /// The kernel's answer: negative for an error.
    pub(in crate::process) result: i64,
    /// The child that it made, as our PID namespace has it.
    pub(super) child: Option<i32>,
}

/// Why a system call was not run, or not to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum Problem {
    /// This thread cannot be used; it was not touched.
    Unusable,
    /// Something else happened to the thread; it was put back.
    Interrupted,
    /// Not in time: it still runs, and finds back by itself.
    Late,
    /// The thread has ended.
    Gone,
}

/// What an injection leaves behind.
#[derive(Debug)]
pub(in crate::process) struct Outcome {
    pub(in crate::process) done: Result<Done, Problem>,
    /// The kernel's answers to all calls that were run to their end.
    pub(in crate::process) answers: Vec<i64>,
    /// A child may have been made whatever else went wrong.
    pub(super) child: Option<i32>,
    /// How the thread is held now; `None` when it is not.
    pub(in crate::process) hold: Option<Hold>,
}

/// A stopped thread, ready to run a system call.
#[derive(Debug)]
pub(in crate::process) struct Injection {
    tid: i32,
    saved: user_regs_struct,
    mask: u64,
    gadgets: Gadgets,
    frames: Frames,
    child: Option<i32>,
}

impl Injection {
    /// Saves the thread's state and writes the frames below its stack. `None` when it cannot
    /// be used; then nothing of it has changed.
    pub(in crate::process) fn prepare(tid: i32, gadgets: Gadgets) -> Option<Self> {
        let memory = TaskMemory(tid);
        let saved = ptrace::getregs(Pid::from_raw(tid)).ok()?;
        let mask = signal_mask(tid).ok()?;
        let frames = Frames::build(&saved, mask, &xstate(tid)?, &gadgets, 0)?;
        // A hole within reach is a guard page: too little stack, and what lies behind it
        // belongs to others.
        let length = usize::try_from(saved.rsp.checked_sub(frames.at)?).ok()?;
        if !gadgets.hold(memory) || !memory.read(frames.at, &mut vec![0; length]) {
            return None;
        }
        memory.write(frames.at, &frames.bytes).then_some(())?;
        steps::reached("frames written");
        Some(Self { tid, saved, mask, gadgets, frames, child: None })
    }

    /// The stack pointer for a child.
    pub(super) fn child_stack(&self) -> u64 {
        self.frames.child_stack
    }

    /// Runs the system call and puts the thread back.
    pub(in crate::process) fn run(
        self,
        call: Call,
        suspend_seccomp: bool,
        until: Instant,
    ) -> Outcome {
        self.run_all(&[call], suspend_seccomp, until)
    }

    /// Runs one system call after the other, up to the first that is refused, and puts the thread
    /// back. What is said to be done is the last one.
    pub(in crate::process) fn run_all(
        mut self,
        calls: &[Call],
        suspend_seccomp: bool,
        until: Instant,
    ) -> Outcome {
        let mut options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE;
        if suspend_seccomp {
            options |= libc::PTRACE_O_SUSPEND_SECCOMP;
        }
        let mut answers = Vec::new();
        if set_options(self.tid, options).is_err() {
            let hold = Some(Hold::Interrupted);
            return Outcome { done: Err(Problem::Unusable), answers, child: None, hold };
        }
        let mut held = None;
        let answer = self.call_all(calls, until, &mut held, &mut answers);
        let done = match (answer, held) {
            (Err(problem @ (Problem::Late | Problem::Gone)), _) => Err(problem),
            (answer, Some(_)) => self.restore().and(answer),
            (answer, None) => self.leave(until, &mut held).and(answer),
        };
        let done = done.map(|result| Done { result, child: self.child });
        Outcome { done, answers, child: self.child, hold: held }
    }

    /// Sends the thread through the system calls; the answer of the last. `held` is set when
    /// the thread came to a stop of another kind, where it can be put back at once.
    fn call_all(
        &mut self,
        calls: &[Call],
        until: Instant,
        held: &mut Option<Hold>,
        answers: &mut Vec<i64>,
    ) -> Result<i64, Problem> {
        // The stack is that of a handler that has returned into the restorer.
        let mut regs = self.saved;
        regs.rip = self.gadgets.restorer;
        regs.rsp = self.frames.stack + 8;
        regs.rbp = 0;
        // No system call is under way: nothing for the kernel to repeat.
        regs.orig_rax = u64::MAX;
        // Trap flag, direction flag.
        regs.eflags &= !0x500;
        self.set_regs(regs)?;
        steps::reached("registers set");
        // After the registers: from here on the frame is what restores the mask.
        set_signal_mask(self.tid, all_but_faults()).map_err(|_| Problem::Gone)?;
        steps::reached("mask set");
        let mut last = 0;
        for &call in calls {
            last = self.call(call, until, held)?;
            answers.push(last);
            if last < 0 {
                break;
            }
        }
        Ok(last)
    }

    /// Has the thread, on its way into the restorer, run one system call; then it is on its way
    /// into the restorer again.
    fn call(
        &mut self,
        call: Call,
        until: Instant,
        held: &mut Option<Hold>,
    ) -> Result<i64, Problem> {
        self.go_on()?;
        if !self.at_system_call(until, held)? {
            return Err(Problem::Interrupted);
        }
        let mut regs = ptrace::getregs(Pid::from_raw(self.tid)).map_err(|_| Problem::Gone)?;
        if regs.orig_rax != libc::SYS_rt_sigreturn.cast_unsigned()
            || regs.rip != self.gadgets.after_syscall()
        {
            return Err(Problem::Interrupted);
        }
        steps::reached("at entry");
        let [a, b, c, d, e, f] = call.args;
        (regs.rdi, regs.rsi, regs.rdx) = (a, b, c);
        (regs.r10, regs.r8, regs.r9) = (d, e, f);
        regs.orig_rax = call.number.cast_unsigned();
        // Behind the system call: `ret` into the restorer.
        regs.rip = self.gadgets.ret;
        regs.rsp = self.frames.stack;
        self.set_regs(regs)?;
        steps::reached("call set");
        self.go_on()?;
        if !self.at_system_call(until, held)? {
            return Err(Problem::Interrupted);
        }
        steps::reached("at exit");
        let regs = ptrace::getregs(Pid::from_raw(self.tid)).map_err(|_| Problem::Gone)?;
        let result = regs.rax.cast_signed();
        // The kernel's own codes for "again": a signal was pending.
        if (-516..=-512).contains(&result) { Err(Problem::Interrupted) } else { Ok(result) }
    }

    /// Waits for the next stop at a system call; false for a stop of another kind.
    fn at_system_call(&mut self, until: Instant, held: &mut Option<Hold>) -> Result<bool, Problem> {
        for _ in 0..MOST_STOPS {
            match wait(self.tid, until)? {
                StopEvent::SystemCall => return Ok(true),
                StopEvent::Held(hold) => {
                    *held = Some(self.without_own_fault(hold));
                    return Ok(false);
                }
                StopEvent::Clone => {
                    let child = ptrace::getevent(Pid::from_raw(self.tid)).ok();
                    self.child = child.and_then(|child| i32::try_from(child).ok());
                    steps::reached("cloned");
                    self.go_on()?;
                }
            }
        }
        Ok(false)
    }

    /// From a stop at a system call to one where the thread can be put back, and does it.
    fn leave(&self, until: Instant, held: &mut Option<Hold>) -> Result<(), Problem> {
        let tid = Pid::from_raw(self.tid);
        for _ in 0..MOST_STOPS {
            ptrace::interrupt(tid).map_err(|_| Problem::Gone)?;
            ptrace::cont(tid, None).map_err(|_| Problem::Gone)?;
            if let StopEvent::Held(hold) = wait(self.tid, until)? {
                *held = Some(self.without_own_fault(hold));
                steps::reached("left");
                return self.restore();
            }
        }
        Err(Problem::Late)
    }

    /// A fault of what we had the thread do is not the program's to handle; the same signal
    /// sent by somebody is.
    fn without_own_fault(&self, hold: Hold) -> Hold {
        let Hold::Signal(signal) = hold else { return hold };
        let by_kernel = ptrace::getsiginfo(Pid::from_raw(self.tid))
            .is_ok_and(|info| info.si_code > 0 && FAULTS.contains(&signal));
        if !by_kernel {
            return hold;
        }
        swallow_stop(self.tid);
        Hold::Interrupted
    }

    fn restore(&self) -> Result<(), Problem> {
        set_signal_mask(self.tid, self.mask).map_err(|_| Problem::Gone)?;
        steps::reached("mask restored");
        self.set_regs(self.saved)?;
        steps::reached("registers restored");
        Ok(())
    }

    fn set_regs(&self, regs: user_regs_struct) -> Result<(), Problem> {
        ptrace::setregs(Pid::from_raw(self.tid), regs).map_err(|_| Problem::Gone)
    }

    fn go_on(&self) -> Result<(), Problem> {
        ptrace::syscall(Pid::from_raw(self.tid), None).map_err(|_| Problem::Gone)
    }
}

/// Waits for a tracee's next stop.
pub(super) fn wait(tid: i32, until: Instant) -> Result<StopEvent, Problem> {
    let begin = Instant::now();
    let left = until.saturating_duration_since(begin);
    let alarm = Alarm::set(LOOK.min(left), LOOK);
    let mut next_look = begin + LOOK;
    loop {
        // Asleep, where something wakes us.
        let stop = if alarm.is_ok() { wait_for_stop(tid) } else { next_stop(tid) };
        match stop {
            Ok(Some(stop)) => return Ok(stop),
            Ok(None) => std::thread::sleep(NAP),
            Err(Errno::EINTR) => {}
            Err(_) => return Err(Problem::Gone),
        }
        let now = Instant::now();
        if now >= until {
            return Err(Problem::Late);
        }
        if now >= next_look {
            if task_stat(tid, tid).is_none_or(|stat| stat.has_ended()) {
                return Err(Problem::Gone);
            }
            next_look = now + LOOK;
        }
    }
}

/// Sets the ptrace options of a stopped tracee.
pub(super) fn set_options(tid: i32, options: libc::c_int) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    let done =
        unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, tid, 0, libc::c_long::from(options)) };
    Errno::result(done).map(drop)
}

/// Every signal but those that report a fault. The kernel lets nobody block SIGKILL and
/// SIGSTOP.
fn all_but_faults() -> u64 {
    FAULTS.iter().fold(!0, |mask, signal| mask & !(1 << (signal - 1)))
}

/// The signals that a thread blocks (a bit for each).
pub(in crate::process) fn signal_mask(tid: i32) -> Result<u64, Errno> {
    let mut mask = 0_u64;
    // SAFETY: the kernel writes eight bytes, as the third argument says.
    let done =
        unsafe { libc::ptrace(libc::PTRACE_GETSIGMASK, tid, size_of::<u64>(), &raw mut mask) };
    Errno::result(done).map(|_| mask)
}

fn set_signal_mask(tid: i32, mask: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads eight bytes, as the third argument says.
    let done =
        unsafe { libc::ptrace(libc::PTRACE_SETSIGMASK, tid, size_of::<u64>(), &raw const mask) };
    Errno::result(done).map(drop)
}

/// The floating-point and vector state of a thread.
pub(in crate::process) fn xstate(tid: i32) -> Option<Vec<u8>> {
    let usual = xstate_within(tid, USUAL_XSTATE)?;
    // The kernel fills the room that there is, and does not say what is missing.
    if usual.len() < USUAL_XSTATE { Some(usual) } else { xstate_within(tid, LARGEST_XSTATE) }
}

fn xstate_within(tid: i32, room: usize) -> Option<Vec<u8>> {
    let mut state = vec![0_u8; room];
    let mut iov = libc::iovec { iov_base: state.as_mut_ptr().cast(), iov_len: state.len() };
    // SAFETY: the vector has the length that the kernel is told, and lives for the call.
    let done = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &raw mut iov) };
    Errno::result(done).ok()?;
    state.truncate(iov.iov_len);
    Some(state)
}

/// True when the thread is in a restartable sequence (rseq(2)), or may be: moving it would
/// break the sequence.
pub(super) fn may_be_in_rseq(tid: i32) -> bool {
    // `struct ptrace_rseq_configuration` of include/uapi/linux/ptrace.h.
    let mut configuration = [0_u64; 3];
    // SAFETY: the kernel writes at most as many bytes as the third argument says.
    let done = unsafe {
        libc::ptrace(
            libc::PTRACE_GET_RSEQ_CONFIGURATION,
            tid,
            size_of_val(&configuration),
            configuration.as_mut_ptr(),
        )
    };
    if Errno::result(done).is_err() {
        return true;
    }
    let [area, ..] = configuration;
    let mut sequence = [0; 8];
    // `rseq_cs` in `struct rseq`.
    area != 0 && (!TaskMemory(tid).read(area + 8, &mut sequence) || sequence != [0; 8])
}
