//! Attributes of instances: what lies in storage, without running code.
//!
//! The order is that of Objects/object.c as far as storage goes: the instance's dict or inline
//! values, then slots. Properties and `__getattr__` need code and are never answered here.

use super::{ObjectError, Python, Result, Type};
use crate::layout::traits::ManagedDict;
use crate::memory::Address;
use std::ops::ControlFlow;

/// Members scanned per class.
const MAX_MEMBERS: u64 = 1024;
/// `Py_T_OBJECT_EX`: a slot; null means "not set" (Include/descrobject.h).
const MEMBER_OBJECT_EX: u64 = 16;
/// `_Py_T_OBJECT`: null means `None`.
const MEMBER_OBJECT: u64 = 6;
/// Longest attribute name compared, in bytes.
const MAX_NAME: usize = 256;

/// What looking for an attribute in storage gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The attribute's value.
    Found(Address),
    /// Not in the instance's storage.
    Missing,
}

impl Attribute {
    /// The value, if found.
    pub fn found(self) -> Option<Address> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing => None,
        }
    }
}

/// Where the attributes of one instance are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Storage {
    /// A dict object.
    Dict(Address),
    /// Values named by the class's shared keys.
    Values { keys: Address, values: Address },
    /// No attribute storage, or none made yet.
    Nothing,
}

impl Python<'_> {
    /// The attribute `name` (ASCII) of an instance, from its dict, its inline values or a slot.
    pub fn attribute(&self, object: Address, name: &str) -> Result<Attribute> {
        let class = self.type_of(object)?;
        let mut found = None;
        self.visit_attributes(object, &class, &mut |key, value| {
            self.match_key(key, value, name, &mut found)
        })?;
        match found {
            Some(value) => Ok(Attribute::Found(value)),
            None => self.slot(object, &class, name),
        }
    }

    /// The values of the first `limit` attributes in the instance's dict or inline values.
    pub fn attribute_values(&self, object: Address, limit: usize) -> Result<Vec<Address>> {
        let class = self.type_of(object)?;
        let mut values = Vec::new();
        self.visit_attributes(object, &class, &mut |_, value| {
            values.push(value);
            Ok(match values.len() < limit {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        Ok(values)
    }

    /// Calls `visit` with name and value of each attribute in the instance's dict or inline
    /// values.
    pub(super) fn visit_attributes(
        &self,
        object: Address,
        class: &Type,
        visit: &mut dyn FnMut(Address, Address) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        match self.storage(object, class)? {
            Storage::Dict(dict) => self.visit_dict(dict, visit),
            Storage::Values { keys, values } => self.visit_split(self.keys(keys)?, values, visit),
            Storage::Nothing => Ok(()),
        }
    }

    /// Where an instance keeps its attributes. The managed flag is asked before the sign of
    /// `tp_dictoffset`, which is a magic number for managed dicts (-48 in 3.11, -1 later).
    pub(super) fn storage(&self, object: Address, class: &Type) -> Result<Storage> {
        if class.flags.managed_dict() {
            return self.managed_storage(object, class);
        }
        let at = match class.dictoffset {
            0 => return Ok(Storage::Nothing),
            offset if offset > 0 => object.offset(offset),
            offset => {
                // Behind the items of a variable-size object (`_PyObject_GetDictPtr`).
                let items = self.variable_size(object)?.unsigned_abs();
                let size = items.saturating_mul(class.itemsize).saturating_add(class.basicsize);
                object.add(size.saturating_add(7) & !7).offset(offset)
            }
        };
        let dict = self.memory.read_pointer(at)?;
        Ok(dict.non_null().map_or(Storage::Nothing, Storage::Dict))
    }

    fn managed_storage(&self, object: Address, class: &Type) -> Result<Storage> {
        let dict_or_nothing =
            |dict: Address| dict.non_null().map_or(Storage::Nothing, Storage::Dict);
        let values = |values: Address| Storage::Values { keys: class.cached_keys, values };
        let word = self.memory.read_pointer(object.sub(24))?;
        match self.traits().managed_dict {
            ManagedDict::None => Err(ObjectError::malformed("type flags", class.address)),
            ManagedDict::TwoWords => {
                let inline = self.memory.read_pointer(object.sub(32))?;
                Ok(inline.non_null().map_or_else(|| dict_or_nothing(word), values))
            }
            ManagedDict::TaggedWord if word.get() & 1 == 1 => Ok(values(word.add(1))),
            ManagedDict::TaggedWord => Ok(dict_or_nothing(word)),
            ManagedDict::InlineValues => {
                if !word.is_null() || !class.flags.inline_values() {
                    return Ok(dict_or_nothing(word));
                }
                let inline = object.add(class.basicsize);
                let valid = self.structs().dict_values.as_ref().and_then(|fields| fields.valid);
                let valid = valid.map_or(Ok(1), |valid| valid.read(self.memory, inline))?;
                Ok(if valid == 1 { values(inline) } else { Storage::Nothing })
            }
        }
    }

    /// The slot `name` of an object: `__slots__` and object members of C types, found in
    /// `tp_members` of each class of the MRO.
    fn slot(&self, object: Address, class: &Type, name: &str) -> Result<Attribute> {
        for &base in &class.mro {
            let Ok(base) = self.type_at(base) else { continue };
            if let Some(offset) = self.member_offset(&base, name)? {
                let value = self.memory.read_pointer(object.offset(offset))?;
                return Ok(value.non_null().map_or(Attribute::Missing, Attribute::Found));
            }
        }
        Ok(Attribute::Missing)
    }

    fn member_offset(&self, class: &Type, name: &str) -> Result<Option<i64>> {
        let fields = &self.structs().member_def;
        if class.members.is_null() {
            return Ok(None);
        }
        for index in 0..MAX_MEMBERS {
            let member = class.members.add(index * fields.size);
            let text = fields.name.read_pointer(self.memory, member)?;
            if text.is_null() {
                break;
            }
            if self.memory.read_c_string(text, MAX_NAME)? == name.as_bytes() {
                let kind = fields.kind.read(self.memory, member)?;
                let holds_object = kind == MEMBER_OBJECT_EX || kind == MEMBER_OBJECT;
                let offset = fields.offset.read_signed(self.memory, member)?;
                return Ok(holds_object.then_some(offset));
            }
        }
        Ok(None)
    }
}
