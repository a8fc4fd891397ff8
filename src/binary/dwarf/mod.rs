//! Struct layouts from DWARF: given names of structs and members, their offsets and sizes.
//!
//! Relies on gimli for the format. Walks the top level of the compile units, the promising
//! ones first, and stops as soon as everything asked for is found: a Python has 150 units and
//! tens of megabytes of debug information, of which three or four units hold what we need.

mod members;
mod walk;

use super::{BinaryError, Elf};
use gimli::{EndianSlice, LittleEndian, SectionId};
use std::borrow::Cow;

pub use walk::find_structs;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// One struct to look for.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// Struct tags or typedef names; any of them will do.
    pub names: &'a [&'a str],
    /// For each member wanted: the paths it may have, the best first. `a.b` is member `b` of
    /// the struct that is member `a`; anonymous structs and unions are looked through.
    pub members: Vec<&'a [&'a str]>,
    /// True when all units are to be searched for it if the promising ones do not have it.
    pub everywhere: bool,
}

/// A struct that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struct {
    /// Size in bytes.
    pub size: u64,
    /// In the order of the query; `None` where the struct has no such member.
    pub members: Vec<Option<Member>>,
}

/// Where a member lies in its struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the outermost struct.
    pub offset: u64,
    /// Size in bytes; of a bit-field, the size of its storage unit.
    pub size: u64,
    /// For a bit-field: lowest bit in the storage unit, and width.
    pub bits: Option<(u8, u8)>,
}

/// The DWARF sections of a file, uncompressed.
pub struct DebugInfo<'a> {
    sections: gimli::DwarfSections<Cow<'a, [u8]>>,
}

impl<'a> DebugInfo<'a> {
    /// Reads the sections of `elf`.
    ///
    /// # Errors
    /// When a section lies outside of the file or is damaged.
    pub fn load(elf: &Elf<'a>) -> Result<Self, BinaryError> {
        // Struct layouts need none of the sections on addresses and locations; gimli looks at
        // the head of a unit's line program, whoever asks for the unit.
        let sections = gimli::DwarfSections::load(|id| match id {
            SectionId::DebugInfo
            | SectionId::DebugAbbrev
            | SectionId::DebugStr
            | SectionId::DebugLineStr
            | SectionId::DebugLine
            | SectionId::DebugStrOffsets
            | SectionId::DebugTypes => elf.section_data(id.name()),
            _ => Ok(Cow::Borrowed(&[][..])),
        })?;
        Ok(Self { sections })
    }

    fn dwarf(&self) -> gimli::Dwarf<Slice<'_>> {
        self.sections.borrow(|section| EndianSlice::new(section, LittleEndian))
    }
}
