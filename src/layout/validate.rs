//! Does the layout fit this process? A few facts that hold in every CPython are checked on the
//! live process before anything is read with the layout.
//!
//! Everything read here is untrusted; every walk has a bound. The process may be running, so a
//! check that fails is repeated by [`resolve`](super::resolve) before it counts. Frames, code
//! objects and everything of extension modules is left to the readers of `cpython`.

use super::drift::GENERATION;
use super::peek::{dict_value, small_int, type_name};
use super::structs::Structs;
use super::traits::{GcHome, Traits};
use super::version::Version;
use crate::memory::{Address, MemoryError, MemorySource};
use thiserror::Error;

const MAX_INTERPRETERS: usize = 1 << 10;
/// Thread states looked at in each interpreter: enough to see that the links are right.
const MAX_THREADS: usize = 64;
/// Tag bits in the links of the GC lists (Include/internal/pycore_gc.h).
const GC_TAGS: u64 = 3;

/// Flag bits of types (Include/object.h).
const READY: u64 = 1 << 12;
const HAVE_GC: u64 = 1 << 14;
const DICT_SUBCLASS: u64 = 1 << 29;
const TYPE_SUBCLASS: u64 = 1 << 31;

/// Why a layout does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misfit {
    /// Something was read, and it is not what it has to be.
    #[error("{what}: expected {expected}, found {found}")]
    Wrong {
        /// What was looked at.
        what: String,
        /// What holds in every CPython of this version.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Something could not be read: the pointer to it is wild.
    #[error("{what} cannot be read")]
    Unreadable {
        /// What was looked at.
        what: String,
        /// The failed read.
        source: MemoryError,
    },
}

/// What validation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What was checked, in words.
    pub checks: Vec<String>,
    /// `sys.hexversion`.
    pub version: Version,
}

type Result<T> = std::result::Result<T, Misfit>;

/// Checks `structs` against the process whose runtime is at `runtime`.
///
/// # Errors
/// The first thing that does not fit.
pub fn validate(
    memory: &dyn MemorySource,
    runtime: Address,
    structs: &Structs,
    traits: &Traits,
) -> Result<Findings> {
    let mut check = Check { memory, structs, traits, checks: Vec::new() };
    let interpreters = check.interpreters(runtime)?;
    check.threads(&interpreters)?;
    let main = interpreters.last().copied().unwrap_or(Address::NULL);
    check.types(main)?;
    check.gc(runtime, &interpreters)?;
    let version = check.hexversion(main)?;
    Ok(Findings { checks: check.checks, version })
}

struct Check<'a> {
    memory: &'a dyn MemorySource,
    structs: &'a Structs,
    traits: &'a Traits,
    checks: Vec<String>,
}

fn wrong<T>(what: impl ToString, expected: impl ToString, found: impl ToString) -> Result<T> {
    Err(Misfit::Wrong {
        what: what.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

/// Names what was being read when a read fails.
fn reading<T>(what: &str, result: crate::memory::Result<T>) -> Result<T> {
    result.map_err(|source| Misfit::Unreadable { what: what.to_owned(), source })
}

fn expect<T: PartialEq + ToString>(what: &str, expected: T, found: T) -> Result<()> {
    if expected == found { Ok(()) } else { wrong(what, expected, found) }
}

impl Check<'_> {
    /// The list from head (the newest) to main (the oldest), newest first.
    fn interpreters(&mut self, at: Address) -> Result<Vec<Address>> {
        let (memory, runtime) = (self.memory, &self.structs.runtime);
        let main =
            reading("the main interpreter", runtime.interpreters_main.read_pointer(memory, at))?;
        let head = reading("the interpreters", runtime.interpreters_head.read_pointer(memory, at))?;
        if main.is_null() || !main.is_aligned(8) {
            return wrong("the main interpreter", "an aligned pointer", main);
        }
        let thread = reading("the main thread", runtime.main_thread.read(memory, at))?;
        if thread == 0 {
            return wrong("the main thread's id", "not zero", 0);
        }
        let mut list = Vec::new();
        let mut next = head;
        while !next.is_null() {
            if list.len() == MAX_INTERPRETERS {
                return wrong("the list of interpreters", "an end", "none");
            }
            list.push(next);
            let link = &self.structs.interpreter.next;
            next = reading("the list of interpreters", link.read_pointer(memory, next))?;
        }
        expect("the last interpreter", main, list.last().copied().unwrap_or(Address::NULL))?;
        let id = reading("the main interpreter", self.structs.interpreter.id.read(memory, main))?;
        expect("the id of the main interpreter", 0, id)?;
        self.checks.push(format!("the list of interpreters ends at the main one ({})", list.len()));
        Ok(list)
    }

    /// The lists of thread states: they lead back to their interpreter, and the links agree.
    fn threads(&mut self, interpreters: &[Address]) -> Result<()> {
        let memory = self.memory;
        let layout = &self.structs.thread;
        let mut total = 0;
        for &interpreter in interpreters {
            let head = &self.structs.interpreter.threads_head;
            let mut next = reading("the thread states", head.read_pointer(memory, interpreter))?;
            let mut before = Address::NULL;
            let mut count = 0;
            while !next.is_null() && count < MAX_THREADS {
                let what = "a thread state";
                let owner = reading(what, layout.interp.read_pointer(memory, next))?;
                expect("the interpreter of a thread state", interpreter, owner)?;
                let back = reading(what, layout.prev.read_pointer(memory, next))?;
                expect("the back link of a thread state", before, back)?;
                before = next;
                next = reading(what, layout.next.read_pointer(memory, next))?;
                count += 1;
            }
            total += count;
        }
        if total == 0 {
            return wrong("the thread states", "one at least", "none");
        }
        self.checks.push(format!("thread states lead back to their interpreter ({total})"));
        Ok(())
    }

    fn field(&self, what: &str, field: &super::Field, at: Address) -> Result<u64> {
        reading(what, field.read(self.memory, at))
    }

    /// The type of the object at `at`, which must be called `name` and have the size `size`.
    fn type_of(&self, at: Address, name: &str, size: u64, flags: u64) -> Result<Address> {
        let what = format!("the type {name}");
        let ob_type = &self.structs.object.ob_type;
        let found = reading(&what, ob_type.read_pointer(self.memory, at))?;
        let called = reading(&what, type_name(self.memory, self.structs, found))?;
        expect("the name of a type", name, &called)?;
        let layout = &self.structs.type_object;
        let basicsize = self.field(&what, &layout.basicsize, found)?;
        expect(&format!("tp_basicsize of {name}"), size, basicsize)?;
        let has = self.field(&what, &layout.flags, found)?;
        if has & flags != flags {
            let (flags, has) = (format!("{flags:#x} among them"), format!("{has:#x}"));
            return wrong(format!("tp_flags of {name}"), flags, has);
        }
        Ok(found)
    }

    /// `sys.__dict__` is a dict, its type's type is `type`, and that is its own type. The sizes
    /// that these types tell are those of our structs.
    fn types(&mut self, interpreter: Address) -> Result<()> {
        let (memory, structs) = (self.memory, self.structs);
        let layout = &structs.interpreter;
        let sysdict = reading("sys.__dict__", layout.sysdict.read_pointer(memory, interpreter))?;
        let modules = reading("sys.modules", layout.modules.read_pointer(memory, interpreter))?;
        let flags = READY | HAVE_GC | DICT_SUBCLASS;
        let dict = self.type_of(sysdict, "dict", structs.dict.size, flags)?;
        let other = reading("sys.modules", structs.object.ob_type.read_pointer(memory, modules))?;
        expect("the type of sys.modules", dict, other)?;
        let flags = READY | HAVE_GC | TYPE_SUBCLASS;
        let of_type = self.type_of(dict, "type", structs.heap_type.size, flags)?;
        let own = self.type_of(of_type, "type", structs.heap_type.size, flags)?;
        expect("the type of type", of_type, own)?;
        let mro = structs.type_object.mro.read_pointer(memory, dict);
        let mro = reading("the MRO of dict", mro)?;
        // PyTuple_Type.tp_basicsize leaves out the one item that the struct declares.
        self.type_of(mro, "tuple", structs.tuple.items.offset, READY | HAVE_GC)?;
        let length = self.field("the MRO of dict", &structs.var_object.ob_size, mro)?;
        expect("the length of the MRO of dict", 2, length)?;
        let first = reading("the MRO of dict", structs.tuple.items.read_pointer(memory, mro))?;
        expect("the first of the MRO of dict", dict, first)?;
        self.checks.push(
            "type is its own type; dict, tuple and type have the sizes of our structs".to_owned(),
        );
        self.checks.push("sys.modules and sys.__dict__ are dicts".to_owned());
        Ok(())
    }

    /// The lists of tracked objects close, unless they are being collected.
    fn gc(&mut self, runtime: Address, interpreters: &[Address]) -> Result<()> {
        let states: Vec<Address> = match self.traits.gc_home {
            GcHome::Runtime => {
                self.structs.runtime.gc.iter().map(|field| field.at(runtime)).collect()
            }
            GcHome::Interpreter => interpreters
                .iter()
                .filter_map(|at| Some(self.structs.interpreter.gc?.at(*at)))
                .collect(),
        };
        if states.is_empty() {
            return wrong("the place of the GC state", "known", "unknown");
        }
        let mut checked = 0;
        for state in states {
            checked += usize::from(self.gc_state(state)?);
        }
        self.checks.push(if checked == 0 {
            "a collection was running: the GC lists were not checked".to_owned()
        } else {
            "the GC lists close in both directions".to_owned()
        });
        Ok(())
    }

    fn gc_state(&self, state: Address) -> Result<bool> {
        let layout = &self.structs.gc;
        let memory = self.memory;
        let what = "the GC state";
        match self.field(what, &layout.collecting, state)? {
            0 => {}
            1 => return Ok(false),
            other => return wrong("the flag that a collection runs", "0 or 1", other),
        }
        let first = layout.generations.at(state);
        if let Some(field) = layout.generation0 {
            let pointer = reading(what, field.read_pointer(memory, state))?;
            expect("the pointer to generation 0", first, pointer)?;
        }
        for generation in 0..3 {
            // Objects are made and freed all the time in the young generation of a running
            // process: its end moves, its start hardly ever.
            self.list(first.add(generation * GENERATION), generation != 0)?;
        }
        self.list(layout.permanent.at(state), true)?;
        Ok(true)
    }

    /// The neighbours of a list's head link back to it.
    fn list(&self, head: Address, both: bool) -> Result<()> {
        let what = "a GC list";
        let layout = &self.structs.gc_head;
        let link = |field: &super::Field, at: Address| {
            let found = reading(what, field.read_pointer(self.memory, at))?.without(GC_TAGS);
            if found.is_null() { wrong(what, "a link", "null") } else { Ok(found) }
        };
        let first = link(&layout.next, head)?;
        expect("the back link of the first object of a GC list", head, link(&layout.prev, first)?)?;
        if both {
            let last = link(&layout.prev, head)?;
            expect("the link of the last object of a GC list", head, link(&layout.next, last)?)?;
        }
        Ok(())
    }

    fn hexversion(&mut self, interpreter: Address) -> Result<Version> {
        let (memory, structs) = (self.memory, self.structs);
        let sysdict = structs.interpreter.sysdict.read_pointer(memory, interpreter);
        let sysdict = reading("sys.__dict__", sysdict)?;
        let what = "sys.hexversion";
        let found = dict_value(memory, structs, self.traits, sysdict, "hexversion");
        let Some(value) = reading(what, found)? else {
            return wrong(what, "an entry of sys.__dict__", "none");
        };
        // PyLong_Type.tp_basicsize leaves out the one digit that the struct declares.
        self.type_of(value, "int", structs.long.digits.offset, READY)?;
        let Some(hex) = reading(what, small_int(memory, structs, value))? else {
            return wrong(what, "an int of one digit", "another");
        };
        self.checks.push(format!("sys.hexversion is {hex:#010x}"));
        Ok(Version::from_hex(hex))
    }
}
