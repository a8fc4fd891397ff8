//! Functions: what they are called and where they are defined.

use super::{Code, ObjectError, Python, Result};
use crate::memory::Address;
use std::rc::Rc;

const MAX_NAME: usize = 1024;

impl Python<'_> {
    /// `__qualname__` of a Python function.
    pub fn function_name(&self, function: Address) -> Result<String> {
        self.require_function(function)?;
        let name = self.structs().function.qualname.read_pointer(self.memory, function)?;
        self.text(name, MAX_NAME)
    }

    /// The code of a Python function.
    pub fn function_code(&self, function: Address) -> Result<Rc<Code>> {
        self.require_function(function)?;
        self.code_at(self.structs().function.code.read_pointer(self.memory, function)?)
    }

    fn require_function(&self, function: Address) -> Result<()> {
        match self.type_of(function)?.name() {
            "builtins.function" => Ok(()),
            _ => Err(ObjectError::malformed("function", function)),
        }
    }
}
