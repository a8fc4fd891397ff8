//! An image of memory built by hand, for tests of everything that reads memory.
//!
//! It can hold what no real program would: half-built objects, dangling pointers, holes in the
//! middle of a structure. Every byte is either there or not; nothing is rounded to pages.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::{Address, MemoryError, MemorySource, ReadStats, Result};

const CHUNK: u64 = 4096;

/// Memory that consists of what was put into it.
#[derive(Debug, Clone)]
pub struct SyntheticMemory {
    chunks: BTreeMap<u64, Chunk>,
    next: u64,
    reads: Cell<u64>,
    bytes: Cell<u64>,
}

/// The bytes of one aligned chunk and which of them are there.
#[derive(Debug, Clone)]
struct Chunk {
    bytes: Vec<u8>,
    present: Vec<bool>,
}

impl Default for SyntheticMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl SyntheticMemory {
    /// No memory at all; [`Self::alloc`] begins at an address as the heap of a program has it.
    pub fn new() -> Self {
        Self {
            chunks: BTreeMap::new(),
            next: 0x5555_0000_0000,
            reads: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// Writes bytes, which makes them readable.
    pub fn put(&mut self, address: Address, bytes: &[u8]) {
        let mut rest = bytes;
        self.for_each_chunk(address, bytes.len() as u64, |contents, present| {
            let (piece, behind) = rest.split_at(contents.len());
            contents.copy_from_slice(piece);
            present.fill(true);
            rest = behind;
        });
    }

    /// Writes a 32-bit value.
    pub fn put_u32(&mut self, address: Address, value: u32) {
        self.put(address, &value.to_le_bytes());
    }

    /// Writes a 64-bit value.
    pub fn put_u64(&mut self, address: Address, value: u64) {
        self.put(address, &value.to_le_bytes());
    }

    /// Writes a pointer.
    pub fn put_pointer(&mut self, address: Address, value: Address) {
        self.put_u64(address, value.get());
    }

    /// Makes `length` bytes readable; zeros where nothing was written before.
    pub fn reserve(&mut self, address: Address, length: u64) {
        self.for_each_chunk(address, length, |_, present| present.fill(true));
    }

    /// Takes bytes away: reads that touch them fault.
    pub fn remove(&mut self, address: Address, length: u64) {
        self.for_each_chunk(address, length, |contents, present| {
            contents.fill(0);
            present.fill(false);
        });
    }

    /// Reserves `length` bytes at a fresh address that is a multiple of `alignment` (a power
    /// of two). Allocations are at least 16 bytes apart, so that running over the end of one
    /// is a fault.
    pub fn alloc(&mut self, length: u64, alignment: u64) -> Address {
        let address = self.next.next_multiple_of(alignment.max(1));
        self.next = address.saturating_add(length).saturating_add(16);
        self.reserve(Address::new(address), length);
        Address::new(address)
    }

    /// Calls `change` with the part of each chunk that lies in the range, up to the end of the
    /// address space: its bytes, and which of them are there. Bytes that are not are zero.
    fn for_each_chunk(
        &mut self,
        address: Address,
        length: u64,
        mut change: impl FnMut(&mut [u8], &mut [bool]),
    ) {
        let end = address.get().saturating_add(length);
        let mut at = address.get();
        while at < end {
            let size = CHUNK as usize;
            let chunk = self
                .chunks
                .entry(at / CHUNK)
                .or_insert_with(|| Chunk { bytes: vec![0; size], present: vec![false; size] });
            let from = (at % CHUNK) as usize;
            let count = (end - at).min(CHUNK - at % CHUNK);
            let part = from..from + count as usize;
            change(&mut chunk.bytes[part.clone()], &mut chunk.present[part]);
            at += count;
        }
    }
}

impl MemorySource for SyntheticMemory {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len();
        let fault = MemoryError::Fault { address, length };
        let end = address.get().checked_add(length as u64).ok_or(fault)?;
        let mut at = address.get();
        let mut rest = buffer;
        while at < end {
            let chunk = self.chunks.get(&(at / CHUNK)).ok_or(fault)?;
            let from = (at % CHUNK) as usize;
            let count = rest.len().min(CHUNK as usize - from);
            if !chunk.present[from..from + count].iter().all(|&present| present) {
                return Err(fault);
            }
            let (filled, left) = rest.split_at_mut(count);
            filled.copy_from_slice(&chunk.bytes[from..from + count]);
            rest = left;
            at += count as u64;
        }
        self.reads.set(self.reads.get() + 1);
        self.bytes.set(self.bytes.get() + length as u64);
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats { reads: self.reads.get(), bytes: self.bytes.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_put_is_there() {
        let mut memory = SyntheticMemory::new();
        let at = Address::new(CHUNK - 4);
        memory.put_u64(at, 0x1122_3344_5566_7788);
        assert_eq!(memory.read_u64(at).unwrap(), 0x1122_3344_5566_7788);
        assert_eq!(memory.read_u32(at.add(4)).unwrap(), 0x1122_3344);
        assert!(memory.read_u64(at.add(1)).unwrap_err().is_fault());
        assert!(memory.read_u8(at.sub(1)).unwrap_err().is_fault());
        assert!(memory.read_u64(Address::new(u64::MAX - 3)).unwrap_err().is_fault());
        memory.remove(at.add(2), 1);
        assert!(memory.read_u64(at).unwrap_err().is_fault());
        memory.reserve(at, 100);
        assert_eq!(memory.read_u64(at).unwrap(), 0x1122_3344_5500_7788);
    }

    #[test]
    fn allocations_do_not_touch() {
        let mut memory = SyntheticMemory::new();
        let (a, b) = (memory.alloc(24, 16), memory.alloc(8, 4096));
        assert!(a.is_aligned(16) && b.is_aligned(4096));
        assert_eq!(memory.read_vec(a, 24).unwrap(), vec![0; 24]);
        assert!(memory.read_vec(a, 25).is_err() && memory.read_vec(b, 9).is_err());
    }
}
