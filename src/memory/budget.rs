//! A time limit over any source: reads fail once it has passed, so that a walk which takes too
//! long ends by itself and the target is let go.

use super::{Address, MemoryError, MemorySource, ReadStats, Result};
use std::cell::Cell;
use std::time::Instant;

/// Reads between two looks at the clock.
const READS_PER_LOOK: u32 = 128;

/// A source that can be read until an instant.
pub struct Budgeted<'s> {
    source: &'s dyn MemorySource,
    until: Instant,
    unlooked: Cell<u32>,
    spent: Cell<bool>,
}

impl<'s> Budgeted<'s> {
    /// `source`, until `until`.
    pub fn new(source: &'s dyn MemorySource, until: Instant) -> Self {
        Self { source, until, unlooked: Cell::new(0), spent: Cell::new(false) }
    }
}

impl MemorySource for Budgeted<'_> {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let unlooked = self.unlooked.get();
        if unlooked == 0 {
            self.spent.set(Instant::now() >= self.until);
            self.unlooked.set(READS_PER_LOOK);
        } else {
            self.unlooked.set(unlooked - 1);
        }
        if self.spent.get() {
            return Err(MemoryError::OverBudget);
        }
        self.source.read(address, buffer)
    }

    fn stats(&self) -> ReadStats {
        self.source.stats()
    }
}
