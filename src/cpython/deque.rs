//! `collections.deque`: a chain of blocks (Modules/_collectionsmodule.c).

use super::{ObjectError, Python, Result};
use crate::memory::Address;

/// Items of one block (`BLOCKLEN`).
const BLOCK: u64 = 64;

impl Python<'_> {
    /// Items of a deque from left to right, at most `limit`. A block is its left link, 64 items
    /// and its right link.
    pub fn deque_items(&self, deque: Address, limit: u64) -> Result<Vec<Address>> {
        let wrong = || ObjectError::malformed("deque", deque);
        let fields = self.structs().deque.as_ref().ok_or_else(wrong)?;
        let mut rest = self.length(deque, "deque length")?.min(limit);
        let mut block = fields.left_block.read_pointer(self.memory, deque)?;
        let mut index = fields.left_index.read(self.memory, deque)?;
        let mut items = Vec::new();
        while rest > 0 {
            if block.is_null() || index >= BLOCK {
                return Err(wrong());
            }
            let count = rest.min(BLOCK - index);
            items.extend(self.pointers(block.add(8 + index * 8), count)?);
            rest -= count;
            block = self.memory.read_pointer(block.add(8 + BLOCK * 8))?;
            index = 0;
        }
        Ok(items)
    }
}
