//! A copy of everything a process can change, taken while it stood still.
//!
//! Writable private memory comes from the copy. Memory that the program cannot write (code,
//! constants) is read from the process when it is needed: it does not change. What was
//! writable at the capture and is not in the copy (shared memory, mostly) is a fault, never
//! read later: it would be of another time.

mod pagemap;
mod plan;

pub use plan::CopyPlan;

use std::cell::Cell;

use memmap2::MmapMut;

use super::{Address, BlockCache, LiveMemory, MemoryError, MemorySource, ReadStats, Result};
use crate::process::Mapping;
use plan::Area;

/// Our own memory for what is read from the process afterwards.
const READ_ONLY_CEILING: u64 = 64 << 20;

/// What a copy holds and what it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Private writable mappings.
    pub mappings: u64,
    /// Pages copied (4096 bytes each).
    pub pages_copied: u64,
    /// Pages left out on purpose: those of large mapped files that the program has not
    /// written. Reading them is a fault.
    pub pages_skipped: u64,
    /// Pages that the kernel could not read. Reading them is a fault.
    pub pages_unreadable: u64,
}

/// The memory of a process at one instant.
#[derive(Debug)]
pub struct CopiedMemory {
    /// Ascending.
    regions: Vec<Region>,
    areas: Vec<MmapMut>,
    /// The region read from last.
    last: Cell<usize>,
    constant: BlockCache<LiveMemory>,
    coverage: Coverage,
}

/// A range of the process's addresses in one of our areas.
#[derive(Debug, Clone, Copy)]
struct Region {
    start: u64,
    end: u64,
    area: usize,
    offset: usize,
}

impl CopiedMemory {
    fn new(
        areas: Vec<Area>,
        mut regions: Vec<Region>,
        holes: &[u64],
        maps: &[Mapping],
        live: LiveMemory,
        coverage: Coverage,
    ) -> Self {
        regions.sort_unstable_by_key(|region| region.start);
        for &hole in holes {
            cut(&mut regions, hole, hole + pagemap::PAGE);
        }
        let constant: Vec<Mapping> =
            maps.iter().filter(|map| map.readable && !map.writable).cloned().collect();
        Self {
            regions,
            areas: areas.into_iter().map(|area| area.memory).collect(),
            last: Cell::new(0),
            constant: BlockCache::with_maps(live, &constant, READ_ONLY_CEILING),
            coverage,
        }
    }

    /// What the copy holds.
    pub fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// The bytes of a region from `at` on.
    #[inline]
    fn bytes(&self, region: &Region, at: u64) -> &[u8] {
        let from = region.offset + (at - region.start) as usize;
        let to = region.offset + (region.end - region.start) as usize;
        self.areas.get(region.area).and_then(|area| area.get(from..to)).unwrap_or_default()
    }

    /// The index of the first region that ends behind `at`.
    fn find(&self, at: u64) -> usize {
        self.regions.partition_point(|region| region.end <= at)
    }

    /// Any read: it may cross regions, or lie outside of the copy.
    #[inline(never)]
    fn read_anywhere(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let fault = MemoryError::Fault { address, length: buffer.len() };
        let mut at = address.get();
        at.checked_add(buffer.len() as u64).ok_or(fault)?;
        let mut rest = buffer;
        while !rest.is_empty() {
            let index = self.find(at);
            let count = match self.regions.get(index) {
                Some(region) if region.start <= at => {
                    self.last.set(index);
                    let bytes = self.bytes(region, at);
                    let count = rest.len().min(bytes.len());
                    let (filled, source) = (rest.get_mut(..count), bytes.get(..count));
                    let (Some(filled), Some(source)) = (filled, source) else {
                        return Err(fault);
                    };
                    filled.copy_from_slice(source);
                    count
                }
                next => {
                    let gap = next.map_or(u64::MAX, |region| region.start - at);
                    let count = rest.len().min(usize::try_from(gap).unwrap_or(usize::MAX));
                    let room = rest.get_mut(..count).unwrap_or_default();
                    match self.constant.read(Address::new(at), room) {
                        Err(error) if error.is_fault() => return Err(fault),
                        other => other?,
                    }
                    count
                }
            };
            if count == 0 {
                return Err(fault);
            }
            rest = rest.get_mut(count..).unwrap_or_default();
            at += count as u64;
        }
        Ok(())
    }
}

impl MemorySource for CopiedMemory {
    #[inline]
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let at = address.get();
        if let Some(region) = self.regions.get(self.last.get())
            && (region.start..region.end).contains(&at)
            && let Some(bytes) = self.bytes(region, at).get(..buffer.len())
        {
            buffer.copy_from_slice(bytes);
            return Ok(());
        }
        self.read_anywhere(address, buffer)
    }

    /// What the copy and the reads after it have moved from the process.
    fn stats(&self) -> ReadStats {
        self.constant.stats()
    }
}

/// Takes a range out of sorted regions.
fn cut(regions: &mut Vec<Region>, start: u64, end: u64) {
    let index = regions.partition_point(|region| region.end <= start);
    let Some(region) = regions.get(index).copied().filter(|region| region.start < end) else {
        return;
    };
    let before = Region { end: start.max(region.start), ..region };
    let from = end.min(region.end);
    let behind =
        Region { start: from, offset: region.offset + (from - region.start) as usize, ..region };
    let kept = [before, behind].into_iter().filter(|region| region.start < region.end);
    regions.splice(index..=index, kept);
}
