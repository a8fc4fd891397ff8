//! What every object begins with: reference count and type.

use super::{ObjectError, Python, Result, Type};
use crate::memory::Address;
use std::rc::Rc;

/// A reference count as the interpreter means it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refcount {
    /// Number of references.
    Counted(u64),
    /// Immortal: the number means nothing (PEP 683, 3.12+).
    Immortal,
}

impl Python<'_> {
    /// The address of an object's type.
    pub fn type_address(&self, object: Address) -> Result<Address> {
        if object.is_null() || !object.is_aligned(8) {
            return Err(ObjectError::malformed("object address", object));
        }
        Ok(self.structs().object.ob_type.read_pointer(self.memory, object)?)
    }

    /// The type of an object.
    pub fn type_of(&self, object: Address) -> Result<Rc<Type>> {
        self.type_at(self.type_address(object)?)
    }

    /// The reference count of an object. Width and immortality differ by version
    /// (Include/refcount.h, before 3.14 Include/object.h).
    pub fn refcount(&self, object: Address) -> Result<Refcount> {
        let field = self.structs().object.refcount;
        let raw = field.read(self.memory, object)?;
        let immortal = self.traits().immortal_objects && (raw as u32 as i32) < 0;
        Ok(if immortal { Refcount::Immortal } else { Refcount::Counted(raw) })
    }

    /// `ob_size` of an object with a variable part, as stored (negative for negative ints up
    /// to 3.11).
    pub fn variable_size(&self, object: Address) -> Result<i64> {
        Ok(self.structs().var_object.ob_size.read_signed(self.memory, object)?)
    }

    /// True for the object `None`.
    pub fn is_none(&self, object: Address) -> Result<bool> {
        Ok(self.type_of(object)?.name() == "builtins.NoneType")
    }
}
