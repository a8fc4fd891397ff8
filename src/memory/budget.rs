//! Limits over any source, so that a walk which takes too long ends by itself.
//!
//! While the target stands still it is an instant ([`Budgeted`]): reads fail then, nothing comes
//! of it, and the target is let go. When it runs again it is our own work ([`Limited`]), which no
//! heap may make endless: nothing is readable any more from then on, so that what was found is
//! kept and the rest is counted as not readable.

use super::{Address, MemoryError, MemorySource, ReadStats, Result};
use nix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Reads between two looks at the clock.
const READS_PER_LOOK: u32 = 128;

/// The same where looking at the clock is a system call.
const READS_PER_SYSTEM_CALL: u32 = 1024;

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

    fn settle(&self) {
        self.source.settle();
    }
}

/// A source that is empty once the calling thread has worked for long enough.
pub struct Limited<'s> {
    source: &'s dyn MemorySource,
    until: Duration,
    unlooked: Cell<u32>,
    spent: Cell<bool>,
}

impl<'s> Limited<'s> {
    /// `source`, for so much processor time of this thread; waiting does not count, so that a
    /// busy machine makes no difference.
    pub fn new(source: &'s dyn MemorySource, work: Duration) -> Self {
        let until = worked().saturating_add(work);
        Self { source, until, unlooked: Cell::new(0), spent: Cell::new(false) }
    }

    /// The limit was reached: something was not read.
    pub fn is_spent(&self) -> bool {
        self.spent.get()
    }
}

impl MemorySource for Limited<'_> {
    #[inline]
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        match self.unlooked.get().checked_sub(1) {
            Some(left) => self.unlooked.set(left),
            None if self.spent.get() => {}
            None => {
                self.spent.set(worked() >= self.until);
                self.unlooked.set(READS_PER_SYSTEM_CALL);
            }
        }
        if self.spent.get() {
            return Err(MemoryError::Fault { address, length: buffer.len() });
        }
        self.source.read(address, buffer)
    }

    fn stats(&self) -> ReadStats {
        self.source.stats()
    }

    fn settle(&self) {
        self.source.settle();
    }
}

/// Processor time of the calling thread.
fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::SyntheticMemory;

    fn image() -> SyntheticMemory {
        let mut memory = SyntheticMemory::new();
        memory.put(Address::new(4096), &[7; 64]);
        memory
    }

    #[test]
    fn work_has_an_end_and_waiting_is_no_work() {
        let image = image();
        let limited = Limited::new(&image, Duration::from_millis(100));
        std::thread::sleep(Duration::from_millis(120));
        for _ in 0..3 * READS_PER_SYSTEM_CALL {
            assert_eq!(limited.read_u8(Address::new(4096)).unwrap(), 7);
        }
        assert!(!limited.is_spent());
        let begin = Instant::now();
        while limited.read_u8(Address::new(4096)).is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
        assert!(limited.is_spent());
        assert!(limited.read_u8(Address::new(4096)).unwrap_err().is_fault());
    }

    #[test]
    fn no_time_is_no_read() {
        let image = image();
        let limited = Limited::new(&image, Duration::ZERO);
        assert!(limited.read_u8(Address::new(4096)).unwrap_err().is_fault());
        assert!(limited.is_spent());
        let budgeted = Budgeted::new(&image, Instant::now());
        assert_eq!(budgeted.read_u8(Address::new(4096)), Err(MemoryError::OverBudget));
    }
}
