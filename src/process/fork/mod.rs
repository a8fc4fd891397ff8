//! A frozen copy of a process: one injected `clone`, and the process runs on.
//!
//! The child shares nothing with the process but the open files (`CLONE_FILES`: otherwise a
//! connection that the process closes would stay open in the child) and memory that is shared
//! by design. It signals nobody at its end (exit signal 0), so that no wait of the program sees
//! it. It stands before its first instruction, traced by us, until it has been read; then it
//! is killed, and a second injection has the process reap it.
//!
//! A program that asks for any child with `__WALL` or `__WCLONE` would see it; CPython has no
//! such wait.
//!
//! What a fork costs the process besides the pause: each page that it writes while the child
//! lives is copied first. Known limit: when the process itself calls exec while the child
//! lives, record locks (`fcntl`) that it holds end with the child.
//!
//! Relies on [`super::stop`] for holding the threads. One subject per file: [`refusal`],
//! [`gadgets`], [`frame`], [`choice`] of a thread, [`injection`], [`child`], holding one thread
//! [`alone`], [`reap`].

pub(super) mod alone;
mod child;
pub(super) mod choice;
mod error;
pub(super) mod frame;
pub(super) mod gadgets;
pub(super) mod injection;
pub(super) mod memory;
mod reap;
pub(super) mod refusal;
mod room;
pub(super) mod steps;

pub use child::{Ending, FrozenChild};
pub use error::ForkError;
pub use steps::reached;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::stop::Tracer;
use super::{Pause, Process, StopError, Stopped};
use child::Born;
use choice::choices;
use gadgets::Gadgets;
use injection::{Call, Injection, Problem};

/// Threads that are tried when one has too little stack.
const MOST_THREADS: usize = 8;

/// All that can be found out before the process is stopped.
#[derive(Debug, Clone)]
pub struct ForkPlan {
    gadgets: Gadgets,
    suspend_seccomp: bool,
    left_over: Vec<i32>,
}

impl ForkPlan {
    /// Looks whether the process can be forked without harm.
    ///
    /// What is a risk, but not likely to do harm, is taken only when the user does `insist`:
    /// a seccomp filter that we may suspend (`CAP_SYS_ADMIN`; should we be killed within some
    /// microseconds, it would judge a system call of ours), and a control group with little
    /// memory left.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn prepare(process: &Process, insist: bool) -> Result<Self, ForkError> {
        let suspend_seccomp = refusal::check_process(process, insist)?;
        let gadgets = Gadgets::find(process)?;
        Ok(Self { gadgets, suspend_seccomp, left_over: reap::left_over(process) })
    }
}

impl<'p> Stopped<'p> {
    /// Makes a frozen copy of the process and releases the process, whether that worked or
    /// not. The copy must be there `until` then, counted from now.
    ///
    /// # Errors
    /// With [`ForkError::is_transient`], another stop may have better luck.
    pub fn fork(
        self,
        plan: &ForkPlan,
        until: Duration,
    ) -> (Result<FrozenChild<'p>, ForkError>, Pause) {
        let asked = Instant::now();
        let parent = self.process();
        let pid = parent.pid();
        if let Err(error) = refusal::check_threads(pid, self.threads()) {
            return (Err(error), self.release());
        }
        let (send, receive) = channel();
        let (end, ended) = child::line();
        let (gadgets, suspend) = (plan.gadgets, plan.suspend_seccomp);
        let until = asked + until;
        let handed = self.hand_over(Box::new(move |tracer| {
            let born = make_child(tracer, gadgets, suspend, until);
            if let Ok(born) = &born {
                child::goes_first(born.pid);
            }
            // Before anything else is done with the child.
            let released = tracer.release_all();
            steps::reached("released");
            let Ok(born) = born else {
                let _ = send.send((born, released));
                return;
            };
            let frozen = child::freeze(born.pid);
            let answer = if frozen { Ok(born) } else { Err(ForkError::Lost { pid }) };
            if send.send((answer, released)).is_ok() && frozen {
                child::keep(born.pid, &ended);
            } else {
                child::kill(born.pid);
            }
        }));
        let failed = || StopError::Thread(std::io::Error::other("the tracer thread failed"));
        let Some(handed) = handed else {
            let pause = Pause::none();
            return (Err(failed().into()), pause);
        };
        let (answer, released) = match receive.recv() {
            Ok(answer) => answer,
            Err(_) => (Err(failed().into()), Instant::now()),
        };
        let pause = Pause {
            since: Some(handed.since),
            total: released.saturating_duration_since(handed.since),
            until_all_stopped: handed.until_all_stopped,
            release: released.saturating_duration_since(asked),
            threads: handed.threads,
        };
        let tracer = handed.thread;
        let child = match answer {
            Ok(born) => FrozenChild::new(parent, plan, born, (end, tracer)),
            Err(error) => {
                drop(end);
                let _ = tracer.join();
                Err(error)
            }
        };
        (child, pause)
    }
}

/// Has one of the held threads make the child.
fn make_child(
    tracer: &mut Tracer,
    gadgets: Gadgets,
    suspend_seccomp: bool,
    until: Instant,
) -> Result<Born, ForkError> {
    let pid = tracer.pid();
    for choice in choices(tracer).into_iter().take(MOST_THREADS) {
        let tid = choice.tid;
        let Some(injection) = Injection::prepare(tid, gadgets) else { continue };
        let flags = libc::CLONE_FILES as u64;
        let call =
            Call { number: libc::SYS_clone, args: [flags, injection.child_stack(), 0, 0, 0, 0] };
        let outcome = injection.run(call, suspend_seccomp, until);
        tracer.has_moved(tid, outcome.hold);
        let problem = match outcome.done {
            Ok(done) => match (done.child, i32::try_from(done.result)) {
                (Some(child), Ok(number_in_target)) if number_in_target > 0 => {
                    return Ok(Born { pid: child, number_in_target, tid });
                }
                _ => refusal::refused(pid, done.result),
            },
            Err(Problem::Unusable) => continue,
            Err(Problem::Interrupted) => ForkError::Interrupted { pid },
            Err(Problem::Late) => ForkError::Late { pid },
            Err(Problem::Gone) => super::ProcessError::Gone { pid }.into(),
        };
        if let Some(child) = outcome.child {
            // It exists, but not as planned. A later run finds its remains.
            child::kill(child);
        }
        return Err(problem);
    }
    Err(ForkError::NoThread { pid })
}
