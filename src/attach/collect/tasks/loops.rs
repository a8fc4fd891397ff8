//! Event loops, and the threads that run them.

use super::uvloop;
use super::{Found, Running, frame_row};
use crate::attach::collect::Problem;
use crate::attach::collect::dump::OsThreads;
use crate::attach::collect::native_ids::KernelIds;
use crate::cpython::{Frame, Interpreter, Python, Result, Runtime};
use crate::memory::Address;
use crate::snapshot::tasks::{LoopRow, ObjectRef};
use std::collections::BTreeMap;

/// System calls that a loop without Python code of its own waits for events in, x86_64:
/// epoll_wait, epoll_pwait, epoll_pwait2.
const WAITS: [u64; 3] = [232, 281, 441];

/// A thread and its stack.
pub(super) struct ThreadStack {
    pub(super) ident: u64,
    tid: Option<i32>,
    name: Option<String>,
    syscall: Option<u64>,
    /// Innermost first.
    pub(super) frames: Vec<Frame>,
}

/// The stacks of all threads of all interpreters.
pub(super) fn thread_stacks(
    python: &Python<'_>,
    runtime: &Runtime,
    interpreters: &[Interpreter],
    os: &OsThreads,
) -> std::result::Result<Vec<ThreadStack>, Problem> {
    let mut stacks = Vec::new();
    for interpreter in interpreters {
        let names = python.unless_unreadable(python.thread_names(interpreter))?;
        let names = names.unwrap_or_default();
        let threads = python.threads(interpreter)?;
        let ids = KernelIds::new(python, runtime, os, &names, &threads);
        for thread in threads {
            let tid = ids.of(&thread);
            let state = tid.and_then(|tid| os.states.get(&tid));
            let name = names.iter().find(|name| name.ident == thread.ident);
            stacks.push(ThreadStack {
                ident: thread.ident,
                tid,
                name: name.and_then(|name| name.name.clone()),
                syscall: state.and_then(|state| state.syscall).map(|call| call.number),
                frames: python.stack(&thread)?.frames,
            });
        }
    }
    Ok(stacks)
}

/// What one implementation or the other says of a loop.
#[derive(Default)]
struct Facts {
    /// Known, and then the thread that runs it.
    thread: Option<Option<u64>>,
    closed: Option<bool>,
    ready: Option<u64>,
    scheduled: Option<u64>,
    default_executor: Option<Address>,
    selector: Option<Address>,
}

/// Describes the loop at `address`.
pub(super) fn row(
    python: &Python<'_>,
    address: Address,
    tasks: &[Found],
    counts: BTreeMap<String, u64>,
    stacks: &[ThreadStack],
    running: &Running,
) -> std::result::Result<LoopRow, Problem> {
    let class = python.type_of(address)?;
    let facts = match python.is_subtype(&class, "uvloop.loop.Loop") {
        true => uvloop_facts(python, address)?,
        false => facts(python, address)?,
    };
    // A thread may have a state in several interpreters; the one that runs Python is meant.
    let ident = facts.thread.flatten();
    let of_thread = |stack: &&(usize, &ThreadStack)| Some(stack.1.ident) == ident;
    let candidates: Vec<(usize, &ThreadStack)> = stacks.iter().enumerate().collect();
    let thread =
        candidates.iter().filter(of_thread).max_by_key(|(_, stack)| !stack.frames.is_empty());
    let current = thread.and_then(|(index, _)| running.current.get(index));
    let current = current.and_then(|&task| tasks.get(task));
    let current = current.filter(|task| task.event_loop == Some(address));
    let idle = thread.is_some_and(|(_, stack)| match facts.selector {
        Some(_) => is_selecting(&stack.frames),
        None => stack.syscall.is_some_and(|call| WAITS.contains(&call)),
    });
    let state = match (facts.closed, facts.thread) {
        (Some(true), _) => Some("closed"),
        (_, Some(None)) => Some("not running"),
        (_, Some(Some(_))) if current.is_some() => Some("busy"),
        (_, Some(Some(_))) if idle => Some("idle"),
        (_, Some(Some(_))) if thread.is_some() => Some("busy"),
        _ => None,
    };
    let object = |object: Option<Address>| -> Result<Option<ObjectRef>> {
        let Some(object) = object else { return Ok(None) };
        let class = python.unless_unreadable(python.type_of(object))?;
        Ok(class.map(|c| ObjectRef { address: object.to_string(), class: c.name().to_owned() }))
    };
    Ok(LoopRow {
        address: address.to_string(),
        class: class.name().to_owned(),
        running: facts.thread.map(|thread| thread.is_some()),
        state: state.map(str::to_owned),
        thread: thread.and_then(|(_, stack)| stack.tid),
        thread_name: thread.and_then(|(_, stack)| stack.name.clone()),
        ready: facts.ready,
        scheduled: facts.scheduled,
        default_executor: object(facts.default_executor)?,
        selector: object(facts.selector)?,
        closed: facts.closed,
        current_task: current.map(|task| task.address.to_string()),
        tasks: counts,
        stack: thread
            .map_or_else(Vec::new, |(_, stack)| stack.frames.iter().map(frame_row).collect()),
    })
}

/// True when the loop itself waits: a callback may select as well (`subprocess` does).
fn is_selecting(frames: &[Frame]) -> bool {
    let names = frames.iter().map(|frame| frame.code.name.as_str());
    names.take(2).eq(["select", "_run_once"])
}

/// A loop of `asyncio.base_events.BaseEventLoop`, by its attributes.
fn facts(python: &Python<'_>, address: Address) -> Result<Facts> {
    let get = |name: &str| -> Result<Option<Address>> {
        let found = python.unless_unreadable(python.attribute(address, name))?;
        Ok(found.and_then(|attribute| attribute.found()))
    };
    let length = |name: &str| -> Result<Option<u64>> {
        match get(name)? {
            Some(object) => python.unless_unreadable(python.length(object, "length")),
            None => Ok(None),
        }
    };
    let thread = match get("_thread_id")? {
        Some(thread) if python.is_none(thread)? => Some(None),
        Some(thread) => {
            let ident = python.unless_unreadable(python.small_integer(thread))?;
            ident.map(|ident| Some(ident as u64))
        }
        None => None,
    };
    let closed = match get("_closed")? {
        Some(closed) => python.unless_unreadable(python.boolean(closed))?,
        None => None,
    };
    Ok(Facts {
        thread,
        closed,
        ready: length("_ready")?,
        scheduled: length("_scheduled")?,
        default_executor: get("_default_executor")?,
        selector: get("_selector")?,
    })
}

fn uvloop_facts(python: &Python<'_>, address: Address) -> Result<Facts> {
    let read = python.unless_unreadable(uvloop::read(python, address))?.flatten();
    Ok(read.map_or_else(Facts::default, |read| Facts {
        thread: Some(read.thread),
        closed: Some(read.closed),
        ready: Some(read.ready),
        scheduled: Some(read.timers),
        default_executor: Some(read.default_executor),
        selector: None,
    }))
}
