//! One field of a C struct, as the layout tables hold it.

use crate::memory::{Address, MemorySource, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a field lies in its struct. In the tables: `[offset, size]`, and for a bit-field
/// `[offset, size, first_bit, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Field {
    /// Bytes from the start of the struct.
    pub offset: u64,
    /// Size in bytes: of the field, or of the storage unit that holds the bit-field.
    pub size: u64,
    /// For a bit-field: its lowest bit within the storage unit, and how many bits it has.
    pub bits: Option<(u8, u8)>,
}

impl Field {
    /// A field of whole bytes.
    pub const fn new(offset: u64, size: u64) -> Self {
        Self { offset, size, bits: None }
    }

    /// The address of the field in the struct at `base`.
    pub fn at(&self, base: Address) -> Address {
        base.add(self.offset)
    }

    /// Reads the field as an unsigned number, whatever its width (1 to 8 bytes, or bits).
    pub fn read(&self, memory: &dyn MemorySource, base: Address) -> Result<u64> {
        let mut bytes = [0; 8];
        let size = (self.size as usize).clamp(1, 8);
        memory.read(self.at(base), &mut bytes[..size])?;
        Ok(self.cut(u64::from_le_bytes(bytes)))
    }

    /// Reads the field as a signed number of its own width.
    pub fn read_signed(&self, memory: &dyn MemorySource, base: Address) -> Result<i64> {
        let value = self.read(memory, base)?;
        let unused = 64 - self.size.clamp(1, 8) as u32 * 8;
        Ok(((value << unused) as i64) >> unused)
    }

    /// Reads the field as a pointer.
    pub fn read_pointer(&self, memory: &dyn MemorySource, base: Address) -> Result<Address> {
        memory.read_pointer(self.at(base))
    }

    /// The field's value within a copy of its struct; `None` when the copy is too short.
    pub fn in_bytes(&self, copy: &[u8]) -> Option<u64> {
        let start = usize::try_from(self.offset).ok()?;
        let size = (self.size as usize).clamp(1, 8);
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(copy.get(start..start.checked_add(size)?)?);
        Some(self.cut(u64::from_le_bytes(bytes)))
    }

    /// The pointer within a copy of its struct; null when the copy is too short.
    pub fn pointer_in(&self, copy: &[u8]) -> Address {
        Address::new(Self { size: 8, ..*self }.in_bytes(copy).unwrap_or(0))
    }

    /// The first byte behind the field.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }

    fn cut(&self, value: u64) -> u64 {
        match self.bits {
            Some((first, width)) => {
                let mask = 1u64.checked_shl(u32::from(width)).map_or(u64::MAX, |bit| bit - 1);
                value.checked_shr(u32::from(first)).unwrap_or(0) & mask
            }
            None => value,
        }
    }
}

impl fmt::Display for Field {
    /// As in the tables: `[offset, size]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, size, bits } = self;
        match bits {
            None => write!(f, "[{offset}, {size}]"),
            Some((first, width)) => write!(f, "[{offset}, {size}, {first}, {width}]"),
        }
    }
}

impl From<Field> for Vec<u64> {
    fn from(field: Field) -> Self {
        let mut parts = vec![field.offset, field.size];
        if let Some((first, width)) = field.bits {
            parts.extend([u64::from(first), u64::from(width)]);
        }
        parts
    }
}

impl TryFrom<Vec<u64>> for Field {
    type Error = String;

    fn try_from(parts: Vec<u64>) -> std::result::Result<Self, String> {
        let bit =
            |value: u64| u8::try_from(value).map_err(|_| format!("bit {value} is out of range"));
        match parts[..] {
            [offset, size] => Ok(Self { offset, size, bits: None }),
            [offset, size, first, width] => {
                Ok(Self { offset, size, bits: Some((bit(first)?, bit(width)?)) })
            }
            _ => Err("a field is [offset, size] or [offset, size, first bit, width]".to_owned()),
        }
    }
}
