//! What the operating system says about a process. Knows nothing of Python.

pub mod maps;

pub use maps::Mapping;
