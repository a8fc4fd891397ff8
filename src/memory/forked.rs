//! The memory of a frozen child: that of the process at the instant of the fork.
//!
//! The child never runs, so what is read late is as good as what is read early, and pages can
//! be given up and read again. Memory that the child shares with the running process and that
//! can be written is a fault: it would be of another time.

use super::{Address, BlockCache, LiveMemory, MemorySource, ReadStats, Result};
use crate::process::{Mapping, Process};

/// Reads a child that [`crate::process::FrozenChild`] holds.
#[derive(Debug)]
pub struct ForkedMemory {
    cache: BlockCache<LiveMemory>,
}

impl ForkedMemory {
    /// The memory of `child`; at most `ceiling` bytes of it are held at a time.
    ///
    /// # Errors
    /// The child was killed.
    pub fn new(child: &Process, ceiling: u64) -> Result<Self> {
        let mut maps = child.maps()?;
        maps.retain(is_frozen);
        Ok(Self { cache: BlockCache::with_maps(LiveMemory::new(child), &maps, ceiling) })
    }
}

fn is_frozen(map: &Mapping) -> bool {
    !(map.shared && map.writable)
}

impl MemorySource for ForkedMemory {
    #[inline]
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        self.cache.read(address, buffer)
    }

    fn stats(&self) -> ReadStats {
        self.cache.stats()
    }

    /// The child stays as it is: what is read again is the same.
    fn settle(&self) {
        self.cache.clear();
    }
}
