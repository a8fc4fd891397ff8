//! How to find the references in instances of one type. Made once per type.
//!
//! The type's `tp_traverse` says which C code knows the layout: a class made by a `class`
//! statement has `subtype_traverse`, which visits the slots and the attributes and leaves the
//! rest to the class it is built on. So does this: the words of the C base, then the slots up to
//! `tp_basicsize`. Of a C type that is not known, every word of the struct that leads to an
//! object counts, and is marked as inferred.

use crate::cpython::{Python, Type};
use crate::heap::size::Sizing;
use crate::heap::walk::{GC_HEAD, TrackedObject};
use crate::memory::Address;
use std::rc::Rc;

/// C types whose every reference lies in the struct, and whose every pointer to an object is a
/// reference of their own.
const EXACT: &[&str] = &[
    "_asyncio.Future",
    "_asyncio.Task",
    "_asyncio.FutureIter",
    "_functools.partial",
    "functools.partial",
    "builtins.BaseException",
    "builtins.builtin_function_or_method",
    "builtins.builtin_method",
    "builtins.cell",
    "builtins.classmethod",
    "builtins.classmethod_descriptor",
    "builtins.code",
    "builtins.coroutine",
    "builtins.coroutine_wrapper",
    "builtins.async_generator",
    "builtins.defaultdict",
    "collections.defaultdict",
    "collections.OrderedDict",
    "collections.deque",
    "builtins.dict",
    "builtins.frozendict",
    "builtins.frame",
    "builtins.frozenset",
    "builtins.function",
    "builtins.generator",
    "builtins.getset_descriptor",
    "builtins.instancemethod",
    "builtins.list",
    "builtins.mappingproxy",
    "builtins.member_descriptor",
    "builtins.method",
    "builtins.method-wrapper",
    "builtins.method_descriptor",
    "builtins.module",
    "builtins.object",
    "builtins.property",
    "builtins.range",
    "builtins.set",
    "builtins.slice",
    "builtins.staticmethod",
    "builtins.super",
    "builtins.traceback",
    "builtins.tuple",
    "builtins.type",
    "builtins.weakref",
    "builtins.wrapper_descriptor",
    "types.GenericAlias",
    "types.SimpleNamespace",
    "weakref.ReferenceType",
    "_queue.SimpleQueue",
    "_thread.lock",
    "_thread.RLock",
    "_socket.socket",
];

/// C types without references.
const LEAVES: &[&str] = &[
    "builtins.str",
    "builtins.bytes",
    "builtins.int",
    "builtins.bool",
    "builtins.float",
    "builtins.complex",
    "builtins.bytearray",
    "builtins.NoneType",
    "builtins.ellipsis",
    "builtins.NotImplementedType",
];

/// Largest struct scanned, in bytes.
const MAX_BODY: u64 = 64 << 10;
/// Bytes before an instance that may tell where its attributes are.
pub(super) const BEFORE: usize = 32;

/// The tables behind a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    None,
    List,
    Dict,
    Set,
    Deque,
    /// A `SimpleQueue` with a ring (3.13+).
    Queue,
    /// A generator, coroutine or async generator: its frame.
    Generator,
    /// A frame object.
    Frame,
    /// A type object.
    Type,
}

/// How to find what instances of a type refer to.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) class: Rc<Type>,
    /// Offsets of words that may be references; ascending.
    pub(super) words: Vec<u32>,
    /// Offset of the first of `ob_size` words that may be references.
    pub(super) items: Option<u32>,
    pub(super) table: Table,
    pub(super) attributes: Attributes,
    /// Bytes of an instance that are looked at: words, and what describes tables.
    pub(super) body: usize,
    /// Bytes before an instance that are looked at.
    pub(super) before: usize,
    /// Attribute values that lie in or beside an instance.
    pub(super) values: u64,
    /// Instances own a reference to their type.
    pub(super) owns_type: bool,
    /// The words were not known to be references.
    pub(super) inferred: bool,
    sizing: Sizing,
    pub(super) kind: SizeKind,
}

/// Where instances may have a dict or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attributes {
    None,
    /// In the words before the instance.
    Managed,
    /// In a word of the instance, at a fixed place or behind its items.
    Word,
}

/// What `Sizing` does not measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SizeKind {
    Tracked,
    Text,
    Integer,
    Untracked,
}

/// What is known of all types of a process.
#[derive(Debug, Default)]
pub(super) struct Traversal {
    /// `subtype_traverse`: of classes made by a `class` statement.
    pub(super) subtype: Address,
}

/// `tp_traverse`, the second word behind `tp_flags`: between them is `tp_doc`
/// (Include/cpython/object.h, the same in every version).
pub(super) fn traverse_of(python: &Python<'_>, class: Address) -> Address {
    let fields = &python.layout().structs.type_object;
    let at = class.add(fields.flags.end() + 8);
    python.memory().read_pointer(at).unwrap_or(Address::NULL)
}

impl Plan {
    pub(super) fn of(python: &Python<'_>, class: &Rc<Type>, traversal: &Traversal) -> Self {
        let base = c_base(python, class, traversal);
        let structs = &python.layout().structs;
        let flags = class.flags;
        let name = base.name();
        let head = structs.object.size;
        let is_leaf = LEAVES.contains(&name);
        let (table, known) = table_of(python, &base, name);
        let from = match known {
            _ if is_leaf => base.basicsize,
            Some(known) => known,
            // `ob_size` is no reference.
            None if base.itemsize > 0 => structs.var_object.size,
            None => head,
        };
        let weak = weak_list(python, class);
        let dict = (!flags.managed_dict()).then_some(class.dictoffset);
        let wanted = |offset: u64| Some(offset as i64) != weak && Some(offset as i64) != dict;
        let end = base.basicsize.min(MAX_BODY);
        let mut words: Vec<u32> = match name {
            // The object is weak, and the links to other weak references are borrowed.
            "builtins.weakref"
            | "weakref.ReferenceType"
            | "builtins.weakproxy"
            | "weakref.ProxyType"
            | "weakref.CallableProxyType"
            | "builtins.weakcallableproxy" => {
                vec![structs.weakref.referent.end() as u32]
            }
            "builtins.type" => type_words(python),
            // Their links to the items before and behind are borrowed (Modules/_functoolsmodule.c).
            "functools._lru_list_elem" | "functools._lru_cache_wrapper" => {
                word_range(head + 24, end)
            }
            // Behind name and default it remembers a value that a context holds
            // (Include/internal/pycore_context.h).
            "_contextvars.ContextVar" => word_range(head, head + 16),
            // The dict of a thread's attributes is borrowed (Modules/_threadmodule.c).
            "_thread._localdummy" => word_range(head + 8, end),
            "builtins.frame" => frame_words(python, end),
            "builtins.code" => code_words(python),
            _ => word_range(from, end),
        };
        let slots = base.basicsize.max(head).min(class.basicsize);
        words.extend(word_range(slots, class.basicsize.min(MAX_BODY)));
        words.retain(|&offset| wanted(u64::from(offset)));
        words.dedup();
        let items = (class.itemsize == 8 && !is_leaf && table == Table::None).then(|| {
            let first = match flags.tuple_subclass() {
                true => structs.tuple.items.offset,
                // The struct has room for the first item.
                false => base.basicsize,
            };
            first as u32
        });
        if flags.tuple_subclass() {
            let end = structs.tuple.items.offset as u32;
            words.retain(|&offset| offset >= end);
        }
        let keys = match class.cached_keys.non_null() {
            Some(keys) if flags.managed_dict() => python.keys_table(keys).ok(),
            _ => None,
        };
        let attributes = match class.dictoffset {
            _ if flags.managed_dict() => Attributes::Managed,
            0 => Attributes::None,
            _ => Attributes::Word,
        };
        let has_gc = flags.has_gc();
        let kind = match () {
            () if flags.unicode_subclass() => SizeKind::Text,
            () if flags.long_subclass() => SizeKind::Integer,
            () if has_gc => SizeKind::Tracked,
            () => SizeKind::Untracked,
        };
        let of_table = match (table, kind) {
            (_, SizeKind::Text) => structs.ascii.size,
            (Table::List, _) => structs.list.size,
            (Table::Dict, _) => structs.dict.size,
            (Table::Set, _) => structs.set.mask.end().max(structs.set.table.end()),
            _ => 0,
        };
        let valid = structs.dict_values.as_ref().and_then(|values| values.valid);
        let of_values = match (attributes, valid) {
            (Attributes::Managed, Some(valid)) if flags.inline_values() => {
                class.basicsize.min(MAX_BODY) + valid.end()
            }
            _ => 0,
        };
        let of_words = words.last().map_or(0, |&last| u64::from(last) + 8);
        Self {
            words,
            items,
            table,
            attributes,
            body: of_table.max(of_values).max(of_words) as usize,
            before: if attributes == Attributes::Managed { BEFORE } else { 0 },
            values: keys.map_or(0, |keys| keys.entries.count),
            owns_type: flags.heap_type(),
            inferred: !is_leaf && !EXACT.contains(&name) && !base.flags.exception_subclass(),
            sizing: Sizing::of(python, class),
            kind,
            class: Rc::clone(class),
        }
    }

    /// The size of an instance whose tables take `table` bytes.
    pub(super) fn fixed_size(&self, length: u32, table: u64) -> u64 {
        self.without_head(self.sizing.with_table(u64::from(length), table))
    }

    /// The size of an instance whose tables are looked at.
    pub(super) fn measure(&self, python: &Python<'_>, object: &TrackedObject) -> u64 {
        self.without_head(self.sizing.measure(python, object))
    }

    fn without_head(&self, size: u64) -> u64 {
        let head = if self.kind == SizeKind::Untracked { GC_HEAD } else { 0 };
        size.saturating_sub(head)
    }

    /// Instances have no references at all, not even to their type.
    pub(super) fn is_leaf(&self) -> bool {
        self.words.is_empty()
            && self.items.is_none()
            && self.table == Table::None
            && self.attributes == Attributes::None
            && !self.owns_type
    }
}

fn word_range(from: u64, to: u64) -> Vec<u32> {
    let from = from.next_multiple_of(8);
    (from..to & !7).step_by(8).map(|offset| offset as u32).collect()
}

/// The class whose C code knows the layout of instances.
pub(super) fn c_base(python: &Python<'_>, class: &Rc<Type>, traversal: &Traversal) -> Rc<Type> {
    const MAX_BASES: usize = 256;
    let base = python.layout().structs.type_object.base;
    let mut at = Rc::clone(class);
    for _ in 0..MAX_BASES {
        if !at.flags.heap_type() {
            return at;
        }
        let traverse = traverse_of(python, at.address);
        let next = base.read_pointer(python.memory(), at.address);
        let Some(next) = next.ok().and_then(|next| python.type_at(next).ok()) else { return at };
        // A class without any reference in it, such as a subclass of `int` with empty slots,
        // has no traversal.
        let adds_nothing = traverse.is_null() && at.basicsize == next.basicsize;
        if traverse != traversal.subtype && !adds_nothing {
            return at;
        }
        at = next;
    }
    at
}

/// The table behind instances of a C type, and the end of the struct that describes it.
fn table_of(python: &Python<'_>, base: &Type, name: &str) -> (Table, Option<u64>) {
    let structs = &python.layout().structs;
    if base.flags.list_subclass() {
        return (Table::List, Some(structs.list.size));
    }
    if python.is_dict(base.address, base.flags).unwrap_or(false) {
        return (Table::Dict, Some(structs.dict.size));
    }
    match name {
        "builtins.set" | "builtins.frozenset" => (Table::Set, Some(base.basicsize)),
        "collections.deque" => (Table::Deque, Some(base.basicsize)),
        "builtins.generator" | "builtins.coroutine" | "builtins.async_generator" => {
            (Table::Generator, None)
        }
        "builtins.frame" => (Table::Frame, None),
        "builtins.type" => (Table::Type, None),
        "_queue.SimpleQueue" if structs.simple_queue.is_some_and(|queue| queue.items.is_some()) => {
            (Table::Queue, None)
        }
        _ => (Table::None, None),
    }
}

/// Where instances keep the head of their weak references, which own nothing.
fn weak_list(python: &Python<'_>, class: &Type) -> Option<i64> {
    let field = python.layout().structs.type_object.weaklistoffset;
    field.read_signed(python.memory(), class.address).ok().filter(|&offset| offset > 0)
}

/// `tp_base`, `tp_dict`, `tp_bases`, `tp_mro`, `tp_cache`, `tp_subclasses` (a number for static
/// types from 3.12), and of heap types name, slots, qualified name and module
/// (Include/cpython/object.h).
fn type_words(python: &Python<'_>) -> Vec<u32> {
    let fields = &python.layout().structs.type_object;
    let heap = &python.layout().structs.heap_type;
    let mro = fields.mro.offset;
    let name = heap.qualname.offset;
    let mut words = vec![fields.base.offset, fields.dict.offset, mro - 8, mro, mro + 8, mro + 16];
    words.extend([name - 16, name - 8, name]);
    // `ht_module` came in 3.9.
    if heap.cached_keys.end() + 8 <= heap.size {
        words.push(heap.cached_keys.end());
    }
    words.into_iter().map(|offset| offset as u32).collect()
}

/// What a code object owns. Not all of its pointers: up to 3.10 it keeps a dead frame for the
/// next call, and later versions cache more.
fn code_words(python: &Python<'_>) -> Vec<u32> {
    let structs = &python.layout().structs;
    let fields = &structs.code;
    let mut words = vec![fields.filename.offset, fields.name.offset, fields.line_table.offset];
    let others = [
        fields.qualname,
        fields.localsplus_names,
        fields.localsplus_kinds,
        fields.varnames,
        fields.cellvars,
        fields.freevars,
        fields.bytecode_object,
    ];
    words.extend(others.into_iter().flatten().map(|field| field.offset));
    // `co_consts`, `co_names`, `co_exceptiontable` come first from 3.11; before, the first two
    // follow the bytecode.
    match fields.bytecode_object {
        Some(bytecode) => words.extend([bytecode.end(), bytecode.end() + 8]),
        None => words.extend([0, 8, 16].map(|word| structs.var_object.size + word)),
    }
    words.sort_unstable();
    words.into_iter().map(|offset| offset as u32).collect()
}

/// The words of a frame object. Before 3.11: back, code, builtins, globals, namespace, and behind
/// the value stack's ends the trace function; what follows is a stack of blocks with old values in
/// it. From then on all up to the record inside of it, but for the pointer to the record.
fn frame_words(python: &Python<'_>, end: u64) -> Vec<u32> {
    let fields = &python.layout().structs.frame;
    let back = fields.back.offset;
    if fields.locals.is_some() {
        let ends = [fields.stack_base, fields.stack_pointer].into_iter().flatten();
        let mut words = word_range(back, back + 40);
        words.extend(ends.map(|field| field.end() as u32).max());
        return words;
    }
    let record = fields.back.end() as u32;
    let mut words = word_range(back, fields.size.saturating_sub(8).min(end));
    words.retain(|&offset| offset != record);
    words
}
