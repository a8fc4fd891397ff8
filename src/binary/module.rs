//! The modules of a process: which mappings belong to one loaded ELF file, and where it lies.

use super::Elf;
use crate::process::Mapping;
use std::path::{Path, PathBuf};

const PAGE: u64 = 4096;

/// One loaded ELF file. A file that is loaded twice (`dlmopen`) gives two modules.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its mappings by address; never empty.
    mappings: Vec<Mapping>,
}

impl Module {
    /// Groups the file mappings of a process by file. Keeps the order of first addresses.
    pub fn all(maps: &[Mapping]) -> Vec<Self> {
        let mut modules: Vec<Self> = Vec::new();
        for mapping in maps.iter().filter(|mapping| mapping.is_file()) {
            // The newest module of the file is the one that may still grow.
            match modules.iter_mut().rev().find(|module| module.takes(mapping)) {
                Some(module) => module.mappings.push(mapping.clone()),
                None => modules.push(Self { mappings: vec![mapping.clone()] }),
            }
        }
        modules
    }

    fn takes(&self, mapping: &Mapping) -> bool {
        let first = self.first();
        let same_file = first.inode == mapping.inode
            && first.device == mapping.device
            && first.path == mapping.path;
        // The same start of the file once more, with the same rights, is a second load. (With
        // other rights it is a second segment of a small file.)
        let again = mapping.offset == 0
            && first.offset == 0
            && (mapping.executable, mapping.writable) == (first.executable, first.writable);
        same_file && !again
    }

    /// The first mapping.
    pub fn first(&self) -> &Mapping {
        &self.mappings[0]
    }

    /// All mappings by address.
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The path in the target's mount namespace.
    pub fn path(&self) -> &Path {
        &self.first().path
    }

    /// The last component of the path, for recognising a module by its name.
    pub fn file_name(&self) -> String {
        self.path()
            .file_name()
            .map(PathBuf::from)
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// True when some part of it may be executed: data files and fonts are mapped as well.
    pub fn is_code(&self) -> bool {
        self.mappings.iter().any(|mapping| mapping.executable)
    }

    /// What to add to an address in the image to get the address in the process: where the
    /// kernel put the page of a segment, less where the segment wanted it
    /// (`elf_map` in fs/binfmt_elf.c). `None` when no segment of the file is mapped.
    pub fn load_bias(&self, elf: &Elf<'_>) -> Option<u64> {
        if elf.is_fixed() {
            return Some(0);
        }
        elf.segments().filter(|segment| segment.file_size != 0).find_map(|segment| {
            let in_page = segment.address % PAGE;
            let offset = segment.offset.checked_sub(in_page)?;
            let mapping = self.mappings.iter().find(|mapping| mapping.offset == offset)?;
            Some(mapping.start.wrapping_sub(segment.address - in_page))
        })
    }
}
