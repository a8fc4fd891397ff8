//! From a picture of the target's memory to the body of a document.

pub mod census;
pub mod dump;
pub mod holders;
mod locals;
mod native_ids;
pub mod resources;
pub mod sockets;
pub mod tasks;
mod usage;
pub mod whole;

/// What ends a collection: memory that is gone or denied, or a structure so broken that there
/// is nothing to show.
pub type Problem = crate::cpython::ObjectError;
