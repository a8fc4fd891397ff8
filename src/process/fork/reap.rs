//! Taking our dead children away from the target.
//!
//! Our child is the target's child. It ended without a signal to its parent and no ordinary
//! wait sees it, but its entry stays until the target asks for exactly it: with `wait4` and
//! `__WCLONE`, which we make one of its threads call. Children of earlier runs that were killed
//! before they could do that are known by what they are.

use std::time::{Duration, Instant};

use super::alone::{WITHIN, hold_one, try_threads};
use super::frame::CHILD_EXIT_CODE;
use super::gadgets::Gadgets;
use super::injection::{Call, Injection};
use super::steps;
use crate::process::stat::status_field;
use crate::process::stop::Tracer;
use crate::process::{Hold, Process, read_bounded};

/// Left-over children that are looked for and reaped at a time.
const MOST_LEFT_OVER: usize = 64;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reaped {
    /// Of one thread, from the interrupt to the release; the sum, when several were tried.
    pub(super) pause: Duration,
    /// Children that are gone now.
    pub(super) count: usize,
}

/// Has the target reap children, by their numbers in its own PID namespace. `first` is the
/// thread to try first.
pub(super) fn reap(
    process: &Process,
    gadgets: Gadgets,
    suspend_seccomp: bool,
    first: i32,
    children: &[i32],
) -> Reaped {
    let mut reaped = Reaped::default();
    let mut left = children.to_vec();
    // What cannot be listed has ended, and its children with it.
    let _ = try_threads(process, Some(first), |tid, any| {
        let children = left.clone();
        let held = hold_one(process, tid, any, move |tracer| {
            wait_for_all(tracer, tid, gadgets, suspend_seccomp, &children)
        });
        if let Ok((gone, pause)) = held {
            reaped.pause += pause;
            let gone = gone.unwrap_or_default();
            reaped.count += gone.len();
            left.retain(|child| !gone.contains(child));
        }
        left.is_empty()
    });
    reaped
}

/// Has a held thread wait for each child; those that are gone.
fn wait_for_all(
    tracer: &mut Tracer,
    tid: i32,
    gadgets: Gadgets,
    suspend_seccomp: bool,
    children: &[i32],
) -> Vec<i32> {
    let until = Instant::now() + WITHIN;
    let mut gone = Vec::new();
    for &child in children {
        let Some(injection) = Injection::prepare(tid, gadgets) else { break };
        steps::reached("before wait");
        let outcome = injection.run(wait_for(child), suspend_seccomp, until);
        tracer.has_moved(tid, outcome.hold);
        match outcome.done {
            // No such child: somebody was faster.
            Ok(done)
                if done.result == i64::from(child) || done.result == -i64::from(libc::ECHILD) =>
            {
                gone.push(child);
            }
            Ok(_) => {}
            Err(_) => break,
        }
        if outcome.hold != Some(Hold::Interrupted) {
            break;
        }
    }
    gone
}

fn wait_for(child: i32) -> Call {
    let options = libc::__WCLONE | libc::WNOHANG;
    let args = [i64::from(child).cast_unsigned(), 0, u64::from(options.cast_unsigned()), 0, 0, 0];
    Call { number: libc::SYS_wait4, args }
}

/// Children of earlier runs, by their numbers in the target's PID namespace: zombies that
/// signal nobody, killed or ended as our child's frame ends it, without having run.
pub(super) fn left_over(process: &Process) -> Vec<i32> {
    let children = process.children(false).unwrap_or_default();
    let left = children.into_iter().filter(|&child| is_ours(child));
    left.filter_map(number_in_target).take(MOST_LEFT_OVER).collect()
}

fn is_ours(child: i32) -> bool {
    let Some(fields) = Fields::of(child) else { return false };
    let status = fields.get(52).parse::<i32>().unwrap_or(-1);
    let ours = [libc::SIGKILL, i32::from(CHILD_EXIT_CODE) << 8];
    fields.get(3) == "Z" && fields.get(38) == "0" && fields.get(14) == "0" && ours.contains(&status)
}

/// True for a child that lives and whose end nobody would be told of: a copy, ours or of another
/// one of us.
pub(super) fn signals_nobody(child: i32) -> bool {
    Fields::of(child).is_some_and(|fields| fields.get(38) == "0" && fields.get(3) != "Z")
}

/// `/proc/PID/stat` by the numbers of proc_pid_stat(5), from 3 on.
struct Fields(String);

impl Fields {
    fn of(pid: i32) -> Option<Self> {
        let text = read_bounded(&format!("/proc/{pid}/stat")).ok()?;
        let close = text.iter().rposition(|&byte| byte == b')')?;
        Some(Self(String::from_utf8_lossy(text.get(close + 1..)?).into_owned()))
    }

    fn get(&self, number: usize) -> &str {
        let index = number.saturating_sub(3);
        self.0.split_ascii_whitespace().nth(index).unwrap_or_default()
    }
}

/// A process's number in its own PID namespace.
pub(super) fn number_in_target(child: i32) -> Option<i32> {
    let status = read_bounded(&format!("/proc/{child}/status")).ok()?;
    status_field(&status, "NSpid")?.split_ascii_whitespace().next_back()?.parse().ok()
}
