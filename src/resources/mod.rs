//! What a process holds that can run out: sockets, executors, client sessions, tasks.
//!
//! Relies on `cpython` for attributes and on `heap` for the instances. A type belongs to a
//! kind when a class of its MRO has one of the kind's names, so subclasses count. What could
//! not be read is `None`, never 0. Does not know how the memory was captured.

mod executors;
mod sessions;
mod sockets;
mod tasks;

use crate::cpython::{Python, Result, Type};
use crate::memory::Address;
use std::collections::BTreeMap;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `_socket.socket` and every subclass: `socket.socket`, `ssl.SSLSocket`, …
    Socket,
    /// `concurrent.futures.ThreadPoolExecutor`.
    ThreadPoolExecutor,
    /// `aiohttp.ClientSession`.
    AiohttpSession,
    /// `asyncio.Task`, in C or in Python.
    AsyncioTask,
}

impl Kind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 4] =
        [Self::Socket, Self::ThreadPoolExecutor, Self::AiohttpSession, Self::AsyncioTask];

    /// The name used in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::ThreadPoolExecutor => "thread_pool_executor",
            Self::AiohttpSession => "aiohttp_session",
            Self::AsyncioTask => "asyncio_task",
        }
    }

    /// Names of the classes whose instances are of this kind.
    const fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Socket => &["_socket.socket"],
            Self::ThreadPoolExecutor => &["concurrent.futures.thread.ThreadPoolExecutor"],
            Self::AiohttpSession => &["aiohttp.client.ClientSession"],
            Self::AsyncioTask => &["_asyncio.Task", "asyncio.tasks.Task"],
        }
    }

    /// The kind that instances of `class` are, if any.
    pub fn of(python: &Python<'_>, class: &Type) -> Option<Self> {
        let is = |kind: &Self| kind.classes().iter().any(|name| python.is_subtype(class, name));
        Self::ALL.into_iter().find(is)
    }
}

/// One resource, described from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Where the object is.
    pub address: Address,
    /// "open", "closed", "pending", …; `None` when it could not be read.
    pub state: Option<&'static str>,
    /// The object that has the numbers, where that is another one, which several resources may
    /// share: a sum must count it once.
    pub shared: Option<Address>,
    /// Its numbers by standard metric name (`in_use`, `idle`, `limit`, `created`, `queued`,
    /// `fd`); `None` when it could not be read.
    pub metrics: BTreeMap<&'static str, Option<i64>>,
}

/// Describes the object at `address`, which is of `kind`.
pub fn describe(python: &Python<'_>, kind: Kind, address: Address) -> Result<Resource> {
    let mut shared = None;
    let (state, metrics) = match kind {
        Kind::Socket => sockets::describe(python, address),
        Kind::ThreadPoolExecutor => executors::describe(python, address),
        Kind::AiohttpSession => {
            shared = sessions::connector(python, address)?;
            sessions::describe(python, shared)
        }
        Kind::AsyncioTask => tasks::describe(python, address),
    }?;
    Ok(Resource { kind, address, state, shared, metrics: metrics.into_iter().collect() })
}

/// State and metrics of one resource.
type Description = (Option<&'static str>, Vec<(&'static str, Option<i64>)>);

/// The errors that end a capture go up; any other means "this value is not known".
fn known<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.fatal().is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The attribute `name` read by `read`: `None` when it is missing or unreadable.
fn attribute<T>(
    python: &Python<'_>,
    object: Address,
    name: &str,
    read: impl FnOnce(Address) -> Result<T>,
) -> Result<Option<T>> {
    match known(python.attribute(object, name))?.and_then(|attribute| attribute.found()) {
        Some(value) => known(read(value)),
        None => Ok(None),
    }
}

/// A length or count as a metric.
fn count(value: Option<u64>) -> Option<i64> {
    value.and_then(|value| i64::try_from(value).ok())
}
