//! The tracer thread's work: seize every thread, interrupt them all, wait for them all, and
//! let them go.
//!
//! Seizing does not stop a thread, so all are seized before the first is interrupted, and all
//! are interrupted before the first is waited for. Statuses are looked at with `waitid`, without
//! taking them and without `WEXITED`: when we die, a signal on its way to the program stays on
//! it, and when the target is our own child, its exit status stays for whoever started it.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid;

use super::priority::Usual;
use super::watchdog::Watchdog;
use super::{Hold, StopError, StopOptions, StoppedThread, Syscall};
use crate::process::identity::tracer_of;
use crate::process::tasks::{task_count, task_ids, task_stat};
use crate::process::{ProcessError, read_bounded};

/// How long a thread may sleep uninterruptibly before its siblings no longer wait for it.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long to wait for the stops without giving up the processor for a fixed time.
const YIELDING: Duration = Duration::from_micros(50);
/// The longest sleep between two rounds of waiting.
const LONGEST_NAP: Duration = Duration::from_micros(500);
/// Listings after which a process that makes threads faster than they can be listed is seized
/// as far as it is known; the rest is found once those stand still.
const MOST_LISTINGS: usize = 16;

/// Refusals without a tracer to be seen, after which it is our rights that are missing.
const MOST_REFUSALS: u32 = 5;

/// A process that stands still.
#[derive(Debug)]
pub(in crate::process) struct Held {
    pub(in crate::process) since: Instant,
    pub(in crate::process) until_all_stopped: Duration,
    pub(in crate::process) threads: Vec<StoppedThread>,
}

/// Everything that is attached, and the timers that bound it.
#[derive(Debug)]
pub(in crate::process) struct Tracer {
    pid: i32,
    options: StopOptions,
    /// The only thread that is wanted; `None` for all.
    only: Option<i32>,
    tracees: Vec<Tracee>,
    watchdog: Option<Watchdog>,
    /// This thread's own priority, when it was made to go first.
    usual: Option<Usual>,
}

#[derive(Debug)]
struct Tracee {
    tid: i32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Attached, and not yet known to stand still.
    Running,
    /// Stands still.
    Stopped { hold: Hold, syscall: Option<Syscall> },
    /// Does not run code of the program, see [`Hold::InKernel`].
    InKernel,
    /// Was there and has ended.
    Ended,
}

impl Tracer {
    /// For the thread that is to do it, which `usual` says the priority of once all is let go.
    pub(in crate::process) fn new(
        pid: i32,
        options: StopOptions,
        only: Option<i32>,
        usual: Option<Usual>,
    ) -> Self {
        Self { pid, options, only, tracees: Vec::new(), watchdog: None, usual }
    }

    /// The threads that our interrupt holds, in the kernel's order.
    pub(in crate::process) fn interrupted(&self) -> Vec<i32> {
        let held = |t: &&Tracee| matches!(t.state, State::Stopped { hold: Hold::Interrupted, .. });
        self.tracees.iter().filter(held).map(|tracee| tracee.tid).collect()
    }

    /// The process.
    pub(in crate::process) fn pid(&self) -> i32 {
        self.pid
    }

    /// Takes note that a thread was made to run and stopped again; `None` when it has not
    /// stopped.
    pub(in crate::process) fn has_moved(&mut self, tid: i32, hold: Option<Hold>) {
        if let Some(tracee) = self.tracees.iter_mut().find(|tracee| tracee.tid == tid) {
            tracee.state = match hold {
                Some(hold) => State::Stopped { hold, syscall: None },
                None => State::Running,
            };
        }
    }

    /// Stops every thread. After an error [`Self::release_all`] must follow as after success.
    pub(in crate::process) fn stop_all(&mut self) -> Result<Held, StopError> {
        precise_naps();
        // Before the first seize: a seized thread stops by itself when a signal arrives.
        self.watchdog =
            Some(Watchdog::arm(self.options.hard_deadline).map_err(StopError::Watchdog)?);
        for _ in 0..MOST_LISTINGS {
            if self.seize_new()? == 0 {
                break;
            }
        }
        let since = Instant::now();
        for tracee in &self.tracees {
            tracee.interrupt();
        }
        loop {
            self.wait_all(since)?;
            if self.all_known() {
                break;
            }
            let known = self.tracees.len();
            if self.seize_new()? == 0 {
                break;
            }
            for tracee in self.tracees.iter().skip(known) {
                tracee.interrupt();
            }
        }
        let threads: Vec<_> = self.tracees.iter().filter_map(|t| t.as_stopped(self.pid)).collect();
        if threads.is_empty() {
            return Err(ProcessError::Gone { pid: self.pid }.into());
        }
        Ok(Held { since, until_all_stopped: since.elapsed(), threads })
    }

    /// Lets everything go that can be let go by hand, and says when that was done. What is
    /// left is released by the end of this thread, which has to follow.
    pub(in crate::process) fn release_all(&mut self) -> Instant {
        for tracee in &mut self.tracees {
            // One that has come to its stop by now may hold a signal that must not be lost.
            tracee.collect();
            if let State::Stopped { hold, .. } = tracee.state {
                let signal = match hold {
                    Hold::Signal(signal) => signal,
                    // The kernel stops it again by itself.
                    Hold::GroupStop(_) | Hold::Interrupted | Hold::InKernel => 0,
                };
                detach(tracee.tid, signal);
            }
        }
        let released = Instant::now();
        self.tracees.clear();
        self.watchdog = None;
        // Nobody waits for what is done from here on.
        if let Some(usual) = self.usual.take() {
            usual.take();
        }
        released
    }

    /// Seizes the threads that are not known yet; says how many were new.
    fn seize_new(&mut self) -> Result<usize, StopError> {
        let pid = self.pid;
        let tids = match self.only {
            Some(tid) => vec![tid],
            None => task_ids(pid)
                .map_err(|error| ProcessError::from_io(pid, "listing its threads", error))?,
        };
        let mut known: Vec<i32> = self.tracees.iter().map(|tracee| tracee.tid).collect();
        known.sort_unstable();
        let before = self.tracees.len();
        for tid in tids {
            if known.binary_search(&tid).is_err() {
                let state = seize(pid, tid)?;
                self.tracees.push(Tracee { tid, state });
            }
        }
        Ok(self.tracees.len() - before)
    }

    /// True when the kernel counts no more threads than we hold: all those stand still, so
    /// none can have ended or been made since. Saves listing them again during the pause.
    fn all_known(&self) -> bool {
        let held = self.tracees.iter().filter(|t| !matches!(t.state, State::Ended)).count();
        self.only.is_some() || task_count(self.pid) == Some(held)
    }

    /// Waits until no tracee is [`State::Running`].
    fn wait_all(&mut self, since: Instant) -> Result<(), StopError> {
        let begin = Instant::now();
        let mut nap = Duration::from_micros(20);
        let mut next_look = begin + PATIENCE / 2;
        loop {
            let mut running = false;
            for tracee in &mut self.tracees {
                tracee.collect();
                running |= matches!(tracee.state, State::Running);
            }
            if !running {
                return Ok(());
            }
            let now = Instant::now();
            let late = since.elapsed() >= self.options.stop_within;
            if late || now >= next_look {
                let patient = !late && now < begin + PATIENCE;
                self.look_at_running(patient);
                next_look = now + PATIENCE / 2;
            }
            if late
                && let Some(tracee) =
                    self.tracees.iter().find(|t| matches!(t.state, State::Running))
            {
                return Err(self.deadline(tracee.tid));
            }
            if now < begin + YIELDING {
                std::thread::yield_now();
            } else {
                std::thread::sleep(nap);
                nap = (nap * 2).min(LONGEST_NAP);
            }
        }
    }

    /// Finds out why threads do not stop: ended, or asleep in the kernel. One that sleeps
    /// uninterruptibly is waited for while we are patient.
    fn look_at_running(&mut self, patient: bool) {
        for tracee in &mut self.tracees {
            if !matches!(tracee.state, State::Running) {
                continue;
            }
            match task_stat(self.pid, tracee.tid) {
                None => tracee.state = State::Ended,
                Some(stat) if stat.has_ended() => tracee.state = State::Ended,
                Some(stat) if !patient && (stat.state == 'D' || stat.is_kernel_worker()) => {
                    tracee.state = State::InKernel;
                }
                Some(_) => {}
            }
        }
    }

    fn deadline(&self, tid: i32) -> StopError {
        let (name, state) =
            task_stat(self.pid, tid).map_or((String::new(), '?'), |stat| (stat.comm, stat.state));
        StopError::Deadline { pid: self.pid, tid, name, state, within: self.options.stop_within }
    }
}

impl Tracee {
    fn interrupt(&self) {
        if matches!(self.state, State::Running) {
            // ESRCH: it has ended; found out while waiting.
            let _ = ptrace::interrupt(Pid::from_raw(self.tid));
        }
    }

    /// Takes note of the stop, if the thread has come to one. Never waits.
    fn collect(&mut self) {
        if !matches!(self.state, State::Running | State::InKernel) {
            return;
        }
        match take_stop(self.tid) {
            Ok(Some(hold)) => {
                self.state = State::Stopped { hold, syscall: syscall_of(self.tid) };
            }
            Ok(None) => {}
            // Not ours to wait for: reaped, or a worker that could not be seized.
            Err(_) if matches!(self.state, State::Running) => self.state = State::Ended,
            Err(_) => {}
        }
    }

    fn as_stopped(&self, pid: i32) -> Option<StoppedThread> {
        let (hold, syscall) = match self.state {
            State::Stopped { hold, syscall } => (hold, syscall),
            State::InKernel => (Hold::InKernel, syscall_in_kernel(pid, self.tid)),
            State::Running | State::Ended => return None,
        };
        Some(StoppedThread { tid: self.tid, hold, syscall })
    }
}

/// Attaches to a thread without stopping it.
fn seize(pid: i32, tid: i32) -> Result<State, StopError> {
    let mut refusals = 0;
    loop {
        let errno = match ptrace::seize(Pid::from_raw(tid), Options::empty()) {
            Ok(()) => return Ok(State::Running),
            Err(Errno::ESRCH) => return Ok(State::Ended),
            Err(errno) => errno,
        };
        // EPERM has many reasons (`ptrace_attach` in kernel/ptrace.c): the thread has ended, it
        // belongs to the kernel, it is traced, or we may not.
        let Some(stat) = task_stat(pid, tid) else { return Ok(State::Ended) };
        if stat.has_ended() {
            return Ok(State::Ended);
        }
        if stat.is_kernel_worker() {
            return Ok(State::InKernel);
        }
        let status = read_bounded(&format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
        if let Some((tracer, name)) = tracer_of(&status) {
            return Err(ProcessError::Traced { pid, tracer, name }.into());
        }
        // Whoever traced it may have let it go between the two looks.
        refusals += 1;
        if refusals == MOST_REFUSALS {
            let what = format!("tracing its thread {tid} with ptrace");
            return Err(ProcessError::from_io(pid, &what, io::Error::from(errno)).into());
        }
    }
}

/// The stop that a tracee that ran is in.
fn take_stop(tid: i32) -> Result<Option<Hold>, Errno> {
    Ok(next_stop(tid)?.map(|stop| match stop {
        StopEvent::Held(hold) => hold,
        // Not asked for here; a thread is released from them as from an interrupt.
        StopEvent::SystemCall | StopEvent::Clone => Hold::Interrupted,
    }))
}

/// What a tracee has stopped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) enum StopEvent {
    /// On its way out of the kernel, where signals are looked at.
    Held(Hold),
    /// Entering or leaving a system call (with `PTRACE_O_TRACESYSGOOD`).
    SystemCall,
    /// It has made a child (with `PTRACE_O_TRACECLONE`).
    Clone,
}

/// The stop that a tracee of this thread is in, after it was made to run. Never waits.
pub(in crate::process) fn next_stop(tid: i32) -> Result<Option<StopEvent>, Errno> {
    look_at_stop(tid, libc::WNOHANG)
}

/// Waits for the next stop of a tracee of this thread that was made to run; until a signal for this
/// thread, which is EINTR.
pub(in crate::process) fn wait_for_stop(tid: i32) -> Result<Option<StopEvent>, Errno> {
    look_at_stop(tid, 0)
}

fn look_at_stop(tid: i32, how: libc::c_int) -> Result<Option<StopEvent>, Errno> {
    let Ok(id) = libc::id_t::try_from(tid) else { return Err(Errno::ESRCH) };
    // SAFETY: all-zero bytes are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // Looked at, not taken (`wait_task_stopped` in kernel/exit.c): a signal whose stop was taken
    // is lost when we die before we hand it back, for `ptrace_stop` then finds none to deliver.
    let flags = libc::WSTOPPED | libc::__WALL | libc::WNOWAIT | how;
    // SAFETY: the pointer is to a local that lives for the call.
    Errno::result(unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) })?;
    // SAFETY: waitid leaves zeros or fills the fields of a child's signal.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    // `exit_code` of the stop: the event above the signal's byte (ptrace(2)).
    let signal = status & 0xff;
    Ok(Some(match status >> 8 {
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => StopEvent::Held(Hold::Interrupted),
        libc::PTRACE_EVENT_STOP => StopEvent::Held(Hold::GroupStop(signal)),
        libc::PTRACE_EVENT_CLONE => StopEvent::Clone,
        _ if signal == libc::SIGTRAP | 0x80 => StopEvent::SystemCall,
        _ => StopEvent::Held(Hold::Signal(signal)),
    }))
}

/// Takes the stop that a tracee is in: what it was to receive is not delivered when we die.
pub(in crate::process) fn swallow_stop(tid: i32) {
    let Ok(id) = libc::id_t::try_from(tid) else { return };
    // SAFETY: all-zero bytes are a valid siginfo_t; the pointer is to a local that lives for
    // the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WSTOPPED | libc::WNOHANG | libc::__WALL;
        libc::waitid(libc::P_PID, id, &raw mut info, flags);
    }
}

/// The system call of a stopped thread: `orig_rax` is negative outside of one.
fn syscall_of(tid: i32) -> Option<Syscall> {
    let regs = ptrace::getregs(Pid::from_raw(tid)).ok()?;
    let number = regs.orig_rax;
    (number.cast_signed() >= 0).then_some(Syscall {
        number,
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
    })
}

/// The system call of a thread asleep in the kernel: `number args… sp pc` (proc(5)).
fn syscall_in_kernel(pid: i32, tid: i32) -> Option<Syscall> {
    let text = read_bounded(&format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
    let mut words = std::str::from_utf8(&text).ok()?.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some(Syscall { number, args })
}

/// Lets a stopped thread go, with the signal it was about to receive. By hand because the
/// signal can be a real-time one; its siginfo (sender, value) is kept by the kernel when the
/// number is the same.
fn detach(tid: i32, signal: i32) {
    // SAFETY: PTRACE_DETACH takes no address; the signal is passed as a number. ESRCH means
    // that the thread was killed.
    unsafe {
        libc::ptrace(libc::PTRACE_DETACH, tid, 0, libc::c_long::from(signal));
    }
}

/// Lets this thread's short sleeps end on time: by default the kernel adds up to 50 µs.
fn precise_naps() {
    // SAFETY: takes integers only; concerns this thread only.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0);
    }
}
