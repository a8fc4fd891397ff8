//! The offsets that CPython 3.13+ publishes at the start of `_PyRuntime`: `_Py_DebugOffsets`
//! (Include/internal/pycore_debug_offsets.h).
//!
//! A struct of u64 values in groups. The order is not append-only between series, so the list
//! of the series is chosen by the version field, which has had one place so far. The values
//! are input from the target like any other: each is checked before it replaces a table's.

use super::field::Field;
use super::table::Table;
use super::version::Version;
use crate::memory::{Address, MemoryError, MemorySource};
use thiserror::Error;

/// The first 8 bytes of the struct.
pub const COOKIE: &[u8; 8] = b"xdebugpy";

/// A group of fields, in order.
type Group = (&'static str, &'static [&'static str]);

const GROUPS_3_13: &[Group] = &[
    ("runtime_state", &["size", "finalizing", "interpreters_head"]),
    (
        "interpreter_state",
        &[
            "size",
            "id",
            "next",
            "threads_head",
            "gc",
            "imports_modules",
            "sysdict",
            "builtins",
            "ceval_gil",
            "gil_runtime_state",
            "gil_runtime_state_enabled",
            "gil_runtime_state_locked",
            "gil_runtime_state_holder",
        ],
    ),
    (
        "thread_state",
        &[
            "size",
            "prev",
            "next",
            "interp",
            "current_frame",
            "thread_id",
            "native_thread_id",
            "datastack_chunk",
            "status",
        ],
    ),
    ("interpreter_frame", &["size", "previous", "executable", "instr_ptr", "localsplus", "owner"]),
    (
        "code_object",
        &[
            "size",
            "filename",
            "name",
            "qualname",
            "linetable",
            "firstlineno",
            "argcount",
            "localsplusnames",
            "localspluskinds",
            "co_code_adaptive",
        ],
    ),
    ("pyobject", &["size", "ob_type"]),
    ("type_object", &["size", "tp_name", "tp_repr", "tp_flags"]),
    ("tuple_object", &["size", "ob_item", "ob_size"]),
    ("list_object", &["size", "ob_item", "ob_size"]),
    ("dict_object", &["size", "ma_keys", "ma_values"]),
    ("float_object", &["size", "ob_fval"]),
    ("long_object", &["size", "lv_tag", "ob_digit"]),
    ("bytes_object", &["size", "ob_size", "ob_sval"]),
    ("unicode_object", &["size", "state", "length", "asciiobject_size"]),
    ("gc", &["size", "collecting"]),
];

const GROUPS_3_14: &[Group] = &[
    ("runtime_state", &["size", "finalizing", "interpreters_head"]),
    (
        "interpreter_state",
        &[
            "size",
            "id",
            "next",
            "threads_head",
            "threads_main",
            "gc",
            "imports_modules",
            "sysdict",
            "builtins",
            "ceval_gil",
            "gil_runtime_state",
            "gil_runtime_state_enabled",
            "gil_runtime_state_locked",
            "gil_runtime_state_holder",
            "code_object_generation",
            "tlbc_generation",
        ],
    ),
    (
        "thread_state",
        &[
            "size",
            "prev",
            "next",
            "interp",
            "current_frame",
            "thread_id",
            "native_thread_id",
            "datastack_chunk",
            "status",
        ],
    ),
    (
        "interpreter_frame",
        &[
            "size",
            "previous",
            "executable",
            "instr_ptr",
            "localsplus",
            "owner",
            "stackpointer",
            "tlbc_index",
        ],
    ),
    (
        "code_object",
        &[
            "size",
            "filename",
            "name",
            "qualname",
            "linetable",
            "firstlineno",
            "argcount",
            "localsplusnames",
            "localspluskinds",
            "co_code_adaptive",
            "co_tlbc",
        ],
    ),
    ("pyobject", &["size", "ob_type"]),
    ("type_object", &["size", "tp_name", "tp_repr", "tp_flags"]),
    ("tuple_object", &["size", "ob_item", "ob_size"]),
    ("list_object", &["size", "ob_item", "ob_size"]),
    ("set_object", &["size", "used", "table", "mask"]),
    ("dict_object", &["size", "ma_keys", "ma_values"]),
    ("float_object", &["size", "ob_fval"]),
    ("long_object", &["size", "lv_tag", "ob_digit"]),
    ("bytes_object", &["size", "ob_size", "ob_sval"]),
    ("unicode_object", &["size", "state", "length", "asciiobject_size"]),
    ("gc", &["size", "collecting"]),
    ("gen_object", &["size", "gi_name", "gi_iframe", "gi_frame_state"]),
    ("llist_node", &["next", "prev"]),
    (
        "debugger_support",
        &[
            "eval_breaker",
            "remote_debugger_support",
            "remote_debugging_enabled",
            "debugger_pending_call",
            "debugger_script_path",
            "debugger_script_path_size",
        ],
    ),
];

const GROUPS_3_15: &[Group] = &[
    ("runtime_state", &["size", "finalizing", "interpreters_head"]),
    (
        "interpreter_state",
        &[
            "size",
            "id",
            "next",
            "threads_head",
            "threads_main",
            "gc",
            "imports_modules",
            "sysdict",
            "builtins",
            "ceval_gil",
            "gil_runtime_state",
            "gil_runtime_state_enabled",
            "gil_runtime_state_locked",
            "gil_runtime_state_holder",
            "code_object_generation",
            "tlbc_generation",
        ],
    ),
    (
        "thread_state",
        &[
            "size",
            "prev",
            "next",
            "interp",
            "current_frame",
            "base_frame",
            "last_profiled_frame",
            "last_profiled_frame_seq",
            "thread_id",
            "native_thread_id",
            "datastack_chunk",
            "status",
            "holds_gil",
            "gil_requested",
            "current_exception",
            "exc_state",
        ],
    ),
    ("err_stackitem", &["exc_value"]),
    (
        "interpreter_frame",
        &[
            "size",
            "previous",
            "executable",
            "instr_ptr",
            "localsplus",
            "owner",
            "stackpointer",
            "tlbc_index",
        ],
    ),
    (
        "code_object",
        &[
            "size",
            "filename",
            "name",
            "qualname",
            "linetable",
            "firstlineno",
            "argcount",
            "localsplusnames",
            "localspluskinds",
            "co_code_adaptive",
            "co_tlbc",
        ],
    ),
    ("pyobject", &["size", "ob_type"]),
    ("type_object", &["size", "tp_name", "tp_repr", "tp_flags", "tp_basicsize", "tp_dictoffset"]),
    ("heap_type_object", &["size", "ht_cached_keys"]),
    ("tuple_object", &["size", "ob_item", "ob_size"]),
    ("list_object", &["size", "ob_item", "ob_size"]),
    ("set_object", &["size", "used", "table", "mask"]),
    ("dict_object", &["size", "ma_keys", "ma_values"]),
    ("float_object", &["size", "ob_fval"]),
    ("long_object", &["size", "lv_tag", "ob_digit"]),
    ("bytes_object", &["size", "ob_size", "ob_sval"]),
    (
        "unicode_object",
        &["size", "state", "length", "asciiobject_size", "compactunicodeobject_size"],
    ),
    ("gc", &["size", "collecting", "frame", "generation_stats_size", "generation_stats"]),
    ("gen_object", &["size", "gi_name", "gi_iframe", "gi_frame_state"]),
    ("llist_node", &["next", "prev"]),
    (
        "debugger_support",
        &[
            "eval_breaker",
            "remote_debugger_support",
            "remote_debugging_enabled",
            "debugger_pending_call",
            "debugger_script_path",
            "debugger_script_path_size",
        ],
    ),
];

/// The group list of each series that has one.
const SERIES: &[((u8, u8), &[Group])] =
    &[((3, 13), GROUPS_3_13), ((3, 14), GROUPS_3_14), ((3, 15), GROUPS_3_15)];

/// Which published value is which field of ours: group, value, struct, field. Several fields
/// may lie in one published place (the bits of a status word).
const FIELDS: &[(&str, &str, &str, &str)] = &[
    ("runtime_state", "finalizing", "RuntimeState", "finalizing"),
    ("runtime_state", "interpreters_head", "RuntimeState", "interpreters_head"),
    ("interpreter_state", "id", "InterpreterState", "id"),
    ("interpreter_state", "next", "InterpreterState", "next"),
    ("interpreter_state", "threads_head", "InterpreterState", "threads_head"),
    ("interpreter_state", "gc", "InterpreterState", "gc"),
    ("interpreter_state", "imports_modules", "InterpreterState", "modules"),
    ("interpreter_state", "sysdict", "InterpreterState", "sysdict"),
    ("interpreter_state", "ceval_gil", "InterpreterState", "gil"),
    ("thread_state", "prev", "ThreadState", "prev"),
    ("thread_state", "next", "ThreadState", "next"),
    ("thread_state", "interp", "ThreadState", "interp"),
    ("thread_state", "current_frame", "ThreadState", "current_frame"),
    ("thread_state", "thread_id", "ThreadState", "thread_id"),
    ("thread_state", "native_thread_id", "ThreadState", "native_thread_id"),
    ("thread_state", "status", "ThreadState", "finalizing"),
    ("thread_state", "status", "ThreadState", "cleared"),
    ("interpreter_frame", "previous", "InterpreterFrame", "previous"),
    ("interpreter_frame", "executable", "InterpreterFrame", "code"),
    ("interpreter_frame", "instr_ptr", "InterpreterFrame", "instruction"),
    ("interpreter_frame", "localsplus", "InterpreterFrame", "locals"),
    ("interpreter_frame", "owner", "InterpreterFrame", "owner"),
    ("code_object", "filename", "CodeObject", "filename"),
    ("code_object", "name", "CodeObject", "name"),
    ("code_object", "qualname", "CodeObject", "qualname"),
    ("code_object", "linetable", "CodeObject", "line_table"),
    ("code_object", "firstlineno", "CodeObject", "first_line"),
    ("code_object", "argcount", "CodeObject", "argcount"),
    ("code_object", "localsplusnames", "CodeObject", "localsplus_names"),
    ("code_object", "localspluskinds", "CodeObject", "localsplus_kinds"),
    ("code_object", "co_code_adaptive", "CodeObject", "bytecode"),
    ("pyobject", "ob_type", "ObjectHead", "ob_type"),
    ("type_object", "tp_name", "TypeObject", "name"),
    ("type_object", "tp_flags", "TypeObject", "flags"),
    ("type_object", "tp_basicsize", "TypeObject", "basicsize"),
    ("type_object", "tp_dictoffset", "TypeObject", "dictoffset"),
    ("heap_type_object", "ht_cached_keys", "HeapTypeObject", "cached_keys"),
    ("tuple_object", "ob_item", "TupleObject", "items"),
    ("tuple_object", "ob_size", "VarObject", "ob_size"),
    ("list_object", "ob_item", "ListObject", "items"),
    ("set_object", "used", "SetObject", "used"),
    ("set_object", "table", "SetObject", "table"),
    ("set_object", "mask", "SetObject", "mask"),
    ("dict_object", "ma_keys", "DictObject", "keys"),
    ("dict_object", "ma_values", "DictObject", "values"),
    ("float_object", "ob_fval", "FloatObject", "value"),
    ("long_object", "lv_tag", "LongObject", "tag"),
    ("long_object", "ob_digit", "LongObject", "digits"),
    ("bytes_object", "ob_sval", "BytesObject", "data"),
    ("unicode_object", "state", "AsciiObject", "kind"),
    ("unicode_object", "state", "AsciiObject", "compact"),
    ("unicode_object", "state", "AsciiObject", "ascii"),
    ("unicode_object", "length", "AsciiObject", "length"),
    ("gc", "collecting", "GcState", "collecting"),
    ("gen_object", "gi_name", "GeneratorObject", "name"),
    ("gen_object", "gi_iframe", "GeneratorObject", "iframe"),
    ("gen_object", "gi_frame_state", "GeneratorObject", "frame_state"),
];

/// Which published value is the size of which struct of ours.
const SIZES: &[(&str, &str, &str)] = &[
    ("runtime_state", "size", "RuntimeState"),
    ("interpreter_state", "size", "InterpreterState"),
    ("thread_state", "size", "ThreadState"),
    ("interpreter_frame", "size", "InterpreterFrame"),
    ("code_object", "size", "CodeObject"),
    ("pyobject", "size", "ObjectHead"),
    ("type_object", "size", "TypeObject"),
    ("heap_type_object", "size", "HeapTypeObject"),
    ("tuple_object", "size", "TupleObject"),
    ("list_object", "size", "ListObject"),
    ("set_object", "size", "SetObject"),
    ("dict_object", "size", "DictObject"),
    ("float_object", "size", "FloatObject"),
    ("long_object", "size", "LongObject"),
    ("bytes_object", "size", "BytesObject"),
    ("unicode_object", "asciiobject_size", "AsciiObject"),
    ("unicode_object", "compactunicodeobject_size", "CompactUnicodeObject"),
    ("gc", "size", "GcState"),
    ("gen_object", "size", "GeneratorObject"),
];

/// No struct that is described is larger; the runtime with its static objects has 350 KB.
const MAX_SIZE: u64 = 1 << 22;

/// Why published offsets were not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DebugOffsetsError {
    /// There is no such struct at the start of the runtime.
    #[error("the runtime at {0} does not start with debug offsets")]
    NoCookie(Address),
    /// The order of the fields of this series is not known.
    #[error("debug offsets of Python {0} are not known")]
    UnknownSeries(Version),
    /// A value that cannot be right.
    #[error("the process publishes {group}.{field} = {value}: {problem}")]
    Implausible {
        /// Group of the value.
        group: &'static str,
        /// Name of the value.
        field: &'static str,
        /// What was read.
        value: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The struct cannot be read.
    #[error("cannot read the debug offsets")]
    Memory(#[from] MemoryError),
}

/// What stands at the start of the struct in every series so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Exact version.
    pub version: Version,
    /// Built with `--disable-gil`.
    pub free_threaded: bool,
}

impl Head {
    /// Reads the head; `None` when there are no debug offsets at `runtime`.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn read(memory: &dyn MemorySource, runtime: Address) -> Result<Option<Self>, MemoryError> {
        let mut bytes = [0; 24];
        memory.read(runtime, &mut bytes)?;
        let [cookie, version, free_threaded] = words(&bytes);
        if cookie != u64::from_le_bytes(*COOKIE) {
            return Ok(None);
        }
        // PY_VERSION_HEX has 32 bits; other values are garbage behind a stray cookie.
        let Ok(version) = u32::try_from(version) else { return Ok(None) };
        Ok(Some(Self { version: Version::from_hex(version), free_threaded: free_threaded != 0 }))
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    }
    words
}

/// The published values of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebugOffsets {
    /// Group, field and value, in the order of the struct.
    values: Vec<(&'static str, &'static str, u64)>,
}

/// A published value that differs from the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Our struct and field ("RuntimeState.finalizing"), or the struct alone for its size.
    pub what: String,
    /// Offset (or size) in the table.
    pub table: u64,
    /// Offset (or size) that the process publishes.
    pub published: u64,
}

impl DebugOffsets {
    /// Reads and checks the struct at the start of the runtime.
    ///
    /// # Errors
    /// When there is none, its order is not known, or a value cannot be right.
    pub fn read(memory: &dyn MemorySource, runtime: Address) -> Result<Self, DebugOffsetsError> {
        let head = Head::read(memory, runtime)?.ok_or(DebugOffsetsError::NoCookie(runtime))?;
        let series = (head.version.major, head.version.minor);
        let (_, groups) = SERIES
            .iter()
            .find(|(known, _)| *known == series)
            .ok_or(DebugOffsetsError::UnknownSeries(head.version))?;
        let names = groups
            .iter()
            .flat_map(|&(group, fields)| fields.iter().map(move |&field| (group, field)));
        let count = names.clone().count();
        let bytes = memory.read_vec(runtime.add(24), count * 8)?;
        let values = names
            .zip(bytes.chunks_exact(8))
            .map(|((group, field), chunk)| (group, field, words::<1>(chunk)[0]))
            .collect();
        let offsets = Self { values };
        offsets.plausible()?;
        Ok(offsets)
    }

    /// The value `field` of `group`.
    pub fn get(&self, group: &str, field: &str) -> Option<u64> {
        self.values.iter().find(|(g, f, _)| *g == group && *f == field).map(|(_, _, value)| *value)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn plausible(&self) -> Result<(), DebugOffsetsError> {
        let wrong = |group, field, value, problem| {
            Err(DebugOffsetsError::Implausible { group, field, value, problem })
        };
        for &(group, field, value) in &self.values {
            if field == "size" || field.ends_with("_size") {
                if value == 0 || value > MAX_SIZE {
                    return wrong(group, field, value, "no size of this struct");
                }
                continue;
            }
            let limit = match group {
                // Items may lie behind the end of their struct (ob_sval[1], ob_digit[1]).
                "llist_node" | "err_stackitem" => 64,
                // Offsets in the thread state and in structs within it.
                "debugger_support" => MAX_SIZE,
                _ => self.get(group, "size").unwrap_or(MAX_SIZE),
            };
            if value > limit {
                return wrong(group, field, value, "beyond the end of the struct");
            }
        }
        Ok(())
    }

    /// Puts the published values over those of `table`, and returns the ones that differ.
    ///
    /// # Errors
    /// When a value does not have the alignment of the field it is for.
    pub fn overlay(&self, table: &mut Table) -> Result<Vec<Moved>, DebugOffsetsError> {
        let mut moved = Vec::new();
        let before = table.clone();
        for &(group, field, structure, ours) in FIELDS {
            let Some((group, field, value)) = self.entry(group, field) else { continue };
            let place = table.structs.get_mut(structure).and_then(|s| s.fields.get_mut(ours));
            let Some(place) = place else { continue };
            if !aligned(place, value) {
                let problem = "not aligned";
                return Err(DebugOffsetsError::Implausible { group, field, value, problem });
            }
            if place.offset != value {
                moved.push(Moved {
                    what: format!("{structure}.{ours}"),
                    table: place.offset,
                    published: value,
                });
                place.offset = value;
            }
        }
        for &(group, field, structure) in SIZES {
            let Some((.., value)) = self.entry(group, field) else { continue };
            let Some(found) = table.structs.get_mut(structure) else { continue };
            if found.size != value {
                moved.push(Moved {
                    what: structure.to_owned(),
                    table: found.size,
                    published: value,
                });
                found.size = value;
            }
        }
        self.follow(table, &before);
        Ok(moved)
    }

    /// Moves the fields of a struct that are not published along with the published one next to
    /// them: a member that was added moves everything behind it by the same amount. Not in the
    /// GC state, whose changes are known one by one (see [`drift`](super::drift)).
    fn follow(&self, table: &mut Table, before: &Table) {
        for (name, found) in &mut table.structs {
            let Some(old) = before.structs.get(name).filter(|_| name != "GcState") else {
                continue;
            };
            let anchors: Vec<(u64, i64)> = old
                .fields
                .iter()
                .filter(|(field, _)| self.has(name, field))
                .filter_map(|(field, was)| {
                    let is = found.fields.get(field)?.offset;
                    Some((was.offset, is.wrapping_sub(was.offset) as i64))
                })
                .collect();
            for (field, place) in &mut found.fields {
                let nearest = anchors.iter().min_by_key(|(was, _)| was.abs_diff(place.offset));
                if let (Some((_, delta)), false) = (nearest, self.has(name, field)) {
                    place.offset = place.offset.saturating_add_signed(*delta);
                }
            }
        }
    }

    fn entry(&self, group: &str, field: &str) -> Option<(&'static str, &'static str, u64)> {
        self.values.iter().copied().find(|(g, f, _)| *g == group && *f == field)
    }

    /// True when the process publishes the place of this field of ours.
    pub fn has(&self, structure: &str, ours: &str) -> bool {
        FIELDS.iter().any(|&(g, f, s, o)| s == structure && o == ours && self.get(g, f).is_some())
    }
}

/// Pointers and numbers of whole words lie at multiples of their size; what is larger (arrays,
/// structs) at multiples of 4 at least, as the lists of 3.13.5+ do.
fn aligned(place: &Field, value: u64) -> bool {
    let alignment = match place.size {
        1 | 2 | 4 | 8 => place.size,
        _ => 4,
    };
    value.is_multiple_of(alignment)
}


#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tables;
    use crate::memory::ReadStats;
    use proptest::prelude::*;

    /// A runtime that is nothing but bytes at [`AT`].
    struct Bytes(Vec<u8>);

    const AT: Address = Address::new(0x10_0000);

    impl MemorySource for Bytes {
        fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
            let fault = MemoryError::Fault { address, length: buffer.len() };
            let start = address.get().checked_sub(AT.get()).ok_or(fault)? as usize;
            let end = start.checked_add(buffer.len()).ok_or(fault)?;
            buffer.copy_from_slice(self.0.get(start..end).ok_or(fault)?);
            Ok(())
        }

        fn stats(&self) -> ReadStats {
            ReadStats::default()
        }
    }

    type Values = Vec<(&'static str, &'static str, u64)>;

    /// What a process with the layout of `table` publishes.
    fn published(table: &Table, series: (u8, u8)) -> Values {
        let (_, groups) = SERIES.iter().find(|(known, _)| *known == series).unwrap();
        let names = groups.iter().flat_map(|&(g, fields)| fields.iter().map(move |&f| (g, f)));
        names
            .map(|(group, field)| {
                let size = SIZES
                    .iter()
                    .find(|(g, f, _)| (*g, *f) == (group, field))
                    .map(|(.., s)| table.structs[*s].size);
                let offset = FIELDS
                    .iter()
                    .find(|(g, f, ..)| (*g, *f) == (group, field))
                    .map(|(_, _, s, f)| table.structs[*s].fields[*f].offset);
                let other = if field.ends_with("size") { 4096 } else { 8 };
                (group, field, size.or(offset).unwrap_or(other))
            })
            .collect()
    }

    fn image(version: Version, values: &Values) -> Bytes {
        let hex = u32::from_be_bytes([
            version.major,
            version.minor,
            version.micro,
            version.level << 4 | version.serial,
        ]);
        let mut bytes = COOKIE.to_vec();
        bytes.extend(u64::from(hex).to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(values.iter().flat_map(|(.., value)| value.to_le_bytes()));
        Bytes(bytes)
    }

    fn set(values: &mut Values, group: &str, field: &str, change: impl Fn(u64) -> u64) {
        let entry = values.iter_mut().find(|(g, f, _)| (*g, *f) == (group, field)).unwrap();
        entry.2 = change(entry.2);
    }

    #[test]
    fn the_structs_have_the_sizes_of_the_headers() {
        // sizeof(_Py_DebugOffsets) of 3.13, 3.14 and 3.15.
        for ((series, groups), size) in SERIES.iter().zip([584, 760, 888]) {
            let count: usize = groups.iter().map(|(_, fields)| fields.len()).sum();
            assert_eq!(24 + count * 8, size, "{series:?}");
        }
    }

    #[test]
    fn equal_values_change_nothing() {
        for ((major, minor), _) in SERIES {
            let version = Version::release(*major, *minor, 0);
            let mut table = tables::named(&version.series(), "gil").unwrap();
            let before = table.clone();
            let memory = image(version, &published(&table, (*major, *minor)));
            let moved = DebugOffsets::read(&memory, AT).unwrap().overlay(&mut table).unwrap();
            assert_eq!((moved, table), (vec![], before));
        }
    }

    #[test]
    fn the_interpreter_of_3_14_0_is_shorter_behind_its_gc_state() {
        let version = Version::release(3, 14, 0);
        let mut table = tables::named("3.14", "gil").unwrap();
        let mut values = published(&table, (3, 14));
        for field in ["imports_modules", "sysdict", "size"] {
            set(&mut values, "interpreter_state", field, |value| value - 24);
        }
        set(&mut values, "gc", "size", |_| 240);
        let before = table.clone();
        let offsets = DebugOffsets::read(&image(version, &values), AT).unwrap();
        let moved = offsets.overlay(&mut table).unwrap();
        let what: Vec<&str> = moved.iter().map(|moved| moved.what.as_str()).collect();
        assert_eq!(
            what,
            [
                "InterpreterState.modules",
                "InterpreterState.sysdict",
                "InterpreterState",
                "GcState"
            ]
        );
        let offset = |table: &Table, field: &str| {
            table.structs["InterpreterState"].fields[field].offset
        };
        assert_eq!(offset(&table, "sysdict"), offset(&before, "sysdict") - 24);
        assert_eq!(offset(&table, "gc"), offset(&before, "gc"));
        assert_eq!(table.structs["GcState"].size, 240);
    }

    #[test]
    fn the_thread_state_of_3_13_18_is_larger() {
        let mut table = tables::named("3.13", "gil").unwrap();
        let mut values = published(&table, (3, 13));
        set(&mut values, "thread_state", "size", |size| size + 8);
        let before = table.structs["ThreadState"].fields.clone();
        let memory = image(Version::release(3, 13, 18), &values);
        DebugOffsets::read(&memory, AT).unwrap().overlay(&mut table).unwrap();
        assert_eq!(table.structs["ThreadState"].size, 312);
        assert_eq!(table.structs["ThreadState"].fields, before);
    }

    #[test]
    fn what_is_not_published_moves_with_its_neighbour() {
        let mut table = tables::named("3.14", "gil").unwrap();
        let mut values = published(&table, (3, 14));
        for field in ["finalizing", "interpreters_head", "size"] {
            set(&mut values, "runtime_state", field, |value| value + 16);
        }
        let before = table.structs["RuntimeState"].fields.clone();
        let memory = image(Version::release(3, 14, 11), &values);
        DebugOffsets::read(&memory, AT).unwrap().overlay(&mut table).unwrap();
        for (field, place) in &table.structs["RuntimeState"].fields {
            assert_eq!(place.offset, before[field].offset + 16, "{field}");
        }
    }

    #[test]
    fn implausible_values_are_refused_by_name() {
        let table = tables::named("3.13", "gil").unwrap();
        let version = Version::release(3, 13, 0);
        for (group, field, value) in [
            ("runtime_state", "size", 0),
            ("runtime_state", "size", u64::MAX),
            ("interpreter_state", "gc", 1 << 40),
            ("thread_state", "next", 305),
            ("thread_state", "next", 12),
            ("gc", "collecting", 241),
        ] {
            let mut values = published(&table, (3, 13));
            set(&mut values, group, field, |_| value);
            let result = DebugOffsets::read(&image(version, &values), AT)
                .and_then(|offsets| offsets.overlay(&mut table.clone()));
            match result {
                Err(DebugOffsetsError::Implausible { group: g, field: f, value: v, .. }) => {
                    assert_eq!((g, f, v), (group, field, value));
                }
                other => panic!("{group}.{field} = {value}: {other:?}"),
            }
        }
        let short = Bytes(image(version, &published(&table, (3, 13))).0[..500].to_vec());
        assert!(matches!(DebugOffsets::read(&short, AT), Err(DebugOffsetsError::Memory(_))));
        let next = image(Version::release(3, 16, 0), &vec![]);
        assert!(matches!(DebugOffsets::read(&next, AT), Err(DebugOffsetsError::UnknownSeries(_))));
        assert!(matches!(
            DebugOffsets::read(&Bytes(vec![0; 999]), AT),
            Err(DebugOffsetsError::NoCookie(AT))
        ));
    }

    proptest! {
        #[test]
        fn no_values_panic(words in prop::collection::vec(any::<u64>(), 0..120), minor in 13u8..16) {
            let version = Version::release(3, minor, 0);
            let values = words.into_iter().map(|word| ("", "", word)).collect();
            let mut table = tables::of(version, crate::layout::Flavour::Gil).unwrap();
            if let Ok(offsets) = DebugOffsets::read(&image(version, &values), AT) {
                let _ = offsets.overlay(&mut table);
            }
        }

        #[test]
        fn one_changed_value_never_panics(index in 0usize..70, value in any::<u64>()) {
            let mut table = tables::named("3.13", "gil").unwrap();
            let mut values = published(&table, (3, 13));
            values[index].2 = value;
            let memory = image(Version::release(3, 13, 0), &values);
            if let Ok(offsets) = DebugOffsets::read(&memory, AT) {
                let _ = offsets.overlay(&mut table);
            }
        }
    }
}
