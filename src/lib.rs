//! pyattach: attach to a running CPython process and find its resource leaks.
//!
//! The layers, each using only those before it: `process`, `memory`, `binary`, `layout`,
//! `cpython`, `heap`, `resources`, `snapshot`, `attach`, `report`, `commands`. `inject`, which has
//! the target run code, stands beside: only `commands` uses it. A test reads our `use` lines and
//! fails on an arrow that points the wrong way.

// What comes from a target, from /proc or from a file must never end us. (Tests may panic:
// clippy.toml.)
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::dbg_macro,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit
)]

pub mod attach;
pub mod binary;
pub mod commands;
pub mod cpython;
pub mod heap;
pub mod inject;
pub mod layout;
pub mod memory;
pub mod process;
pub mod report;
pub mod resources;
pub mod snapshot;
