//! The collector's state and the heads of its lists.

use crate::cpython::{Interpreter, Python, Result};
use crate::memory::Address;

/// Young, middle and old generation.
const GENERATIONS: u64 = 3;

/// One list of tracked objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    /// 0 (youngest) to 2, or `None` for the permanent generation.
    pub number: Option<u8>,
    /// The list's head, a GC head without an object.
    pub head: Address,
}

/// The collector of one interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcState {
    /// Where it is.
    pub address: Address,
    /// A collection is running: objects may be on lists that cannot be found from outside.
    pub collecting: bool,
    /// The generations and the permanent one (`gc.freeze()`; from 3.12 also immortal objects).
    pub generations: Vec<Generation>,
    /// The collector's own count of tracked objects, where it keeps one (3.14+).
    pub tracked: Option<u64>,
}

impl GcState {
    /// Reads the state at `address` (Include/internal/pycore_gc.h). The head of generation 0
    /// is taken from the `generation0` pointer where there is one: its offset moved between
    /// patch releases of 3.13.
    pub fn read(python: &Python<'_>, address: Address) -> Result<Self> {
        let fields = &python.layout().structs.gc;
        let size = python.layout().structs.gc_generation.size;
        let memory = python.memory();
        let first = match fields.generation0 {
            Some(field) => field.read_pointer(memory, address)?,
            None => fields.generations.at(address),
        };
        let mut generations: Vec<Generation> = (0..GENERATIONS)
            .map(|number| Generation { number: Some(number as u8), head: first.add(number * size) })
            .collect();
        generations.push(Generation { number: None, head: fields.permanent.at(address) });
        Ok(Self {
            address,
            collecting: fields.collecting.read(memory, address)? != 0,
            generations,
            tracked: fields.heap_size.map(|field| field.read(memory, address)).transpose()?,
        })
    }
}

/// The collectors of all interpreters, each once: in 3.8 they share one.
pub fn collectors(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
) -> Result<Vec<(Interpreter, GcState)>> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for interpreter in interpreters {
        let address = python.gc_state(runtime, interpreter)?;
        if !seen.contains(&address) {
            seen.push(address);
            found.push((*interpreter, GcState::read(python, address)?));
        }
    }
    Ok(found)
}
