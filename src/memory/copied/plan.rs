//! Preparing a copy while the process runs, and taking it while it stands still.
//!
//! What makes a copy slow is not copying but touching fresh memory of our own for the first
//! time. So the plan maps and touches room for all that is resident before the stop; in the
//! pause there is little else than the kernel copying pages.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::time::Instant;

use memmap2::{Advice, MmapMut, MmapOptions};
use nix::errno::Errno;

use super::pagemap::{PAGE, Pagemap, Run};
use super::{CopiedMemory, Coverage, Region};
use crate::memory::live::{MOST_PIECES, piece};
use crate::memory::{Address, LiveMemory, MemoryError, Result};
use crate::process::{Mapping, Process};

/// Most bytes in one system call.
const MOST_BYTES: usize = 32 << 20;
/// Private file mappings up to this size are copied as a whole (the data of a library); of
/// larger ones, mapped files of the program's own, only what the program has written.
const WHOLE_FILE: u64 = 64 << 20;
/// Room from this size on, at least half of it resident, is asked for in huge pages.
const HUGE: u64 = 4 << 20;

/// Room for a copy of a process's memory.
#[derive(Debug)]
pub struct CopyPlan {
    areas: Vec<Area>,
    pagemap: Pagemap,
    live: LiveMemory,
    most_bytes: u64,
    expected_bytes: u64,
}

/// Room of our own for a range of the process's addresses.
#[derive(Debug)]
pub(super) struct Area {
    start: u64,
    pub(super) memory: MmapMut,
}

/// What is to be copied into one area.
struct Work {
    area: usize,
    start: u64,
    end: u64,
}

impl CopyPlan {
    /// Makes room for the private writable memory that is resident now, before the stop.
    ///
    /// # Errors
    /// [`MemoryError::Ceiling`] when that is more than `most_bytes`; gone; no permission.
    pub fn prepare(process: &Process, maps: &[Mapping], most_bytes: u64) -> Result<Self> {
        let pagemap = Pagemap::open(process)?;
        let mut chosen: Vec<&Mapping> = maps.iter().filter(|map| is_copied(map)).collect();
        chosen.sort_unstable_by_key(|map| map.start);
        let mut expected_bytes = 0;
        let mut ranges: Vec<(u64, u64, Vec<Run>)> = Vec::new();
        for map in chosen {
            let mut runs = Vec::new();
            runs_of(&pagemap, map, map.start, map.end, &mut runs)?;
            expected_bytes += bytes_in(&runs);
            // One area for mappings that touch: the kernel splits and joins them at will.
            match ranges.last_mut() {
                Some((_, end, known)) if *end == map.start => {
                    *end = map.end;
                    known.append(&mut runs);
                }
                _ => ranges.push((map.start, map.end, runs)),
            }
        }
        if expected_bytes > most_bytes {
            return Err(MemoryError::Ceiling { ceiling: most_bytes });
        }
        let mut areas = Vec::with_capacity(ranges.len());
        for (start, end, runs) in ranges {
            let mut area = Area::new(start, end)?;
            area.touch(&runs);
            areas.push(area);
        }
        let live = LiveMemory::new(process);
        Ok(Self { areas, pagemap, live, most_bytes, expected_bytes })
    }

    /// Bytes that were resident when the plan was made.
    pub fn expected_bytes(&self) -> u64 {
        self.expected_bytes
    }

    /// Takes the copy. To be called while the process is stopped; the map and the resident
    /// pages are asked for again, since they changed until the stop.
    ///
    /// # Errors
    /// [`MemoryError::Ceiling`] when the process has grown over the plan's limit;
    /// [`MemoryError::OverBudget`] when the copy was not done at `until`; gone; no permission.
    pub fn copy(mut self, process: &Process, until: Instant) -> Result<CopiedMemory> {
        let maps = process.maps()?;
        let mut coverage = Coverage::default();
        let mut work = Vec::new();
        let mut regions = Vec::new();
        let planned = self.areas.len();
        for map in maps.iter().filter(|map| is_copied(map)) {
            coverage.mappings += 1;
            let mut at = map.start;
            while at < map.end {
                let (area, end) = self.room_for(at, map.end, planned)?;
                let start = at;
                at = end;
                let mut runs = Vec::new();
                runs_of(&self.pagemap, map, start, end, &mut runs)?;
                if is_large_file(map) {
                    coverage.pages_skipped += (end - start - bytes_in(&runs)) / PAGE;
                    for run in &runs {
                        regions.push(self.region(area, run.start, run.end));
                    }
                } else {
                    regions.push(self.region(area, start, end));
                }
                work.extend(runs.iter().map(|run| Work { area, start: run.start, end: run.end }));
            }
        }
        let bytes: u64 = work.iter().map(|work| work.end - work.start).sum();
        if bytes > self.most_bytes {
            return Err(MemoryError::Ceiling { ceiling: self.most_bytes });
        }
        let holes = self.transfer(&mut work, until)?;
        coverage.pages_unreadable = holes.len() as u64;
        coverage.pages_copied = bytes / PAGE - coverage.pages_unreadable;
        Ok(CopiedMemory::new(self.areas, regions, &holes, &maps, self.live, coverage))
    }

    /// An area with room at `at`, and how far that goes, at most to `end`.
    fn room_for(&mut self, at: u64, end: u64, planned: usize) -> Result<(usize, u64)> {
        // The planned areas are sorted; those added here hold what lies between them.
        let known = self.areas.get(..planned).unwrap_or_default();
        let after = known.partition_point(|area| area.start <= at);
        let next = known.get(after).map_or(end, |area| area.start.min(end));
        if let Some(index) = after.checked_sub(1)
            && let Some(area) = known.get(index)
            && at < area.end()
        {
            return Ok((index, area.end().min(end)));
        }
        self.areas.push(Area::new(at, next)?);
        Ok((self.areas.len() - 1, next))
    }

    fn region(&self, area: usize, start: u64, end: u64) -> Region {
        let base = self.areas.get(area).map_or(start, |area| area.start);
        Region { start, end, area, offset: (start - base) as usize }
    }

    /// Copies everything; says which pages could not be read.
    fn transfer(&mut self, work: &mut [Work], until: Instant) -> Result<Vec<u64>> {
        work.sort_unstable_by_key(|work| (work.area, work.start));
        let mut pieces: VecDeque<(u64, &mut [u8])> = VecDeque::with_capacity(work.len());
        let mut rest = &*work;
        for (index, area) in self.areas.iter_mut().enumerate() {
            let mut at = area.start;
            let mut room: &mut [u8] = &mut area.memory;
            while let Some((first, others)) = rest.split_first().filter(|(w, _)| w.area == index) {
                rest = others;
                let skipped = (first.start - at) as usize;
                let length = (first.end - first.start) as usize;
                let Some((_, behind)) = room.split_at_mut_checked(skipped) else { break };
                let Some((piece, behind)) = behind.split_at_mut_checked(length) else { break };
                pieces.push_back((first.start, piece));
                room = behind;
                at = first.end;
            }
        }
        let mut holes = Vec::new();
        while !pieces.is_empty() {
            if Instant::now() >= until {
                return Err(MemoryError::OverBudget);
            }
            let mut local = Vec::with_capacity(MOST_PIECES.min(pieces.len()));
            let mut remote = Vec::with_capacity(local.capacity());
            let mut left = MOST_BYTES;
            for (start, room) in pieces.iter_mut().take(MOST_PIECES) {
                let length = room.len().min(left);
                remote.push(piece(Address::new(*start), length));
                local.push(IoSliceMut::new(room.get_mut(..length).unwrap_or_default()));
                left -= length;
                if left == 0 {
                    break;
                }
            }
            let wanted = MOST_BYTES - left;
            let moved = match self.live.transfer(&mut local, &remote) {
                Err(error) if error.is_fault() => 0,
                moved => moved?,
            };
            advance(&mut pieces, moved);
            if moved < wanted
                && let Some((start, _)) = pieces.front()
            {
                // The call stops at a page that it cannot read; go on behind that.
                holes.push(start - start % PAGE);
                let skipped = (PAGE - start % PAGE) as usize;
                advance(&mut pieces, skipped);
            }
        }
        Ok(holes)
    }
}

/// Takes `bytes` off the front.
fn advance(pieces: &mut VecDeque<(u64, &mut [u8])>, mut bytes: usize) {
    while let Some((start, room)) = pieces.pop_front() {
        if bytes < room.len() {
            let behind = room.split_at_mut(bytes).1;
            pieces.push_front((start + bytes as u64, behind));
            return;
        }
        bytes -= room.len();
    }
}

/// Private memory that the program can write.
fn is_copied(map: &Mapping) -> bool {
    map.readable && map.writable && !map.shared
}

fn is_large_file(map: &Mapping) -> bool {
    map.is_file() && map.length() > WHOLE_FILE
}

/// What of `start..end`, a part of `map`, has to be copied.
fn runs_of(
    pagemap: &Pagemap,
    map: &Mapping,
    start: u64,
    end: u64,
    runs: &mut Vec<Run>,
) -> Result<()> {
    if !map.is_file() {
        // Pages that were never touched read as zeros, as our own fresh memory does.
        return pagemap.runs(start, end, runs);
    }
    if is_large_file(map) {
        pagemap.runs(start, end, runs)?;
        runs.retain(|run| !run.clean_file);
    } else {
        // Pages that were never touched hold what the file holds.
        runs.push(Run { start, end, clean_file: false });
    }
    Ok(())
}

fn bytes_in(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.end - run.start).sum()
}

impl Area {
    fn new(start: u64, end: u64) -> Result<Self> {
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        let memory = MmapOptions::new().len(length).no_reserve_swap().map_anon();
        memory.map(|memory| Self { start, memory }).map_err(|error| MemoryError::Io {
            errno: error.raw_os_error().unwrap_or(Errno::ENOMEM as i32),
        })
    }

    fn end(&self) -> u64 {
        self.start + self.memory.len() as u64
    }

    /// Makes the pages behind `runs` ours now. Only saves time, so failing does not matter.
    fn touch(&mut self, runs: &[Run]) {
        let resident = bytes_in(runs);
        let length = self.memory.len() as u64;
        if length >= HUGE && resident >= length / 2 {
            let _ = self.memory.advise(Advice::HugePage);
        } else {
            // Sparse: huge pages would fill the gaps with memory of ours.
            let _ = self.memory.advise(Advice::NoHugePage);
        }
        for run in runs {
            let (offset, length) =
                ((run.start - self.start) as usize, (run.end - run.start) as usize);
            if self.memory.advise_range(Advice::PopulateWrite, offset, length).is_err() {
                // Before Linux 5.14.
                let pages = self.memory.get_mut(offset..offset + length).unwrap_or_default();
                for byte in pages.iter_mut().step_by(PAGE as usize) {
                    *byte = 0;
                }
            }
        }
    }
}
