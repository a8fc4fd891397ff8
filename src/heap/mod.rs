//! What the garbage collector tracks: walking its lists, counting by type, measuring; and the
//! graph of who refers to whom.
//!
//! Relies on `cpython` for the layout of objects. Does not know what a type is for, and does
//! not ask how the memory was captured: a list that does not close is reported, not repaired.

pub mod census;
pub mod collector;
pub mod generations;
pub mod graph;
pub mod size;
pub mod traces;
pub mod walk;

pub use census::{Census, TypeCount};
pub use generations::{GcState, Generation};
pub use walk::{Break, TrackedObject};
