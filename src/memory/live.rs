//! The memory of a running (or stopped) process, read as it is now.
//!
//! One system call per read: `process_vm_readv`, or `/proc/PID/mem` where that is filtered.
//! Wrap it in a [`super::BlockCache`] for anything that reads small pieces, with the mappings:
//! reading `/proc/PID/mem` just below a stack makes that stack grow (`access_remote_vm` in
//! mm/memory.c calls `expand_stack`).

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::{Address, MemoryError, MemorySource, ReadStats, Result};
use crate::process::{Process, ProcessError};

/// Most pieces in one call (`UIO_MAXIOV` of the kernel).
pub(super) const MOST_PIECES: usize = 1024;

/// Reads the memory of a live process.
///
/// A process number can be reused: while the process is not held stopped, ask
/// [`Process::check`] after a series of reads.
#[derive(Debug)]
pub struct LiveMemory {
    pid: i32,
    /// The thread that stands for the process; not the leader when that has ended.
    task: Pid,
    /// Set once the system call has been refused.
    file: OnceCell<File>,
    reads: Cell<u64>,
    bytes: Cell<u64>,
}

/// One read of many.
#[derive(Debug)]
pub struct ReadRequest<'a> {
    /// Where.
    pub address: Address,
    /// What to fill.
    pub buffer: &'a mut [u8],
}

impl LiveMemory {
    /// The memory of `process`.
    pub fn new(process: &Process) -> Self {
        let pid = process.pid();
        Self {
            pid,
            task: Pid::from_raw(process.living_thread().unwrap_or(pid)),
            file: OnceCell::new(),
            reads: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// Fills many buffers with few system calls; an element of the answer for each request.
    ///
    /// # Errors
    /// Those that end a capture; a fault is the answer to its request only.
    pub fn read_scattered(&self, requests: &mut [ReadRequest<'_>]) -> Result<Vec<Result<()>>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let batch = rest.len().min(MOST_PIECES);
            let remote: Vec<RemoteIoVec> =
                rest.iter().take(batch).map(|r| piece(r.address, r.buffer.len())).collect();
            let mut local: Vec<IoSliceMut<'_>> =
                rest.iter_mut().take(batch).map(|r| IoSliceMut::new(r.buffer)).collect();
            let mut moved = match self.transfer(&mut local, &remote) {
                Ok(moved) => moved,
                Err(error) if error.is_fault() => 0,
                Err(error) => return Err(error),
            };
            // The call stops at the first piece that it cannot read, possibly inside it.
            let mut done = 0;
            for request in rest.iter().take(batch) {
                let Some(left) = moved.checked_sub(request.buffer.len()) else { break };
                moved = left;
                answers.push(Ok(()));
                done += 1;
            }
            if done < batch
                && let Some(request) = rest.get_mut(done)
            {
                let answer = self.read(request.address, request.buffer);
                match answer {
                    Err(error) if !error.is_fault() => return Err(error),
                    answer => answers.push(answer),
                }
                done += 1;
            }
            rest = rest.get_mut(done..).unwrap_or_default();
        }
        Ok(answers)
    }

    /// Moves as many bytes as can be read, in the order of the pieces. Zero only for no bytes
    /// asked for.
    pub(super) fn transfer(
        &self,
        local: &mut [IoSliceMut<'_>],
        remote: &[RemoteIoVec],
    ) -> Result<usize> {
        let moved = if self.file.get().is_some() {
            self.transfer_by_file(local, remote)
        } else {
            match process_vm_readv(self.task, local, remote) {
                Err(Errno::EPERM | Errno::ENOSYS) => {
                    self.open_file()?;
                    self.transfer_by_file(local, remote)
                }
                moved => moved,
            }
        };
        match moved {
            Ok(moved) => {
                self.reads.set(self.reads.get() + 1);
                self.bytes.set(self.bytes.get() + moved as u64);
                Ok(moved)
            }
            Err(errno) => Err(error_of(errno, remote)),
        }
    }

    fn open_file(&self) -> Result<()> {
        let path = format!("/proc/{}/task/{}/mem", self.pid, self.task);
        let file = File::open(path).map_err(|error| error_of(errno_of(&error), &[]))?;
        // Already set only if another call was faster; both are the same file.
        let _ = self.file.set(file);
        Ok(())
    }

    fn transfer_by_file(
        &self,
        local: &mut [IoSliceMut<'_>],
        remote: &[RemoteIoVec],
    ) -> nix::Result<usize> {
        let file = self.file.get().ok_or(Errno::EPERM)?;
        let mut moved = 0;
        // The callers' pieces are of equal lengths on both sides.
        for (buffer, piece) in local.iter_mut().zip(remote) {
            let mut done = 0;
            while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, (piece.base as u64).saturating_add(done as u64)) {
                    // End of file: the process has given up its memory.
                    Ok(0) if moved == 0 => return Err(Errno::ESRCH),
                    Ok(0) => return Ok(moved),
                    Ok(count) => {
                        done += count;
                        moved += count;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if moved == 0 => return Err(errno_of(&error)),
                    Err(_) => return Ok(moved),
                }
            }
        }
        Ok(moved)
    }
}

impl MemorySource for LiveMemory {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
        let length = buffer.len();
        if length == 0 {
            return Ok(());
        }
        let moved = self.transfer(&mut [IoSliceMut::new(buffer)], &[piece(address, length)])?;
        if moved == length { Ok(()) } else { Err(MemoryError::Fault { address, length }) }
    }

    fn stats(&self) -> ReadStats {
        ReadStats { reads: self.reads.get(), bytes: self.bytes.get() }
    }
}

/// A piece of the process's memory. `usize` is 64 bits wide: we run on x86_64 only.
pub(super) fn piece(address: Address, length: usize) -> RemoteIoVec {
    RemoteIoVec { base: address.get() as usize, len: length }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn error_of(errno: Errno, remote: &[RemoteIoVec]) -> MemoryError {
    match errno {
        Errno::ESRCH | Errno::ENOENT => MemoryError::ProcessGone,
        Errno::EPERM | Errno::EACCES => MemoryError::Denied,
        // EIO is how /proc/PID/mem says EFAULT; EINVAL is an address that wraps.
        Errno::EFAULT | Errno::EIO | Errno::EINVAL | Errno::EOVERFLOW => {
            let first = remote.first();
            MemoryError::Fault {
                address: Address::new(first.map_or(0, |piece| piece.base as u64)),
                length: first.map_or(0, |piece| piece.len),
            }
        }
        other => MemoryError::Io { errno: other as i32 },
    }
}

impl From<ProcessError> for MemoryError {
    /// What a failed question about the process means for reading its memory.
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Denied { .. } | ProcessError::Traced { .. } => Self::Denied,
            ProcessError::Io { source, .. } => Self::Io { errno: errno_of(&source) as i32 },
            ProcessError::NoSuchProcess { .. }
            | ProcessError::IsThread { .. }
            | ProcessError::Gone { .. }
            | ProcessError::Reused { .. }
            | ProcessError::Replaced { .. }
            | ProcessError::KernelThread { .. }
            | ProcessError::Zombie { .. }
            | ProcessError::ThirtyTwoBit { .. } => Self::ProcessGone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that stands in where the system call is filtered gives the same answers; read
    /// from ourselves, with a page taken away in the middle.
    #[test]
    fn the_file_says_what_the_call_says() {
        let mut memory = memmap2::MmapMut::map_anon(3 * 4096).unwrap();
        memory.fill(7);
        let start = Address::new(memory.as_ptr() as u64);
        // SAFETY: the page is ours, and nothing touches it from here on.
        let taken =
            unsafe { libc::mprotect(memory.as_mut_ptr().add(8192).cast(), 4096, libc::PROT_NONE) };
        assert_eq!(taken, 0);
        let process = Process::open(std::process::id().cast_signed()).unwrap();
        let (by_call, by_file) = (LiveMemory::new(&process), LiveMemory::new(&process));
        by_file.open_file().unwrap();
        for live in [&by_call, &by_file] {
            assert_eq!(live.read_vec(start.add(4090), 100).unwrap(), vec![7; 100]);
            assert!(live.read_vec(start, 0).unwrap().is_empty());
            for address in [Address::NULL, Address::new(u64::MAX - 7), Address::new(1 << 63)] {
                assert!(live.read_u64(address).unwrap_err().is_fault(), "{address}");
            }
            let mut buffers = [[0; 8]; 3];
            let mut requests: Vec<_> = buffers
                .iter_mut()
                .zip([start, Address::new(8), start.add(4092)])
                .map(|(buffer, address)| ReadRequest { address, buffer })
                .collect();
            let answers = live.read_scattered(&mut requests).unwrap();
            assert!(answers[0].is_ok() && answers[2].is_ok());
            assert!(answers[1].unwrap_err().is_fault());
            assert_eq!(buffers, [[7; 8], [0; 8], [7; 8]]);
        }
        assert!(by_call.read_vec(start.add(8190), 4).unwrap_err().is_fault());
        assert_eq!(by_call.stats().bytes, by_file.stats().bytes + 2);
    }
}
