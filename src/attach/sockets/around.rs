//! What the kernel says around a capture: descriptors before and after it, and socket tables.
//!
//! Nothing is listed while the target stands still. Where it is read after its release (a copy,
//! a fork), the later listing comes first and the walk of the heap can wait.

use super::join::Listing;
use crate::attach::{AttachError, CaptureMode};
use crate::process::net::SocketTables;
use crate::process::{Descriptor, Mapping, Process, ProcessError};
use std::collections::HashSet;

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

fn tables(process: &Process, descriptors: &[Descriptor]) -> Result<SocketTables, ProcessError> {
    let inodes: HashSet<u64> = descriptors.iter().filter_map(Descriptor::socket).collect();
    process.socket_tables(&inodes)
}

fn listed(descriptors: &[Descriptor], fd: i32) -> Option<&Descriptor> {
    let index = descriptors.binary_search_by_key(&fd, |one| one.fd).ok()?;
    descriptors.get(index)
}

/// The kernel's side of a capture, from before it until after it.
pub(in crate::attach) struct Around<'p> {
    process: &'p Process,
    mode: CaptureMode,
    maps: Vec<Mapping>,
    earlier: Vec<Descriptor>,
    near: Option<Result<Near, ProcessError>>,
    /// The tables from before the capture, for those who cannot wait for later ones.
    tables_before: Option<SocketTables>,
}

impl<'p> Around<'p> {
    /// Lists the descriptors before the capture.
    pub(in crate::attach) fn begin(
        process: &'p Process,
        mode: CaptureMode,
    ) -> Result<Self, AttachError> {
        let maps = process.maps()?;
        let earlier = process.descriptors()?;
        Ok(Self { process, mode, maps, earlier, near: None, tables_before: None })
    }

    /// Reads the tables before the capture too, where the heap is read before they can be read
    /// after it.
    pub(in crate::attach) fn for_expressions(mut self) -> Result<Self, ProcessError> {
        if matches!(self.mode, CaptureMode::Stop | CaptureMode::Live) {
            self.tables_before = Some(tables(self.process, &self.earlier)?);
        }
        Ok(self)
    }

    /// To be called when the heap's picture can be read. `held`: the target stands still.
    pub(in crate::attach) fn picture(&mut self, held: bool) {
        // What an earlier attempt listed is still from before this one.
        if let Some(Ok(near)) = self.near.take() {
            self.earlier = near.descriptors;
        }
        // A live picture is not of one instant: there the listings enclose it.
        if !held && !self.is_live() {
            self.near = Some(Near::read(self.process));
        }
    }

    /// The descriptors of the moment, as far as they are known.
    pub(in crate::attach) fn descriptors(&self) -> &[Descriptor] {
        match &self.near {
            Some(Ok(near)) => &near.descriptors,
            _ => &self.earlier,
        }
    }

    /// The memory map from before the capture.
    pub(in crate::attach) fn maps(&self) -> &[Mapping] {
        &self.maps
    }

    /// To be called when the picture was read.
    pub(in crate::attach) fn pictured(&mut self) {
        if self.is_live() {
            self.near = Some(Near::read(self.process));
        }
    }

    fn is_live(&self) -> bool {
        self.mode == CaptureMode::Live
    }

    /// The process.
    pub(super) fn process(&self) -> &'p Process {
        self.process
    }

    /// The descriptor as it was before the capture.
    pub(super) fn before(&self, fd: i32) -> Option<&Descriptor> {
        listed(&self.earlier, fd)
    }

    /// The descriptor as it was after the capture; `None` when nothing was listed yet.
    pub(super) fn after(&self, fd: i32) -> Option<Option<&Descriptor>> {
        match &self.near {
            Some(Ok(near)) => Some(listed(&near.descriptors, fd)),
            _ => None,
        }
    }

    /// The tables that there are by now, the latest.
    pub(super) fn tables(&self) -> Option<&SocketTables> {
        match &self.near {
            Some(Ok(near)) => Some(&near.tables),
            _ => self.tables_before.as_ref(),
        }
    }

    /// The two listings and the tables.
    pub(in crate::attach) fn finish(self) -> Result<(Listing, SocketTables), ProcessError> {
        let near = match self.near {
            Some(near) => near?,
            None => Near::read(self.process)?,
        };
        Ok((Listing::new(&self.earlier, near.descriptors), near.tables))
    }
}
