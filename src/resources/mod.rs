//! What a process holds that can run out: sockets, executors, pools, sessions, tasks.
//!
//! Relies on `cpython` for reading objects. Which types are resources, and what is read from
//! them, is data: the catalogue's entries, in a small expression language. What could not be
//! read is missing with its reason, never 0. Does not know how the memory was captured, nor
//! what a shown text may betray: masking is the caller's.

pub mod catalog;
mod describe;
mod evaluate;
mod expression;
mod redact;
mod value;

pub use catalog::{Catalog, CatalogError, Entry};
pub use describe::{Describer, Detail, Level, Resource};
pub use value::Answer;

/// What the kernel's socket tables say of the target's descriptors.
pub trait SocketFacts {
    /// The socket that a descriptor stands for; the error says why it is not known.
    fn of(&self, fd: i64) -> Result<SocketFact, String>;
}

/// What the kernel's socket tables say of one socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketFact {
    /// The address of the other end; `None` when it is not connected.
    pub peer: Option<String>,
    /// "ESTABLISHED", "CLOSE_WAIT", …; `None` when it is not TCP's.
    pub tcp_state: Option<String>,
}
