//! Why an object could not be read.

use crate::memory::{Address, MemoryError};
use thiserror::Error;

/// Why something in the target's object graph could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ObjectError {
    /// The bytes could not be had.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The bytes are not what they should be: half-built, freed, overwritten, or never an object.
    #[error("{what} at {at} is malformed")]
    Malformed {
        /// The broken expectation: "type object", "string length", …
        what: &'static str,
        /// Where.
        at: Address,
    },
}

impl ObjectError {
    /// Shorthand for [`ObjectError::Malformed`].
    pub fn malformed(what: &'static str, at: Address) -> Self {
        Self::Malformed { what, at }
    }

    /// The memory error that ends the whole capture, if this is one.
    pub fn fatal(&self) -> Option<MemoryError> {
        match self {
            Self::Memory(error) if !error.is_fault() => Some(*error),
            _ => None,
        }
    }
}

/// A result of reading the object model.
pub type Result<T> = std::result::Result<T, ObjectError>;
