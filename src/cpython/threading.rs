//! What the module `threading` knows of a thread: its name and kernel id.

use super::{Interpreter, Python, Result};
use crate::memory::Address;
use std::ops::ControlFlow;

const MAX_NAME: usize = 512;

/// A thread that the module `threading` knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadName {
    /// `get_ident()`: the key of `threading._active`.
    pub ident: u64,
    /// `Thread.name`, when it could be read.
    pub name: Option<String>,
    /// `Thread.native_id`; of the main thread of a forked child it may be the parent's
    /// (up to 3.13.0).
    pub native_id: Option<u64>,
}

impl Python<'_> {
    /// The threads in `threading._active` of an interpreter; empty when the module was never
    /// imported.
    pub fn thread_names(&self, interpreter: &Interpreter) -> Result<Vec<ThreadName>> {
        let Some(active) = self.module_global(interpreter, "threading", "_active")? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        self.visit_dict(active, &mut |ident, thread| {
            // Idents are pthread addresses: positive, up to 64 bits.
            if let Ok(super::Integer::Small(ident)) = self.integer(ident) {
                names.push(ThreadName {
                    ident: ident as u64,
                    name: self.attribute_as(thread, "_name", |name| self.text(name, MAX_NAME)),
                    native_id: self
                        .attribute_as(thread, "_native_id", |id| self.small_integer(id))
                        .and_then(|id| u64::try_from(id).ok()),
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(names)
    }

    /// A global variable of an imported module.
    pub fn module_global(
        &self,
        interpreter: &Interpreter,
        module: &str,
        name: &str,
    ) -> Result<Option<Address>> {
        match self.dict_get(interpreter.modules, module)? {
            Some(module) => Ok(self.attribute(module, name)?.found()),
            None => Ok(None),
        }
    }

    /// An attribute, decoded by `read`; `None` when it is missing or not of that kind.
    pub fn attribute_as<T>(
        &self,
        object: Address,
        name: &str,
        read: impl FnOnce(Address) -> Result<T>,
    ) -> Option<T> {
        read(self.attribute(object, name).ok()?.found()?).ok()
    }
}
