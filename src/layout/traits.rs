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

/// How to see that a suspended generator or coroutine awaits something, rather than yields
/// (`_PyGen_yf` in Objects/genobject.c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwaitSite {
    /// The next instruction is `YIELD_FROM` (up to 3.10).
    YieldFrom,
    /// The next instruction is a `RESUME` whose argument is 2 or 3 (3.11, 3.12).
    Resume,
    /// The frame state says so (3.13+).
    FrameState,
}

/// The numbers of a generator's frame state; where there is none, see
/// [`FrameStates::NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameStates {
    /// Made, not started.
    pub created: i64,
    /// Suspended, in a `yield` or (where that has no number of its own) in an `await`.
    pub suspended: &'static [i64],
    /// Suspended in an `await` or `yield from`.
    pub awaiting: &'static [i64],
    /// On a thread's stack.
    pub executing: i64,
    /// From this state on the frame holds nothing but its code. (One that was closed before it
    /// began is finished and still holds its arguments.)
    pub cleared: i64,
}

impl FrameStates {
    /// Up to 3.9 `f_lasti`, `gi_running` and a null `gi_frame` tell.
    pub const NONE: Self =
        Self { created: 0, suspended: &[], awaiting: &[], executing: 0, cleared: 4 };
    /// `PyFrameState` of 3.10 (Include/cpython/frameobject.h), 3.11 and 3.12 (pycore_frame.h).
    const OLD: Self =
        Self { created: -2, suspended: &[-1], awaiting: &[], executing: 0, cleared: 4 };
    /// `FRAME_SUSPENDED_YIELD_FROM` came in 3.13.
    const SPLIT: Self =
        Self { created: -3, suspended: &[-2], awaiting: &[-1], executing: 0, cleared: 4 };
    /// Renumbered in 3.15.
    const RENUMBERED: Self =
        Self { created: 0, suspended: &[1], awaiting: &[2, 3], executing: 4, cleared: 5 };
}

/// Where the interpreter itself notes which asyncio tasks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskRegistry {
    /// The weak set `asyncio.tasks._all_tasks` (up to 3.11).
    AllTasks,
    /// The weak set `_scheduled_tasks` and the set `_eager_tasks` (3.12, 3.13).
    Scheduled,
    /// Lists through the tasks, of each thread and interpreter; the sets of before for tasks
    /// that are not of the C type (3.14+).
    Linked,
}

/// How tracemalloc keeps its traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationTraces {
    /// A trace lies in the entry of the hash table, whose head has the number of buckets first
    /// (3.8).
    Inline,
    /// An entry points to its trace (3.9+, Python/hashtable.c).
    Pointers,
    /// The same, and names of files are C strings (3.15+).
    PlainNames,
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

/// Which ring of pending calls the main thread runs, and how it is told to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingCalls {
    /// The runtime's, with the runtime's eval breaker (3.8).
    Runtime,
    /// The main interpreter's, with its eval breaker (3.9 to 3.11).
    Interpreter,
    /// The runtime's ring for the main thread; the main interpreter's ring says that there is
    /// something to do, and its eval breaker that one should look (3.12).
    MainThread,
    /// The same ring with a count and longer entries; a bit in the eval breaker of the main
    /// thread (3.13+).
    Counted,
}

impl PendingCalls {
    /// Bytes of an entry: function, argument, and since 3.13 flags.
    pub const fn entry(self) -> u64 {
        match self {
            Self::Counted => 24,
            _ => 16,
        }
    }
}

/// The switches of one interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each type documents its switch
pub struct Traits {
    pub frame_chain: FrameChain,
    pub position: Position,
    pub line_table: LineTable,
    pub stack_ref: StackRef,
    pub await_site: AwaitSite,
    pub frame_states: FrameStates,
    /// Slots between the end of a suspended frame's stack and the awaited object: 3.15 pushes
    /// a null above it.
    pub above_awaited: u64,
    pub task_registry: TaskRegistry,
    pub managed_dict: ManagedDict,
    pub dict_entries: DictEntries,
    pub gc_home: GcHome,
    pub gil_home: GilHome,
    pub allocation_traces: AllocationTraces,
    pub pending_calls: PendingCalls,
    /// `owner` values from this one on are not Python frames (3 since 3.12: C stack, shim).
    pub first_foreign_owner: u64,
    /// `gc.freeze()`d and immortal objects: the permanent generation fills without a call of
    /// `gc.freeze` (3.12+).
    pub immortal_objects: bool,
    /// `frozendict` is a builtin: a `PyDictObject` with a hash behind it, and no subclass of
    /// `dict` (PEP 814, 3.15+).
    pub frozen_dict: bool,
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
            await_site: match version.minor {
                ..=10 => AwaitSite::YieldFrom,
                11 | 12 => AwaitSite::Resume,
                _ => AwaitSite::FrameState,
            },
            frame_states: match version.minor {
                ..=9 => FrameStates::NONE,
                10..=12 => FrameStates::OLD,
                13 | 14 => FrameStates::SPLIT,
                _ => FrameStates::RENUMBERED,
            },
            above_awaited: u64::from(since(15)),
            task_registry: match version.minor {
                ..=11 => TaskRegistry::AllTasks,
                12 | 13 => TaskRegistry::Scheduled,
                _ => TaskRegistry::Linked,
            },
            managed_dict: match version.minor {
                ..=10 => ManagedDict::None,
                11 => ManagedDict::TwoWords,
                12 => ManagedDict::TaggedWord,
                _ => ManagedDict::InlineValues,
            },
            dict_entries: if since(11) { DictEntries::ByKind } else { DictEntries::Uniform },
            gc_home: if since(9) { GcHome::Interpreter } else { GcHome::Runtime },
            allocation_traces: match version.minor {
                ..=8 => AllocationTraces::Inline,
                9..=14 => AllocationTraces::Pointers,
                _ => AllocationTraces::PlainNames,
            },
            gil_home: if since(12) { GilHome::Interpreter } else { GilHome::Runtime },
            pending_calls: match version.minor {
                ..=8 => PendingCalls::Runtime,
                9..=11 => PendingCalls::Interpreter,
                12 => PendingCalls::MainThread,
                _ => PendingCalls::Counted,
            },
            first_foreign_owner: 3,
            immortal_objects: since(12),
            frozen_dict: since(15),
            preheader: since(11),
        }
    }
}
