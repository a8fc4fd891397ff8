//! Where objects were allocated, as tracemalloc has written it down in the target.
//!
//! Its table of blocks hangs in the runtime from 3.12 on, in a variable of the interpreter's own
//! data before; no symbol of a stripped build names it. It is found by its shape: a hash table
//! whose keys hash as pointers do and whose values are traces. (Modules/_tracemalloc.c,
//! Python/tracemalloc.c, Python/hashtable.c.)

use crate::cpython::{Python, Type};
use crate::layout::traits::AllocationTraces;
use crate::memory::{Address, MemoryError};

/// Distance from the runtime in which the variables of the interpreter are looked for.
const NEAR: u64 = 1 << 20;
/// Buckets of a table that are believed.
const FEWEST: u64 = 16;
const MOST: u64 = 1 << 32;
/// Entries of one bucket.
const MAX_CHAIN: usize = 256;
/// Entries that must fit before a table is one.
const SURE: usize = 3;
/// Frames of a trace that are read.
const MAX_FRAMES: u64 = 32;
const MAX_PATH: usize = 4096;
const STEP: u64 = 4096;

/// Innermost first: file and line.
pub type Site = Vec<(String, u64)>;

/// The table of traced blocks.
pub struct Traces<'p, 'a> {
    python: &'p Python<'a>,
    buckets: Address,
    mask: u64,
}

impl<'p, 'a> Traces<'p, 'a> {
    /// Looks for the table; there is none where nothing is traced.
    pub fn find(python: &'p Python<'a>, runtime: Address) -> Result<Option<Self>, MemoryError> {
        let size = python.layout().structs.runtime.size;
        let end = runtime.add(size + NEAR);
        let mut at = Address::new(runtime.sub(NEAR).get() & !(STEP - 1));
        while at < end {
            match python.memory().read_vec(at, STEP as usize) {
                Ok(page) => {
                    for word in page.chunks_exact(8) {
                        let word = word.try_into().map_or(0, u64::from_le_bytes);
                        // The table is an allocation of its own.
                        let inside = (runtime.get()..runtime.get() + size).contains(&word);
                        if !word.is_multiple_of(8) || !(STEP..1 << 47).contains(&word) || inside {
                            continue;
                        }
                        if let Some(found) = Self::at(python, Address::new(word)) {
                            return Ok(Some(found));
                        }
                    }
                }
                Err(error) if error.is_fault() => {}
                Err(error) => return Err(error),
            }
            at = at.add(STEP);
        }
        Ok(None)
    }

    /// The table at an address, if it is one.
    fn at(python: &'p Python<'a>, table: Address) -> Option<Self> {
        let memory = python.memory();
        let mut head = [0; 24];
        memory.read(table, &mut head).ok()?;
        let words: Vec<u64> = words(&head).collect();
        let (entries, count) = match python.layout().traits.allocation_traces {
            AllocationTraces::Inline => (words.get(1)?, words.first()?),
            _ => (words.first()?, words.get(1)?),
        };
        let fits = (FEWEST..MOST).contains(count)
            && count.is_power_of_two()
            && (SURE as u64..=*count).contains(entries);
        let buckets = Address::new(*words.get(2)?);
        if !fits || buckets.is_null() || !buckets.is_aligned(8) {
            return None;
        }
        let found = Self { python, buckets, mask: count - 1 };
        let mut sure = 0;
        for bucket in 0..(*count).min(256) {
            let entry = memory.read_pointer(buckets.add(bucket * 8)).ok()?;
            if entry.is_null() {
                continue;
            }
            let hash = memory.read_u64(entry.add(8)).ok()?;
            let key = memory.read_u64(entry.add(16)).ok()?;
            if key < STEP || hash != key.rotate_right(4) || hash & found.mask != bucket {
                return None;
            }
            found.frames(entry)?;
            sure += 1;
            if sure == SURE {
                return Some(found);
            }
        }
        None
    }

    /// Where an object was allocated; `None` for what was not traced.
    pub fn site(&self, class: &Type, object: Address) -> Option<Site> {
        let flags = class.flags;
        let managed = flags.managed_dict() || flags.managed_weakref();
        let mut block = object;
        if flags.has_gc() {
            block = block.sub(super::walk::GC_HEAD);
            if managed && self.python.layout().traits.preheader {
                block = block.sub(16);
            }
        }
        let hash = block.get().rotate_right(4);
        let memory = self.python.memory();
        let mut entry = memory.read_pointer(self.buckets.add((hash & self.mask) * 8)).ok()?;
        for _ in 0..MAX_CHAIN {
            if entry.is_null() {
                return None;
            }
            if memory.read_u64(entry.add(16)).ok()? == block.get() {
                return self.frames(entry);
            }
            entry = memory.read_pointer(entry).ok()?;
        }
        None
    }

    /// The frames of an entry's trace: a size and a traceback.
    fn frames(&self, entry: Address) -> Option<Site> {
        let memory = self.python.memory();
        let traces = self.python.layout().traits.allocation_traces;
        let trace = match traces {
            AllocationTraces::Inline => entry.add(24),
            _ => memory.read_pointer(entry.add(24)).ok()?,
        };
        let traceback = memory.read_pointer(trace.add(8)).ok()?;
        if traceback.is_null() || !traceback.is_aligned(8) {
            return None;
        }
        let count = memory.read_u32(traceback.add(8)).ok()?;
        let count = match traces {
            AllocationTraces::Inline => u64::from(count),
            _ => u64::from(count & 0xFFFF),
        };
        if !(1..=0xFFFF).contains(&count) {
            return None;
        }
        let mut found = Site::new();
        for frame in 0..count.min(MAX_FRAMES) {
            // Packed: a pointer and a line, 12 bytes.
            let at = traceback.add(12 + frame * 12);
            let name = memory.read_pointer(at).ok()?;
            let line = memory.read_u32(at.add(8)).ok()?;
            let name = match traces {
                AllocationTraces::PlainNames => {
                    let name = memory.read_c_string(name, MAX_PATH).ok()?;
                    String::from_utf8(name).ok()?
                }
                _ => self.python.text(name, MAX_PATH).ok()?,
            };
            found.push((name, u64::from(line)));
        }
        Some(found)
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes))
}
