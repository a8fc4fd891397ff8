//! Thread stacks from a picture of the interpreters.
//!
//! [`collect`] runs while the target is stopped, so it only reads: rows of text are made by
//! [`Stacks::into_rows`], source lines and kernel names added, when it runs again.

use super::Problem;
use super::locals::{ReadLocal, read_locals};
use crate::cpython::{Frame, Gil, Interpreter, Python, Runtime, ThreadName, ThreadState};
use crate::process::Syscall;
use crate::snapshot::{FrameRow, ThreadRow};
use std::collections::BTreeMap;

/// `SYS_futex` on x86_64.
pub(in crate::attach) const FUTEX: u64 = 202;

/// What is known of a thread from the operating system, by its id in our pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OsState {
    /// The system call it was in when it was stopped.
    pub syscall: Option<Syscall>,
    /// It was stopped by a job-control signal before we came.
    pub job_stopped: bool,
    /// False when the registers could not be had: then nothing is said of its state.
    pub known: bool,
}

/// What `dump` is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpOptions {
    /// Decode local variables.
    pub locals: bool,
}

/// Threads of the operating system and how the target's own ids map to ours.
#[derive(Debug, Default)]
pub struct OsThreads {
    /// By id in our pid namespace.
    pub states: BTreeMap<i32, OsState>,
    /// From ids in the target's pid namespace to ours.
    pub by_inner_id: BTreeMap<u64, i32>,
    /// The main thread.
    pub main: i32,
}

/// Frames of all threads that are shown: far more than a program has, and as many as can be
/// held. Chains of frames that ran into each other would be followed again for each thread.
const MAX_FRAMES: usize = 1_000_000;
/// Local variables of all frames that are decoded: a function with thousands of them that calls
/// itself thousands of times would be read for minutes, and the target stands still.
const MAX_LOCALS: usize = 200_000;

/// The stacks of all threads.
#[derive(Debug, Default)]
pub struct Stacks {
    /// By interpreter, main thread first; the rows have no frames yet.
    threads: Vec<(ThreadRow, Vec<ReadFrame>)>,
    /// Stacks, names and variables that could not be read.
    pub unreadable: u64,
    /// Every stack was read to its outermost frame, and the threads' names were found.
    pub complete: bool,
}

/// A frame and, if they were asked for, its local variables.
type ReadFrame = (Frame, Option<Vec<ReadLocal>>);

impl Stacks {
    /// The threads as they are shown, without what files and the kernel add.
    pub fn into_rows(self) -> Vec<ThreadRow> {
        let row = |(frame, locals): ReadFrame| FrameRow {
            locals: locals.map(|all| all.into_iter().map(ReadLocal::into_row).collect()),
            ..frame_row(&frame)
        };
        let threads = self.threads.into_iter();
        threads
            .map(|(thread, frames)| ThreadRow {
                frames: frames.into_iter().map(row).collect(),
                ..thread
            })
            .collect()
    }
}

/// The stacks of all threads of all interpreters.
pub fn collect(
    python: &Python<'_>,
    runtime: &Runtime,
    interpreters: &[Interpreter],
    os: &OsThreads,
    options: DumpOptions,
) -> Result<Stacks, Problem> {
    let mut rows = Vec::new();
    let mut unreadable = 0;
    let mut complete = true;
    let mut room = MAX_FRAMES;
    let mut room_for_locals = MAX_LOCALS;
    for interpreter in interpreters {
        let gil = python.gil(runtime.address, interpreter)?;
        let names = unless_fatal(python.thread_names(interpreter))?;
        unreadable += u64::from(names.is_none());
        complete &= names.is_some();
        let names = names.unwrap_or_default();
        let threads = python.threads(interpreter)?;
        let ids = super::native_ids::KernelIds::new(python, runtime, os, &names, &threads);
        for thread in &threads {
            let mut stack = python.stack(thread)?;
            let mut cut = stack.cut.map(|error| error.to_string());
            if stack.frames.len() > room {
                stack.frames.truncate(room);
                cut = Some(format!("all threads together have more than {MAX_FRAMES} frames"));
            }
            room -= stack.frames.len();
            unreadable += u64::from(cut.is_some());
            complete &= cut.is_none();
            let name = names.iter().find(|name| name.ident == thread.ident);
            let main = thread.ident == runtime.main_thread && interpreter.id == 0;
            let tid = ids.of(thread);
            let mut row = thread_row(interpreter, thread, name, tid, gil, os);
            row.main = main;
            row.truncated = cut;
            let mut frames = Vec::with_capacity(stack.frames.len());
            for frame in stack.frames {
                let locals = match options.locals {
                    true => Some(
                        unless_fatal(read_locals(python, &frame, &mut room_for_locals))?
                            .unwrap_or_else(|| vec![ReadLocal::all_unread()]),
                    ),
                    false => None,
                };
                let unknown = locals.iter().flatten().filter(|local| !local.is_read());
                unreadable += unknown.count() as u64;
                frames.push((frame, locals));
            }
            rows.push((row, frames));
        }
    }
    // Main thread first; the others as they were started.
    rows.sort_by_key(|(row, _)| (row.interpreter, !row.main));
    Ok(Stacks { threads: rows, unreadable, complete })
}

fn thread_row(
    interpreter: &Interpreter,
    thread: &ThreadState,
    name: Option<&ThreadName>,
    tid: Option<i32>,
    gil: Option<Gil>,
    os: &OsThreads,
) -> ThreadRow {
    let holds_gil = gil.map(|gil| gil.holder == Some(thread.address));
    let os_state = tid.and_then(|tid| os.states.get(&tid)).copied().unwrap_or_default();
    let inner = tid.and_then(|tid| {
        let inner = os.by_inner_id.iter().find(|&(_, &outer)| outer == tid)?.0;
        (*inner != tid as u64).then_some(*inner)
    });
    let (state, syscall) = state(os_state, holds_gil, gil);
    ThreadRow {
        interpreter: interpreter.id,
        tid,
        native_id: inner,
        ident: format!("{:#x}", thread.ident),
        name: name.and_then(|name| name.name.clone()),
        os_name: None,
        main: false,
        state: state.map(str::to_owned),
        syscall,
        holds_gil,
        truncated: None,
        frames: Vec::new(),
    }
}

/// What a thread is doing. A wait for the GIL is a futex inside the GIL's own struct
/// (`take_gil` in Python/ceval_gil.c waits on its condition variable).
fn state(
    os: OsState,
    holds_gil: Option<bool>,
    gil: Option<Gil>,
) -> (Option<&'static str>, Option<String>) {
    if !os.known {
        return (None, None);
    }
    if os.job_stopped {
        return (Some("stopped"), None);
    }
    match os.syscall {
        Some(call) if call.number == FUTEX && gil.is_some_and(|gil| gil.contains(call.args[0])) => {
            (Some("waiting for the GIL"), None)
        }
        Some(call) => (Some("in system call"), Some(syscall_name(call.number))),
        None if holds_gil == Some(true) => (Some("running"), None),
        None => (Some("running without the GIL"), None),
    }
}

/// The name of an x86_64 system call.
pub fn syscall_name(number: u64) -> String {
    let known = usize::try_from(number).ok().and_then(syscalls::Sysno::new);
    known.map_or_else(|| format!("number {number}"), |call| call.name().to_owned())
}

pub(in crate::attach) fn frame_row(frame: &Frame) -> FrameRow {
    FrameRow {
        function: frame.code.name.clone(),
        qualname: frame.qualname().map(str::to_owned),
        file: frame.code.filename.clone(),
        line: frame.line,
        source: None,
        locals: None,
    }
}

fn unless_fatal<T>(result: crate::cpython::Result<T>) -> Result<Option<T>, Problem> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.fatal().is_some() => Err(error),
        Err(_) => Ok(None),
    }
}
