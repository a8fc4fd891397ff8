//! Results as plain data: what every report is made from.
//!
//! Knows neither processes nor memory. Field names are those of the JSON documents
//! (`docs/reference/json.md`); `None` is "could not be read" and is written as `null`.

pub mod capture;
pub mod catalog;
pub mod census;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod exec;
pub mod file;
pub mod findings;
pub mod graph;
pub mod heap;
pub mod holders;
pub mod injector;
pub mod keep;
pub mod overview;
pub mod process;
pub mod report;
pub mod resources;
pub mod retention;
pub mod rules;
pub mod secrets;
pub mod sockets;
pub mod tasks;
pub mod trend;
pub mod whole;
pub mod why;

pub use capture::{CaptureInfo, Coverage};
pub use census::{CensusDocument, ResourceSummary, TypeRow};
pub use diff::DiffDocument;
pub use doctor::DoctorDocument;
pub use dump::{DumpDocument, FrameRow, LocalRow, NativeThreadRow, ThreadRow};
pub use file::{FileError, Snapshot, SnapshotFile};
pub use findings::{Diagnosis, Finding, Severity};
pub use holders::{Held, HolderGroup, Holders, Proven, WhyDocument};
pub use process::{LayoutInfo, ProcessInfo, PythonInfo};
pub use report::{FamilyDocument, ReportDocument};
pub use resources::{Number, ResourceRow, ResourcesDocument, Shown};
pub use sockets::SocketsDocument;
pub use tasks::TasksDocument;
pub use trend::TrendDocument;
pub use whole::Whole;

/// The version of pyattach that made a document.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
