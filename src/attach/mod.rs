//! From a PID to a document: opening the target, taking a picture within a budget, retrying
//! until the picture is of one instant, and collecting the answer from it.
//!
//! Relies on every layer below. Leaves all formatting to `report`, and all waiting for several
//! targets to `commands`.

mod capture;
pub mod collect;
mod describe;
pub mod doctor;
mod documents;
mod error;
mod forked;
mod graph;
mod mode;
mod resources;
mod samples;
mod snapshot;
mod sockets;
mod sources;
mod target;
mod whole;
mod why;

pub use capture::CaptureOptions;
pub use collect::holders::Wanted;
pub use collect::resources::Selection;
pub use documents::StackOptions;
pub use error::{AttachError, Trouble};
pub use mode::CaptureMode;
pub use target::Target;
pub use whole::WholeOptions;
pub use why::WhyOptions;
