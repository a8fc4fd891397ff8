//! Small reads served from large ones.
//!
//! Structures of a program lie close together, and a system call costs as much as copying some
//! kilobytes: reading a heap in blocks of 16 KB (a memory pool of CPython 3.10 and later) is ten
//! times as fast as reading it object by object. A block that follows one we have is read
//! together with its successors, up to four in all. Stacks are another matter: of each thread's
//! memory a page or two are wanted and nothing near them, so for those a block is one page.
//!
//! What the cache has been given once it gives again: use one cache per stop, or for memory
//! that does not change. It never says anything that the source would not have said: pages
//! that cannot be read with their block are read from the source each time.

use std::cell::RefCell;

use memmap2::{Advice, MmapMut, MmapOptions};
use rustc_hash::FxHashMap;

use super::recent::Recent;
use super::{Address, MemoryError, MemorySource, ReadStats, Result};
use crate::process::Mapping;

const PAGE: u64 = 4096;
/// No program has memory from here on (x86_64 with five levels of page tables), so arithmetic
/// on addresses below does not overflow.
const USER_END: u64 = 1 << 56;
/// Log2 of a block's size: of a pool, and of a page.
const POOL_SHIFT: u32 = 14;
const PAGE_SHIFT: u32 = 12;
/// Most blocks in one read.
const LONGEST_RUN: u64 = 4;
/// Reads of this length and more go past the cache.
const LARGE: usize = 64 << 10;
/// The first slab, touched when it is made.
const FIRST_SLAB: u64 = 512 << 10;
/// Slabs double up to this size, that of a huge page.
const LARGEST_SLAB: u64 = 2 << 20;

/// A cache of blocks over any source.
#[derive(Debug)]
pub struct BlockCache<S> {
    source: S,
    /// Readable ranges, ascending; `None`: ask the source for everything.
    ranges: Option<Vec<(u64, u64)>>,
    /// What lies outside of the ranges is read from the source, uncached, instead of faulting.
    ranges_may_be_old: bool,
    ceiling: u64,
    blocks: BlockSize,
    state: RefCell<State>,
}

/// The size of all blocks of a cache, as a power of two.
#[derive(Debug, Clone, Copy)]
struct BlockSize {
    shift: u32,
}

#[derive(Debug, Default)]
struct State {
    blocks: FxHashMap<u64, Block>,
    slabs: std::collections::VecDeque<Slab>,
    /// How many slabs have been given up: a block's slab number minus this is its index.
    dropped: usize,
    /// Bytes in all slabs.
    held: u64,
    /// Blocks that were read from last: the structs, tables and items that are read in turn lie in
    /// different ones.
    recent: Recent<Block, 64>,
    /// The range that was looked up last.
    range: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Slab {
    memory: MmapMut,
    used: u64,
    /// The blocks in it.
    numbers: Vec<u64>,
}

/// Where a block's bytes are, and which of its pages.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    slab: usize,
    offset: u64,
    /// A bit for each page that holds the source's bytes.
    valid: u8,
    /// A bit for each page that was asked for, with success or without.
    tried: u8,
}

impl<S: MemorySource> BlockCache<S> {
    /// A cache that asks the source for everything and holds at most `ceiling` bytes (at
    /// least one slab); what was read first is given up first.
    pub fn new(source: S, ceiling: u64) -> Self {
        let state = RefCell::default();
        let blocks = BlockSize { shift: POOL_SHIFT };
        Self { source, ranges: None, ranges_may_be_old: false, ceiling, blocks, state }
    }

    /// The same in blocks of a page, for reading little from many places. To be asked for
    /// before the first read.
    pub fn by_pages(self) -> Self {
        debug_assert!(self.state.borrow().blocks.is_empty(), "blocks of one size only");
        Self { blocks: BlockSize { shift: PAGE_SHIFT }, ..self }
    }

    /// The same for a process's memory: addresses outside of its readable mappings fault
    /// without a system call, and no block is read across a mapping's border.
    pub fn with_maps(source: S, maps: &[Mapping], ceiling: u64) -> Self {
        let mut ranges: Vec<(u64, u64)> =
            maps.iter().filter(|map| map.readable).map(|map| (map.start, map.end)).collect();
        ranges.sort_unstable();
        Self { ranges: Some(ranges), ..Self::new(source, ceiling) }
    }

    /// As [`Self::with_maps`] for a map that was read a moment ago: what lies outside of it may
    /// be new, and is read exactly as asked for. Never reads a block that hangs over a mapping's
    /// border, which below a stack would make the kernel grow the target's stack (before Linux
    /// 6.5). Made before a stop: its first memory is touched at once.
    pub fn with_recent_maps(source: S, maps: &[Mapping], ceiling: u64) -> Self {
        let cache = Self { ranges_may_be_old: true, ..Self::with_maps(source, maps, ceiling) };
        // Without a first slab the first read tries again.
        let _ = cache.state.borrow_mut().add_slab(FIRST_SLAB);
        cache
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Bytes of our own memory that the cache holds.
    pub fn held(&self) -> u64 {
        self.state.borrow().held
    }

    /// Forgets everything that was read.
    pub fn clear(&self) {
        *self.state.borrow_mut() = State::default();
    }

    /// A read that lies in one block.
    fn read_in_block(&self, state: &mut State, at: u64, buffer: &mut [u8]) -> Result<()> {
        let size = self.blocks;
        let number = size.number(at);
        let from = at - size.start(number);
        let pages = size.page_bits(from, from + buffer.len() as u64);
        let mut block = match state.recent.get(number) {
            Some(block) => block,
            None => state.blocks.get(&number).copied().unwrap_or(Block::default()),
        };
        if pages & !block.tried != 0 {
            // The pages of a read may lie in two mappings that touch.
            let mut page = at - at % PAGE;
            while page < at + buffer.len() as u64 {
                block = state.blocks.get(&number).copied().unwrap_or(Block::default());
                let in_block = page - size.start(number);
                if size.page_bits(in_block, in_block + 1) & !block.tried != 0 {
                    self.load(state, page)?;
                }
                page += PAGE;
            }
            block = state.blocks.get(&number).copied().unwrap_or(Block::default());
        }
        state.recent.put(number, block);
        if pages & !block.valid != 0 {
            return self.source.read(Address::new(at), buffer);
        }
        let bytes = state
            .bytes(block, size)
            .and_then(|bytes| bytes.get(from as usize..)?.get(..buffer.len()));
        match bytes {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => self.source.read(Address::new(at), buffer),
        }
    }

    /// Reads the block of a page that was not tried yet, as far as the page's mapping goes.
    fn load(&self, state: &mut State, page: u64) -> Result<()> {
        let size = self.blocks;
        let number = size.number(page);
        let (low, high) = self.range_of(state, page).unwrap_or((page, page));
        let known = state.blocks.contains_key(&number);
        let mut count = 1;
        if !known && state.blocks.contains_key(&number.wrapping_sub(1)) {
            while count < LONGEST_RUN
                && size.start(number + count) < high
                && !state.blocks.contains_key(&(number + count))
            {
                count += 1;
            }
        }
        if !known && !state.add_blocks(number, count, size, self.ceiling) {
            // No memory of our own for a cache: the source answers.
            return Ok(());
        }
        let start = size.start(number).max(low - low % PAGE);
        let end = size.start(number + count).min(high);
        if start >= end {
            state.mark(page, page + 1, size, false);
            return Ok(());
        }
        match self.fill(state, number, start, end) {
            Err(error) if error.is_fault() => {}
            other => {
                other?;
                state.mark(start, end, size, true);
                return Ok(());
            }
        }
        // Somewhere in it is a page that cannot be read: find out which.
        let mut at = start;
        while at < end {
            let next = (at - at % PAGE + PAGE).min(end);
            let readable = match self.fill(state, number, at, next) {
                Ok(()) => true,
                Err(error) if error.is_fault() => false,
                Err(error) => return Err(error),
            };
            state.mark(at, next, size, readable);
            at = next;
        }
        Ok(())
    }

    /// Reads a range into the blocks that begin with block `number`, which lie together.
    fn fill(&self, state: &mut State, number: u64, start: u64, end: u64) -> Result<()> {
        let fault =
            MemoryError::Fault { address: Address::new(start), length: (end - start) as usize };
        let block = state.blocks.get(&number).copied().ok_or(fault)?;
        let index = block.slab.wrapping_sub(state.dropped);
        let slab = state.slabs.get_mut(index).ok_or(fault)?;
        let from = (block.offset + (start - self.blocks.start(number))) as usize;
        let room = slab.memory.get_mut(from..from + (end - start) as usize).ok_or(fault)?;
        self.source.read(Address::new(start), room)
    }

    /// The readable range that holds the address.
    fn range_of(&self, state: &mut State, at: u64) -> Option<(u64, u64)> {
        let Some(ranges) = &self.ranges else { return Some((0, u64::MAX)) };
        if let Some((low, high)) = state.range
            && (low..high).contains(&at)
        {
            return state.range;
        }
        let after = ranges.partition_point(|&(low, _)| low <= at);
        let range = *ranges.get(after.checked_sub(1)?)?;
        (at < range.1).then(|| {
            state.range = Some(range);
            range
        })
    }

    /// True when every byte lies in readable ranges.
    fn is_mapped(&self, state: &mut State, at: u64, end: u64) -> bool {
        let mut at = at;
        while at < end {
            match self.range_of(state, at) {
                Some((_, high)) => at = high,
                None => return false,
            }
        }
        true
    }
}

impl<S: MemorySource> MemorySource for BlockCache<S> {
    #[inline]
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let state = &mut *self.state.borrow_mut();
        let at = address.get();
        // The common case: a block of a recent read, all of it valid.
        let number = self.blocks.number(at);
        if let Some(block) = state.recent.get(number)
            && block.valid == self.blocks.all_pages()
        {
            let from = (at - self.blocks.start(number)) as usize;
            if let Some(bytes) = state
                .bytes(block, self.blocks)
                .and_then(|bytes| bytes.get(from..from + buffer.len()))
            {
                buffer.copy_from_slice(bytes);
                return Ok(());
            }
        }
        let length = buffer.len();
        let fault = MemoryError::Fault { address, length };
        let end = at.checked_add(length as u64).ok_or(fault)?;
        if end > USER_END {
            return Err(fault);
        }
        if !self.is_mapped(state, at, end) {
            return match self.ranges_may_be_old {
                true => self.source.read(address, buffer),
                false => Err(fault),
            };
        }
        if length >= LARGE {
            return self.source.read(address, buffer);
        }
        let mut at = at;
        let mut rest = buffer;
        while !rest.is_empty() {
            let next = self.blocks.start(self.blocks.number(at) + 1);
            let count = rest.len().min(usize::try_from(next - at).unwrap_or(usize::MAX));
            let (piece, left) = rest.split_at_mut(count);
            match self.read_in_block(state, at, piece) {
                Err(error) if error.is_fault() => return Err(fault),
                other => other?,
            }
            rest = left;
            at += count as u64;
        }
        Ok(())
    }

    /// What the source has moved.
    fn stats(&self) -> ReadStats {
        self.source.stats()
    }
}

impl BlockSize {
    const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The block that an address lies in.
    const fn number(self, at: u64) -> u64 {
        at >> self.shift
    }

    /// Where a block begins; the end of the address space for one that is beyond it.
    const fn start(self, number: u64) -> u64 {
        number.saturating_mul(self.bytes())
    }

    const fn all_pages(self) -> u8 {
        (1 << (self.bytes() / PAGE)) - 1
    }

    /// The bits of the pages that a range within a block touches.
    fn page_bits(self, from: u64, to: u64) -> u8 {
        let (first, last) = (from / PAGE, to.saturating_sub(1).max(from) / PAGE);
        let mut bits = 0;
        for page in first..=last.min(self.bytes() / PAGE - 1) {
            bits |= 1 << page;
        }
        bits
    }
}

impl State {
    fn bytes(&self, block: Block, size: BlockSize) -> Option<&[u8]> {
        let slab = self.slabs.get(block.slab.wrapping_sub(self.dropped))?;
        slab.memory.get(block.offset as usize..(block.offset + size.bytes()) as usize)
    }

    /// Notes the outcome for the pages of a range.
    fn mark(&mut self, start: u64, end: u64, size: BlockSize, readable: bool) {
        let mut number = size.number(start);
        let mut at = start;
        while at < end {
            let next = size.start(number + 1).min(end);
            if let Some(block) = self.blocks.get_mut(&number) {
                let from = size.start(number);
                let bits = size.page_bits(at - from, next - from);
                block.tried |= bits;
                if readable {
                    block.valid |= bits;
                }
            }
            at = next;
            number += 1;
        }
    }

    /// Makes room for blocks that lie together; false when there is none to be had.
    fn add_blocks(&mut self, number: u64, count: u64, size: BlockSize, ceiling: u64) -> bool {
        let bytes = count * size.bytes();
        let room = |slab: &Slab| slab.memory.len() as u64 - slab.used >= bytes;
        if !self.slabs.back().is_some_and(room) {
            let slab = self.slabs.back().map_or(FIRST_SLAB, |slab| slab.memory.len() as u64 * 2);
            let slab = slab.min(LARGEST_SLAB);
            while self.held + slab > ceiling && self.drop_oldest() {}
            if !self.add_slab(slab) {
                return false;
            }
        }
        let slab_number = self.dropped + self.slabs.len() - 1;
        let Some(slab) = self.slabs.back_mut() else { return false };
        for number in number..number + count {
            let block = Block { slab: slab_number, offset: slab.used, ..Block::default() };
            slab.used += size.bytes();
            slab.numbers.push(number);
            self.blocks.insert(number, block);
        }
        true
    }

    fn add_slab(&mut self, size: u64) -> bool {
        let Ok(memory) = MmapOptions::new().len(size as usize).map_anon() else { return false };
        // Both only save time: huge pages for large slabs, and the first slab's pages now.
        let _ = if size == LARGEST_SLAB {
            memory.advise(Advice::HugePage)
        } else {
            memory.advise(Advice::PopulateWrite)
        };
        self.held += size;
        self.slabs.push_back(Slab { memory, used: 0, numbers: Vec::new() });
        true
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(slab) = self.slabs.pop_front() else { return false };
        self.dropped += 1;
        self.held -= slab.memory.len() as u64;
        for number in slab.numbers {
            self.blocks.remove(&number);
        }
        self.recent = Recent::default();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::SyntheticMemory;
    use proptest::prelude::*;

    const BLOCK: u64 = 1 << POOL_SHIFT;

    /// Pieces of memory with ragged borders in a few blocks.
    fn image(pieces: &[(u64, u64)]) -> SyntheticMemory {
        let mut memory = SyntheticMemory::new();
        for &(start, length) in pieces {
            let bytes: Vec<u8> =
                (start..start + length).map(|at| (at.wrapping_mul(31) >> 3) as u8).collect();
            memory.put(Address::new(start), &bytes);
        }
        memory
    }

    #[test]
    fn the_last_pages_there_are_fault() {
        let cache = BlockCache::new(image(&[]), 0);
        for at in [u64::MAX - 4095, u64::MAX - 4200, u64::MAX - 8, USER_END - 4] {
            for length in [0, 8, 5000] {
                let read = cache.read_vec(Address::new(at), length);
                assert!(length == 0 || read.unwrap_err().is_fault());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn says_what_the_source_says(
            pieces in prop::collection::vec((0..20 * BLOCK, 1..3 * BLOCK), 1..6),
            reads in prop::collection::vec((0..24 * BLOCK, 0..100_usize), 1..200),
            large in prop::collection::vec((0..24 * BLOCK, 0..90_000_usize), 0..8),
            ceiling in prop::sample::select(vec![0, FIRST_SLAB, 64 << 20]),
            by_pages: bool,
        ) {
            let plain = image(&pieces);
            let cache = BlockCache::new(plain.clone(), ceiling);
            let cache = if by_pages { cache.by_pages() } else { cache };
            for (at, length) in reads.into_iter().chain(large) {
                let address = Address::new(at);
                prop_assert_eq!(plain.read_vec(address, length), cache.read_vec(address, length));
            }
        }
    }

    #[test]
    fn the_end_of_the_address_space_is_a_fault() {
        let cache = || BlockCache::new(SyntheticMemory::new(), 1 << 20);
        for cache in [cache(), cache().by_pages()] {
            for at in [u64::MAX, u64::MAX - 7, u64::MAX - BLOCK, 0] {
                assert!(cache.read_u64(Address::new(at)).unwrap_err().is_fault());
            }
        }
    }

    #[test]
    fn little_is_read_for_little() {
        let cache = BlockCache::new(image(&[(0, 64 * BLOCK)]), 1 << 20).by_pages();
        for block in (0..64).step_by(2) {
            cache.read_u64(Address::new(block * BLOCK)).unwrap();
        }
        assert_eq!(cache.stats(), ReadStats { reads: 32, bytes: 32 * PAGE });
    }

    #[test]
    fn neighbours_are_read_together_and_old_slabs_given_up() {
        let plain = image(&[(0, 260 * BLOCK)]);
        let scan = |cache: &BlockCache<_>| {
            for block in 0..256 {
                cache.read_u8(Address::new(block * BLOCK)).unwrap();
            }
        };
        let cache = BlockCache::new(plain.clone(), u64::MAX);
        scan(&cache);
        // One block, then runs of four; nothing twice.
        assert_eq!(cache.stats().reads, 1 + 255_u64.div_ceil(LONGEST_RUN));
        scan(&cache);
        assert_eq!(cache.stats().reads, 1 + 255_u64.div_ceil(LONGEST_RUN));

        let cache = BlockCache::new(plain, FIRST_SLAB);
        scan(&cache);
        assert!(cache.held() <= LARGEST_SLAB);
        // What was given up is read again.
        let before = cache.stats().reads;
        assert_eq!(cache.read_u8(Address::new(64)).unwrap(), ((64_u64 * 31) >> 3) as u8);
        assert_eq!(cache.stats().reads, before + 1);
    }
}
