//! Reading and writing a stopped thread's memory, whole or not at all.
//!
//! By `process_vm_readv` and `process_vm_writev`, which honour the protection of pages
//! (`/proc/PID/mem` would write into guard pages). The `memory` layer only reads, and lies above
//! this one.

use std::io::{IoSlice, IoSliceMut};

use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// The memory of the process that a thread belongs to.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct TaskMemory(pub(in crate::process) i32);

impl TaskMemory {
    /// Fills the buffer; false when any byte cannot be read.
    pub(in crate::process) fn read(self, at: u64, buffer: &mut [u8]) -> bool {
        let length = buffer.len();
        let local = &mut [IoSliceMut::new(buffer)];
        process_vm_readv(Pid::from_raw(self.0), local, &[piece(at, length)]) == Ok(length)
    }

    /// Writes the bytes; false when any could not be written.
    pub(in crate::process) fn write(self, at: u64, bytes: &[u8]) -> bool {
        let local = [IoSlice::new(bytes)];
        let remote = [piece(at, bytes.len())];
        process_vm_writev(Pid::from_raw(self.0), &local, &remote) == Ok(bytes.len())
    }
}

/// `usize` is 64 bits wide: we run on x86_64 only.
fn piece(at: u64, length: usize) -> RemoteIoVec {
    RemoteIoVec { base: at as usize, len: length }
}
