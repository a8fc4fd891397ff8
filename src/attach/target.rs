//! A process with a readable interpreter: found, identified, its layout validated.

use super::AttachError;
use crate::layout::{Layout, discover, resolve};
use crate::memory::{Address, LiveMemory};
use crate::process::{Process, ProgramImage};
use std::path::PathBuf;
use std::sync::Arc;

/// A process we can read Python out of.
#[derive(Debug)]
pub struct Target {
    /// Shared with the thread that lists descriptors.
    pub(super) process: Arc<Process>,
    /// Address of `_PyRuntime`.
    pub(super) runtime: Address,
    /// File that holds the interpreter, as the target's root has it.
    pub(super) module: String,
    pub(super) layout: Layout,
    /// The program in which all this was found.
    image: Option<ProgramImage>,
}

impl Target {
    /// Opens the process `pid`, finds its interpreter and makes sure that its layout fits.
    /// The process runs on meanwhile.
    pub fn open(pid: i32) -> Result<Self, AttachError> {
        let process = Process::open(pid)?;
        let image = process.image();
        let found = find(&process);
        // A process that ended or started another program explains any failure.
        process.check()?;
        process.check_image(image)?;
        let (runtime, layout) = found?;
        let module = runtime.module.path().to_string_lossy().into_owned();
        Ok(Self { runtime: runtime.address, module, layout, process: Arc::new(process), image })
    }

    /// Makes sure that the process still is what it was when it was opened.
    pub(super) fn check(&self) -> Result<(), AttachError> {
        Ok(self.process.check_image(self.image)?)
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Address of `_PyRuntime`.
    pub fn runtime(&self) -> Address {
        self.runtime
    }

    /// File that holds the interpreter, as the target's root has it.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The interpreter's layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// The interpreter of a process and its layout.
fn find(process: &Process) -> Result<(discover::Runtime, Layout), AttachError> {
    let maps = process.maps()?;
    let memory = LiveMemory::new(process);
    let root = PathBuf::from(format!("/proc/{}/root", process.pid()));
    let open = |mapping: &crate::process::Mapping| process.open_mapped_file(mapping);
    let place = discover::Target { maps: &maps, memory: &memory, open: &open, root: &root };
    let runtimes = discover::discover(&place)?;
    let (runtime, layout) = resolve::resolve_first(&place, &runtimes)?;
    Ok((runtime.clone(), layout))
}
