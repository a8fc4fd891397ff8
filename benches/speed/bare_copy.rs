//! The least that a copy of the resident pages can take: `process_vm_readv` and nothing else.
//!
//! Written for itself, so that it shares no mistake with the tool. Runs in a process of its own (the benchmark calls
//! itself), so that the benchmark stays small. The target is not stopped: it rests.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::time::Instant;

use memmap2::{Advice, MmapMut};

/// The first argument that asks for a bare copy; PID and room follow.
pub(crate) const WORD: &str = "--bare-copy";

const PAGE: u64 = 4096;
/// Present or swapped (Documentation/admin-guide/mm/pagemap.rst).
const RESIDENT: u64 = 0b11 << 62;
/// IOV_MAX.
const MOST_PIECES: usize = 1024;
/// Most bytes in one call: the kernel allows 2 GiB less a page.
const MOST_BYTES: usize = 64 << 20;

/// Copies the private writable resident pages of a process; prints the time in nanoseconds, and the bytes.
pub(crate) fn main(pid: &str, room: &str) -> ExitCode {
    let copied =
        pid.parse().map_err(std::io::Error::other).and_then(|pid| copy(pid, room == "touched"));
    match copied {
        Ok((ns, bytes)) => {
            println!("{ns} ns for {bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn copy(pid: i32, touched: bool) -> std::io::Result<(u128, usize)> {
    let runs = runs(pid)?;
    let bytes = runs.iter().map(|run| run.iov_len).sum();
    let mut memory = MmapMut::map_anon(bytes)?;
    if touched {
        memory.advise(Advice::HugePage)?;
        memory.advise(Advice::PopulateWrite)?;
    }
    let mut left: &mut [u8] = &mut memory;
    let mut rest = &runs[..];
    let begin = Instant::now();
    while !rest.is_empty() {
        let (mut count, mut length) = (0, 0);
        for run in rest.iter().take(MOST_PIECES) {
            if count > 0 && length + run.iov_len > MOST_BYTES {
                break;
            }
            (count, length) = (count + 1, length + run.iov_len);
        }
        let local = libc::iovec { iov_base: left.as_mut_ptr().cast(), iov_len: length };
        // SAFETY: `local` is memory of ours of that length, the pieces are in the list; all live for the call.
        let moved = unsafe {
            libc::process_vm_readv(
                pid,
                &raw const local,
                1,
                rest.as_ptr(),
                count as libc::c_ulong,
                0,
            )
        };
        if usize::try_from(moved).ok() != Some(length) {
            return Err(std::io::Error::other(format!("{moved} of {length} bytes")));
        }
        left = left.split_at_mut(length).1;
        rest = &rest[count..];
    }
    Ok((begin.elapsed().as_nanos(), bytes))
}

/// The resident pages of private writable memory, as ranges of at most [`MOST_BYTES`].
fn runs(pid: i32) -> std::io::Result<Vec<libc::iovec>> {
    let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut runs: Vec<libc::iovec> = Vec::new();
    for line in std::fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        if !rights.starts_with("rw") || !rights.ends_with('p') {
            continue;
        }
        let mut ends = range.split('-').filter_map(|word| u64::from_str_radix(word, 16).ok());
        let (Some(start), Some(end)) = (ends.next(), ends.next()) else { continue };
        let mut words = vec![0; ((end - start) / PAGE * 8) as usize];
        pagemap.read_exact_at(&mut words, start / PAGE * 8)?;
        for (index, word) in words.chunks_exact(8).enumerate() {
            if u64::from_le_bytes(word.try_into().unwrap_or_default()) & RESIDENT == 0 {
                continue;
            }
            let at = (start + index as u64 * PAGE) as usize;
            match runs.last_mut() {
                Some(run)
                    if run.iov_base as usize + run.iov_len == at && run.iov_len < MOST_BYTES =>
                {
                    run.iov_len += PAGE as usize;
                }
                _ => runs.push(libc::iovec { iov_base: at as *mut _, iov_len: PAGE as usize }),
            }
        }
    }
    Ok(runs)
}
