//! Documents for people, on a terminal or in a file.
//!
//! Colour only repeats what the words say; it is stripped where it is not wanted (`NO_COLOR`,
//! no terminal) by the stream that is written to.

pub mod catalog;
pub mod census;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod exec;
pub mod family;
mod findings;
mod header;
pub mod injector;
pub mod overview;
mod paths;
pub mod report;
pub mod resources;
pub mod snapshot;
pub mod sockets;
mod style;
mod table;
mod task_tree;
pub mod tasks;
pub mod trend;
pub(in crate::report) mod units;
pub mod why;

pub use style::{BOLD, DIM, ERROR, GOOD, HINT, WARN};
pub use units::{bytes, number};
