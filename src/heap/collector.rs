//! What the collector of an interpreter is set to, and what it did so far.

use crate::cpython::{Python, Result};
use crate::layout::structs::Structs;
use crate::memory::Address;

/// Young, middle and old generation.
const GENERATIONS: u64 = 3;

/// As `gc` shows it to the program. `None`: could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectorState {
    /// `gc.isenabled()`
    pub enabled: Option<bool>,
    /// `gc.get_threshold()`
    pub thresholds: Option<Vec<i64>>,
    /// `gc.get_count()`: what the thresholds are held against.
    pub counts: Option<Vec<i64>>,
    /// `gc.get_stats()`, the youngest generation first.
    pub collections: Option<Vec<Collections>>,
    /// `len(gc.garbage)`: what could not be collected, or was to be kept (`gc.DEBUG_SAVEALL`).
    pub garbage: Option<u64>,
}

/// What the collections of one generation did since the interpreter began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collections {
    /// How many there were.
    pub collections: u64,
    /// Objects found to be garbage.
    pub collected: u64,
    /// Objects found to be garbage that could not be collected.
    pub uncollectable: u64,
}

impl CollectorState {
    /// Reads the state at `address`, whose youngest generation is at `first`.
    pub fn read(python: &Python<'_>, address: Address, first: Address) -> Result<Self> {
        let (fields, memory) = (&python.layout().structs.gc, python.memory());
        let numbers = |field: crate::layout::field::Field| -> Result<Vec<i64>> {
            generations(python, first)
                .map(|generation| Ok(field.read_signed(memory, generation)?))
                .collect()
        };
        let generation = &python.layout().structs.gc_generation;
        let enabled = || Ok(fields.enabled.read(memory, address)? != 0);
        let garbage = || {
            let list = fields.garbage.read_pointer(memory, address)?;
            // Not made before there is any.
            if list.is_null() { Ok(0) } else { python.length(list, "gc.garbage") }
        };
        Ok(Self {
            enabled: python.unless_unreadable(enabled())?,
            thresholds: python.unless_unreadable(numbers(generation.threshold))?,
            counts: python.unless_unreadable(numbers(generation.count))?,
            collections: python.unless_unreadable(collections(python, address))?,
            garbage: python.unless_unreadable(garbage())?,
        })
    }
}

fn generations(python: &Python<'_>, first: Address) -> impl Iterator<Item = Address> {
    let size = python.layout().structs.gc_generation.size;
    (0..GENERATIONS).map(move |number| first.add(number * size))
}

fn collections(python: &Python<'_>, gc: Address) -> Result<Vec<Collections>> {
    let structs = &python.layout().structs;
    let (record, memory) = (&structs.gc_generation_stats, python.memory());
    let figure = |field: crate::layout::field::Field, at: Address| -> Result<u64> {
        Ok(field.read(memory, at)?)
    };
    records(python, structs, gc)?
        .into_iter()
        .map(|at| {
            Ok(Collections {
                collections: figure(record.collections, at)?,
                collected: figure(record.collected, at)?,
                uncollectable: figure(record.uncollectable, at)?,
            })
        })
        .collect()
}

/// Where the newest record of each generation lies: in the state itself, or from 3.15 on in rings
/// that it points to (`struct gc_stats` in Include/internal/pycore_interp_structs.h).
fn records(python: &Python<'_>, structs: &Structs, gc: Address) -> Result<Vec<Address>> {
    let (memory, size) = (python.memory(), structs.gc_generation_stats.size);
    let field = structs.gc.generation_stats;
    let (Some(rings), Some(ring)) = (&structs.gc_stats, &structs.gc_old_stats) else {
        let first = field.at(gc);
        return Ok((0..GENERATIONS).map(|number| first.add(number * size)).collect());
    };
    let stats = field.read_pointer(memory, gc)?;
    let newest = |items: Address, room: u64, index: u64| match index * size < room {
        true => Ok(items.add(index * size)),
        false => Err(crate::cpython::ObjectError::malformed("ring of the collector", stats)),
    };
    let index = rings.young_index.read(memory, stats)?;
    let mut found = vec![newest(rings.young_items.at(stats), rings.young_items.size, index)?];
    for number in 0..GENERATIONS - 1 {
        let old = rings.old.at(stats).add(number * ring.size);
        let index = ring.index.read(memory, old)?;
        found.push(newest(ring.items.at(old), ring.items.size, index)?);
    }
    Ok(found)
}
