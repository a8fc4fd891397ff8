//! Containers: lengths, items, keys and values, indexing.

use super::{Evaluator, Value};
use crate::cpython::{Python, Result, Type};
use crate::memory::Address;
use crate::resources::expression::Key;
use std::rc::Rc;

/// Items of one container that are looked at; of a larger one, nothing is.
const MAX_ITEMS: u64 = 1 << 20;

/// The containers that can be read from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    List,
    Tuple,
    Set,
    Dict,
    Deque,
    SimpleQueue,
    /// `str`, `bytes`, `bytearray`: a length and no items.
    Text,
    Bytes,
    /// An object with its contents in the attribute `data`: a set of weak references, or a dict
    /// with them as keys or values (Lib/_weakrefset.py, Lib/weakref.py).
    WeakSet,
    WeakKeys,
    WeakValues,
}

impl Container {
    fn of(python: &Python<'_>, class: &Type) -> Option<Self> {
        let flags = class.flags;
        if flags.list_subclass() {
            return Some(Self::List);
        } else if flags.tuple_subclass() {
            return Some(Self::Tuple);
        } else if flags.dict_subclass() {
            return Some(Self::Dict);
        } else if flags.unicode_subclass() {
            return Some(Self::Text);
        } else if flags.bytes_subclass() {
            return Some(Self::Bytes);
        }
        let named = [
            ("builtins.set", Self::Set),
            ("builtins.frozenset", Self::Set),
            ("builtins.bytearray", Self::Bytes),
            ("collections.deque", Self::Deque),
            ("_queue.SimpleQueue", Self::SimpleQueue),
            ("_weakrefset.WeakSet", Self::WeakSet),
            ("weakref.WeakKeyDictionary", Self::WeakKeys),
            ("weakref.WeakValueDictionary", Self::WeakValues),
        ];
        let found = named.into_iter().find(|(name, _)| python.is_subtype(class, name));
        found.map(|(_, container)| container)
    }
}

impl Evaluator<'_, '_> {
    /// `len(value)`; weak containers count what is alive.
    pub(super) fn len(&self, value: Value) -> Result<Value> {
        if let Value::List(items) = &value {
            return Ok(Value::Int(items.len() as i64));
        }
        self.on_object(value, |object| {
            let class = self.python.type_of(object)?;
            let length = match Container::of(self.python, &class) {
                Some(Container::List | Container::Tuple | Container::Deque | Container::Bytes) => {
                    self.python.length(object, "length")?
                }
                Some(Container::Set) => self.python.set_length(object)?,
                Some(Container::Dict) => self.python.dict_length(object)?,
                Some(Container::SimpleQueue) => self.python.simple_queue_length(object)?,
                Some(Container::Text) => self.python.text_length(object)?,
                Some(Container::WeakSet) => return self.count_all(self.items_of(object)?),
                Some(Container::WeakKeys) => return self.count_all(self.keys_of(object)?),
                Some(Container::WeakValues) => return self.count_all(self.values_of(object)?),
                None => return Ok(no_container(&class)),
            };
            Ok(i64::try_from(length)
                .map_or_else(|_| Value::missing("an absurd length"), Value::Int))
        })
    }

    fn count_all(&self, items: Value) -> Result<Value> {
        Ok(match items {
            Value::List(items) => Value::Int(items.len() as i64),
            other => other,
        })
    }

    /// The items of `value`, as a list; of a dict, they must be asked for as keys or values.
    pub(super) fn items(&self, value: Value) -> Result<Value> {
        match value {
            Value::List(_) => Ok(value),
            other => self.on_object(other, |object| self.items_of(object)),
        }
    }

    pub(super) fn keys(&self, value: Value) -> Result<Value> {
        self.on_object(value, |object| self.keys_of(object))
    }

    pub(super) fn values(&self, value: Value) -> Result<Value> {
        self.on_object(value, |object| self.values_of(object))
    }

    fn items_of(&self, object: Address) -> Result<Value> {
        let class = self.python.type_of(object)?;
        let limit = MAX_ITEMS + 1;
        let items = match Container::of(self.python, &class) {
            Some(Container::List) => self.python.list_items(object, limit)?,
            Some(Container::Tuple) => self.python.tuple_items(object, limit)?,
            Some(Container::Set) => self.python.set_items(object, limit as usize)?.items,
            Some(Container::Deque) => self.python.deque_items(object, limit)?,
            Some(Container::SimpleQueue) => self.python.simple_queue_items(object, limit)?,
            Some(Container::WeakSet) => return self.weak_items(object),
            Some(Container::Dict | Container::WeakKeys | Container::WeakValues) => {
                return Ok(Value::missing("a dict: say keys() or values()"));
            }
            Some(Container::Text | Container::Bytes) => {
                return Ok(Value::missing("a text has a length and no items"));
            }
            None => return Ok(no_container(&class)),
        };
        Ok(self.list(items))
    }

    fn keys_of(&self, object: Address) -> Result<Value> {
        self.pairs(object, Container::WeakKeys, |(key, _)| key)
    }

    fn values_of(&self, object: Address) -> Result<Value> {
        self.pairs(object, Container::WeakValues, |(_, value)| value)
    }

    /// Keys or values of a dict. In the dict of a weak container, the side called `weak` holds
    /// weak references; entries whose reference is dead do not count.
    fn pairs(
        &self,
        object: Address,
        weak: Container,
        side: fn((Address, Address)) -> Address,
    ) -> Result<Value> {
        let class = self.python.type_of(object)?;
        let container = Container::of(self.python, &class);
        match container {
            Some(Container::Dict) => {
                let items = self.python.dict_items(object, MAX_ITEMS as usize + 1)?;
                Ok(self.list(items.into_iter().map(side).collect()))
            }
            Some(Container::WeakKeys | Container::WeakValues) => {
                let data = match self.attribute(object, "data")? {
                    Value::Object(data) => data,
                    other => return Ok(other),
                };
                let items = self.python.dict_items(data, MAX_ITEMS as usize + 1)?;
                let mut found = Vec::with_capacity(items.len());
                for (key, value) in items {
                    let reference =
                        if container == Some(Container::WeakKeys) { key } else { value };
                    let Some(target) = self.python.weak_target(reference)? else { continue };
                    found.push(if container == Some(weak) { target } else { side((key, value)) });
                }
                Ok(self.list(found))
            }
            _ => Ok(Value::missing(format!("{} is not a dict", class.name()))),
        }
    }

    fn weak_items(&self, object: Address) -> Result<Value> {
        let data = match self.attribute(object, "data")? {
            Value::Object(data) => data,
            other => return Ok(other),
        };
        let mut alive = Vec::new();
        for reference in self.python.set_items(data, MAX_ITEMS as usize + 1)?.items {
            alive.extend(self.python.weak_target(reference)?);
        }
        Ok(self.list(alive))
    }

    fn list(&self, items: Vec<Address>) -> Value {
        if items.len() as u64 > MAX_ITEMS {
            return Value::missing("more than a million items");
        }
        match self.step(items.len() as u64) {
            Ok(()) => Value::List(Rc::new(items.into_iter().map(Value::Object).collect())),
            Err(missing) => missing,
        }
    }

    pub(super) fn index(&self, value: Value, key: &Key) -> Result<Value> {
        match key {
            Key::Name(name) => self.on_object(value, |object| {
                let found = self.python.dict_get(object, name)?;
                let missing = || Value::missing(format!("the dict has no key '{name}'"));
                Ok(found.map_or_else(missing, Value::Object))
            }),
            Key::Place(place) => match self.items(value)? {
                Value::List(items) => {
                    let length = items.len() as i64;
                    let at = if *place < 0 { place + length } else { *place };
                    let found = usize::try_from(at).ok().and_then(|at| items.get(at));
                    let missing = || Value::missing(format!("no item {place} of {length}"));
                    Ok(found.cloned().unwrap_or_else(missing))
                }
                other => Ok(other),
            },
        }
    }
}

fn no_container(class: &Type) -> Value {
    Value::missing(format!("{} has no items that can be read", class.name()))
}
