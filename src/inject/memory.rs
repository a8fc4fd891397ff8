//! The memory of a process that is held, for the layers that read.

use std::cell::Cell;

use crate::memory::{Address, MemoryError, MemorySource, ReadStats, Result};
use crate::process::Held;

/// Reads what stands still.
#[derive(Debug)]
pub(super) struct HeldMemory<'h, 't> {
    held: &'h Held<'t>,
    stats: Cell<ReadStats>,
}

impl<'h, 't> HeldMemory<'h, 't> {
    pub(super) fn new(held: &'h Held<'t>) -> Self {
        Self { held, stats: Cell::default() }
    }
}

impl MemorySource for HeldMemory<'_, '_> {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let ReadStats { reads, bytes } = self.stats.get();
        self.stats.set(ReadStats { reads: reads + 1, bytes: bytes + buffer.len() as u64 });
        if self.held.read(address.get(), buffer) {
            Ok(())
        } else {
            Err(MemoryError::Fault { address, length: buffer.len() })
        }
    }

    fn stats(&self) -> ReadStats {
        self.stats.get()
    }
}
