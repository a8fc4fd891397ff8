//! What came of a script that was run in a process, and the record of it.

use serde::Serialize;
use serde_json::Value;

/// The document of `exec` and of the commands built on it.
#[derive(Debug, Clone, Serialize)]
pub struct ExecDocument {
    /// Name and version of this form.
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub pid: i32,
    /// "3.11.7".
    pub python: String,
    /// Name of the script.
    pub script: String,
    /// "debugger-request", "pending-call" or "borrowed-thread".
    pub way: &'static str,
    /// A system call was (or would be) ended early so that the thread looked up.
    pub interrupted: bool,
    /// What the thread was doing, as the end of a sentence about it.
    pub doing: String,
    /// "done", "exited", "raised", "not-compiled", "stopped", "still-running", "lost", "taken-back", and
    /// "planned" for a dry run.
    pub ending: &'static str,
    /// More about it: the traceback, the compiler's message, the code of `sys.exit`, the reason.
    pub detail: Option<String>,
    /// What it wrote to `sys.stdout` and `sys.stderr`.
    pub stdout: Option<String>,
    /// See `stdout`.
    pub stderr: Option<String>,
    /// The output was longer than there was room for.
    pub cut: bool,
    /// The script's variable `result`.
    pub result: Option<Value>,
    /// Why there is no `result` though the script has set it.
    pub result_error: Option<String>,
    /// From the first interrupt of the process to the script's first line.
    pub latency_ms: Option<f64>,
    /// Of that, from when the process was released with the request.
    pub pickup_ms: Option<f64>,
    /// From its first line to its end.
    pub runtime_ms: Option<f64>,
    /// How long the process stood still for it.
    pub pause_ms: f64,
    /// What could not be removed from the process.
    pub left_behind: Vec<String>,
}

impl ExecDocument {
    /// See `schema`.
    pub const SCHEMA: &'static str = "pyattach.exec/1";
}

/// A line of the audit log.
#[derive(Debug, Clone, Serialize)]
pub struct AuditRecord {
    /// Name and version of this form.
    pub schema: &'static str,
    /// When (RFC 3339).
    pub time: String,
    /// "begin", then "end".
    pub event: &'static str,
    /// Who: effective user id and name, the name behind `sudo`, our process.
    pub uid: u32,
    /// See `uid`.
    pub user: Option<String>,
    /// See `uid`.
    pub sudo_user: Option<String>,
    /// See `uid`.
    pub by_pid: u32,
    /// Into which process.
    pub pid: i32,
    /// When that was started (RFC 3339).
    pub start_time: Option<String>,
    /// Its command line, secrets masked.
    pub cmdline: Vec<String>,
    /// What.
    pub script: String,
    /// Its text.
    pub source: Option<String>,
    /// Its arguments, secrets masked.
    pub arguments: Vec<String>,
    /// At the end: the way and the ending, or the error.
    pub outcome: Option<String>,
}

impl AuditRecord {
    /// See `schema`.
    pub const SCHEMA: &'static str = "pyattach.audit/1";
}
