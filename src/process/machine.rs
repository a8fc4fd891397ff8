//! Facts about the machine we run on.

use super::read_bounded;
use super::stat::status_number;

/// Memory that can be had without swapping, in bytes (`MemAvailable` of `/proc/meminfo`).
pub fn available_memory() -> Option<u64> {
    let text = read_bounded("/proc/meminfo").ok()?;
    status_number::<u64>(&text, "MemAvailable", 0)?.checked_mul(1024)
}
