//! pyattach: attach to a running CPython process and find its resource leaks.
//!
//! The layers, each using only those before it: `process`, `memory`, `binary`, `layout`,
//! `cpython`, `heap`, `resources`, `snapshot`, `attach`, `report`, `commands`. A test reads our
//! `use` lines and fails on an arrow that points the wrong way.

pub mod attach;
pub mod binary;
pub mod commands;
pub mod cpython;
pub mod heap;
pub mod layout;
pub mod memory;
pub mod process;
pub mod report;
pub mod resources;
pub mod snapshot;
