//! asyncio: event loops, tasks, and who waits for whom.

use super::{CaptureInfo, FrameRow, ProcessInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The document of `tasks --json`.
#[derive(Debug, Clone, Serialize)]
pub struct TasksDocument {
    /// "pyattach.tasks/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Every event loop, the running ones first.
    pub loops: Vec<LoopRow>,
    /// Tasks by state, before anything was left out; `unknown` where it could not be read.
    pub totals: BTreeMap<String, u64>,
    /// Tasks left out because of their state or loop.
    pub tasks_not_shown: u64,
    /// The tasks, by loop and name.
    pub tasks: Vec<TaskRow>,
    /// Coroutines that no task runs and that nobody awaited so far, by function.
    pub not_started: Vec<NotStartedRow>,
    /// The tasks found, held against the interpreter's own lists of them.
    pub registry: RegistryCheck,
}

impl TasksDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.tasks/1";
}

/// An object by address and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Where it is.
    pub address: String,
    /// `__module__ + "." + __qualname__`; "builtins.NoneType" for `None`.
    #[serde(rename = "type")]
    pub class: String,
}

/// An event loop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoopRow {
    /// Where it is.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub class: String,
    /// A thread is in its `run_forever()`.
    pub running: Option<bool>,
    /// "idle" (its thread waits for events), "busy" (it runs a task or a callback),
    /// "not running", "closed"; `null` when it is not known.
    pub state: Option<String>,
    /// The kernel's id of the thread that runs it, in our pid namespace.
    pub thread: Option<i32>,
    /// The name of that thread.
    pub thread_name: Option<String>,
    /// Callbacks that are due.
    pub ready: Option<u64>,
    /// Timers, cancelled ones among them.
    pub scheduled: Option<u64>,
    /// What `run_in_executor(None, …)` uses, once it was used.
    pub default_executor: Option<ObjectRef>,
    /// What it waits with. uvloop has none.
    pub selector: Option<ObjectRef>,
    /// `is_closed()`
    pub closed: Option<bool>,
    /// The address of the task it runs at this moment.
    pub current_task: Option<String>,
    /// Of the tasks, those of this loop, by state.
    pub tasks: BTreeMap<String, u64>,
    /// The stack of its thread, innermost first.
    pub stack: Vec<FrameRow>,
}

/// A task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRow {
    /// Where it is.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub class: String,
    /// `get_name()`, cut at 200 characters.
    pub name: Option<String>,
    /// "pending", "done", "cancelled".
    pub state: Option<String>,
    /// What a pending task does: "running", "ready" (to be resumed at once), "waiting" (for a
    /// future), "not started".
    pub activity: Option<String>,
    /// Qualified name of its coroutine; its type where it is no coroutine of CPython's.
    pub coroutine: Option<String>,
    /// Its event loop.
    #[serde(rename = "loop")]
    pub event_loop: Option<String>,
    /// It is the task its loop runs at this moment.
    pub current: bool,
    /// Where each coroutine of its chain is suspended, innermost first; of a running task, the
    /// frames on its thread's stack down to its coroutine.
    pub stack: Vec<FrameRow>,
    /// Why the stack ends early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<String>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// Addresses of the tasks that wait for this one, directly or through futures.
    pub awaited_by: Vec<String>,
    /// The type of the exception it ended with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<String>,
}

/// The future a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFor {
    /// Where it is.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub class: Option<String>,
    /// Its name, when it is a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// "done" when it has its result already and the task is about to go on.
    pub state: Option<String>,
    /// How many futures `gather()` waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<u64>,
}

/// Coroutines of one function that were made and not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStartedRow {
    /// Qualified name.
    pub coroutine: String,
    /// File of the function.
    pub file: String,
    /// Line of the function.
    pub line: i64,
    /// How many.
    pub count: u64,
}

/// The tasks found in the heap, held against the interpreter's own lists of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCheck {
    /// Tasks in those lists, ended ones included up to 3.13; `null` when they cannot be read.
    pub tasks: Option<u64>,
    /// Tasks in those lists that the heap does not have.
    pub not_in_heap: Vec<String>,
    /// Pending tasks in the heap that are not in those lists.
    pub not_registered: Vec<String>,
}
