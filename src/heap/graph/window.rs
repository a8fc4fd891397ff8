//! Reading objects that are visited in the order of their addresses: a page at a time.

use crate::memory::{Address, MemoryError, MemorySource};

const PAGE: u64 = 4096;

/// The page read last.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Its address; no page is at zero.
    start: u64,
    readable: bool,
    page: Vec<u8>,
    /// What does not lie in one page.
    other: Vec<u8>,
}

impl Window {
    /// The bytes at an address.
    pub(super) fn bytes(
        &mut self,
        memory: &dyn MemorySource,
        at: Address,
        length: usize,
    ) -> Result<&[u8], MemoryError> {
        let start = at.get() - at.get() % PAGE;
        let from = (at.get() % PAGE) as usize;
        if from + length <= PAGE as usize {
            if start != self.start {
                self.load(memory, start)?;
            }
            if self.readable
                && let Some(bytes) = self.page.get(from..from + length)
            {
                return Ok(bytes);
            }
        }
        self.other.resize(length, 0);
        memory.read(at, &mut self.other)?;
        Ok(&self.other)
    }

    fn load(&mut self, memory: &dyn MemorySource, start: u64) -> Result<(), MemoryError> {
        self.start = start;
        self.page.resize(PAGE as usize, 0);
        self.readable = match memory.read(Address::new(start), &mut self.page) {
            Ok(()) => true,
            Err(error) if error.is_fault() => false,
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::SyntheticMemory;

    #[test]
    fn reads_what_is_there() {
        let mut memory = SyntheticMemory::new();
        let bytes: Vec<u8> = (0..3 * PAGE).map(|at| ((at * 7) >> 4) as u8).collect();
        memory.put(Address::new(PAGE), &bytes);
        // The last page is not whole.
        memory.put(Address::new(8 * PAGE), &[9; 100]);
        let mut window = Window::default();
        for (at, length) in [(0, 8), (4090, 20), (4096, 4096), (5000, 100), (100, 9000), (0, 24)] {
            let found = window.bytes(&memory, Address::new(PAGE + at), length).unwrap();
            assert_eq!(found, bytes.get(at as usize..at as usize + length).unwrap());
        }
        assert_eq!(window.bytes(&memory, Address::new(8 * PAGE), 100).unwrap(), [9; 100]);
        assert!(window.bytes(&memory, Address::new(8 * PAGE), 101).unwrap_err().is_fault());
        assert!(window.bytes(&memory, Address::new(0), 8).unwrap_err().is_fault());
    }
}
