//! Thread stacks.

use super::{CaptureInfo, ProcessInfo};
use serde::{Deserialize, Serialize};

/// The document of `dump --json`.
#[derive(Debug, Clone, Serialize)]
pub struct DumpDocument {
    /// "pyattach.dump/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Threads that have a Python state, by interpreter, main thread first.
    pub threads: Vec<ThreadRow>,
    /// Threads of the process that have none.
    pub native_threads: Vec<NativeThreadRow>,
}

impl DumpDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.dump/1";
}

/// A thread with a Python state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ThreadRow {
    /// Interpreter id; 0 is the main one.
    pub interpreter: i64,
    /// The kernel's thread id, in our pid namespace.
    pub tid: Option<i32>,
    /// The kernel's thread id as the target sees it, when its pid namespace is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_id: Option<u64>,
    /// `threading.get_ident()`, hexadecimal.
    pub ident: String,
    /// Name given by the module `threading`.
    pub name: Option<String>,
    /// The kernel's name of the thread (`comm`).
    pub os_name: Option<String>,
    /// The main thread.
    pub main: bool,
    /// "running", "waiting for the GIL", "in system call", "running without the GIL",
    /// "stopped"; `null` when it is not known.
    pub state: Option<String>,
    /// The system call it is in.
    pub syscall: Option<String>,
    /// Whether it holds its interpreter's GIL; `null` when that could not be read.
    pub holds_gil: Option<bool>,
    /// Why the stack ends early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<String>,
    /// Innermost first.
    pub frames: Vec<FrameRow>,
}

/// A Python frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameRow {
    /// `co_name`
    pub function: String,
    /// Qualified name, where the version knows it.
    pub qualname: Option<String>,
    /// `co_filename`
    pub file: String,
    /// Line being executed.
    pub line: Option<u32>,
    /// That line's text, when the file can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Local variables, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locals: Option<Vec<LocalRow>>,
}

/// A local variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LocalRow {
    /// Its name.
    pub name: String,
    /// Its value as text; `null` when it could not be read.
    pub value: Option<String>,
}

/// A thread without Python state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NativeThreadRow {
    /// The kernel's thread id.
    pub tid: i32,
    /// The kernel's name of the thread.
    pub os_name: Option<String>,
    /// The system call it is in.
    pub syscall: Option<String>,
}
