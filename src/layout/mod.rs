//! The offsets of this interpreter: where they came from and whether they fit.
//!
//! Relies on `memory` and `binary`; knows structs and fields but nothing of objects. A
//! [`Layout`] in anyone's hands has been validated against the live process.

pub mod debug_offsets;
pub mod discover;
pub mod drift;
pub mod extract;
pub mod field;
mod peek;
pub mod resolve;
pub mod structs;
pub mod table;
pub mod tables;
pub mod traits;
pub mod validate;
pub mod version;

pub use field::Field;
pub use structs::Structs;
pub use traits::Traits;
pub use version::{Flavour, Version};

/// Everything a reader needs to know about the interpreter's structs.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Exact version.
    pub version: Version,
    /// How it was built.
    pub flavour: Flavour,
    /// Where the fields are.
    pub structs: Structs,
    /// What the fields mean.
    pub traits: Traits,
    /// Where the numbers came from.
    pub origin: Origin,
}

/// Where a layout's numbers came from, for the output and for `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Sources in the order they were applied, the strongest last: for instance
    /// `["table 3.13 (3.13.0)", "debug offsets of the process"]`.
    pub sources: Vec<String>,
    /// The version the base table was extracted from; `None` with DWARF of the target.
    pub table: Option<String>,
    /// What was checked against the live process, in words.
    pub checks: Vec<String>,
    /// Things that do not prevent reading but that a reader of results should know.
    pub warnings: Vec<String>,
}
