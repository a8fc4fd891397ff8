//! The object model of CPython, read from outside.
//!
//! A [`Python`] joins a source of memory with a validated layout and answers questions about
//! objects: their type, text, number, items, attributes; frames and code; interpreters and
//! thread states. Everything read is untrusted: each walk has a named maximum, each length is
//! bounded before it is used, and what does not fit is an [`ObjectError`], never a guess.
//! Knows nothing of processes, and nothing of what an object is for.

mod attributes;
mod awaits;
mod code;
mod deque;
mod dict;
mod error;
mod frames;
mod function;
mod futures;
mod generator;
mod interpreters;
mod lines;
mod locals;
mod lookup;
mod numbers;
mod objects;
mod referents;
mod sequences;
mod text;
mod threading;
mod types;
mod values;
mod weak;

pub use attributes::Attribute;
pub use awaits::{AwaitChain, Progress, Suspension};
pub use code::Code;
pub use error::{ObjectError, Result};
pub use frames::{Frame, Stack};
pub use futures::{Future, FutureState, Task};
pub use generator::GeneratorName;
pub use interpreters::{Gil, Interpreter, Runtime, ThreadState};
pub use lines::line_of;
pub use locals::{Local, LocalKind};
pub use lookup::{ClassAttribute, Member, MemberValue};
pub use numbers::Integer;
pub use objects::Refcount;
pub use referents::{AttributeStorage, DictTable, Entries, FrameWords, KeysTable, StackReference};
pub use sequences::SetItems;
pub use threading::ThreadName;
pub use types::{Type, TypeFlags};
pub use values::{Value, ValueLimits};

use crate::layout::{Layout, Structs, Traits};
use crate::memory::{Address, MemorySource};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::rc::Rc;

/// A reader of one interpreter process: memory plus layout, with the types and code objects
/// met so far kept.
pub struct Python<'a> {
    memory: &'a dyn MemorySource,
    layout: &'a Layout,
    types: RefCell<FxHashMap<Address, Result<Rc<Type>>>>,
    codes: RefCell<FxHashMap<Address, Result<Rc<Code>>>>,
}

impl<'a> Python<'a> {
    /// A reader over `memory`, which holds an interpreter of this `layout`.
    pub fn new(memory: &'a dyn MemorySource, layout: &'a Layout) -> Self {
        Self { memory, layout, types: RefCell::default(), codes: RefCell::default() }
    }

    /// The memory read from.
    pub fn memory(&self) -> &'a dyn MemorySource {
        self.memory
    }

    /// The layout read with.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    fn structs(&self) -> &'a Structs {
        &self.layout.structs
    }

    fn traits(&self) -> &'a Traits {
        &self.layout.traits
    }

    /// Reads a whole struct of `size` bytes; tables bound the size, untrusted offsets do not
    /// get here unchecked.
    fn read_struct(&self, address: Address, size: u64) -> Result<Vec<u8>> {
        const LARGEST_STRUCT: u64 = 4096;
        if size > LARGEST_STRUCT {
            return Err(ObjectError::malformed("struct size", address));
        }
        Ok(self.memory.read_vec(address, size as usize)?)
    }
}
