//! The sockets document: socket objects, descriptors and the kernel's tables joined.
//!
//! Three things are read at three moments. The heap is of the instant of the capture. The
//! descriptors are listed before it and right after it, outside the pause: a number with the same
//! inode in both stood for the same socket at that instant too. The kernel's tables follow; their
//! rows are found by inode. What changed in between is asked again, and is "unknown" when that
//! does not settle it.

mod join;

use super::capture::{CaptureOptions, Reading, Subject};
use super::documents::capture_info;
use super::{AttachError, CaptureMode, Target, collect};
use crate::memory::LiveMemory;
use crate::process::net::SocketTables;
use crate::process::{Descriptor, Process, ProcessError};
use crate::snapshot::{Coverage, SocketsDocument, VERSION};
use join::{Join, Listing};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long a descriptor must have been open before it is said to have no Python owner: between
/// `accept4()` and the socket object a thread waits for the GIL, several switch intervals (of 5 ms)
/// when others are busy.
const LEAST_AGE: Duration = Duration::from_millis(30);

/// What the kernel says close to the capture.
struct Near {
    descriptors: Vec<Descriptor>,
    /// `None` while the target stands still: the tables can wait until it runs.
    tables: Option<SocketTables>,
}

impl Near {
    fn read(process: &Process, held: bool) -> Result<Self, ProcessError> {
        let descriptors = process.descriptors()?;
        let tables = if held { None } else { Some(tables(process, &descriptors)?) };
        Ok(Self { descriptors, tables })
    }
}

fn tables(process: &Process, descriptors: &[Descriptor]) -> Result<SocketTables, ProcessError> {
    let inodes: HashSet<u64> = descriptors.iter().filter_map(Descriptor::socket).collect();
    process.socket_tables(&inodes)
}

impl Target {
    /// The sockets of the process: state, addresses, queues, objects and owners.
    pub fn sockets(&self, options: &CaptureOptions) -> Result<SocketsDocument, AttachError> {
        let begun = Instant::now();
        let maps = self.process.maps()?;
        let mut earlier = self.process.descriptors()?;
        std::thread::sleep(LEAST_AGE);
        let mut failed = None;
        let live = options.mode == CaptureMode::Live;
        let mut picture = self.picture(options, Subject::Heap, &mut |view| {
            // A copy can wait; what the kernel says cannot. A live picture is not of one instant:
            // there the listings enclose it.
            let mut near = if live { None } else { Some(Near::read(&self.process, view.held)) };
            let known = match &near {
                Some(Ok(near)) => &near.descriptors,
                _ => &earlier,
            };
            let heap = collect::sockets::collect(
                view.python,
                self.runtime,
                view.interpreters,
                known,
                &maps,
            )?;
            let consistent = heap.consistent;
            match near.take().unwrap_or_else(|| Near::read(&self.process, false)) {
                Ok(near) => {
                    let next = near.descriptors.clone();
                    let listing = Listing::new(&earlier, near.descriptors, view.held);
                    earlier = next;
                    Ok(Reading { consistent, value: (heap, listing, near.tables) })
                }
                Err(error) => {
                    failed = Some(error);
                    Ok(Reading { consistent, value: (heap, Listing::default(), None) })
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let (heap, listing, tables) = std::mem::take(&mut picture.value);
        let tables = match tables {
            Some(tables) => tables,
            None => self::tables(&self.process, listing.descriptors())?,
        };
        let coverage = Coverage {
            objects: Some(heap.walked),
            unreadable: heap.unreadable,
            broken_lists: Some(heap.broken_lists),
            collecting: Some(heap.collecting),
            ..Coverage::default()
        };
        let mut notes = heap.notes.clone();
        if !tables.missing.is_empty() {
            let missing = tables.missing.join(", ");
            notes.push(format!("the kernel has no tables of {missing}, or does not show them"));
        }
        let live = LiveMemory::new(&self.process);
        let joined = Join {
            process: &self.process,
            memory: &live,
            type_offset: self.layout.structs.object.ob_type.offset,
            fd_offset: self.layout.structs.socket.map(|fields| fields.fd.offset),
            heap: &heap,
            listing: &listing,
            tables: &tables,
        }
        .rows();
        Ok(SocketsDocument {
            schema: SocketsDocument::SCHEMA,
            pyattach: VERSION,
            process: self.process_info()?,
            capture: capture_info(&picture, begun, coverage, notes),
            summary: joined.summary,
            groups: None,
            sockets: joined.rows,
            by_address: joined.by_address,
        })
    }
}
