//! The frozen child: held still before its first instruction, killed when it has been read.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::gadgets::Gadgets;
use super::injection::{set_options, wait};
use super::memory::TaskMemory;
use super::reap::reap;
use super::{ForkError, ForkPlan, steps};
use crate::process::Process;
use crate::process::stop::{Released, TracerThread};

/// How long a new child may take to its first stop.
const FREEZE_WITHIN: Duration = Duration::from_secs(5);

/// A copy of a process that never runs. Its end (also by dropping it) kills the child and has
/// the process reap it.
#[derive(Debug)]
pub struct FrozenChild<'p> {
    parent: &'p Process,
    child: Process,
    number_in_target: i32,
    gadgets: Gadgets,
    suspend_seccomp: bool,
    left_over: Vec<i32>,
    /// The thread that made it.
    tid: i32,
    /// The thread of ours that traces it, until the sender is dropped.
    tracer: Option<(Sender<()>, TracerThread<Released>)>,
}

/// How a frozen child ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ending {
    /// How long one thread of the process was held to reap it.
    pub pause: Duration,
    /// Entries that are gone: the child's, and those of children that earlier runs left.
    pub reaped: usize,
    /// Entries that are still there; the next run tries again.
    pub left: usize,
}

impl<'p> FrozenChild<'p> {
    /// Takes over a child that the thread `tid` of `parent` has made.
    pub(super) fn new(
        parent: &'p Process,
        plan: &ForkPlan,
        born: Born,
        tracer: (Sender<()>, TracerThread<Released>),
    ) -> Result<Self, ForkError> {
        let lost = ForkError::Lost { pid: parent.pid() };
        // Made by hand on failure too: the child must not outlive this.
        let child = match Process::open(born.pid) {
            Ok(child) => child,
            Err(_) => {
                end_tracer(tracer);
                let children = [born.number_in_target];
                reap(parent, plan.gadgets, plan.suspend_seccomp, born.tid, &children);
                return Err(lost);
            }
        };
        Ok(Self {
            parent,
            child,
            number_in_target: born.number_in_target,
            gadgets: plan.gadgets,
            suspend_seccomp: plan.suspend_seccomp,
            left_over: plan.left_over.clone(),
            tid: born.tid,
            tracer: Some(tracer),
        })
    }

    /// The child, to be read like any process.
    pub fn process(&self) -> &Process {
        &self.child
    }

    /// Kills the child and has the process reap it, together with what earlier runs left.
    pub fn finish(mut self) -> Ending {
        self.end()
    }

    fn end(&mut self) -> Ending {
        let Some(tracer) = self.tracer.take() else { return Ending::default() };
        steps::reached("read");
        end_tracer(tracer);
        steps::reached("killed");
        let mut children = vec![self.number_in_target];
        children.append(&mut self.left_over);
        // The program may have been replaced since (exec).
        let memory = TaskMemory(self.parent.living_thread().unwrap_or(self.parent.pid()));
        let gadgets = if self.gadgets.hold(memory) {
            self.gadgets
        } else {
            Gadgets::find(self.parent).unwrap_or(self.gadgets)
        };
        let reaped = reap(self.parent, gadgets, self.suspend_seccomp, self.tid, &children);
        steps::reached("reaped");
        Ending {
            pause: reaped.pause,
            reaped: reaped.count,
            left: children.len().saturating_sub(reaped.count),
        }
    }
}

impl Drop for FrozenChild<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

fn end_tracer((end, thread): (Sender<()>, TracerThread<Released>)) {
    drop(end);
    // A thread that has failed has ended, and the kernel has killed what it traced.
    let _ = thread.join();
}

/// A child as the tracer thread knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Born {
    pub(super) pid: i32,
    pub(super) number_in_target: i32,
    pub(super) tid: i32,
}

/// Before the process runs on: when memory runs short, the child is to go first. A group without
/// room could call the out-of-memory killer at the first page that the process writes.
pub(super) fn goes_first(child: i32) {
    let _ = std::fs::write(format!("/proc/{child}/oom_score_adj"), "1000");
}

/// On the tracer thread: sees that the child dies with us. False when it is already gone.
pub(super) fn freeze(child: i32) -> bool {
    if wait(child, Instant::now() + FREEZE_WITHIN).is_err() {
        return false;
    }
    // On the child only: the process itself must never die with us.
    let bound = set_options(child, libc::PTRACE_O_EXITKILL).is_ok();
    steps::reached("frozen");
    bound
}

/// On the tracer thread: waits until the other side drops its end, then kills the child and
/// sees it dead.
pub(super) fn keep(child: i32, end: &Receiver<()>) {
    let _ = end.recv();
    kill(child);
}

/// Kills a child that this thread traces, and waits for its death; the rest of it is for its
/// parent to reap.
pub(super) fn kill(child: i32) {
    let Ok(id) = libc::id_t::try_from(child) else { return };
    // SAFETY: all-zero bytes are a valid siginfo_t; the pointer lives for the call. As long as
    // we have not waited for it, the number is the child's.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        let mut info: libc::siginfo_t = std::mem::zeroed();
        while libc::waitid(libc::P_PID, id, &raw mut info, libc::WEXITED | libc::__WALL) == -1
            && nix::errno::Errno::last() == nix::errno::Errno::EINTR
        {}
    }
}

/// Both ends of the line by which a tracer thread is told to end the child.
pub(super) fn line() -> (Sender<()>, Receiver<()>) {
    channel()
}
