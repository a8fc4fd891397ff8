//! ELF images: modules of a process, symbols, sections, build ids, debug files, struct layouts.
//!
//! Knows ELF and DWARF, nothing of Python. Files are read piece by piece and never mapped: a
//! file that somebody truncates while we look at it must give an error, not a SIGBUS. Every
//! count and offset in a file is checked against the bytes that exist. Files of the target
//! are opened by the caller (through the target's own root), see [`Open`].

pub mod debug_file;
pub mod dwarf;
mod elf;
mod memory_image;
mod module;

pub use elf::{Elf, Image, Section, Segment, Symbol};
pub use memory_image::MemoryImage;
pub use module::Module;

use crate::memory::MemoryError;
use crate::process::Mapping;
use std::fs::File;
use thiserror::Error;

/// Opens the file behind a mapping of the target, even when its path means something else in
/// our mount namespace or no longer exists. (The kernel writes the paths of a map file as they
/// are seen from the reader's root: those of a process in a chroot are real paths here, those in
/// another mount namespace have to be looked up under the target's root.)
pub type Open<'a> = &'a dyn Fn(&Mapping) -> std::io::Result<File>;

/// Why an ELF image could not be used.
#[derive(Debug, Error)]
pub enum BinaryError {
    /// Not an ELF file at all, or one whose headers contradict the file.
    #[error("not a usable ELF file: {reason}")]
    Malformed {
        /// What was wrong, in the words of the ELF reader.
        reason: String,
    },
    /// A 32-bit ELF file.
    #[error("a 32-bit ELF file")]
    Bits32,
    /// An ELF file of another processor.
    #[error("an ELF file for another processor (machine {machine})")]
    OtherMachine {
        /// `e_machine`.
        machine: u16,
    },
    /// The debug information cannot be read.
    #[error("unusable debug information: {reason}")]
    Dwarf {
        /// What was wrong, in the words of the DWARF reader.
        reason: String,
    },
    /// The image in the target's memory cannot be read.
    #[error("cannot read the ELF image in memory")]
    Memory(#[from] MemoryError),
    /// The file cannot be read.
    #[error("cannot read the file")]
    Io(#[from] std::io::Error),
}

impl From<object::read::Error> for BinaryError {
    fn from(error: object::read::Error) -> Self {
        Self::Malformed { reason: error.to_string() }
    }
}

impl From<gimli::Error> for BinaryError {
    fn from(error: gimli::Error) -> Self {
        Self::Dwarf { reason: error.to_string() }
    }
}

/// Bytes as lower-case hex, the way build ids are written.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
