//! Showing a value from outside: simple values decoded, containers to a small depth, anything
//! else as type and address.

use super::{Integer, Python, Result, Type};
use crate::memory::Address;

/// How much of a value is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueLimits {
    /// Characters of a string, bytes of a bytes object.
    pub text: usize,
    /// Items of a container.
    pub items: usize,
    /// Levels of nested containers.
    pub depth: usize,
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self { text: 120, items: 8, depth: 2 }
    }
}

/// A value of the target, decoded as far as the limits allow.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An `int`.
    Int(Integer),
    /// A `float`.
    Float(f64),
    /// A `str`; `length` is that of the whole.
    Text {
        /// The first characters.
        text: String,
        /// Characters in all.
        length: u64,
    },
    /// A `bytes`; `length` is that of the whole.
    Bytes {
        /// The first bytes.
        bytes: Vec<u8>,
        /// Bytes in all.
        length: u64,
    },
    /// A list, tuple, set or frozenset.
    Sequence {
        /// Its type's name.
        class: String,
        /// The first items.
        items: Vec<Value>,
        /// Items in all.
        length: u64,
    },
    /// A dict or frozendict.
    Mapping {
        /// Its type's name.
        class: String,
        /// The first items.
        items: Vec<(Value, Value)>,
        /// Items in all.
        length: u64,
    },
    /// Anything else.
    Object {
        /// Its type's name.
        class: String,
        /// Where it is.
        address: Address,
    },
    /// It could not be read.
    Unreadable {
        /// Where it should be.
        address: Address,
    },
}

impl Python<'_> {
    /// The value of the object at `address`. Only exact builtin types are decoded: a subclass
    /// may mean something else by its content. Errors become [`Value::Unreadable`], except
    /// those that end the capture.
    pub fn value(&self, address: Address, limits: ValueLimits) -> Result<Value> {
        match self.read_value(address, limits) {
            Err(error) if error.fatal().is_none() => Ok(Value::Unreadable { address }),
            other => other,
        }
    }

    fn read_value(&self, address: Address, limits: ValueLimits) -> Result<Value> {
        let class = self.type_of(address)?;
        let inner = |limits: ValueLimits| ValueLimits { depth: limits.depth - 1, ..limits };
        Ok(match class.name() {
            "builtins.NoneType" => Value::None,
            "builtins.bool" => Value::Bool(self.boolean(address)?),
            "builtins.int" => Value::Int(self.integer(address)?),
            "builtins.float" => Value::Float(self.float(address)?),
            "builtins.str" => {
                let (text, length) = self.text_unchecked(address, limits.text)?;
                Value::Text { text, length }
            }
            "builtins.bytes" => Value::Bytes {
                bytes: self.bytes(address, limits.text)?,
                length: self.length(address, "bytes length")?,
            },
            "builtins.list" | "builtins.tuple" | "builtins.set" | "builtins.frozenset"
                if limits.depth > 0 =>
            {
                self.sequence(address, &class, limits.items, inner(limits))?
            }
            "builtins.dict" | "builtins.frozendict" if limits.depth > 0 => {
                let limits = inner(limits);
                let mut items = Vec::new();
                for (key, value) in self.dict_items(address, limits.items)? {
                    items.push((self.value(key, limits)?, self.value(value, limits)?));
                }
                let class = class.name().to_owned();
                Value::Mapping { class, items, length: self.dict_length(address)? }
            }
            _ => Value::Object { class: class.name().to_owned(), address },
        })
    }

    fn sequence(
        &self,
        address: Address,
        class: &Type,
        items: usize,
        limits: ValueLimits,
    ) -> Result<Value> {
        let (found, length) = match class.name() {
            "builtins.list" => {
                (self.list_items(address, items as u64)?, self.length(address, "list length")?)
            }
            "builtins.tuple" => {
                (self.tuple_items(address, items as u64)?, self.length(address, "tuple length")?)
            }
            _ => {
                let set = self.set_items(address, items)?;
                (set.items, set.length)
            }
        };
        let items = found.into_iter().map(|item| self.value(item, limits));
        Ok(Value::Sequence {
            class: class.name().to_owned(),
            items: items.collect::<Result<_>>()?,
            length,
        })
    }
}
