//! uvloop's loops: C structs made by Cython, without attributes that could be read.
//!
//! The offsets follow from uvloop/loop.pxd of 0.23.0 and were tested with its wheels only; what
//! lies there must be of the type declared, or nothing is said.

use crate::cpython::{Python, Result};
use crate::memory::Address;

const CLOSED: u64 = 48;
const RUNNING: u64 = 56;
const THREAD_ID: u64 = 64;
const DEFAULT_EXECUTOR: u64 = 88;
const READY: u64 = 96;
const QUEUED_STREAMS: u64 = 104;
const SIGNAL_HANDLERS: u64 = 176;
const TIMERS: u64 = 208;

/// What a loop of uvloop says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UvLoop {
    pub(super) closed: bool,
    /// `pthread_self()` of the thread that runs it.
    pub(super) thread: Option<u64>,
    pub(super) default_executor: Address,
    pub(super) ready: u64,
    pub(super) timers: u64,
}

/// Reads the loop at `address`; `None` when it is not laid out as we know it.
pub(super) fn read(python: &Python<'_>, address: Address) -> Result<Option<UvLoop>> {
    let memory = python.memory();
    let pointer = |offset: u64| memory.read_pointer(address.add(offset));
    let is = |offset: u64, class: &str| -> Result<bool> {
        let object = pointer(offset)?;
        Ok(python.unless_unreadable(python.type_of(object))?.is_some_and(|c| c.name() == class))
    };
    let fits = is(READY, "collections.deque")?
        && is(QUEUED_STREAMS, "builtins.set")?
        && is(SIGNAL_HANDLERS, "builtins.dict")?
        && is(TIMERS, "builtins.set")?;
    if !fits {
        return Ok(None);
    }
    let running = memory.read_u32(address.add(RUNNING))? == 1;
    Ok(Some(UvLoop {
        closed: memory.read_u32(address.add(CLOSED))? == 1,
        thread: Some(memory.read_u64(address.add(THREAD_ID))?).filter(|&id| running && id != 0),
        default_executor: pointer(DEFAULT_EXECUTOR)?,
        ready: python.length(pointer(READY)?, "deque length")?,
        timers: python.set_length(pointer(TIMERS)?)?,
    }))
}
