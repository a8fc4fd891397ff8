//! What the fields mean: the semantic differences between versions that no offset tells.
//!
//! One function, [`Traits::of`], decides all of them; readers ask the named switch and never
//! compare version numbers. Each switch names the CPython change behind it.

use super::version::{Flavour, Version};

/// How a thread's frames are found and linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameChain {
    /// `tstate.frame`, heap-allocated `PyFrameObject`s linked by `f_back` (up to 3.10).
    HeapFrames,
    /// `tstate.cframe->current_frame`, linked by `previous` (3.11, 3.12).
    CFrame,
    /// `tstate.current_frame`, linked by `previous` (3.13+).
    Direct,
}

/// How the position in a frame's bytecode is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// `f_lasti` in bytes; -1 before the start (up to 3.9).
    ByteOffset,
    /// `f_lasti` in 2-byte code units; -1 before the start (3.10).
    UnitOffset,
    /// A pointer into `co_code_adaptive` (3.11+).
    Pointer,
}

/// Encoding of the table that maps bytecode to lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTable {
    /// `co_lnotab`: Objects/lnotab_notes.txt of 3.9.
    Lnotab,
    /// The `co_linetable` of PEP 626, 3.10 only: Objects/lnotab_notes.txt of 3.10.
    Pep626,
    /// The location table of PEP 657, 3.11+: Objects/locations.md (InternalDocs/code_objects.md).
    Locations,
}

/// How a pointer in a frame (code, local variable) is tagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackRef {
    /// Plain `PyObject *` (up to 3.13).
    Plain,
    /// `_PyStackRef` with tag bits in the low two bits, 3.14+
    /// (Include/internal/pycore_stackref.h).
    Tagged,
}

/// Where the attributes of an instance with a `__dict__` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedDict {
    /// No managed dicts: `tp_dictoffset` tells (up to 3.10).
    None,
    /// Values pointer at object-32, dict pointer at object-24 (3.11).
    TwoWords,
    /// One word at object-24: values pointer minus one, or a dict pointer (3.12).
    TaggedWord,
    /// Dict pointer at object-24; values inside the object behind `tp_basicsize` (3.13+).
    InlineValues,
}

/// Shape of a dict's entries behind the index table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DictEntries {
    /// Always `{hash, key, value}`; `dk_size` slots of an index width that follows from it
    /// (up to 3.10).
    Uniform,
    /// By `dk_kind`: general `{hash, key, value}`, else `{key, value}` (3.11+).
    ByKind,
}

/// Where the heads of the GC generations are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcHome {
    /// In the runtime, shared by all interpreters (3.8).
    Runtime,
    /// In each interpreter (3.9+).
    Interpreter,
}

/// Where the GIL's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GilHome {
    /// Inside the runtime (up to 3.11).
    Runtime,
    /// Behind a pointer in the interpreter (3.12+).
    Interpreter,
}

/// The switches of one interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each type documents its switch
pub struct Traits {
    pub frame_chain: FrameChain,
    pub position: Position,
    pub line_table: LineTable,
    pub stack_ref: StackRef,
    pub managed_dict: ManagedDict,
    pub dict_entries: DictEntries,
    pub gc_home: GcHome,
    pub gil_home: GilHome,
    /// `owner` values from this one on are not Python frames (3 since 3.12: C stack, shim).
    pub first_foreign_owner: u64,
    /// `gc.freeze()`d and immortal objects: the permanent generation fills without a call of
    /// `gc.freeze` (3.12+).
    pub immortal_objects: bool,
    /// Objects with managed dicts or weak references have 16 more bytes before the GC head.
    pub preheader: bool,
}

impl Traits {
    /// The switches of `version`.
    pub fn of(version: Version, _flavour: Flavour) -> Self {
        let since = |minor| version.at_least(3, minor);
        Self {
            frame_chain: match version.minor {
                ..=10 => FrameChain::HeapFrames,
                11 | 12 => FrameChain::CFrame,
                _ => FrameChain::Direct,
            },
            position: match version.minor {
                ..=9 => Position::ByteOffset,
                10 => Position::UnitOffset,
                _ => Position::Pointer,
            },
            line_table: match version.minor {
                ..=9 => LineTable::Lnotab,
                10 => LineTable::Pep626,
                _ => LineTable::Locations,
            },
            stack_ref: if since(14) { StackRef::Tagged } else { StackRef::Plain },
            managed_dict: match version.minor {
                ..=10 => ManagedDict::None,
                11 => ManagedDict::TwoWords,
                12 => ManagedDict::TaggedWord,
                _ => ManagedDict::InlineValues,
            },
            dict_entries: if since(11) { DictEntries::ByKind } else { DictEntries::Uniform },
            gc_home: if since(9) { GcHome::Interpreter } else { GcHome::Runtime },
            gil_home: if since(12) { GilHome::Interpreter } else { GilHome::Runtime },
            first_foreign_owner: 3,
            immortal_objects: since(12),
            preheader: since(11),
        }
    }
}
