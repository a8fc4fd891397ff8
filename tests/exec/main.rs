//! Scripts run in live targets: `exec` and the commands built on it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod builtin;
mod compiled;
mod deaths;
mod harm;
mod hostile;
mod refusals;
mod scripts;
mod states;
