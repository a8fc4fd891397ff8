//! Making a stopped process run something: a system call, or a chain of its own functions in a
//! thread that waits in the kernel.
//!
//! Knows nothing of Python. Everything lives on the parts of [`super::fork`]: the instructions
//! found in the target's own libc, the signal frame that puts a thread back whatever becomes of
//! us. No code is written into the target.
//!
//! A thread is *sent away* (see [`Held::send_away`]) by giving it a stack on which the functions
//! return into one another and the last into `rt_sigreturn`, with the frame that restores the
//! thread; then it is released at once. From there on it does not need us: it goes through its
//! functions as in a signal handler and back to where it was, where the interrupted system call
//! is repeated. So our death at any moment changes nothing.

mod error;
mod limits;
mod thread;

pub use error::InjectError;
pub use thread::{Doing, HeldThread};

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::fork::choice::{choices, usable};
use super::fork::frame::{Frames, Interrupted};
use super::fork::gadgets::Gadgets;
use super::fork::injection::{Call, Injection, Problem, signal_mask, xstate};
use super::fork::memory::TaskMemory;
use super::fork::refusal::is_filtered;
use super::fork::steps;
use super::stat::status_field;
use super::stop::{Hurry, Tracer, TracerThread};
use super::{Hold, Mapping, Pause, Process, ProcessError, StopError, StopOptions, StoppedThread};

/// `pop %rdi; ret`
const POP_RDI: [u8; 2] = [0x5f, 0xc3];
/// Most bytes of code searched for it, and at a time: it is mostly found soon, and fresh memory of
/// ours takes longer than the search.
const MOST_CODE: u64 = 16 << 20;
const PIECE: usize = 64 << 10;
/// How long one system call may take.
const CALL_WITHIN: Duration = Duration::from_secs(2);
/// Threads that are tried when one has too little stack.
const MOST_THREADS: usize = 8;
/// Stack that functions run on a thread must find: what CPython itself gives a thread at least.
const LEAST_STACK: u64 = 256 << 10;
/// Waits between attempts to use a single thread.
const ATTEMPTS: [(bool, Duration); 5] = [
    (false, Duration::ZERO),
    (true, Duration::ZERO),
    (true, Duration::from_millis(2)),
    (true, Duration::from_millis(10)),
    (true, Duration::from_millis(50)),
];

/// All that can be found out before the process is stopped.
#[derive(Debug, Clone, Copy)]
pub struct InjectPlan {
    gadgets: Gadgets,
    pop_rdi: u64,
    /// The main thread's stack when it was looked at; since then it can only have grown.
    main_stack: Option<(u64, u64)>,
}

impl InjectPlan {
    /// Looks whether anything can be run in the process without harm.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn prepare(process: &Process, maps: &[Mapping]) -> Result<Self, InjectError> {
        let pid = process.pid();
        if let Some((tracer, name)) = process.tracer()? {
            return Err(ProcessError::Traced { pid, tracer, name }.into());
        }
        let status = process.read("status")?;
        // arch/x86/kernel/shstk.c; the field names the features that are on.
        if status_field(&status, "x86_Thread_features").is_some_and(|on| on.contains("shstk")) {
            return Err(InjectError::ShadowStack { pid });
        }
        if is_filtered(process)? {
            return Err(InjectError::Seccomp { pid });
        }
        if let Some(bytes) = limits::deadly_file_limit(&process.read("limits")?, &status) {
            return Err(InjectError::FileLimit { pid, bytes });
        }
        let gadgets = Gadgets::find(process)?;
        let memory = TaskMemory(process.living_thread().unwrap_or(pid));
        let pop_rdi = find_pop_rdi(memory, maps, gadgets.ret);
        let pop_rdi = pop_rdi.ok_or(InjectError::NoGadgets { pid })?;
        let main_stack = maps.iter().find(|map| is_main_stack(map));
        Ok(Self { gadgets, pop_rdi, main_stack: main_stack.map(|map| (map.start, map.end)) })
    }
}

/// Looks in the code that has the other instructions, then in all of it.
fn find_pop_rdi(memory: TaskMemory, maps: &[Mapping], near: u64) -> Option<u64> {
    let code = |map: &&Mapping| map.executable && map.readable && !map.writable && map.is_file();
    let mut code: Vec<&Mapping> = maps.iter().filter(code).collect();
    code.sort_by_key(|map| !map.contains(near));
    let mut bytes = vec![0; PIECE];
    code.into_iter().find_map(|map| {
        let end = map.end.min(map.start.saturating_add(MOST_CODE));
        // Pieces overlap, so that nothing is missed where they meet.
        (map.start..end).step_by(PIECE - POP_RDI.len()).find_map(|at| {
            let piece = bytes.get_mut(..usize::try_from(end - at).ok()?.min(PIECE))?;
            if !memory.read(at, piece) {
                return None;
            }
            let index = piece.windows(POP_RDI.len()).position(|two| two == POP_RDI)?;
            Some(at + index as u64)
        })
    })
}

/// A thread that was sent away: what its first function returns through, and where.
#[derive(Debug, Clone, Copy)]
pub struct Away {
    at: u64,
    links: [u64; 4],
}

/// A process that stands still, ready to be made to run something.
#[derive(Debug)]
pub struct Held<'t> {
    tracer: &'t mut Tracer,
    plan: InjectPlan,
}

impl Process {
    /// Stops the process, has `job` done by the thread that holds it, and releases it again.
    /// Everything happens on that thread: to wake another one takes longer than most jobs.
    ///
    /// # Errors
    /// As [`Process::stop`]; the process is stopped by a signal, or the holding thread failed.
    pub fn inject<T: Send + 'static>(
        &self,
        options: StopOptions,
        plan: InjectPlan,
        job: impl FnOnce(&mut Held<'_>) -> T + Send + 'static,
    ) -> (Result<T, InjectError>, Pause) {
        let pid = self.pid();
        let own = match self.check().and_then(|()| self.try_clone()) {
            Ok(own) => own,
            Err(error) => return (Err(error.into()), Pause::none()),
        };
        // The tracer thread inherits it.
        let hurry = Hurry::begin();
        let usual = hurry.as_ref().map(Hurry::usual);
        let work = move || {
            let mut tracer = Tracer::new(pid, options, None, usual);
            let stopped = tracer.stop_all();
            // The threads were found by number: only now is it sure whose they are.
            let value = match (&stopped, own.check()) {
                (Ok(_), Err(error)) => Err(error.into()),
                (Ok(held), Ok(())) if held.threads.iter().any(is_job_stopped) => {
                    Err(InjectError::JobStopped { pid })
                }
                (Ok(_), Ok(())) => Ok(job(&mut Held { tracer: &mut tracer, plan })),
                (Err(_), _) => Err(ProcessError::Gone { pid }.into()),
            };
            steps::reached("prepared");
            let asked = Instant::now();
            let released = tracer.release_all();
            steps::reached("released");
            match stopped {
                Ok(held) => {
                    let pause = Pause {
                        total: released.saturating_duration_since(held.since),
                        until_all_stopped: held.until_all_stopped,
                        release: released.saturating_duration_since(asked),
                        threads: held.threads.len(),
                    };
                    (value, pause)
                }
                Err(error) => (Err(error.into()), Pause::none()),
            }
        };
        let failed = || StopError::Thread(std::io::Error::other("the tracer thread failed"));
        match TracerThread::spawn(work).map(TracerThread::join) {
            Ok(Some((value, pause))) => {
                // "Gone" from the tracer's view may be more precise in ours.
                let value = value.map_err(|error| self.check().map_or_else(Into::into, |()| error));
                (value, pause)
            }
            Ok(None) => (Err(failed().into()), Pause::none()),
            Err(error) => (Err(StopError::Thread(error).into()), Pause::none()),
        }
    }
}

fn is_job_stopped(thread: &StoppedThread) -> bool {
    matches!(thread.hold, Hold::GroupStop(_))
}

impl Held<'_> {
    /// The process.
    pub fn pid(&self) -> i32 {
        self.tracer.pid()
    }

    /// The threads that our interrupt holds; those about to receive a signal are not among them.
    pub fn threads(&self) -> Vec<HeldThread> {
        self.tracer.interrupted().into_iter().filter_map(thread::look_at).collect()
    }

    /// Reads memory, all of it or nothing.
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> bool {
        self.memory().read(at, buffer)
    }

    /// Writes memory.
    ///
    /// # Errors
    /// When not all of it can be written.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), InjectError> {
        let done = self.memory().write(at, bytes);
        done.then_some(()).ok_or(InjectError::Write { pid: self.pid(), at })
    }

    /// Has the process run a system call, and gives its result.
    ///
    /// # Errors
    /// The kernel's refusal among others; then nothing has happened.
    pub fn call(&mut self, call: RemoteCall) -> Result<i64, InjectError> {
        let (results, problem) = self.call_all(&[call]);
        match (results.last(), problem) {
            (Some(&result), None) => Ok(result),
            (_, Some(problem)) => Err(problem),
            (None, None) => Err(InjectError::NoThread { pid: self.pid() }),
        }
    }

    /// Has the process run system calls one after the other, up to the first that is refused:
    /// the results of those before it, and what went wrong.
    pub fn call_all(&mut self, calls: &[RemoteCall]) -> (Vec<i64>, Option<InjectError>) {
        let threads: Vec<i32> =
            choices(self.tracer).iter().take(MOST_THREADS).map(|choice| choice.tid).collect();
        call_in(self.tracer, &threads, self.plan.gadgets, calls)
    }

    /// Ends the system call that a thread waits in, as a signal without `SA_RESTART` would.
    ///
    /// # Errors
    /// When the thread has moved.
    pub fn interrupt_call(&mut self, tid: i32) -> Result<(), InjectError> {
        let gone = ProcessError::Gone { pid: self.pid() };
        let mut regs = ptrace::getregs(Pid::from_raw(tid)).map_err(|_| gone)?;
        if Interrupted::of(&regs) != Interrupted::Nothing {
            regs.rax = i64::from(-libc::EINTR).cast_unsigned();
            // No system call is under way: nothing for the kernel to repeat.
            regs.orig_rax = u64::MAX;
            ptrace::setregs(Pid::from_raw(tid), regs)
                .map_err(|_| ProcessError::Gone { pid: self.pid() })?;
        }
        steps::reached("call interrupted");
        Ok(())
    }

    /// Sends a thread that waits in a system call through functions of the process, each with an
    /// argument, before it goes back to waiting. A call whose remaining time only the kernel
    /// knows ends with EINTR instead.
    ///
    /// # Errors
    /// The thread cannot be used; then it was not touched.
    pub fn send_away(&mut self, tid: i32, functions: &[(u64, u64)]) -> Result<Away, InjectError> {
        self.try_send_away(tid, functions).ok_or(InjectError::NoThread { pid: self.tracer.pid() })
    }

    fn try_send_away(&mut self, tid: i32, functions: &[(u64, u64)]) -> Option<Away> {
        let gadgets = self.plan.gadgets;
        let memory = TaskMemory(tid);
        let saved = ptrace::getregs(Pid::from_raw(tid)).ok()?;
        let mask = signal_mask(tid).ok()?;
        let frames = Frames::build(&saved, mask, &xstate(tid)?, &gadgets)?;
        let mut pop_rdi = [0; POP_RDI.len()];
        if !gadgets.hold(memory)
            || !memory.read(self.plan.pop_rdi, &mut pop_rdi)
            || pop_rdi != POP_RDI
            || !self.has_stack(saved.rsp)
        {
            return None;
        }
        let (&(first, argument), rest) = functions.split_first()?;
        let chain = chain(&self.plan, rest);
        let stack = frames.stack.checked_sub(chain.len() as u64 * 8)?;
        let start = usize::try_from(frames.stack.checked_sub(frames.at)?).ok()?;
        let mut bytes: Vec<u8> = chain.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(frames.bytes.get(start..)?);
        memory.write(stack, &bytes).then_some(())?;
        steps::reached("chain written");
        let regs = user_regs_struct {
            rip: first,
            rdi: argument,
            rsp: stack,
            rbp: 0,
            rax: 0,
            orig_rax: u64::MAX,
            // Trap flag, direction flag.
            eflags: saved.eflags & !0x500,
            ..saved
        };
        ptrace::setregs(Pid::from_raw(tid), regs).ok()?;
        steps::reached("sent away");
        Some(Away { at: stack, links: *chain.first_chunk()? })
    }

    /// Gives another argument to the second function of a thread that was sent away; false when
    /// that has begun. The second one's stack overwrites what led to it.
    ///
    /// # Errors
    /// When the stack cannot be written.
    pub fn redirect(&mut self, away: &Away, argument: u64) -> Result<bool, InjectError> {
        let in_first = away.links.iter().zip(0_u64..).all(|(link, index)| {
            let mut word = [0; 8];
            self.read(away.at + index * 8, &mut word) && u64::from_le_bytes(word) == *link
        });
        if in_first {
            // Behind the instruction that loads it, see `chain`.
            self.write(away.at + 8, &argument.to_le_bytes())?;
        }
        Ok(in_first)
    }

    /// True when enough stack lies below this address. The main thread's grows by itself.
    fn has_stack(&self, pointer: u64) -> bool {
        if self.plan.main_stack.is_some_and(|(start, end)| (start..end).contains(&pointer)) {
            return true;
        }
        let Ok(text) = super::read_bounded(&format!("/proc/{}/maps", self.pid())) else {
            return false;
        };
        let maps = Mapping::parse_all(&text);
        let Some(map) = maps.iter().find(|map| map.contains(pointer)) else { return false };
        is_main_stack(map) || pointer - map.start >= LEAST_STACK
    }

    fn memory(&self) -> TaskMemory {
        TaskMemory(self.tracer.interrupted().first().copied().unwrap_or(self.tracer.pid()))
    }
}

/// What a chain of functions returns through. Where a function begins, the stack pointer is 8
/// above a multiple of 16, as behind a `call`; the second `ret` sees to that.
fn chain(plan: &InjectPlan, functions: &[(u64, u64)]) -> Vec<u64> {
    let link =
        |&(function, argument): &(u64, u64)| [plan.pop_rdi, argument, plan.gadgets.ret, function];
    functions.iter().flat_map(link).collect()
}

fn is_main_stack(map: &Mapping) -> bool {
    map.path.as_os_str() == "[stack]"
}

/// Has the first of the threads that can be used run system calls, see [`Held::call_all`].
fn call_in(
    tracer: &mut Tracer,
    threads: &[i32],
    gadgets: Gadgets,
    calls: &[RemoteCall],
) -> (Vec<i64>, Option<InjectError>) {
    let pid = tracer.pid();
    let plain: Vec<Call> =
        calls.iter().map(|&RemoteCall { number, args, .. }| Call { number, args }).collect();
    for &tid in threads {
        let Some(injection) = Injection::prepare(tid, gadgets) else { continue };
        let outcome = injection.run_all(&plain, false, Instant::now() + CALL_WITHIN);
        tracer.has_moved(tid, outcome.hold);
        let mut results = outcome.answers;
        let problem = match outcome.done {
            Ok(done) if (-4095..0).contains(&done.result) => {
                results.pop();
                let what = calls.get(results.len()).map_or("run a system call", |call| call.what);
                let errno =
                    i32::try_from(-done.result).map_or(Errno::UnknownErrno, Errno::from_raw);
                Some(InjectError::Refused { pid, what, errno })
            }
            Ok(_) => None,
            Err(Problem::Unusable) => continue,
            Err(Problem::Interrupted) => Some(InjectError::Interrupted { pid }),
            Err(Problem::Late) => Some(InjectError::Late { pid }),
            Err(Problem::Gone) => Some(ProcessError::Gone { pid }.into()),
        };
        return (results, problem);
    }
    (Vec::new(), Some(InjectError::NoThread { pid }))
}

/// A system call that the process is to run.
#[derive(Debug, Clone, Copy)]
pub struct RemoteCall {
    /// What it does, for messages.
    pub what: &'static str,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Process {
    /// Replaces bytes of the running process, if they are what they should be.
    pub fn replace_memory(&self, at: u64, expected: &[u8], new: &[u8]) -> bool {
        let memory = TaskMemory(self.living_thread().unwrap_or(self.pid()));
        let mut found = vec![0; expected.len()];
        self.check().is_ok()
            && memory.read(at, &mut found)
            && found == expected
            && memory.write(at, new)
    }

    /// Has one thread run system calls; only that thread is held. Calls that the kernel refuses
    /// count as done. Says how long the thread was held.
    ///
    /// # Errors
    /// When no thread could be used.
    pub fn run_calls(
        &self,
        plan: InjectPlan,
        calls: &[RemoteCall],
    ) -> Result<Duration, InjectError> {
        let mut left = calls.to_vec();
        let mut held = Duration::ZERO;
        let mut problem = InjectError::NoThread { pid: self.pid() };
        for (any, pause) in ATTEMPTS {
            std::thread::sleep(pause);
            for thread in self.threads()?.iter().take(MOST_THREADS) {
                if left.is_empty() {
                    return Ok(held);
                }
                match self.run_calls_in(thread.tid, plan, any, &left) {
                    Ok((time, done)) => {
                        held += time;
                        left.drain(..done.min(left.len()));
                    }
                    Err(error) => problem = error,
                }
            }
        }
        if left.is_empty() { Ok(held) } else { Err(problem) }
    }

    /// In one thread: how long it was held, and how many of the calls were run.
    fn run_calls_in(
        &self,
        tid: i32,
        plan: InjectPlan,
        any: bool,
        calls: &[RemoteCall],
    ) -> Result<(Duration, usize), InjectError> {
        self.check()?;
        let pid = self.pid();
        let options =
            StopOptions { stop_within: CALL_WITHIN, hard_deadline: CALL_WITHIN.saturating_mul(4) };
        let calls = calls.to_vec();
        // The tracer thread inherits it.
        let hurry = Hurry::begin();
        let usual = hurry.as_ref().map(Hurry::usual);
        let work = move || -> Result<(Duration, usize), InjectError> {
            let mut tracer = Tracer::new(pid, options, Some(tid), usual);
            let held = tracer.stop_all();
            let mut done = 0;
            if held.is_ok() && choices(&tracer).iter().any(|choice| any || usable(choice)) {
                for call in calls {
                    match call_in(&mut tracer, &[tid], plan.gadgets, &[call]).1 {
                        None | Some(InjectError::Refused { .. }) => done += 1,
                        Some(_) => break,
                    }
                }
            }
            let released = tracer.release_all();
            Ok((released.saturating_duration_since(held?.since), done))
        };
        let thread = TracerThread::spawn(work).map_err(StopError::Thread)?;
        thread.join().unwrap_or(Err(InjectError::NoThread { pid }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_begin_with_the_stack_as_behind_a_call() {
        let gadgets = Gadgets::for_tests();
        let plan = InjectPlan { gadgets, pop_rdi: 0x7000, main_stack: None };
        let words = chain(&plan, &[(0xa, 1), (0xb, 2)]);
        assert_eq!(words.len() % 2, 0, "keeps the alignment of the frame behind it");
        // Walks the chain as the processor does.
        let (mut at, mut argument, mut begun) = (0, 0, Vec::new());
        while at < words.len() {
            let target = words[at];
            at += 1;
            match target {
                0x7000 => {
                    argument = words[at];
                    at += 1;
                }
                target if target == gadgets.ret => {}
                function => {
                    begun.push((function, argument));
                    assert_eq!(at % 2, 0, "stack alignment at {function:#x}");
                }
            }
        }
        assert_eq!(begun, [(0xa, 1), (0xb, 2)]);
    }
}
