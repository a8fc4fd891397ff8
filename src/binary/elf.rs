//! One ELF file: headers, symbols, sections, notes.
//!
//! Relies on the `object` crate for the structures of the format and reads the file in the
//! pieces asked for. Addresses here are addresses in the image; the load bias of
//! [`Module`](super::Module) makes them addresses in a process.

use super::{BinaryError, hex};
use object::elf::{DT_SONAME, EM_X86_64, ET_EXEC, PT_LOAD, SHN_UNDEF};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader, SectionHeader, Sym, SymbolTable};
use object::read::{FileKind, ReadCache};
use object::{LittleEndian, Object, ObjectSection};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// No section of a file that describes a Python is larger when uncompressed; a header that
/// claims more would only make us allocate.
const MAX_SECTION: u64 = 1 << 30;

/// Bytes fetched from a file at a time: names of sections and small headers are asked for one by
/// one, and lie together.
const WINDOW: usize = 8 << 10;

/// Where the bytes of an image come from.
enum Source {
    File { file: File, position: u64, window: Vec<u8>, window_at: u64 },
    Bytes(Cursor<Vec<u8>>),
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (file, position, window, window_at) = match self {
            Self::File { file, position, window, window_at } => (file, position, window, window_at),
            Self::Bytes(bytes) => return bytes.read(buffer),
        };
        if buffer.len() >= WINDOW {
            let count = file.read_at(buffer, *position)?;
            *position += count as u64;
            return Ok(count);
        }
        let known = |window: &[u8], window_at: u64| {
            let from = usize::try_from(position.checked_sub(window_at)?).ok()?;
            window.get(from..from.checked_add(buffer.len())?).map(|_| from)
        };
        let from = match known(window, *window_at) {
            Some(from) => from,
            None => {
                window.resize(WINDOW, 0);
                // Nothing of it counts unless the read succeeds.
                *window_at = u64::MAX;
                let count = file.read_at(window, *position)?;
                window.truncate(count);
                *window_at = *position;
                0
            }
        };
        let found = window.get(from..).unwrap_or_default();
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        *position += count as u64;
        Ok(count)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let (file, position) = match self {
            Self::File { file, position, .. } => (file, position),
            Self::Bytes(bytes) => return bytes.seek(to),
        };
        *position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(_) => file.seek(to)?,
            SeekFrom::Current(by) => position.saturating_add_signed(by),
        };
        Ok(*position)
    }
}

/// An ELF file that has been opened; the pieces read so far stay with it.
pub struct Image {
    cache: ReadCache<Source>,
}

impl Image {
    /// An image in a file.
    pub fn from_file(file: File) -> Self {
        let source = Source::File { file, position: 0, window: Vec::new(), window_at: 0 };
        Self { cache: ReadCache::new(source) }
    }

    /// An image in our own memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { cache: ReadCache::new(Source::Bytes(Cursor::new(bytes))) }
    }

    /// Reads the headers.
    ///
    /// # Errors
    /// When it is not a 64-bit x86_64 ELF file.
    pub fn parse(&self) -> Result<Elf<'_>, BinaryError> {
        match FileKind::parse(&self.cache)? {
            FileKind::Elf64 => {}
            FileKind::Elf32 => return Err(BinaryError::Bits32),
            other => return Err(BinaryError::Malformed { reason: format!("it is {other:?}") }),
        }
        let file = ElfFile64::parse(&self.cache)?;
        let machine = file.elf_header().e_machine(LittleEndian);
        if machine != EM_X86_64 {
            return Err(BinaryError::OtherMachine { machine: machine.0 });
        }
        Ok(Elf { file })
    }
}

/// A symbol that is defined in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// Address in the image.
    pub address: u64,
    /// Size in bytes, 0 when not recorded.
    pub size: u64,
}

/// A section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Address in the image, 0 when it is not loaded.
    pub address: u64,
    /// Size in bytes.
    pub size: u64,
}

/// A `PT_LOAD` program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Offset in the file.
    pub offset: u64,
    /// Address in the image.
    pub address: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory; what is beyond `file_size` starts as zeros.
    pub memory_size: u64,
}

/// The parsed headers of an [`Image`].
pub struct Elf<'a> {
    file: ElfFile64<'a, LittleEndian, &'a ReadCache<Source>>,
}

impl<'a> Elf<'a> {
    /// The symbols called `names`, from the dynamic table, or when that has none of them from
    /// the static one (an executable that exports nothing and was not stripped).
    pub fn symbols<const N: usize>(&self, names: [&str; N]) -> [Option<Symbol>; N] {
        let mut found = [None; N];
        self.search(self.file.elf_dynamic_symbol_table(), &names, &mut found);
        if found.iter().all(Option::is_none) {
            self.search(self.file.elf_symbol_table(), &names, &mut found);
        }
        found
    }

    /// The symbol called `name`, from the dynamic table or else the static one.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols([name])[0]
    }

    fn search(
        &self,
        table: &SymbolTable<'a, object::elf::FileHeader64<LittleEndian>, &'a ReadCache<Source>>,
        names: &[&str],
        found: &mut [Option<Symbol>],
    ) {
        // The whole string section in one read: thousands of names lie in it.
        let Some(strings) = self
            .file
            .elf_section_table()
            .section(table.string_section())
            .ok()
            .and_then(|section| section.data(LittleEndian, self.file.data()).ok())
        else {
            return;
        };
        for symbol in table.symbols() {
            if symbol.st_shndx(LittleEndian) == SHN_UNDEF {
                continue;
            }
            let Some(rest) = strings.get(symbol.st_name(LittleEndian) as usize..) else {
                continue;
            };
            for (name, slot) in names.iter().zip(found.iter_mut()) {
                if slot.is_none()
                    && rest.starts_with(name.as_bytes())
                    && rest.get(name.len()) == Some(&0)
                {
                    *slot = Some(Symbol {
                        address: symbol.st_value(LittleEndian),
                        size: symbol.st_size(LittleEndian),
                    });
                }
            }
        }
    }

    /// The section called `name`.
    pub fn section(&self, name: &str) -> Option<Section> {
        let section = self.file.section_by_name(name)?;
        Some(Section { address: section.address(), size: section.size() })
    }

    /// The contents of the section called `name`, uncompressed. Empty when there is no such
    /// section.
    ///
    /// # Errors
    /// When the section lies outside of the file, is damaged, or claims to be absurdly large.
    pub fn section_data(&self, name: &str) -> Result<Cow<'a, [u8]>, BinaryError> {
        let Some(section) = self.file.section_by_name(name) else {
            return Ok(Cow::Borrowed(&[]));
        };
        let range = section.compressed_file_range()?;
        if range.uncompressed_size > MAX_SECTION {
            return Err(BinaryError::Malformed {
                reason: format!("section {name} of {} bytes", range.uncompressed_size),
            });
        }
        Ok(section.uncompressed_data()?)
    }

    /// The GNU build id in hex.
    pub fn build_id(&self) -> Option<String> {
        self.file.build_id().ok().flatten().map(hex)
    }

    /// The name and checksum of a separate debug file (`.gnu_debuglink`).
    pub fn debug_link(&self) -> Option<Vec<u8>> {
        self.file.gnu_debuglink().ok().flatten().map(|(name, _)| name.to_vec())
    }

    /// `DT_SONAME`: the name the linker knows a shared library by.
    pub fn soname(&self) -> Option<String> {
        let table = self.file.elf_dynamic_table().ok()?;
        let entry = table.iter().find(|entry| entry.tag == DT_SONAME)?;
        let name = table.string(entry).ok()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// True for an executable with fixed addresses (`ET_EXEC`): its load bias is 0.
    pub fn is_fixed(&self) -> bool {
        self.file.elf_header().e_type(LittleEndian) == ET_EXEC
    }

    /// The loadable segments.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.file
            .elf_program_headers()
            .iter()
            .filter(|header| header.p_type(LittleEndian) == PT_LOAD)
            .map(|header| Segment {
                offset: header.p_offset(LittleEndian),
                address: header.p_vaddr(LittleEndian),
                file_size: header.p_filesz(LittleEndian),
                memory_size: header.p_memsz(LittleEndian),
            })
    }

    /// True when the file itself has DWARF.
    pub fn has_dwarf(&self) -> bool {
        self.section(".debug_info").is_some_and(|section| section.size != 0)
    }
}
