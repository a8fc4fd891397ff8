//! The runtime, its interpreters, their thread states, and who holds the GIL.

use super::{ObjectError, Python, Result};
use crate::layout::traits::GilHome;
use crate::memory::Address;

const MAX_INTERPRETERS: usize = 10_000;
const MAX_THREADS: usize = 100_000;

/// The state of the runtime as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// Where `_PyRuntime` is.
    pub address: Address,
    /// `pthread_self()` of the main thread.
    pub main_thread: u64,
    /// The runtime is shutting down.
    pub finalizing: bool,
}

/// One interpreter of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter {
    /// The `PyInterpreterState`.
    pub address: Address,
    /// 0 for the main interpreter.
    pub id: i64,
    /// Its `sys.modules`.
    pub modules: Address,
    /// The dict of its module `sys`.
    pub sysdict: Address,
}

/// One thread state: a thread as an interpreter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadState {
    /// The `PyThreadState`.
    pub address: Address,
    /// `pthread_self()` of the thread: `threading.get_ident()`.
    pub ident: u64,
    /// The kernel's id in the target's own pid namespace, 3.11+.
    pub native_id: Option<u64>,
}

/// The state of a GIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gil {
    /// The `_gil_runtime_state`.
    pub address: Address,
    /// Its size in bytes: a futex inside it is a wait for the GIL.
    pub size: u64,
    /// The thread state that holds it, if one does.
    pub holder: Option<Address>,
}

impl Gil {
    /// True when the futex at `address` belongs to this GIL.
    pub fn contains(&self, address: u64) -> bool {
        (self.address.get()..self.address.get().saturating_add(self.size)).contains(&address)
    }
}

impl Python<'_> {
    /// The runtime's own state.
    pub fn runtime(&self, address: Address) -> Result<Runtime> {
        let fields = &self.structs().runtime;
        Ok(Runtime {
            address,
            main_thread: fields.main_thread.read(self.memory, address)?,
            finalizing: !fields.finalizing.read_pointer(self.memory, address)?.is_null(),
        })
    }

    /// Every interpreter, main one first (the runtime's list begins with the newest).
    pub fn interpreters(&self, runtime: Address) -> Result<Vec<Interpreter>> {
        let fields = &self.structs().interpreter;
        let head = self.structs().runtime.interpreters_head.read_pointer(self.memory, runtime)?;
        let mut found = Vec::new();
        let mut at = head;
        while !at.is_null() {
            if found.len() >= MAX_INTERPRETERS {
                return Err(ObjectError::malformed("interpreter list", at));
            }
            found.push(Interpreter {
                address: at,
                id: fields.id.read_signed(self.memory, at)?,
                modules: fields.modules.read_pointer(self.memory, at)?,
                sysdict: fields.sysdict.read_pointer(self.memory, at)?,
            });
            at = fields.next.read_pointer(self.memory, at)?;
        }
        found.reverse();
        Ok(found)
    }

    /// The thread states of an interpreter, oldest first; those being torn down are left out.
    pub fn threads(&self, interpreter: &Interpreter) -> Result<Vec<ThreadState>> {
        let fields = &self.structs().thread;
        let head = self.structs().interpreter.threads_head;
        let mut at = head.read_pointer(self.memory, interpreter.address)?;
        let mut found = Vec::new();
        let mut previous = Address::NULL;
        let mut seen = 0;
        while !at.is_null() {
            seen += 1;
            let bytes = self.read_struct(at, fields.size)?;
            // The back link must be where we came from: a list that has a cycle does not pass.
            let back = fields.prev.pointer_in(&bytes);
            if back != previous || seen > MAX_THREADS {
                return Err(ObjectError::malformed("thread state list", at));
            }
            let set = |field: Option<crate::layout::Field>| {
                field.and_then(|field| field.in_bytes(&bytes)).unwrap_or(0) != 0
            };
            if !set(fields.cleared) && !set(fields.finalizing) {
                found.push(ThreadState {
                    address: at,
                    ident: fields.thread_id.in_bytes(&bytes).unwrap_or(0),
                    native_id: fields.native_thread_id.and_then(|field| field.in_bytes(&bytes)),
                });
            }
            previous = at;
            at = fields.next.pointer_in(&bytes);
        }
        found.reverse();
        Ok(found)
    }

    /// The GIL an interpreter uses. `last_holder` is history while nobody holds the lock
    /// (Python/ceval_gil.c).
    pub fn gil(&self, runtime: Address, interpreter: &Interpreter) -> Result<Option<Gil>> {
        let fields = &self.structs().gil;
        let address = match self.traits().gil_home {
            GilHome::Runtime => self.structs().runtime.gil.map(|field| field.at(runtime)),
            GilHome::Interpreter => match self.structs().interpreter.gil {
                Some(field) => field.read_pointer(self.memory, interpreter.address)?.non_null(),
                None => None,
            },
        };
        let Some(address) = address else { return Ok(None) };
        let locked = fields.locked.read_signed(self.memory, address)? == 1;
        let last_holder = fields.last_holder.read_pointer(self.memory, address)?;
        let holder = last_holder.non_null().filter(|_| locked);
        Ok(Some(Gil { address, size: fields.size, holder }))
    }

    /// The collector's state: in the runtime in 3.8, in each interpreter later.
    pub fn gc_state(&self, runtime: Address, interpreter: &Interpreter) -> Result<Address> {
        use crate::layout::traits::GcHome;
        let (field, base) = match self.traits().gc_home {
            GcHome::Runtime => (self.structs().runtime.gc, runtime),
            GcHome::Interpreter => (self.structs().interpreter.gc, interpreter.address),
        };
        let field = field.ok_or_else(|| ObjectError::malformed("collector layout", base))?;
        Ok(field.at(base))
    }
}
