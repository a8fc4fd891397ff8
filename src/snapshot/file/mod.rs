//! The snapshot file (`.pysnap`): one capture of one process, to be compared later.
//!
//! `docs/reference/snapshot-file.md` describes the format, and how to read it without us. Knows
//! files; knows no processes.

mod columns;
mod container;
mod error;
mod model;
mod read;
#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;
mod write;

pub use error::FileError;
pub use model::{
    Circumstances, Figures, MAX_PLACES, Moment, ObjectFigures, Place, Snapshot, Summary,
};
pub use read::{KnownNames, SnapshotFile, TypeTable};
pub use write::{UNFINISHED, save_bytes, save_with};
