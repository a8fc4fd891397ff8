//! The offsets that CPython 3.13+ publishes at the start of `_PyRuntime`: `_Py_DebugOffsets`
//! (Include/internal/pycore_debug_offsets.h).
//!
//! A struct of u64 values in groups. The order is not append-only between series, so the list
//! of the series is chosen by the version field, which has had one place so far. The values
//! are input from the target like any other: each is checked before it replaces a table's.

mod lists;

use super::field::Field;
use super::table::Table;
use super::version::Version;
use crate::memory::{Address, MemoryError, MemorySource};
use lists::{FIELDS, SERIES, SIZES};
use thiserror::Error;

/// The first 8 bytes of the struct.
pub const COOKIE: &[u8; 8] = b"xdebugpy";

/// No struct that is described is larger; the runtime with its static objects has 350 KB.
const MAX_SIZE: u64 = 1 << 22;

/// Why published offsets were not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DebugOffsetsError {
    /// There is no such struct at the start of the runtime.
    #[error("the runtime at {0} does not start with debug offsets")]
    NoCookie(Address),
    /// The order of the fields of this series is not known.
    #[error("debug offsets of Python {0} are not known")]
    UnknownSeries(Version),
    /// A value that cannot be right.
    #[error("the process publishes {group}.{field} = {value}: {problem}")]
    Implausible {
        /// Group of the value.
        group: &'static str,
        /// Name of the value.
        field: &'static str,
        /// What was read.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The struct cannot be read.
    #[error("cannot read the debug offsets")]
    Memory(#[from] MemoryError),
}

/// What stands at the start of the struct in every series so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Exact version.
    pub version: Version,
    /// Built with `--disable-gil`.
    pub free_threaded: bool,
}

impl Head {
    /// Reads the head; `None` when there are no debug offsets at `runtime`.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn read(memory: &dyn MemorySource, runtime: Address) -> Result<Option<Self>, MemoryError> {
        let mut bytes = [0; 24];
        memory.read(runtime, &mut bytes)?;
        let [cookie, version, free_threaded] = words(&bytes);
        if cookie != u64::from_le_bytes(*COOKIE) {
            return Ok(None);
        }
        // PY_VERSION_HEX has 32 bits; other values are garbage behind a stray cookie.
        let Ok(version) = u32::try_from(version) else { return Ok(None) };
        Ok(Some(Self { version: Version::from_hex(version), free_threaded: free_threaded != 0 }))
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    }
    words
}

/// The published values of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugOffsets {
    /// Group, field and value, in the order of the struct.
    values: Vec<(&'static str, &'static str, u64)>,
}

/// A published value that differs from the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Our struct and field ("RuntimeState.finalizing"), or the struct alone for its size.
    pub what: String,
    /// Offset (or size) in the table.
    pub table: u64,
    /// Offset (or size) that the process publishes.
    pub published: u64,
}

impl DebugOffsets {
    /// Reads and checks the struct at the start of the runtime.
    ///
    /// # Errors
    /// When there is none, its order is not known, or a value cannot be right.
    pub fn read(memory: &dyn MemorySource, runtime: Address) -> Result<Self, DebugOffsetsError> {
        let head = Head::read(memory, runtime)?.ok_or(DebugOffsetsError::NoCookie(runtime))?;
        let series = (head.version.major, head.version.minor);
        let (_, groups) = SERIES
            .iter()
            .find(|(known, _)| *known == series)
            .ok_or(DebugOffsetsError::UnknownSeries(head.version))?;
        let names = groups
            .iter()
            .flat_map(|&(group, fields)| fields.iter().map(move |&field| (group, field)));
        let count = names.clone().count();
        let bytes = memory.read_vec(runtime.add(24), count * 8)?;
        let values = names
            .zip(bytes.chunks_exact(8))
            .map(|((group, field), chunk)| (group, field, words::<1>(chunk)[0]))
            .collect();
        let offsets = Self { values };
        offsets.plausible()?;
        Ok(offsets)
    }

    /// The value `field` of `group`.
    pub fn get(&self, group: &str, field: &str) -> Option<u64> {
        self.values.iter().find(|(g, f, _)| *g == group && *f == field).map(|(_, _, value)| *value)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn plausible(&self) -> Result<(), DebugOffsetsError> {
        let wrong = |group, field, value, problem| {
            Err(DebugOffsetsError::Implausible { group, field, value, problem })
        };
        for &(group, field, value) in &self.values {
            if field == "size" || field.ends_with("_size") {
                if value == 0 || value > MAX_SIZE {
                    return wrong(group, field, value, "no size of this struct");
                }
                continue;
            }
            let limit = match group {
                // Items may lie behind the end of their struct (ob_sval[1], ob_digit[1]).
                "llist_node" | "err_stackitem" => 64,
                // Offsets in the thread state and in structs within it.
                "debugger_support" => MAX_SIZE,
                _ => self.get(group, "size").unwrap_or(MAX_SIZE),
            };
            if value > limit {
                return wrong(group, field, value, "beyond the end of the struct");
            }
        }
        Ok(())
    }

    /// Puts the published values over those of `table`, and returns the ones that differ.
    ///
    /// # Errors
    /// When a value does not have the alignment of the field it is for.
    pub fn overlay(&self, table: &mut Table) -> Result<Vec<Moved>, DebugOffsetsError> {
        let mut moved = Vec::new();
        let before = table.clone();
        for &(group, field, structure, ours) in FIELDS {
            let Some((group, field, value)) = self.entry(group, field) else { continue };
            let place = table.structs.get_mut(structure).and_then(|s| s.fields.get_mut(ours));
            let Some(place) = place else { continue };
            if !aligned(place, value) {
                let problem = "not aligned";
                return Err(DebugOffsetsError::Implausible { group, field, value, problem });
            }
            if place.offset != value {
                moved.push(Moved {
                    what: format!("{structure}.{ours}"),
                    table: place.offset,
                    published: value,
                });
                place.offset = value;
            }
        }
        for &(group, field, structure) in SIZES {
            let Some((.., value)) = self.entry(group, field) else { continue };
            let Some(found) = table.structs.get_mut(structure) else { continue };
            if found.size != value {
                moved.push(Moved {
                    what: structure.to_owned(),
                    table: found.size,
                    published: value,
                });
                found.size = value;
            }
        }
        self.follow(table, &before);
        Ok(moved)
    }

    /// Moves the fields of a struct that are not published along with the published one next to
    /// them: a member that was added moves everything behind it by the same amount. Not in the
    /// GC state, whose changes are known one by one (see [`drift`](super::drift)).
    fn follow(&self, table: &mut Table, before: &Table) {
        for (name, found) in &mut table.structs {
            let Some(old) = before.structs.get(name).filter(|_| name != "GcState") else {
                continue;
            };
            let anchors: Vec<(u64, i64)> = old
                .fields
                .iter()
                .filter(|(field, _)| self.has(name, field))
                .filter_map(|(field, was)| {
                    let is = found.fields.get(field)?.offset;
                    Some((was.offset, is.wrapping_sub(was.offset) as i64))
                })
                .collect();
            for (field, place) in &mut found.fields {
                let nearest = anchors.iter().min_by_key(|(was, _)| was.abs_diff(place.offset));
                if let (Some((_, delta)), false) = (nearest, self.has(name, field)) {
                    place.offset = place.offset.saturating_add_signed(*delta);
                }
            }
        }
    }

    fn entry(&self, group: &str, field: &str) -> Option<(&'static str, &'static str, u64)> {
        self.values.iter().copied().find(|(g, f, _)| *g == group && *f == field)
    }

    /// True when the process publishes the place of this field of ours.
    pub fn has(&self, structure: &str, ours: &str) -> bool {
        FIELDS.iter().any(|&(g, f, s, o)| s == structure && o == ours && self.get(g, f).is_some())
    }
}

/// Pointers and numbers of whole words lie at multiples of their size; what is larger (arrays,
/// structs) at multiples of 4 at least, as the lists of 3.13.5+ do.
fn aligned(place: &Field, value: u64) -> bool {
    let alignment = match place.size {
        1 | 2 | 4 | 8 => place.size,
        _ => 4,
    };
    value.is_multiple_of(alignment)
}

#[cfg(test)]
mod tests;
