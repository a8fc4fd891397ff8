//! The instructions of the target's own libc that injected system calls run on.
//!
//! No code is written into the target. Every libc has the routine to which a signal handler
//! returns: `mov $15,%rax; syscall` (`__restore_rt`, the same bytes in glibc and musl), and a
//! `ret` somewhere. Nothing else is needed.

use std::path::Path;

use super::memory::TaskMemory;
use super::{ForkError, steps};
use crate::process::{Mapping, Process};

/// `mov $15,%rax; syscall`
const RESTORER: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05];
/// Offset of `syscall` in it.
const SYSCALL: u64 = 7;
/// `ret`
const RETURN: u8 = 0xc3;
/// Bytes searched at a time, and at most.
const STEP: u64 = 1 << 17;
const MOST: u64 = 64 << 20;

/// Where the instructions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::process) struct Gadgets {
    /// `mov $15,%rax; syscall`: returns from a signal handler.
    pub(super) restorer: u64,
    /// `ret`
    pub(in crate::process) ret: u64,
}

impl Gadgets {
    /// Finds them in the code of libc, or of the executable where that is static.
    pub(in crate::process) fn find(process: &Process) -> Result<Self, ForkError> {
        let none = ForkError::NoGadgets { pid: process.pid() };
        let maps = process.maps()?;
        let exe = process.link("exe");
        let memory = TaskMemory(process.living_thread().unwrap_or(process.pid()));
        let mut code: Vec<(u8, &Mapping)> = maps
            .iter()
            .filter(|map| map.executable && map.readable && !map.writable && map.is_file())
            .filter_map(|map| Some((likelihood(&map.path, exe.as_deref())?, map)))
            .collect();
        code.sort_by_key(|&(rank, _)| rank);
        let mut found = code.into_iter().filter_map(|(_, map)| search(memory, map));
        let found = found.next();
        process.check()?;
        found.ok_or(none)
    }

    /// Made-up addresses.
    #[cfg(test)]
    pub(in crate::process) fn for_tests() -> Self {
        Self { restorer: 0x5000, ret: 0x6000 }
    }

    /// True when they are still there: libraries can be unloaded, programs replaced.
    pub(in crate::process) fn hold(&self, memory: TaskMemory) -> bool {
        let mut restorer = [0; RESTORER.len()];
        let mut ret = [0; 1];
        memory.read(self.restorer, &mut restorer)
            && memory.read(self.ret, &mut ret)
            && restorer == RESTORER
            && ret == [RETURN]
    }

    /// The `syscall` instruction.
    pub(super) fn syscall(&self) -> u64 {
        self.restorer + SYSCALL
    }

    /// Behind the `syscall` instruction.
    pub(super) fn after_syscall(&self) -> u64 {
        self.restorer + RESTORER.len() as u64
    }
}

/// Where to look first; `None`: not at all.
fn likelihood(path: &Path, exe: Option<&Path>) -> Option<u8> {
    let name = path.file_name()?.to_string_lossy();
    if name.starts_with("libc.so") || name.starts_with("libc-") || name.starts_with("ld-musl") {
        return Some(0);
    }
    (exe == Some(path)).then_some(1)
}

fn search(memory: TaskMemory, map: &Mapping) -> Option<Gadgets> {
    let end = map.end.min(map.start.saturating_add(MOST));
    let (mut restorer, mut ret) = (None, None);
    let mut at = map.start;
    let mut bytes = Vec::new();
    while at < end && (restorer.is_none() || ret.is_none()) {
        // Steps overlap, so that nothing is missed where they meet.
        let length = (end - at).min(STEP + RESTORER.len() as u64);
        bytes.resize(usize::try_from(length).ok()?, 0);
        if !memory.read(at, &mut bytes) {
            return None;
        }
        let position = |found: Option<usize>| found.map(|index| at + index as u64);
        restorer = restorer
            .or_else(|| position(bytes.windows(RESTORER.len()).position(|w| w == RESTORER)));
        ret = ret.or_else(|| position(bytes.iter().position(|&byte| byte == RETURN)));
        at += STEP;
    }
    steps::reached("gadgets");
    Some(Gadgets { restorer: restorer?, ret: ret? })
}
