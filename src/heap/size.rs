//! Shallow sizes: what `sys.getsizeof()` counts, and the attribute values inside instances.
//!
//! The object with its GC head and pre-header, its variable part, and for the builtin
//! containers and their subclasses the tables. From 3.13 on instances hold the values of their
//! attributes; they are part of the block and counted here, though `sys.getsizeof()` leaves them
//! out. Not counted: what an extension type allocates on the side, what a class has beside its
//! type object, and the digits or characters of an instance of a subclass of `int` or `str`.

use super::walk::{GC_HEAD, TrackedObject};
use crate::cpython::{Python, Type};

/// Bytes of a deque block: two links and 64 items (Modules/_collectionsmodule.c).
const DEQUE_BLOCK: u64 = 528;
const DEQUE_BLOCK_ITEMS: u64 = 64;
/// Entries that lie inside a set object itself.
const SET_SMALL_TABLE: u64 = 8;

/// How the size of instances of one type is found. Made once per type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    fixed: u64,
    item: u64,
    table: TableKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableKind {
    None,
    List,
    Dict,
    Set,
    Deque,
}

impl Sizing {
    /// How to size tracked instances of `class`.
    pub fn of(python: &Python<'_>, class: &Type) -> Self {
        let flags = class.flags;
        let managed =
            python.layout().traits.preheader && (flags.managed_dict() || flags.managed_weakref());
        let preheader = if managed { 16 } else { 0 };
        let inline = python.inline_values_size(class).unwrap_or(0);
        // ob_size of classes counts slots, of ints digits with a sign.
        let item = if flags.long_subclass() || flags.type_subclass() { 0 } else { class.itemsize };
        let is = |name| python.is_subtype(class, name);
        let table = if flags.list_subclass() {
            TableKind::List
        } else if python.is_dict(class.address, class.flags).unwrap_or(false) {
            TableKind::Dict
        } else if is("builtins.set") || is("builtins.frozenset") {
            TableKind::Set
        } else if is("collections.deque") {
            TableKind::Deque
        } else {
            TableKind::None
        };
        Self { fixed: GC_HEAD + preheader + class.basicsize + inline, item, table }
    }

    /// Shallow size of one instance, in bytes. A table that cannot be read counts as none.
    pub fn measure(&self, python: &Python<'_>, object: &TrackedObject) -> u64 {
        self.with_table(object.size_word, self.table(python, object).unwrap_or(0))
    }

    /// The same where the bytes of the table are known.
    pub(super) fn with_table(&self, size_word: u64, table: u64) -> u64 {
        let items = if self.item == 0 { 0 } else { (size_word as i64).max(0) as u64 };
        // An absurd ob_size must not make the total absurd.
        let sane = |bytes: &u64| *bytes < 1 << 40;
        let variable = items.checked_mul(self.item).filter(sane).unwrap_or(0);
        self.fixed + variable + Some(table).filter(sane).unwrap_or(0)
    }

    fn table(&self, python: &Python<'_>, object: &TrackedObject) -> Option<u64> {
        let structs = &python.layout().structs;
        let memory = python.memory();
        match self.table {
            TableKind::None => Some(0),
            TableKind::List => {
                let allocated = structs.list.allocated.read(memory, object.address).ok()?;
                allocated.checked_mul(8)
            }
            TableKind::Dict => python.dict_table_size(object.address).ok(),
            TableKind::Set => {
                let slots = structs.set.mask.read(memory, object.address).ok()?.checked_add(1)?;
                Some(set_table(slots))
            }
            TableKind::Deque => {
                let fields = structs.deque.as_ref()?;
                let first = fields.left_index.read(memory, object.address).ok()?;
                let blocks = object.size_word.checked_add(first)?.div_ceil(DEQUE_BLOCK_ITEMS);
                blocks.max(1).checked_mul(DEQUE_BLOCK)
            }
        }
    }
}

/// Bytes of a set's table beside the object.
pub(super) fn set_table(slots: u64) -> u64 {
    if slots > SET_SMALL_TABLE { slots.saturating_mul(16) } else { 0 }
}
