//! The structs and fields of CPython that pyattach reads, and what they are called in C.
//!
//! One list serves three purposes: it says what `layout extract` takes from DWARF, it names
//! the keys of the tables under `tables/`, and it is the typed view the readers use. A field
//! that some versions do not have is `opt`; a field that changed its name or its place has
//! several C paths, newest first. What a field means in each version is decided in
//! [`traits`](super::traits), not here.

use super::field::Field;
use super::table::{StructTable, Table, TableError};

/// What to extract for one field.
#[derive(Debug, Clone, Copy)]
pub struct FieldSpec {
    /// Our name: the key in the table.
    pub name: &'static str,
    /// Member paths in C, newest first (`ceval.gil` is member `gil` of member `ceval`).
    pub paths: &'static [&'static str],
    /// False when every supported version has the field.
    pub optional: bool,
}

/// What to extract for one struct.
#[derive(Debug, Clone, Copy)]
pub struct StructSpec {
    /// Our name: the key in the table.
    pub name: &'static str,
    /// Struct tags or typedef names in C, newest first.
    pub c_names: &'static [&'static str],
    /// True when a table may lack the struct: not in every version, or defined in an extension
    /// module whose debug information may not be at hand.
    pub optional: bool,
    /// Its fields.
    pub fields: &'static [FieldSpec],
}

/// True when a table may lack the struct that we call `name`.
pub fn is_optional(name: &str) -> bool {
    SPECS.iter().any(|spec| spec.name == name && spec.optional)
}

macro_rules! structs {
    ($(
        $(#[$doc:meta])*
        $need:ident $member:ident: $name:ident = [$($c_name:literal),+] {
            $( $(#[$field_doc:meta])* $field_need:ident $field:ident = [$($path:literal),+]; )*
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            #[allow(missing_docs)] // the C paths beside each field say what it is
            pub struct $name {
                /// Size of the whole struct, in bytes.
                pub size: u64,
                $( $(#[$field_doc])* pub $field: structs!(@type $field_need), )*
            }

            impl $name {
                fn from_table(table: &StructTable) -> Result<Self, TableError> {
                    Ok(Self {
                        size: table.size,
                        $( $field: structs!(@get $field_need, table, stringify!($name), stringify!($field)), )*
                    })
                }
            }
        )+

        /// Every struct of a layout.
        #[derive(Debug, Clone)]
        #[allow(missing_docs)]
        pub struct Structs {
            $( pub $member: structs!(@member $need $name), )+
        }

        impl Structs {
            /// The typed view of a table; names the first struct or field that is missing.
            pub fn from_table(table: &Table) -> Result<Self, TableError> {
                Ok(Self {
                    $( $member: structs!(@struct $need $name, table), )+
                })
            }
        }

        /// What `layout extract` looks for.
        pub const SPECS: &[StructSpec] = &[
            $( StructSpec {
                name: stringify!($name),
                c_names: &[$($c_name),+],
                optional: structs!(@optional $need),
                fields: &[ $( FieldSpec {
                    name: stringify!($field),
                    paths: &[$($path),+],
                    optional: structs!(@optional $field_need),
                }, )* ],
            }, )+
        ];
    };
    (@type req) => { Field };
    (@type opt) => { Option<Field> };
    (@get req, $table:expr, $struct:expr, $field:expr) => { $table.required($struct, $field)? };
    (@get opt, $table:expr, $struct:expr, $field:expr) => { $table.fields.get($field).copied() };
    (@member req $name:ident) => { $name };
    (@member opt $name:ident) => { Option<$name> };
    (@struct req $name:ident, $table:expr) => { $name::from_table($table.required(stringify!($name))?)? };
    (@struct opt $name:ident, $table:expr) => {
        $table.structs.get(stringify!($name)).map($name::from_table).transpose()?
    };
    (@optional req) => { false };
    (@optional opt) => { true };
}

structs! {
    /// `_PyRuntimeState`: one per process (Include/internal/pycore_runtime.h).
    req runtime: RuntimeState = ["pyruntimestate", "_PyRuntimeState"] {
        req initialized = ["initialized"];
        /// The thread state that shuts the runtime down, or null.
        req finalizing = ["_finalizing", "finalizing"];
        req interpreters_head = ["interpreters.head"];
        req interpreters_main = ["interpreters.main"];
        /// `pthread_self()` of the main thread.
        req main_thread = ["main_thread"];
        /// The one collector of 3.8; later ones belong to an interpreter.
        opt gc = ["gc"];
        /// The one GIL of 3.8 to 3.11; later found through the interpreter.
        opt gil = ["ceval.gil"];
        /// Pending calls that only the main thread runs: all of them in 3.8, a queue of their own
        /// since 3.12.
        opt pending = ["ceval.pending_mainthread", "ceval.pending"];
        /// "Look up from the bytecode", in 3.8.
        opt eval_breaker = ["ceval.eval_breaker"];
        /// The thread state of the main thread, 3.13+.
        opt main_tstate = ["main_tstate"];
    }
    /// `PyInterpreterState` (Include/internal/pycore_interp.h; 3.14+ pycore_interp_structs.h).
    req interpreter: InterpreterState = ["_is", "PyInterpreterState"] {
        req next = ["next"];
        req id = ["id"];
        req threads_head = ["threads.head", "tstate_head"];
        /// The dict `sys.modules`.
        req modules = ["imports.modules", "modules"];
        /// The dict of the module `sys`.
        req sysdict = ["sysdict"];
        /// Pointer to the GIL this interpreter uses, 3.12+.
        opt gil = ["ceval.gil"];
        opt gc = ["gc"];
        /// Head of the list of tasks whose thread has ended, 3.14+.
        opt tasks = ["asyncio_tasks_head"];
        /// Pending calls, 3.9+; since 3.12 those that any thread may run.
        opt pending = ["ceval.pending"];
        /// "Look up from the bytecode", 3.9 to 3.12.
        opt eval_breaker = ["ceval.eval_breaker"];
        /// Debuggers may have a script run (PEP 768), 3.14+.
        opt remote_debug = ["config.remote_debug"];
    }
    /// `PyThreadState` (Include/cpython/pystate.h).
    req thread: ThreadState = ["_ts", "PyThreadState"] {
        req prev = ["prev"];
        req next = ["next"];
        req interp = ["interp"];
        /// The current `PyFrameObject`, up to 3.10.
        opt frame = ["frame"];
        opt cframe = ["cframe"];
        opt current_frame = ["current_frame"];
        /// `pthread_self()`: what `threading.get_ident()` returns.
        req thread_id = ["thread_id"];
        /// The kernel's thread id, 3.11+.
        opt native_thread_id = ["native_thread_id"];
        req id = ["id"];
        opt finalizing = ["_status.finalizing"];
        opt cleared = ["_status.cleared"];
        /// The exception that another thread has asked for (`PyThreadState_SetAsyncExc`), or null.
        req async_exception = ["async_exc"];
        /// "Look up from the bytecode" and why, 3.13+.
        opt eval_breaker = ["eval_breaker"];
        /// Where debuggers ask for a script to be run, 3.14+.
        opt remote_debugger = ["remote_debugger_support"];
    }
    /// `_PyRemoteDebuggerSupport`, 3.14+ (Include/cpython/pystate.h).
    opt remote_debugger: RemoteDebugger = ["_remote_debugger_support", "_PyRemoteDebuggerSupport"] {
        req pending_call = ["debugger_pending_call"];
        req script_path = ["debugger_script_path"];
    }
    /// `struct _pending_calls`: a ring of calls for the main thread
    /// (Include/internal/pycore_ceval_state.h, before 3.12 pycore_interp.h, pycore_runtime.h).
    req pending_calls: PendingCalls = ["_pending_calls"] {
        /// Pointer to the semaphore that guards it, up to 3.12.
        opt lock = ["lock"];
        /// The one-byte lock that guards it, 3.13+.
        opt mutex = ["mutex"];
        /// There are calls to do, up to 3.12.
        opt calls_to_do = ["calls_to_do"];
        /// An exception for a thread is asked for, up to 3.12.
        opt async_exception = ["async_exc"];
        /// Calls in the ring, and the most there may be, 3.13+.
        opt count = ["npending"];
        opt max = ["max"];
        req calls = ["calls"];
        /// Index of the next call to run.
        req first = ["first"];
        /// Index of the next free place.
        req next = ["next", "last"];
    }
    /// `_PyCFrame` of 3.11 and 3.12.
    opt c_frame: CFrame = ["_PyCFrame"] {
        req current_frame = ["current_frame"];
    }
    /// `_PyInterpreterFrame`, 3.11+ (Include/internal/pycore_frame.h).
    opt interpreter_frame: InterpreterFrame = ["_PyInterpreterFrame"] {
        req code = ["f_executable", "f_code"];
        req previous = ["previous"];
        /// The current instruction.
        req instruction = ["instr_ptr", "prev_instr"];
        req locals = ["localsplus"];
        req owner = ["owner"];
        /// Slots in use, counted from the first local variable, up to 3.13.
        opt stack_depth = ["stacktop"];
        /// Where the next value would be pushed, 3.14+.
        opt stack_pointer = ["stackpointer"];
    }
    /// `PyFrameObject` (Include/internal/pycore_frame.h; up to 3.10 Include/cpython/frameobject.h).
    req frame: FrameObject = ["_frame", "PyFrameObject"] {
        req back = ["f_back"];
        opt code = ["f_code"];
        opt last_instruction = ["f_lasti"];
        opt locals = ["f_localsplus"];
        /// The generator that owns the frame, up to 3.10 (borrowed).
        opt generator = ["f_gen"];
        /// Where the next value would be pushed, up to 3.9.
        opt stack_pointer = ["f_stacktop"];
        /// The first slot of the value stack, and the slots in use, 3.10.
        opt stack_base = ["f_valuestack"];
        opt stack_depth = ["f_stackdepth"];
        /// The state of 3.10; later the generator has it.
        opt state = ["f_state"];
    }
    /// `PyCodeObject` (Include/cpython/code.h).
    req code: CodeObject = ["PyCodeObject"] {
        req argcount = ["co_argcount"];
        req kwonlyargcount = ["co_kwonlyargcount"];
        req flags = ["co_flags"];
        req first_line = ["co_firstlineno"];
        req filename = ["co_filename"];
        req name = ["co_name"];
        opt qualname = ["co_qualname"];
        req line_table = ["co_linetable", "co_lnotab"];
        /// The bytecode, inside the code object, 3.11+.
        opt bytecode = ["co_code_adaptive"];
        /// The bytecode, a `bytes`, up to 3.10.
        opt bytecode_object = ["co_code"];
        req nlocals = ["co_nlocals"];
        opt nlocalsplus = ["co_nlocalsplus"];
        opt localsplus_names = ["co_localsplusnames"];
        opt localsplus_kinds = ["co_localspluskinds"];
        opt varnames = ["co_varnames"];
        opt cellvars = ["co_cellvars"];
        opt freevars = ["co_freevars"];
    }
    /// `_gil_runtime_state` (Include/internal/pycore_gil.h).
    req gil: GilState = ["_gil_runtime_state"] {
        req last_holder = ["last_holder"];
        req locked = ["locked"];
    }
    /// `PyGC_Head`: lies right before every object that takes part in collection.
    req gc_head: GcHead = ["PyGC_Head"] {
        req next = ["_gc_next"];
        req prev = ["_gc_prev"];
    }
    /// `struct _gc_runtime_state` (Include/internal/pycore_gc.h).
    req gc: GcState = ["_gc_runtime_state"] {
        /// The first of three generations, 24 bytes each.
        req generations = ["generations", "young"];
        /// Pointer to the first generation; not in 3.14.0 to 3.14.4.
        opt generation0 = ["generation0"];
        req permanent = ["permanent_generation"];
        req collecting = ["collecting"];
        /// Number of tracked objects, kept by the collector itself, 3.14+.
        opt heap_size = ["heap_size"];
        req enabled = ["enabled"];
        /// Three records; from 3.15 on a pointer to `gc_stats`.
        req generation_stats = ["generation_stats"];
        /// The list `gc.garbage`, or null.
        req garbage = ["garbage"];
    }
    /// `struct gc_generation_stats`.
    req gc_generation_stats: GcGenerationStats = ["gc_generation_stats"] {
        req collections = ["collections"];
        req collected = ["collected"];
        req uncollectable = ["uncollectable"];
    }
    /// `struct gc_stats`, 3.15+: rings of records, the newest at `index`.
    opt gc_stats: GcStats = ["gc_stats"] {
        req young_items = ["young.items"];
        req young_index = ["young.index"];
        /// A ring for the middle generation and one for the old one.
        req old = ["old"];
    }
    /// One ring of the older generations.
    opt gc_old_stats: GcOldStats = ["gc_old_stats_buffer"] {
        req items = ["items"];
        req index = ["index"];
    }
    /// `struct gc_generation`.
    req gc_generation: GcGeneration = ["gc_generation"] {
        req threshold = ["threshold"];
        req count = ["count"];
    }
    /// `PyObject` (Include/object.h).
    req object: ObjectHead = ["_object", "PyObject"] {
        req refcount = ["ob_refcnt"];
        req ob_type = ["ob_type"];
    }
    /// `PyVarObject`.
    req var_object: VarObject = ["PyVarObject"] {
        req ob_size = ["ob_size"];
    }
    /// `PyTypeObject` (Include/cpython/object.h).
    req type_object: TypeObject = ["_typeobject", "PyTypeObject"] {
        req name = ["tp_name"];
        req basicsize = ["tp_basicsize"];
        req itemsize = ["tp_itemsize"];
        req flags = ["tp_flags"];
        req members = ["tp_members"];
        req base = ["tp_base"];
        req dict = ["tp_dict"];
        req dictoffset = ["tp_dictoffset"];
        req weaklistoffset = ["tp_weaklistoffset"];
        req mro = ["tp_mro"];
    }
    /// `PyHeapTypeObject`.
    req heap_type: HeapTypeObject = ["_heaptypeobject", "PyHeapTypeObject"] {
        req qualname = ["ht_qualname"];
        req cached_keys = ["ht_cached_keys"];
    }
    /// `PyMemberDef` (Include/descrobject.h, before 3.12 Include/structmember.h).
    req member_def: MemberDef = ["PyMemberDef"] {
        req name = ["name"];
        req kind = ["type"];
        req offset = ["offset"];
    }
    /// `PyASCIIObject` (Include/cpython/unicodeobject.h).
    req ascii: AsciiObject = ["PyASCIIObject"] {
        req length = ["length"];
        req kind = ["state.kind"];
        req compact = ["state.compact"];
        req ascii = ["state.ascii"];
    }
    /// `PyCompactUnicodeObject`: its size is where the characters of a compact non-ASCII string start.
    req compact_unicode: CompactUnicodeObject = ["PyCompactUnicodeObject"] {
        req utf8 = ["utf8"];
    }
    /// `PyBytesObject`.
    req bytes: BytesObject = ["PyBytesObject"] {
        req data = ["ob_sval"];
    }
    /// `PyLongObject` (Include/cpython/longintrepr.h).
    req long: LongObject = ["_longobject", "PyLongObject"] {
        req digits = ["long_value.ob_digit", "ob_digit"];
        /// Sign and number of digits, 3.12+; before, `ob_size` tells both.
        opt tag = ["long_value.lv_tag"];
    }
    /// `PyFloatObject`.
    req float: FloatObject = ["PyFloatObject"] {
        req value = ["ob_fval"];
    }
    /// `PyTupleObject`.
    req tuple: TupleObject = ["PyTupleObject"] {
        req items = ["ob_item"];
    }
    /// `PyListObject`.
    req list: ListObject = ["PyListObject"] {
        req items = ["ob_item"];
        req allocated = ["allocated"];
    }
    /// `PyDictObject` (Include/cpython/dictobject.h).
    req dict: DictObject = ["PyDictObject"] {
        req used = ["ma_used"];
        req keys = ["ma_keys"];
        req values = ["ma_values"];
    }
    /// `PyDictKeysObject` (Include/internal/pycore_dict.h; up to 3.10 Objects/dict-common.h).
    req dict_keys: DictKeys = ["_dictkeysobject", "PyDictKeysObject"] {
        opt size_slots = ["dk_size"];
        opt log2_size = ["dk_log2_size"];
        opt log2_index_bytes = ["dk_log2_index_bytes"];
        opt kind = ["dk_kind"];
        req nentries = ["dk_nentries"];
        req usable = ["dk_usable"];
        req indices = ["dk_indices"];
    }
    /// `PyDictValues`, 3.11+.
    opt dict_values: DictValues = ["_dictvalues", "PyDictValues"] {
        opt capacity = ["capacity"];
        opt valid = ["valid"];
        req values = ["values"];
    }
    /// `PySetObject` (Include/cpython/setobject.h).
    req set: SetObject = ["PySetObject"] {
        req used = ["used"];
        req mask = ["mask"];
        req table = ["table"];
        req smalltable = ["smalltable"];
    }
    /// `dequeobject` (Modules/_collectionsmodule.c).
    opt deque: DequeObject = ["dequeobject"] {
        req left_block = ["leftblock"];
        req left_index = ["leftindex"];
    }
    /// `PyGenObject`; coroutines and async generators begin the same way.
    req generator: GeneratorObject = ["PyGenObject"] {
        opt frame = ["gi_frame"];
        req name = ["gi_name"];
        req qualname = ["gi_qualname"];
        /// It is executing, up to 3.9.
        opt running = ["gi_running"];
        opt frame_state = ["gi_frame_state"];
        opt iframe = ["gi_iframe"];
    }
    /// `PyCoroWrapper`: what `coroutine.__await__()` gives (Objects/genobject.c).
    opt coroutine_wrapper: CoroutineWrapper = ["PyCoroWrapper"] {
        req coroutine = ["cw_coroutine"];
    }
    /// `PyAsyncGenASend`: `asend()` and `__anext__()` of an async generator.
    opt async_generator_send: AsyncGeneratorSend = ["PyAsyncGenASend"] {
        req generator = ["ags_gen"];
    }
    /// `PyAsyncGenAThrow`: `athrow()` and `aclose()`.
    opt async_generator_throw: AsyncGeneratorThrow = ["PyAsyncGenAThrow"] {
        req generator = ["agt_gen"];
    }
    /// `PyFunctionObject`.
    req function: FunctionObject = ["PyFunctionObject"] {
        req qualname = ["func_qualname"];
        req code = ["func_code"];
        req module = ["func_module"];
        /// A tuple of cells, or null.
        req closure = ["func_closure"];
    }
    /// `PyMethodObject`: a bound method (Include/cpython/classobject.h).
    req method: MethodObject = ["PyMethodObject"] {
        req function = ["im_func"];
        req instance = ["im_self"];
    }
    /// `partialobject` (Modules/_functoolsmodule.c).
    opt partial: PartialObject = ["partialobject"] {
        req function = ["fn"];
        req arguments = ["args"];
    }
    /// `PyCellObject`.
    req cell: CellObject = ["PyCellObject"] {
        req value = ["ob_ref"];
    }
    /// `PyWeakReference`.
    req weakref: WeakReference = ["_PyWeakReference", "PyWeakReference"] {
        req referent = ["wr_object"];
    }
    /// `PySocketSockObject` (Modules/socketmodule.h).
    opt socket: SocketObject = ["PySocketSockObject"] {
        req fd = ["sock_fd"];
        req family = ["sock_family"];
        req kind = ["sock_type"];
        req proto = ["sock_proto"];
    }
    /// `simplequeueobject` (Modules/_queuemodule.c).
    opt simple_queue: SimpleQueue = ["simplequeueobject"] {
        opt list = ["lst"];
        opt position = ["lst_pos"];
        opt items = ["buf.items"];
        opt capacity = ["buf.items_cap"];
        opt get_index = ["buf.get_idx"];
        opt count = ["buf.num_items"];
    }
    /// `FutureObj` (Modules/_asynciomodule.c); a `TaskObj` begins with the same fields.
    opt future: FutureObject = ["FutureObj"] {
        req event_loop = ["fut_loop"];
        req state = ["fut_state"];
        /// The first callback, or null.
        req callback = ["fut_callback0"];
        /// A list of `(callback, context)` of the others, or null.
        req callbacks = ["fut_callbacks"];
        req exception = ["fut_exception"];
        /// Who waits for it: null, one future, or a set of them, 3.14+.
        opt awaited_by = ["fut_awaited_by"];
        opt awaited_by_is_set = ["fut_awaited_by_is_set"];
    }
    /// `TaskObj` (Modules/_asynciomodule.c).
    opt task: TaskObject = ["TaskObj"] {
        req event_loop = ["task_loop"];
        req state = ["task_state"];
        req coroutine = ["task_coro"];
        req name = ["task_name"];
        /// The future it waits for, or null.
        req waiter = ["task_fut_waiter"];
        /// Its links in the list of all tasks, 3.14+.
        opt node = ["task_node"];
    }
    /// `_PyThreadStateImpl`, what 3.13+ keeps behind a thread state
    /// (Include/internal/pycore_tstate.h).
    opt thread_extension: ThreadExtension = ["_PyThreadStateImpl"] {
        /// Head of the list of the thread's tasks, 3.14+.
        opt tasks = ["asyncio_tasks_head"];
    }
}
