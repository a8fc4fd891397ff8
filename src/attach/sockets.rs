//! The sockets document: socket objects, descriptors and the kernel's tables joined.
//!
//! Three things are read at three moments. The heap is of the instant of the capture. The
//! descriptors are listed before it and right after it, outside the pause: a number with the same
//! inode in both stood for the same socket at that instant too. The kernel's tables follow; their
//! rows are found by inode. What changed in between is asked again, and is "unknown" when that
//! does not settle it.

mod around;
mod facts;
mod join;

pub(super) use around::Around;

use super::capture::{CaptureOptions, Reading, Subject};
use super::collect::sockets::SocketHeap;
use super::documents::capture_info;
use super::{AttachError, Target, collect};
use crate::memory::LiveMemory;
use crate::process::net::SocketTables;
use crate::snapshot::{Coverage, SocketsDocument, VERSION};
use join::{Join, Joined, Listing};
use std::time::{Duration, Instant};

/// How long a descriptor must have been open before it is said to have no Python owner: between
/// `accept4()` and the socket object a thread waits for the GIL, several switch intervals (of 5 ms)
/// when others are busy.
pub(super) const LEAST_AGE: Duration = Duration::from_millis(30);

/// Socket objects, descriptors and tables joined.
pub(super) fn join(
    target: &Target,
    heap: &SocketHeap,
    listing: &Listing,
    tables: &SocketTables,
) -> Joined {
    let live = LiveMemory::new(&target.process);
    Join {
        process: &target.process,
        memory: &live,
        type_offset: target.layout.structs.object.ob_type.offset,
        fd_offset: target.layout.structs.socket.map(|fields| fields.fd.offset),
        heap,
        listing,
        tables,
    }
    .rows()
}

/// What the tables leave out, in words.
pub(super) fn note(tables: &SocketTables) -> Option<String> {
    let missing = tables.missing.join(", ");
    (!missing.is_empty())
        .then(|| format!("the kernel has no tables of {missing}, or does not show them"))
}

impl Target {
    /// The sockets of the process: state, addresses, queues, objects and owners.
    pub fn sockets(&self, options: &CaptureOptions) -> Result<SocketsDocument, AttachError> {
        let begun = Instant::now();
        let mut around = Around::begin(&self.process, options.mode)?;
        let earliest = Instant::now() + LEAST_AGE;
        let mut picture = self.picture_after(options, Subject::Heap, earliest, &mut |view| {
            around.picture(view.held);
            let heap = collect::sockets::collect(
                view.python,
                self.runtime,
                view.interpreters,
                around.descriptors(),
                around.maps(),
            )?;
            around.pictured();
            Ok(Reading { consistent: heap.consistent, value: heap })
        })?;
        let (listing, tables) = around.finish()?;
        let heap = std::mem::take(&mut picture.value);
        let coverage = Coverage {
            objects: Some(heap.walked),
            unreadable: heap.unreadable,
            broken_lists: Some(heap.broken_lists),
            collecting: Some(heap.collecting),
            ..Coverage::default()
        };
        let mut notes = heap.notes.clone();
        notes.extend(note(&tables));
        let joined = join(self, &heap, &listing, &tables);
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
