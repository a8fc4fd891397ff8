//! Code objects: what a frame is executing.

use super::{ObjectError, Python, Result, line_of};
use crate::layout::traits::Position;
use crate::memory::Address;
use std::cell::Cell;
use std::rc::Rc;

const MAX_NAME: usize = 1024;
const MAX_PATH: usize = 4096;
/// Longest line table read, in bytes.
const MAX_LINE_TABLE: usize = 1 << 22;
/// Local variables of one function that are named.
const MAX_LOCALS: u64 = 4096;

/// A code object, read once and kept.
#[derive(Debug, Clone)]
pub struct Code {
    /// `co_name`: "<lambda>", "handle".
    pub name: String,
    /// `co_qualname`, 3.11+.
    pub qualname: Option<String>,
    /// `co_filename`.
    pub filename: String,
    /// `co_firstlineno`.
    pub first_line: i64,
    line_table: Vec<u8>,
    /// Address of the first instruction, where frames point into the bytecode.
    bytecode: Address,
    pub(super) variables: Vec<Variable>,
    /// The position looked up last and its line: the frames of a recursion share it, and a
    /// table may be long.
    last_line: Cell<Option<(i64, Option<u32>)>>,
    /// `_Py_InitCleanup` (Python/specialize.c, 3.12+), which calls a class's `__init__` for the
    /// specialised call of the class and is never shown by Python itself: named by one string
    /// throughout, and on no line.
    pub(super) is_shim: bool,
}

impl Code {
    /// How many slots for local variables a frame of this code has.
    pub fn slots(&self) -> usize {
        self.variables.len()
    }
}

/// One slot of a frame's local variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variable {
    /// The name, a `str`.
    pub(super) name: Address,
    /// The slot holds a cell that holds the value.
    pub(super) cell: bool,
}

/// Bits of `co_localspluskinds` (Include/internal/pycore_code.h).
const KIND_CELL: u8 = 0x40;
const KIND_FREE: u8 = 0x80;

impl Python<'_> {
    /// The code object at `address`.
    pub fn code_at(&self, address: Address) -> Result<Rc<Code>> {
        if let Some(known) = self.codes.borrow().get(&address) {
            return known.clone();
        }
        let read = self.read_code(address).map(Rc::new);
        if read.as_ref().err().and_then(ObjectError::fatal).is_none() {
            self.codes.borrow_mut().insert(address, read.clone());
        }
        read
    }

    /// The code object at `address`, if it was met before.
    pub(super) fn known_code(&self, address: Address) -> Option<Rc<Code>> {
        self.codes.borrow().get(&address)?.as_ref().ok().cloned()
    }

    /// The line a frame of `code` is at; `position` is what the frame stores
    /// (see [`Position`]).
    pub fn line(&self, code: &Code, position: i64) -> Option<u32> {
        let bytes = match self.traits().position {
            Position::ByteOffset => position,
            Position::UnitOffset if position < 0 => position,
            Position::UnitOffset => position.saturating_mul(2),
            Position::Pointer => position.saturating_sub_unsigned(code.bytecode.get()),
        };
        match code.last_line.get() {
            Some((position, line)) if position == bytes => line,
            _ => {
                let encoding = self.traits().line_table;
                let line = line_of(encoding, &code.line_table, code.first_line, bytes);
                code.last_line.set(Some((bytes, line)));
                line
            }
        }
    }

    fn read_code(&self, address: Address) -> Result<Code> {
        if self.type_of(address)?.name() != "builtins.code" {
            return Err(ObjectError::malformed("code object", address));
        }
        let fields = &self.structs().code;
        let bytes = self.read_struct(address, fields.size)?;
        let text = |field: crate::layout::Field, limit| self.text(field.pointer_in(&bytes), limit);
        let first_line = i64::from(fields.first_line.in_bytes(&bytes).unwrap_or(0) as i32);
        let (name, filename) = (fields.name.pointer_in(&bytes), fields.filename.pointer_in(&bytes));
        let bytecode = fields.bytecode.map_or(Address::NULL, |field| field.at(address));
        Ok(Code {
            name: text(fields.name, MAX_NAME)?,
            qualname: fields.qualname.map(|field| text(field, MAX_NAME)).transpose()?,
            filename: text(fields.filename, MAX_PATH)?,
            first_line,
            is_shim: name == filename && first_line == 0,
            line_table: self.bytes(fields.line_table.pointer_in(&bytes), MAX_LINE_TABLE)?,
            bytecode,
            variables: self.variables(&bytes)?,
            last_line: Cell::new(None),
        })
    }

    /// Names of the local variables, in the order of the frame's slots: one table with kinds
    /// from 3.11, three tuples before.
    fn variables(&self, code: &[u8]) -> Result<Vec<Variable>> {
        let fields = &self.structs().code;
        let names = |field: Option<crate::layout::Field>| match field {
            Some(field) => self.tuple_items(field.pointer_in(code), MAX_LOCALS),
            None => Ok(Vec::new()),
        };
        if let (Some(all), Some(kinds)) = (fields.localsplus_names, fields.localsplus_kinds) {
            let all = self.tuple_items(all.pointer_in(code), MAX_LOCALS)?;
            let kinds = self.bytes(kinds.pointer_in(code), MAX_LOCALS as usize)?;
            let variables = all.into_iter().zip(kinds);
            return Ok(variables
                .map(|(name, kind)| Variable { name, cell: kind & (KIND_CELL | KIND_FREE) != 0 })
                .collect());
        }
        let plain = names(fields.varnames)?.into_iter().map(|name| (name, false));
        let cells = names(fields.cellvars)?.into_iter().map(|name| (name, true));
        let free = names(fields.freevars)?.into_iter().map(|name| (name, true));
        let variables = plain.chain(cells).chain(free);
        Ok(variables.map(|(name, cell)| Variable { name, cell }).collect())
    }
}
