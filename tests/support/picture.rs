//! The memory of a real process, kept, and damaged at will: for showing that nothing in it can harm its reader.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pyattach::layout::Layout;
use pyattach::layout::{discover, resolve};
use pyattach::memory::{Address, LiveMemory, MemoryError, MemorySource, ReadStats};
use pyattach::process::{Mapping, Process, StopOptions};

/// Mappings longer than this are left out: nothing of an interpreter is that large.
const LARGEST: u64 = 64 << 20;

/// The readable memory of a process at one instant, with the layout of its interpreter.
pub(crate) struct Picture {
    regions: Vec<(u64, Vec<u8>)>,
    pub(crate) layout: Layout,
    pub(crate) runtime: Address,
}

impl Picture {
    /// Takes it while every thread stands still.
    ///
    /// # Panics
    /// When the process cannot be read, or is no Python.
    pub(crate) fn take(pid: i32) -> Picture {
        let process = Process::open(pid).expect("the process is there");
        let memory = LiveMemory::new(&process);
        let maps = process.maps().expect("a memory map");
        let open = |mapping: &Mapping| process.open_mapped_file(mapping);
        let root = format!("/proc/{pid}/root");
        let place =
            discover::Target { maps: &maps, memory: &memory, open: &open, root: Path::new(&root) };
        let runtimes = discover::discover(&place).expect("a runtime");
        let (runtime, layout) = resolve::resolve_first(&place, &runtimes).expect("a layout");
        let read = |mapping: &Mapping| {
            let length = usize::try_from(mapping.length()).ok()?;
            let bytes = memory.read_vec(Address::new(mapping.start), length).ok()?;
            Some((mapping.start, bytes))
        };
        let stopped = process.stop(StopOptions::default()).expect("it can be stopped");
        let mut regions: Vec<_> = process
            .maps()
            .expect("a memory map")
            .iter()
            .filter(|mapping| mapping.readable && mapping.length() < LARGEST)
            .filter_map(read)
            .collect();
        stopped.release();
        regions.sort_by_key(|(start, _)| *start);
        Picture { regions, layout, runtime: runtime.address }
    }

    /// The picture with some words replaced, readable at most so often.
    pub(crate) fn with(&self, words: BTreeMap<u64, u64>, most_reads: u64) -> Damaged<'_> {
        Damaged {
            picture: self,
            words,
            most_reads,
            reads: Cell::new(0),
            touched: RefCell::default(),
            is_tracing: false,
        }
    }

    /// The picture as it is; notes which words are read.
    pub(crate) fn traced(&self) -> Damaged<'_> {
        Damaged { is_tracing: true, ..self.with(BTreeMap::new(), u64::MAX) }
    }
}

/// A picture of which some words are not as they were.
pub(crate) struct Damaged<'p> {
    picture: &'p Picture,
    /// By address, which is a multiple of 8.
    words: BTreeMap<u64, u64>,
    most_reads: u64,
    reads: Cell<u64>,
    touched: RefCell<BTreeSet<u64>>,
    is_tracing: bool,
}

impl Damaged<'_> {
    /// Addresses of the words that have been read.
    pub(crate) fn touched(&self) -> Vec<u64> {
        self.touched.borrow().iter().copied().collect()
    }

    /// How often it was read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.get()
    }
}

impl MemorySource for Damaged<'_> {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() > self.most_reads {
            return Err(MemoryError::OverBudget);
        }
        let (at, length) = (address.get(), buffer.len());
        let fault = MemoryError::Fault { address, length };
        let end = at.checked_add(length as u64).ok_or(fault)?;
        let regions = &self.picture.regions;
        let index = regions.partition_point(|(start, _)| *start <= at);
        let (start, bytes) = regions.get(index.wrapping_sub(1)).ok_or(fault)?;
        let from = usize::try_from(at - start).map_err(|_| fault)?;
        buffer.copy_from_slice(bytes.get(from..from + length).ok_or(fault)?);
        if self.is_tracing {
            self.touched.borrow_mut().extend((at & !7..end).step_by(8));
        }
        for (&word, value) in self.words.range(at.saturating_sub(7)..end) {
            for (byte, place) in value.to_le_bytes().into_iter().zip(word..) {
                if (at..end).contains(&place) {
                    buffer[(place - at) as usize] = byte;
                }
            }
        }
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats { reads: self.reads.get(), bytes: 0 }
    }
}
