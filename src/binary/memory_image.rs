//! The dynamic symbols of an ELF image in the target's memory, for modules whose file is gone.
//!
//! Relies on what the loader needs at run time: the file header, the program headers, the
//! dynamic section, symbols and strings. Sections and debug information are not loaded.

use super::{BinaryError, Symbol, hex};
use crate::memory::{Address, MemorySource};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::dynamic::{self, Dynamic};
use goblin::elf::header::{ELFCLASS32, EM_X86_64, ET_EXEC};
use goblin::elf::program_header::{PT_DYNAMIC, PT_LOAD, PT_NOTE, ProgramHeader};
use goblin::elf::sym::Symtab;
use goblin::elf64::header::{Header, SIZEOF_EHDR};

const CTX: Ctx = Ctx { container: Container::Big, le: Endian::Little };
/// Bounds for what an image may claim; a libpython has a few thousand symbols and 100 KB of names.
const MAX_HEADERS: u16 = 256;
const MAX_DYNAMIC: u64 = 1 << 16;
const MAX_SYMBOLS: u64 = 1 << 20;
const MAX_STRINGS: u64 = 1 << 26;

/// An ELF image in memory.
pub struct MemoryImage {
    bias: u64,
    symbols: Vec<u8>,
    strings: Vec<u8>,
    soname: Option<String>,
    build_id: Option<String>,
}

fn malformed(reason: impl ToString) -> BinaryError {
    BinaryError::Malformed { reason: reason.to_string() }
}

impl MemoryImage {
    /// Reads the image whose file header is at `base`.
    ///
    /// # Errors
    /// When there is no ELF image for this processor, or it contradicts itself.
    pub fn read(memory: &dyn MemorySource, base: Address) -> Result<Self, BinaryError> {
        let bytes = memory.read_vec(base, SIZEOF_EHDR)?;
        if bytes.get(4) == Some(&ELFCLASS32) {
            return Err(BinaryError::Bits32);
        }
        let header = Header::parse(&bytes).map_err(malformed)?;
        if header.e_machine != EM_X86_64 {
            return Err(BinaryError::OtherMachine { machine: header.e_machine });
        }
        let count = usize::from(header.e_phnum.min(MAX_HEADERS));
        let bytes = memory
            .read_vec(base.add(header.e_phoff), count.saturating_mul(ProgramHeader::size(CTX)))?;
        let headers = ProgramHeader::parse(&bytes, 0, count, CTX).map_err(malformed)?;

        let first = headers
            .iter()
            .find(|header| header.p_type == PT_LOAD)
            .ok_or_else(|| malformed("no loadable segment"))?;
        let bias = if header.e_type == ET_EXEC {
            0
        } else {
            base.get().wrapping_sub(first.p_vaddr.wrapping_sub(first.p_offset))
        };
        let end = headers
            .iter()
            .filter(|header| header.p_type == PT_LOAD)
            .map(|header| bias.wrapping_add(header.p_vaddr).saturating_add(header.p_memsz))
            .max()
            .unwrap_or(0);
        let here = |value: u64| {
            // The loader writes real addresses over those of the dynamic section
            // (glibc's elf_get_dynamic_info), but not in every image.
            let address =
                if (base.get()..end).contains(&value) { value } else { value.wrapping_add(bias) };
            Address::new(address)
        };

        let entries = headers
            .iter()
            .find(|header| header.p_type == PT_DYNAMIC)
            .ok_or_else(|| malformed("no dynamic section"))?;
        let size = entries.p_memsz.min(MAX_DYNAMIC);
        let bytes =
            memory.read_vec(Address::new(bias.wrapping_add(entries.p_vaddr)), size as usize)?;
        let at_start =
            ProgramHeader { p_offset: 0, p_filesz: bytes.len() as u64, ..entries.clone() };
        let table = Dynamic::parse(&bytes, &[at_start], CTX)
            .map_err(malformed)?
            .ok_or_else(|| malformed("no dynamic section"))?;
        let value = |tag| table.dyns.iter().find(|entry| entry.d_tag == tag).map(|e| e.d_val);

        let strings_at = here(value(dynamic::DT_STRTAB).ok_or_else(|| malformed("no strings"))?);
        let strings_size = value(dynamic::DT_STRSZ).unwrap_or(0).min(MAX_STRINGS);
        let strings = memory.read_vec(strings_at, strings_size as usize)?;
        let symbols_at = here(value(dynamic::DT_SYMTAB).ok_or_else(|| malformed("no symbols"))?);
        let count = match (value(dynamic::DT_HASH), value(dynamic::DT_GNU_HASH)) {
            // nbucket, nchain: there is one chain link for each symbol (gABI, "Hash Table").
            (Some(hash), _) => u64::from(memory.read_u32(here(hash).add(4))?),
            (None, Some(hash)) => gnu_hash_count(memory, here(hash))?,
            (None, None) => 0,
        };
        let size = count.min(MAX_SYMBOLS).saturating_mul(24);
        let symbols = memory.read_vec(symbols_at, size as usize)?;

        let soname = value(dynamic::DT_SONAME)
            .and_then(|offset| strings.get(usize::try_from(offset).ok()?..))
            .and_then(|rest| rest.split(|&byte| byte == 0).next())
            .map(|name| String::from_utf8_lossy(name).into_owned());
        let build_id =
            headers.iter().filter(|header| header.p_type == PT_NOTE).find_map(|header| {
                let size = header.p_memsz.min(4096) as usize;
                let at = Address::new(bias.wrapping_add(header.p_vaddr));
                build_id(&memory.read_vec(at, size).ok()?)
            });
        Ok(Self { bias, symbols, strings, soname, build_id })
    }

    /// What to add to a symbol's address to get the address in the process.
    pub fn load_bias(&self) -> u64 {
        self.bias
    }

    /// `DT_SONAME`.
    pub fn soname(&self) -> Option<&str> {
        self.soname.as_deref()
    }

    /// The GNU build id in hex.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// The symbols called `names` that the image defines.
    pub fn symbols<const N: usize>(&self, names: [&str; N]) -> [Option<Symbol>; N] {
        let mut found = [None; N];
        let Ok(table) = Symtab::parse(&self.symbols, 0, self.symbols.len() / 24, CTX) else {
            return found;
        };
        for symbol in table.iter().filter(|symbol| symbol.st_shndx != 0) {
            let Some(rest) = self.strings.get(symbol.st_name..) else { continue };
            for (name, slot) in names.iter().zip(found.iter_mut()) {
                if rest.starts_with(name.as_bytes()) && rest.get(name.len()) == Some(&0) {
                    *slot = Some(Symbol { address: symbol.st_value, size: symbol.st_size });
                }
            }
        }
        found
    }
}

/// `DT_GNU_HASH` does not say how many symbols there are: it is the end of the last chain
/// (glibc's elf/dl-lookup.c walks the same chains).
fn gnu_hash_count(memory: &dyn MemorySource, at: Address) -> Result<u64, BinaryError> {
    let buckets = u64::from(memory.read_u32(at)?).min(MAX_SYMBOLS);
    let first = u64::from(memory.read_u32(at.add(4))?);
    let bloom = u64::from(memory.read_u32(at.add(8))?).min(MAX_SYMBOLS);
    let buckets_at = at.add(16 + bloom * 8);
    let table = memory.read_vec(buckets_at, (buckets * 4) as usize)?;
    let last = table
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .max()
        .unwrap_or(0);
    if last < first {
        return Ok(first.min(MAX_SYMBOLS));
    }
    let chains_at = buckets_at.add(buckets * 4);
    let mut index = last;
    while index < MAX_SYMBOLS {
        if memory.read_u32(chains_at.add((index - first) * 4))? & 1 == 1 {
            return Ok(index + 1);
        }
        index += 1;
    }
    Err(malformed("a hash chain without an end"))
}

/// The build id among ELF notes: name size, description size, type, then both padded to 4.
fn build_id(notes: &[u8]) -> Option<String> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let mut rest = notes;
    loop {
        let word =
            |at: usize| rest.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (name, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let start = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = start.checked_add(size)?;
        if kind == NT_GNU_BUILD_ID && rest.get(12..16) == Some(b"GNU\0") {
            return rest.get(start..end).map(hex);
        }
        rest = rest.get(start.checked_add(size.checked_next_multiple_of(4)?)?..)?;
    }
}
