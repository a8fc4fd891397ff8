//! Weak references (Include/cpython/weakrefobject.h).

use super::{Python, Result};
use crate::memory::Address;

impl Python<'_> {
    /// The object a weak reference points to; `None` when it is gone. The caller knows that
    /// `reference` is one (see [`Python::is_weak_reference`]).
    pub fn weak_target(&self, reference: Address) -> Result<Option<Address>> {
        let target = self.structs().weakref.referent.read_pointer(self.memory, reference)?;
        match target.non_null() {
            Some(target) if !self.is_none(target)? => Ok(Some(target)),
            _ => Ok(None),
        }
    }

    /// True for `weakref.ref` and its subclasses; their name changed in 3.11.
    pub fn is_weak_reference(&self, class: &super::Type) -> bool {
        ["weakref.ReferenceType", "builtins.weakref", "builtins.weakproxy", "weakref.ProxyType"]
            .iter()
            .any(|name| self.is_subtype(class, name))
    }
}
