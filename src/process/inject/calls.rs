//! System calls that a process is made to run, one after the other, in a thread that can be used.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::super::fork::alone::{WITHIN, hold_one, try_threads};
use super::super::fork::choice::choices;
use super::super::fork::gadgets::Gadgets;
use super::super::fork::injection::{Call, Injection, Problem};
use super::super::fork::memory::TaskMemory;
use super::super::stop::Tracer;
use super::super::{Process, ProcessError};
use super::{Held, InjectError, InjectPlan};

/// Threads that are tried when one has too little stack.
const MOST_THREADS: usize = 8;

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

impl Held<'_> {
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
        if left.is_empty() {
            return Ok(Duration::ZERO);
        }
        let mut held = Duration::ZERO;
        let mut problem = InjectError::NoThread { pid: self.pid() };
        try_threads(self, None, |tid, any| {
            let calls = left.clone();
            match hold_one(self, tid, any, move |tracer| run_calls_in(tracer, tid, plan, &calls)) {
                Ok((done, pause)) => {
                    held += pause;
                    left.drain(..done.unwrap_or(0).min(left.len()));
                }
                Err(error) => problem = error.into(),
            }
            left.is_empty()
        })?;
        if left.is_empty() { Ok(held) } else { Err(problem) }
    }
}

/// Has a held thread run system calls: how many were run.
fn run_calls_in(tracer: &mut Tracer, tid: i32, plan: InjectPlan, calls: &[RemoteCall]) -> usize {
    let run = |call: &&RemoteCall| {
        let problem = call_in(tracer, &[tid], plan.gadgets, &[**call]).1;
        matches!(problem, None | Some(InjectError::Refused { .. }))
    };
    calls.iter().take_while(run).count()
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
        let outcome = injection.run_all(&plain, false, Instant::now() + WITHIN);
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
