//! Bytes at an address, from wherever they come.
//!
//! Knows nothing of Python or ELF. Everything above reads the target through
//! [`MemorySource`] and never asks which implementation it has. Reads are exact: either all
//! bytes asked for arrive, or the read is a [`MemoryError`]. Callers count and skip a
//! [`MemoryError::Fault`]; the other errors end a capture.

mod address;
mod budget;
mod cache;
mod copied;
mod forked;
mod live;
mod recent;
pub mod room;
mod synthetic;

pub use address::Address;
pub use budget::{Budgeted, Limited};
pub use cache::BlockCache;
pub use copied::{CopiedMemory, CopyPlan, Coverage};
pub use forked::ForkedMemory;
pub use live::{LiveMemory, ReadRequest};
pub use recent::Recent;
pub use synthetic::SyntheticMemory;

use thiserror::Error;

/// Why bytes could not be read. The variants differ in what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// Nothing readable there: a wild pointer, a hole, a page that was not captured.
    /// Counted and skipped.
    #[error("no readable memory at {address} ({length} bytes)")]
    Fault {
        /// First byte of the read that failed.
        address: Address,
        /// Bytes asked for.
        length: usize,
    },
    /// The kernel refuses to let us read this process.
    #[error("permission to read the process's memory was denied")]
    Denied,
    /// The process ended while we were reading.
    #[error("the process ended while its memory was being read")]
    ProcessGone,
    /// Our own ceiling for memory was reached.
    #[error("reading more would pass our memory ceiling of {ceiling} bytes")]
    Ceiling {
        /// The ceiling, in bytes.
        ceiling: u64,
    },
    /// The time for reading is up: the target has stood still long enough.
    #[error("reading took longer than the pause allowed")]
    OverBudget,
    /// Any other error of the operating system.
    #[error("reading the process's memory failed: errno {errno}")]
    Io {
        /// The raw `errno`.
        errno: i32,
    },
}

impl MemoryError {
    /// True when only this read is lost and the capture can go on.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Fault { .. })
    }
}

/// A result of a read.
pub type Result<T> = std::result::Result<T, MemoryError>;

/// What reading has cost so far. Part of every result the tool prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// System calls that moved bytes.
    pub reads: u64,
    /// Bytes moved.
    pub bytes: u64,
}

/// Memory of the target, or a picture of it.
///
/// Multi-byte values are little endian: the only targets are x86_64.
pub trait MemorySource {
    /// Fills `buffer` with the bytes at `address`, or fails as a whole.
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()>;

    /// What reading has cost so far.
    fn stats(&self) -> ReadStats;

    /// Little more will be read: what is kept only to be read faster can be given up.
    fn settle(&self) {}

    /// Reads one byte.
    fn read_u8(&self, address: Address) -> Result<u8> {
        let mut bytes = [0; 1];
        self.read(address, &mut bytes)?;
        Ok(bytes[0])
    }

    /// Reads a 32-bit value.
    fn read_u32(&self, address: Address) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a 64-bit value.
    fn read_u64(&self, address: Address) -> Result<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a pointer, which may be null or wild.
    fn read_pointer(&self, address: Address) -> Result<Address> {
        self.read_u64(address).map(Address::new)
    }

    /// Reads `length` bytes into a new vector. The caller has bounded `length`.
    fn read_vec(&self, address: Address, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads a NUL-terminated string of at most `limit` bytes (the NUL not counted); longer
    /// ones are cut. Reads in small steps, so that a string before a hole is still read.
    fn read_c_string(&self, address: Address, limit: usize) -> Result<Vec<u8>> {
        const STEP: usize = 64;
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            let at = address.add(bytes.len() as u64);
            // Up to the next multiple of STEP: pages are multiples of it, so no step crosses
            // from a readable page into a hole.
            let step = (STEP - (at.get() as usize % STEP)).min(limit - bytes.len());
            let piece = self.read_vec(at, step)?;
            if let Some(end) = piece.iter().position(|&byte| byte == 0) {
                bytes.extend_from_slice(&piece[..end]);
                return Ok(bytes);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}
