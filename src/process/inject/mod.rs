//! Making a stopped process run something: a system call, or a chain of its own functions in a
//! thread that waits in the kernel.
//!
//! Knows nothing of Python. Everything lives on the parts of [`super::fork`]: the instructions
//! found in the target's own libc, the signal frame that puts a thread back whatever becomes of
//! us. No code is written into the target.
//!
//! A system call ([`calls`]) is run while the thread is held. A thread that is *sent away* ([`away`])
//! is released at once, goes through its functions as in a signal handler and back to where it was,
//! where the interrupted system call is repeated. It does not need us for that: our death at any
//! moment changes nothing.

mod away;
mod calls;
mod error;
mod limits;
mod thread;

pub use away::Away;
pub use calls::RemoteCall;
pub use error::InjectError;
pub use thread::{Doing, HeldThread};

use std::time::Instant;

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::fork::frame::Interrupted;
use super::fork::gadgets::Gadgets;
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
        let main_stack = maps.iter().find(|map| away::is_main_stack(map));
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
                        since: Some(held.since),
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

    fn memory(&self) -> TaskMemory {
        TaskMemory(self.tracer.interrupted().first().copied().unwrap_or(self.tracer.pid()))
    }
}
