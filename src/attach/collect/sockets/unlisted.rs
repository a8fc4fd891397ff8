//! Socket objects that the collector does not track.
//!
//! Before 3.12 an exact `_socket.socket` (not `socket.socket`, its subclass) has no GC head and is
//! on no list. It is looked for only when a socket descriptor has no object otherwise: in the
//! writable memory, every word that is the address of the type is taken for an object's type, and
//! believed when the words around it are those of a socket with such a descriptor.

use super::{Problem, SOCKET, SocketObject, read_socket};
use crate::cpython::{Interpreter, Python, Refcount};
use crate::memory::Address;
use crate::process::Mapping;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Bytes looked at in one step, and in all.
const STEP: u64 = 1 << 16;
const MOST: u64 = 1 << 30;
const PAGE: u64 = 4096;
/// References to one socket object that are believed.
const MOST_REFERENCES: u64 = 1 << 32;
/// Address families that there are (`AF_MAX` in include/linux/socket.h, with room).
const FAMILIES: std::ops::Range<i64> = 0..128;

/// Where to look.
pub(super) struct Search<'s, 'p> {
    pub(super) python: &'s Python<'p>,
    pub(super) interpreters: &'s [Interpreter],
    pub(super) maps: &'s [Mapping],
    /// The type `_socket.socket`, if it was met.
    pub(super) base: Option<Address>,
}

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) objects: Vec<SocketObject>,
    /// What was left out.
    pub(super) note: Option<String>,
}

impl Search<'_, '_> {
    /// Looks for objects that name one of these descriptors.
    pub(super) fn sockets(&self, lost: &BTreeSet<i32>) -> Result<Found, Problem> {
        let mut found = Found::default();
        let Some(base) = self.base.or_else(|| self.imported_base()) else { return Ok(found) };
        let class = self.python.type_at(base)?;
        if class.flags.has_gc() {
            return Ok(found);
        }
        let mut left = lost.clone();
        let mut budget = MOST;
        for map in self.maps {
            let plain = map.writable && !map.shared && !map.is_file();
            if !plain || left.is_empty() {
                continue;
            }
            if map.length() > budget {
                found.note = Some(format!(
                    "more than {} GiB of memory: objects of type {SOCKET}, which the collector does \
                     not track, were not all looked for",
                    MOST >> 30
                ));
                continue;
            }
            budget -= map.length();
            self.search(map, base, &mut |address| {
                let object = read_socket(self.python, address, &class)?;
                if object.fd.is_some_and(|fd| left.contains(&fd)) && self.is_alive(&object) {
                    object.fd.map(|fd| left.remove(&fd));
                    found.objects.push(SocketObject { class: Rc::clone(&class), ..object });
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// `_socket.socket` from the module, when no subclass was met.
    fn imported_base(&self) -> Option<Address> {
        let base = |interpreter| self.python.module_global(interpreter, "_socket", "socket").ok();
        self.interpreters.iter().find_map(|interpreter| base(interpreter)?)
    }

    /// Calls `visit` with each address that would be an object of the type.
    fn search(
        &self,
        map: &Mapping,
        class: Address,
        visit: &mut dyn FnMut(Address) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let offset = self.python.layout().structs.object.ob_type.offset;
        let pattern = class.get().to_le_bytes();
        let mut buffer = vec![0; STEP as usize];
        let mut at = map.start;
        while at < map.end {
            let whole = STEP.min(map.end - at);
            // Where a part of the step is not there, its pages are taken one by one.
            let mut pieces = vec![(at, whole)];
            let mut tried_pages = false;
            while let Some((start, length)) = pieces.pop() {
                let Some(bytes) = buffer.get_mut(..length as usize) else { break };
                match self.python.memory().read(Address::new(start), bytes) {
                    Ok(()) => {}
                    Err(error) if !error.is_fault() => return Err(error.into()),
                    Err(_) if !tried_pages => {
                        tried_pages = true;
                        let pages = (0..length.div_ceil(PAGE)).map(|page| page * PAGE);
                        pieces.extend(pages.map(|page| (start + page, PAGE.min(length - page))));
                        continue;
                    }
                    Err(_) => continue,
                }
                for (index, word) in bytes.chunks_exact(8).enumerate() {
                    if word == pattern {
                        visit(Address::new(start + index as u64 * 8).sub(offset))?;
                    }
                }
            }
            at += whole;
        }
        Ok(())
    }

    /// Not the remains of one: freed memory keeps the type but not the reference count.
    fn is_alive(&self, object: &SocketObject) -> bool {
        let counted = matches!(
            self.python.refcount(object.address),
            Ok(Refcount::Counted(count)) if (1..MOST_REFERENCES).contains(&count)
        );
        counted
            && object.address.is_aligned(8)
            && object.family.is_some_and(|family| FAMILIES.contains(&family))
            && object.kind.is_some_and(|kind| (1..=10).contains(&(kind & 0xF)))
    }
}
