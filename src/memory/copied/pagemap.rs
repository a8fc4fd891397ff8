//! Which pages of a process exist: `/proc/PID/pagemap`.
//!
//! Linux 6.7 and later answers with ranges (ioctl `PAGEMAP_SCAN`); before, with a word for
//! each page (Documentation/admin-guide/mm/pagemap.rst).

use std::cell::Cell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use crate::memory::{MemoryError, Result};
use crate::process::{Process, ProcessError};

pub(super) const PAGE: u64 = 4096;

/// `_IOWR('f', 16, struct pm_scan_arg)` of include/uapi/linux/fs.h.
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Bits of a word of the file.
const PM_FILE: u64 = 1 << 61;
const PM_SWAP: u64 = 1 << 62;
const PM_PRESENT: u64 = 1 << 63;

/// `struct page_region`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Debug, Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Pages in a row that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
    /// They are the file's own pages, not changed by the process.
    pub(super) clean_file: bool,
}

/// The open page map of a process.
#[derive(Debug)]
pub(super) struct Pagemap {
    file: File,
    has_scan: Cell<bool>,
}

impl Pagemap {
    pub(super) fn open(process: &Process) -> std::result::Result<Self, ProcessError> {
        let file = process.open_memory_file("pagemap")?;
        Ok(Self { file, has_scan: Cell::new(true) })
    }

    /// Adds the runs of present or swapped pages in `start..end`, ascending.
    pub(super) fn runs(&self, start: u64, end: u64, runs: &mut Vec<Run>) -> Result<()> {
        if self.has_scan.get() {
            match self.scan(start, end, runs) {
                Err(Errno::ENOTTY | Errno::EINVAL | Errno::ENOSYS | Errno::EPERM) => {
                    self.has_scan.set(false);
                }
                other => return other.map_err(error),
            }
        }
        self.read_words(start, end, runs)
    }

    fn scan(&self, start: u64, end: u64, runs: &mut Vec<Run>) -> nix::Result<()> {
        let mut regions = [PageRegion::default(); 512];
        let mut at = start;
        while at < end {
            let mut arg = ScanArg {
                size: size_of::<ScanArg>() as u64,
                start: at,
                end,
                vec: regions.as_mut_ptr() as u64,
                vec_len: regions.len() as u64,
                // Present or swapped, and not the shared page of zeros.
                category_inverted: PAGE_IS_PFNZERO,
                category_mask: PAGE_IS_PFNZERO,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                return_mask: PAGE_IS_FILE,
                ..ScanArg::default()
            };
            // SAFETY: the argument has the kernel's layout, and `vec` points to room for
            // `vec_len` regions; both live for the call.
            let found = Errno::result(unsafe {
                libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &raw mut arg)
            })?;
            for region in regions.iter().take(usize::try_from(found).unwrap_or(0)) {
                let clean_file = region.categories & PAGE_IS_FILE != 0;
                push(runs, Run { start: region.start, end: region.end, clean_file });
            }
            if arg.walk_end <= at {
                return Err(Errno::EINVAL);
            }
            at = arg.walk_end;
        }
        Ok(())
    }

    fn read_words(&self, start: u64, end: u64, runs: &mut Vec<Run>) -> Result<()> {
        let mut words = vec![0_u8; 64 << 10];
        let mut at = start;
        while at < end {
            let wanted = ((end - at) / PAGE * 8).min(words.len() as u64) as usize;
            if wanted == 0 {
                break;
            }
            let room = words.get_mut(..wanted).unwrap_or_default();
            let read = self
                .file
                .read_at(room, at / PAGE * 8)
                .map_err(|e| error(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))?;
            if read < 8 {
                // The end of what the kernel maps.
                break;
            }
            for word in room.get(..read).unwrap_or_default().chunks_exact(8) {
                let word = word.try_into().map_or(0, u64::from_le_bytes);
                if word & (PM_PRESENT | PM_SWAP) != 0 {
                    push(runs, Run { start: at, end: at + PAGE, clean_file: word & PM_FILE != 0 });
                }
                at += PAGE;
            }
        }
        Ok(())
    }
}

/// Adds a run, joined with the last one where they touch and are alike.
fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last) if last.end == run.start && last.clean_file == run.clean_file => {
            last.end = run.end;
        }
        _ => runs.push(run),
    }
}

fn error(errno: Errno) -> MemoryError {
    match errno {
        Errno::ESRCH => MemoryError::ProcessGone,
        Errno::EPERM | Errno::EACCES => MemoryError::Denied,
        other => MemoryError::Io { errno: other as i32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways of asking agree, on memory of our own with a known pattern.
    #[test]
    fn ranges_and_words_agree() {
        let mut memory = memmap2::MmapMut::map_anon(600 * PAGE as usize).unwrap();
        memory.advise(memmap2::Advice::NoHugePage).unwrap();
        for page in (0..600).filter(|page| page % 7 < 3) {
            memory[page * PAGE as usize] = 1;
        }
        let start = memory.as_ptr() as u64;
        let end = start + 600 * PAGE;
        let pagemap =
            Pagemap::open(&Process::open(std::process::id().cast_signed()).unwrap()).unwrap();
        let (mut words, mut ranges) = (Vec::new(), Vec::new());
        pagemap.read_words(start, end, &mut words).unwrap();
        assert_eq!(words.len(), 86);
        assert!(
            words
                .iter()
                .all(|run| !run.clean_file && ((run.start - start) / PAGE).is_multiple_of(7))
        );
        pagemap.runs(start, end, &mut ranges).unwrap();
        assert_eq!(words, ranges);
        println!("PAGEMAP_SCAN: {}", pagemap.has_scan.get());
    }
}
