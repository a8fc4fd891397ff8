//! Verdicts over a series of snapshots: what grows, how fast, and when it hurts.

mod judge;
mod statistics;
mod verdict;

pub use verdict::{Numbers, Verdict};
