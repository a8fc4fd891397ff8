//! What the chosen thread is doing while the target stands still, and so which way leads into it.

use super::caller::Code;
use super::memory::HeldMemory;
use super::{ExecError, Way};
use crate::cpython::{Gil, Interpreter, ObjectError, Python, Runtime, ThreadState};
use crate::layout::Layout;
use crate::memory::Address;
use crate::process::{Doing, Held, HeldThread, Syscall};

/// Calls in which a thread waits without the GIL and without locks of libc: it can be sent away
/// from there.
const WAITS: [i64; 16] = [
    // One with a time limit, interrupted before; newer libcs do not show which.
    libc::SYS_restart_syscall,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
];
/// The same, when somebody else's event loop waits.
const LOOPS: [i64; 6] = [
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
];

/// The chosen thread and its surroundings.
#[derive(Debug)]
pub(super) struct Situation {
    pub(super) interpreter: Address,
    pub(super) thread: ThreadState,
    pub(super) os: HeldThread,
    /// It is the main thread.
    pub(super) main: bool,
    /// No other interpreter has a state for it.
    alone: bool,
    gil: Option<Gil>,
}

/// How to get the script run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) way: Way,
    /// End the system call it waits in, so that it looks up.
    pub(super) interrupt: bool,
}

impl Situation {
    /// Reads it. `wanted` is a thread of the kernel; without it, the main thread.
    pub(super) fn read(
        held: &Held<'_>,
        layout: &Layout,
        runtime: Address,
        wanted: Option<i32>,
    ) -> Result<Self, ExecError> {
        let pid = held.pid();
        let state = |source: ObjectError| ExecError::State { pid, source };
        let memory = HeldMemory::new(held);
        let python = Python::new(&memory, layout);
        let runtime: Runtime = python.runtime(runtime).map_err(state)?;
        if runtime.finalizing {
            return Err(ExecError::Finalizing { pid });
        }
        let held_threads = held.threads();
        let interpreters = python.interpreters(runtime.address).map_err(state)?;
        let mut states: Vec<(Interpreter, ThreadState)> = Vec::new();
        for interpreter in &interpreters {
            let threads = python.threads(interpreter).map_err(state)?;
            states.extend(threads.into_iter().map(|thread| (*interpreter, thread)));
        }
        let wanted_ident = match wanted {
            None => runtime.main_thread,
            Some(tid) => held_threads
                .iter()
                .find(|thread| thread.tid == tid)
                .map(|thread| thread.ident)
                .ok_or(ExecError::NoPythonThread { pid, tid })?,
        };
        let missing = || match wanted {
            None => ExecError::NoMainThread { pid },
            Some(tid) => ExecError::NoPythonThread { pid, tid },
        };
        let of_thread =
            |found: &&(Interpreter, ThreadState)| found.1.ident == wanted_ident && found.0.id == 0;
        let &(interpreter, thread) = states.iter().find(of_thread).ok_or_else(missing)?;
        let alone = states.iter().filter(|(_, one)| one.ident == wanted_ident).count() == 1;
        let main = wanted_ident == runtime.main_thread;
        let count = held_threads.len();
        let Some(os) = held_threads.into_iter().find(|one| one.ident == wanted_ident) else {
            return Err(if !all_are_held(pid, count) {
                let what = "the thread is about to receive a signal, or sleeps uninterruptibly";
                ExecError::Restless { pid, what, within: std::time::Duration::ZERO }
            } else {
                missing()
            });
        };
        let gil = python.gil(runtime.address, &interpreter).map_err(state)?;
        Ok(Self { interpreter: interpreter.address, thread, os, main, alone, gil })
    }

    /// The way into the thread, if there is one.
    pub(super) fn decide(
        &self,
        held: &Held<'_>,
        code: &Code,
        requests: bool,
    ) -> Result<Decision, ExecError> {
        let ask = Decision {
            way: if requests { Way::Request } else { Way::PendingCall },
            interrupt: false,
        };
        let decision = match self.os.doing {
            Doing::Running => ask,
            Doing::Waiting(call) if is_futex(&call) => match self.waits_for_gil(&call) {
                true => ask,
                // Locks run pending calls when they are interrupted, but no debugger's request.
                false if self.main => Decision {
                    way: Way::PendingCall,
                    interrupt: code.waits_for_python(held, &self.os),
                },
                false => ask,
            },
            Doing::Waiting(call) => self.in_call(&call, held, code, requests).unwrap_or(ask),
        };
        if !self.main && decision.way == Way::PendingCall {
            let (pid, tid) = (held.pid(), self.os.tid);
            return Err(ExecError::ThreadUnreachable { pid, tid, doing: self.doing() });
        }
        Ok(decision)
    }

    fn in_call(
        &self,
        call: &Syscall,
        held: &Held<'_>,
        code: &Code,
        requests: bool,
    ) -> Option<Decision> {
        let number = call.number.cast_signed();
        if self.holds_gil() || !WAITS.contains(&number) {
            return None;
        }
        let ours = code.waits_for_python(held, &self.os);
        if ours && requests {
            return Some(Decision { way: Way::Request, interrupt: true });
        }
        // Somebody else's code may take a call that ends early for an error.
        let theirs = LOOPS.contains(&number) && !self.os.rest_of_time;
        let borrow = self.alone && (ours || theirs);
        borrow.then_some(Decision { way: Way::BorrowedThread, interrupt: false })
    }

    fn holds_gil(&self) -> bool {
        // Without knowing: yes.
        self.gil.is_none_or(|gil| gil.holder == Some(self.thread.address))
    }

    fn waits_for_gil(&self, call: &Syscall) -> bool {
        let [futex, ..] = call.args;
        self.gil.is_some_and(|gil| gil.contains(futex))
    }

    /// What the thread does, as the end of a sentence about it.
    pub(super) fn doing(&self) -> String {
        match self.os.doing {
            Doing::Waiting(call) if is_futex(&call) && self.waits_for_gil(&call) => {
                "waits for the GIL".to_owned()
            }
            Doing::Waiting(call) if is_futex(&call) => "waits for a lock".to_owned(),
            Doing::Waiting(call) => format!("is in {}", call_name(&call)),
            Doing::Running if self.holds_gil() => "runs with the GIL".to_owned(),
            Doing::Running => "runs code without the GIL".to_owned(),
        }
    }
}

fn is_futex(call: &Syscall) -> bool {
    /// `FUTEX_WAIT_BITSET` with a time, whatever its flags.
    const COMMAND: u64 = 127;
    let [at, operation, ..] = call.args;
    let wait = operation & COMMAND == libc::FUTEX_WAIT_BITSET as u64 && operation < 1024;
    match call.number.cast_signed() {
        libc::SYS_futex => true,
        libc::SYS_restart_syscall => wait && at >= 4096 && at % 4 == 0,
        _ => false,
    }
}

fn call_name(call: &Syscall) -> String {
    let number = usize::try_from(call.number).ok();
    let known = number.and_then(syscalls::Sysno::new);
    known.map_or_else(|| format!("system call {}", call.number), |call| call.name().to_owned())
}

/// True when no thread is left that we do not hold.
fn all_are_held(pid: i32, held: usize) -> bool {
    let listed = std::fs::read_dir(format!("/proc/{pid}/task"));
    listed.is_ok_and(|entries| entries.count() == held)
}
