//! The little of the object model that validation needs: a string key in a dict, a small int,
//! the name of a type. Bounded, and only for structs that are themselves being checked; the
//! real readers are in `cpython`.

use super::structs::Structs;
use super::traits::{DictEntries, Traits};
use crate::memory::{Address, MemorySource, Result};

/// `sys.__dict__` has a hundred entries.
const MAX_ENTRIES: u64 = 1 << 14;
const MAX_INDEX_BYTES: u64 = 1 << 20;
const MAX_NAME: usize = 200;

/// The value for the ASCII string `key` in the dict at `dict`; `None` when it is not there or
/// the dict makes no sense.
pub(super) fn dict_value(
    memory: &dyn MemorySource,
    structs: &Structs,
    traits: &Traits,
    dict: Address,
    key: &str,
) -> Result<Option<Address>> {
    let layout = &structs.dict_keys;
    let keys = structs.dict.keys.read_pointer(memory, dict)?;
    let byte = |field: Option<super::Field>| match field {
        Some(field) => field.read(memory, keys).map(Some),
        None => Ok(None),
    };
    let (index_bytes, has_hash) = match traits.dict_entries {
        DictEntries::Uniform => {
            let slots = byte(layout.size_slots)?.unwrap_or(0);
            let width = match slots {
                0..=0xFF => 1,
                0x100..=0xFFFF => 2,
                0x1_0000..=0xFFFF_FFFF => 4,
                _ => 8,
            };
            (slots.saturating_mul(width), true)
        }
        DictEntries::ByKind => {
            let log2 = byte(layout.log2_index_bytes)?.unwrap_or(0).min(63);
            (1 << log2, byte(layout.kind)?.unwrap_or(0) == 0)
        }
    };
    let count = layout.nentries.read(memory, keys)?;
    if count > MAX_ENTRIES || index_bytes > MAX_INDEX_BYTES {
        return Ok(None);
    }
    let size: usize = if has_hash { 24 } else { 16 };
    let first = keys.add(layout.indices.offset).add(index_bytes);
    let entries = memory.read_vec(first, count as usize * size)?;
    for entry in entries.chunks_exact(size) {
        // {hash, key, value} or {key, value}: the last two words either way.
        let pair = &entry[size - 16..];
        let (name, value) = (word(pair, 0), word(pair, 8));
        if name.is_null() || value.is_null() {
            continue;
        }
        match is_string(memory, structs, name, key) {
            Ok(true) => return Ok(Some(value)),
            Ok(false) => {}
            Err(error) if error.is_fault() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn word(bytes: &[u8], at: usize) -> Address {
    let word = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    Address::new(u64::from_le_bytes(word.unwrap_or([0; 8])))
}

/// True when the object at `at` is the ASCII string `text`.
fn is_string(
    memory: &dyn MemorySource,
    structs: &Structs,
    at: Address,
    text: &str,
) -> Result<bool> {
    let ascii = &structs.ascii;
    let start = usize::try_from(ascii.size).unwrap_or(0).min(256);
    let copy = memory.read_vec(at, start + text.len())?;
    Ok(ascii.length.in_bytes(&copy) == Some(text.len() as u64)
        && ascii.ascii.in_bytes(&copy) == Some(1)
        && ascii.compact.in_bytes(&copy) == Some(1)
        && copy.get(start..) == Some(text.as_bytes()))
}

/// The value of the int at `at`, when it has one digit (30 bits) and is not negative.
pub(super) fn small_int(
    memory: &dyn MemorySource,
    structs: &Structs,
    at: Address,
) -> Result<Option<u32>> {
    let one_digit = match structs.long.tag {
        // Sign in the low bits (0: positive), number of digits above them.
        Some(tag) => {
            let tag = tag.read(memory, at)?;
            tag >> 3 == 1 && tag & 3 == 0
        }
        None => structs.var_object.ob_size.read(memory, at)? == 1,
    };
    let digit = memory.read_u32(structs.long.digits.at(at))?;
    Ok(one_digit.then_some(digit))
}

/// `tp_name` of the type at `at`.
pub(super) fn type_name(
    memory: &dyn MemorySource,
    structs: &Structs,
    at: Address,
) -> Result<String> {
    let name = structs.type_object.name.read_pointer(memory, at)?;
    let bytes = memory.read_c_string(name, MAX_NAME)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
