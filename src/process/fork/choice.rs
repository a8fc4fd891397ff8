//! Which of the stopped threads is to run a system call for us.

use nix::sys::ptrace;
use nix::unistd::Pid;

use super::frame::Interrupted;
use super::injection::may_be_in_rseq;
use crate::process::stop::Tracer;

/// Of the best kind; more are not looked for, there may be thousands.
const ENOUGH: usize = 4;

/// A thread that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) struct Choice {
    pub(in crate::process) tid: i32,
    rank: Rank,
}

/// Best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// In a system call that goes on exactly, whatever becomes of us.
    Waiting,
    /// In code of its own.
    Running,
    /// In a wait for a relative time: should we die, it ends early (EINTR).
    WithRestOfTime,
}

/// The threads that can be used, best first; of equals the oldest, so the main thread.
pub(in crate::process) fn choices(tracer: &Tracer) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::new();
    let mut waiting = 0;
    for tid in tracer.interrupted() {
        let Some(rank) = rank(tid) else { continue };
        choices.push(Choice { tid, rank });
        waiting += usize::from(rank == Rank::Waiting);
        if waiting == ENOUGH {
            break;
        }
    }
    choices.sort_by_key(|choice| choice.rank);
    choices
}

/// True when our death would not be noticed.
pub(in crate::process) fn usable(choice: &Choice) -> bool {
    choice.rank != Rank::WithRestOfTime
}

fn rank(tid: i32) -> Option<Rank> {
    let regs = ptrace::getregs(Pid::from_raw(tid)).ok()?;
    match Interrupted::of(&regs) {
        Interrupted::WithRestOfTime => Some(Rank::WithRestOfTime),
        _ if regs.orig_rax.cast_signed() >= 0 => Some(Rank::Waiting),
        _ => (!may_be_in_rseq(tid)).then_some(Rank::Running),
    }
}
