//! Memory figures that cost the kernel a walk of the page tables, and the clock of the boot.

use super::Process;
use super::stat::status_number;

/// Memory as the kernel accounts for it, in bytes. `None`: could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Resident memory, shared pages divided by the number of those who share them.
    pub proportional: Option<u64>,
    /// Swapped out.
    pub swap: Option<u64>,
}

impl Process {
    /// How much memory it takes up. Takes milliseconds for each GiB.
    pub fn memory_usage(&self) -> MemoryUsage {
        let bytes = |file: &str, name: &str| {
            status_number::<u64>(&self.read(file).ok()?, name, 0)?.checked_mul(1024)
        };
        MemoryUsage { proportional: bytes("smaps_rollup", "Pss"), swap: bytes("status", "VmSwap") }
    }
}
