//! The references of all objects as they are found, one row after the other.
//!
//! What a reference leads to is not known when it is found: it may be an object that was not
//! visited yet, or none. So places are noted, and made nodes when all were visited.

use super::index::{Index, Place};
use super::label::{Kind, Label};
use super::{IMMORTAL, Node};
use crate::memory::room::room;
use crate::memory::{Address, MemoryError, MemorySource};

/// References that are kept: several dicts that claim the same large table are a forgery.
const MAX_EDGES: usize = 1 << 28;
/// Addresses below are never objects, and from the second on there is no memory of programs.
const LOWEST: u64 = 4096;
const HIGHEST: u64 = 1 << 56;

/// Rows of references.
pub(super) struct Edges<'a> {
    memory: &'a dyn MemorySource,
    pub(super) index: Index,
    /// Nodes that are no objects: places below are such nodes.
    specials: u32,
    /// Where rows end.
    pub(super) rows: Vec<u32>,
    /// Places, and in the end nodes.
    pub(super) targets: Vec<u32>,
    pub(super) labels: Vec<Label>,
    /// Edges that are no part of a reference count; ascending.
    borrowed: Vec<u32>,
    /// Addresses that were met for the first time.
    pub(super) fresh: Vec<u64>,
    /// References for which there was no room.
    pub(super) left_out: u64,
    /// What ended the capture.
    pub(super) error: Option<MemoryError>,
}

impl<'a> Edges<'a> {
    pub(super) fn new(memory: &'a dyn MemorySource, specials: usize) -> Self {
        Self {
            memory,
            index: Index::new(specials),
            specials: specials as u32,
            rows: vec![0],
            targets: Vec::new(),
            labels: Vec::new(),
            borrowed: Vec::new(),
            fresh: Vec::new(),
            left_out: 0,
            error: None,
        }
    }

    /// Makes room for so many rows and references, before there are any.
    pub(super) fn make_room(&mut self, rows: usize, references: usize) {
        self.rows = room(rows);
        self.rows.push(0);
        (self.targets, self.labels) = (room(references), room(references));
    }

    /// The place of what may be an object at `raw`.
    pub(super) fn place(&mut self, raw: u64) -> Option<Place> {
        if !(LOWEST..HIGHEST).contains(&raw) || !raw.is_multiple_of(8) {
            return None;
        }
        let (memory, error) = (self.memory, &mut self.error);
        let is_readable = || match memory.read_u64(Address::new(raw)) {
            Ok(_) => true,
            Err(found) => {
                *error = error.or(Some(found).filter(|found| !found.is_fault()));
                false
            }
        };
        self.index.place_or_new(raw, is_readable)
    }

    /// The object at `raw` is referred to, if there is one.
    #[inline]
    pub(super) fn refer(&mut self, raw: u64, label: Label) {
        self.refer_as(raw, label, true);
    }

    /// `counted`: it is part of the object's reference count.
    #[inline]
    pub(super) fn refer_as(&mut self, raw: u64, label: Label, counted: bool) {
        let Some(place) = self.place(raw) else { return };
        if self.index.ask(place) {
            self.fresh.push(raw);
        }
        self.push(place, label, counted);
    }

    /// A node that is no object is referred to.
    pub(super) fn link(&mut self, special: Node, label: Label) {
        self.push(special, label, false);
    }

    /// What is at a place that was asked for before is referred to.
    pub(super) fn push(&mut self, place: Place, label: Label, counted: bool) {
        if self.targets.len() >= MAX_EDGES {
            self.left_out += 1;
            return;
        }
        if !counted {
            self.borrowed.push(self.targets.len() as u32);
        }
        self.targets.push(place);
        self.labels.push(label);
    }

    /// The references of the next node follow.
    pub(super) fn end_row(&mut self) {
        self.rows.push(self.targets.len() as u32);
    }

    /// Makes places nodes, once the index numbered these, and takes out what leads to no object.
    /// Each reference explains one of its target's count in `refcounts`. Returns how many
    /// references are inferred.
    pub(super) fn resolve(&mut self, refcounts: &mut [u32]) -> u64 {
        let mut inferred = 0;
        let mut borrowed = self.borrowed.iter().copied().peekable();
        let (mut from, mut kept) = (0, 0);
        for end in &mut self.rows {
            for at in from..*end as usize {
                let counted = borrowed.next_if_eq(&(at as u32)).is_none();
                let (Some(&place), Some(&label)) = (self.targets.get(at), self.labels.get(at))
                else {
                    continue;
                };
                let node = match place < self.specials {
                    true => Some(place),
                    false => self.index.node(place),
                };
                let Some(node) = node else { continue };
                if let (Some(target), Some(slot)) =
                    (self.targets.get_mut(kept), self.labels.get_mut(kept))
                {
                    (*target, *slot) = (node, label);
                    kept += 1;
                }
                inferred += u64::from(label.is_inferred());
                if counted
                    && let Some(count) = refcounts.get_mut(node as usize)
                    && *count != IMMORTAL
                {
                    *count = count.saturating_sub(1);
                }
            }
            from = *end as usize;
            *end = kept as u32;
        }
        self.targets.truncate(kept);
        self.labels.truncate(kept);
        inferred
    }
}

/// The label of a word of a struct.
pub(super) fn field_label(offset: u32, inferred: bool) -> Label {
    let label = Label::new(Kind::Field, u64::from(offset / 8));
    if inferred { label.inferred() } else { label }
}
