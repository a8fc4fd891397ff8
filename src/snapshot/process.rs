//! The process a document is about.

use serde::{Deserialize, Serialize};

/// Identity and figures of the target when it was captured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Process id, in our pid namespace.
    pub pid: i32,
    /// When it started, RFC 3339.
    pub start_time: Option<String>,
    /// Arguments, with secrets masked.
    pub cmdline: Vec<String>,
    /// Executable, as the target's root has it.
    pub exe: Option<String>,
    /// Working directory.
    pub cwd: Option<String>,
    /// Owner's user id.
    pub uid: Option<u32>,
    /// Owner's name.
    pub user: Option<String>,
    /// Resident memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// Threads, as the kernel counts them.
    pub os_threads: Option<u64>,
    /// Open descriptors.
    pub fds: Option<u64>,
    /// The interpreter.
    pub python: PythonInfo,
}

/// The interpreter inside the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PythonInfo {
    /// "3.11.7"
    pub version: String,
    /// Build options that matter: "gil", "debug".
    pub build: Vec<String>,
    /// The file that holds the interpreter: an executable or libpython.
    pub executable: String,
    /// Where the offsets came from.
    pub layout: LayoutInfo,
}

/// Where the offsets of the interpreter's structs came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LayoutInfo {
    /// Sources, the strongest last.
    pub origin: Vec<String>,
    /// The built-in table it began with: version it was extracted from.
    pub table: Option<String>,
}
