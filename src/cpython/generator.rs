//! Generators, coroutines and async generators: their names.

use super::{Python, Result};
use crate::memory::Address;

const MAX_NAME: usize = 1024;

/// What a generator is called; both can be changed from the program and then differ from the
/// code's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratorName {
    /// `__name__`
    pub name: String,
    /// `__qualname__`
    pub qualname: String,
}

impl Python<'_> {
    /// The name of a generator, coroutine or async generator; all three begin the same way
    /// (Include/cpython/genobject.h).
    pub fn generator_name(&self, generator: Address) -> Result<GeneratorName> {
        let fields = &self.structs().generator;
        let text = |field: crate::layout::Field| {
            self.text(field.read_pointer(self.memory, generator)?, MAX_NAME)
        };
        Ok(GeneratorName { name: text(fields.name)?, qualname: text(fields.qualname)? })
    }
}
