//! What the kernel says around a capture: descriptors before and after it, and socket tables.
//!
//! Nothing is listed while the target stands still. Where it is read after its release (a copy,
//! a fork), the later listing begins at once, in a thread beside the walk of the heap.

use super::join::Listing;
use crate::attach::{AttachError, CaptureMode};
use crate::process::net::SocketTables;
use crate::process::{Descriptor, Mapping, Process, ProcessError};
use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the kernel says close to the capture.
struct Near {
    descriptors: Vec<Descriptor>,
    tables: SocketTables,
}

impl Near {
    fn read(process: &Process) -> Result<Self, ProcessError> {
        let descriptors = process.descriptors()?;
        let tables = tables(process, &descriptors)?;
        Ok(Self { descriptors, tables })
    }
}

/// The same, being read by a thread of its own until it is asked for.
struct Coming {
    process: Arc<Process>,
    thread: Cell<Option<JoinHandle<Result<Near, ProcessError>>>>,
    read: OnceCell<Result<Near, ProcessError>>,
}

impl Coming {
    fn begin(process: &Arc<Process>) -> Self {
        let theirs = Arc::clone(process);
        let thread = std::thread::Builder::new().name("descriptors".to_owned());
        let thread = thread.spawn(move || Near::read(&theirs)).ok();
        Self { process: Arc::clone(process), thread: Cell::new(thread), read: OnceCell::new() }
    }

    fn get(&self) -> &Result<Near, ProcessError> {
        self.read.get_or_init(|| match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // No thread could be started.
            None => Near::read(&self.process),
        })
    }

    fn into_inner(self) -> Result<Near, ProcessError> {
        self.get();
        match self.read.into_inner() {
            Some(read) => read,
            None => Near::read(&self.process),
        }
    }
}

fn tables(process: &Process, descriptors: &[Descriptor]) -> Result<SocketTables, ProcessError> {
    let inodes: HashSet<u64> = descriptors.iter().filter_map(Descriptor::socket).collect();
    process.socket_tables(&inodes)
}

fn listed(descriptors: &[Descriptor], fd: i32) -> Option<&Descriptor> {
    let index = descriptors.binary_search_by_key(&fd, |one| one.fd).ok()?;
    descriptors.get(index)
}

/// The kernel's side of a capture, from before it until after it.
pub(in crate::attach) struct Around {
    process: Arc<Process>,
    mode: CaptureMode,
    maps: Vec<Mapping>,
    earlier: Vec<Descriptor>,
    near: Option<Coming>,
    /// The tables from before the capture, for those who cannot wait for later ones.
    tables_before: Option<SocketTables>,
}

impl Around {
    /// Lists the descriptors before the capture.
    pub(in crate::attach) fn begin(
        process: &Arc<Process>,
        mode: CaptureMode,
    ) -> Result<Self, AttachError> {
        let maps = process.maps()?;
        let earlier = process.descriptors()?;
        let process = Arc::clone(process);
        Ok(Self { process, mode, maps, earlier, near: None, tables_before: None })
    }

    /// Reads the tables before the capture too, where the heap is read before they can be read
    /// after it.
    pub(in crate::attach) fn for_expressions(mut self) -> Result<Self, ProcessError> {
        if matches!(self.mode, CaptureMode::Stop | CaptureMode::Live) {
            self.tables_before = Some(tables(&self.process, &self.earlier)?);
        }
        Ok(self)
    }

    /// To be called when the heap's picture can be read. `held`: the target stands still.
    pub(in crate::attach) fn picture(&mut self, held: bool) {
        // What an earlier attempt listed is still from before this one.
        if let Some(Ok(near)) = self.near.take().map(Coming::into_inner) {
            self.earlier = near.descriptors;
        }
        // A live picture is not of one instant: there the listings enclose it.
        if !held && !self.is_live() {
            self.near = Some(Coming::begin(&self.process));
        }
    }

    /// What was listed close to the capture, if that went well.
    fn near(&self) -> Option<&Near> {
        self.near.as_ref()?.get().as_ref().ok()
    }

    /// The descriptors of the moment, as far as they are known.
    pub(in crate::attach) fn descriptors(&self) -> &[Descriptor] {
        self.near().map_or(&self.earlier, |near| &near.descriptors)
    }

    /// The memory map from before the capture.
    pub(in crate::attach) fn maps(&self) -> &[Mapping] {
        &self.maps
    }

    /// To be called when the picture was read.
    pub(in crate::attach) fn pictured(&mut self) {
        if self.is_live() {
            self.near = Some(Coming::begin(&self.process));
        }
    }

    fn is_live(&self) -> bool {
        self.mode == CaptureMode::Live
    }

    /// The process.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// The descriptor as it was before the capture.
    pub(super) fn before(&self, fd: i32) -> Option<&Descriptor> {
        listed(&self.earlier, fd)
    }

    /// The descriptor as it was after the capture; `None` when nothing was listed yet.
    pub(super) fn after(&self, fd: i32) -> Option<Option<&Descriptor>> {
        self.near().map(|near| listed(&near.descriptors, fd))
    }

    /// The tables that there are by now, the latest.
    pub(super) fn tables(&self) -> Option<&SocketTables> {
        self.near().map(|near| &near.tables).or(self.tables_before.as_ref())
    }

    /// The two listings and the tables.
    pub(in crate::attach) fn finish(self) -> Result<(Listing, SocketTables), ProcessError> {
        let near = match self.near {
            Some(near) => near.into_inner()?,
            None => Near::read(&self.process)?,
        };
        Ok((Listing::new(&self.earlier, near.descriptors), near.tables))
    }
}
