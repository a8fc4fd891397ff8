//! Everything that one capture of a process gives, as plain data.
//!
//! The reports, the rules, snapshot files and what compares them are made from this. All of it is
//! of the instant of the capture, but the descriptors, the kernel's tables and the machine's
//! figures, which were read right before and after it, and the samples, which say when.

use super::census::ObjectTotals;
use super::graph::StoredGraph;
use super::sockets::{AddressRow, SocketRow, SocketsSummary};
use super::tasks::{LoopRow, NotStartedRow, RegistryCheck, TaskRow};
use super::{
    CaptureInfo, FrameRow, Held, NativeThreadRow, ProcessInfo, ResourceRow, ResourceSummary,
    ThreadRow,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One capture of one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whole {
    /// When it was taken, RFC 3339, UTC.
    pub taken: String,
    /// The process.
    pub process: ProcessInfo,
    /// What makes sure that another capture is of the same process.
    pub same: SameProcess,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Tracked objects by type.
    pub objects: ObjectTotals,
    /// The collector of each interpreter.
    pub collectors: Vec<CollectorRow>,
    /// The resources by kind.
    pub kinds: BTreeMap<String, ResourceSummary>,
    /// The resources one by one, those of a kind together.
    pub resources: Vec<ResourceRow>,
    /// Which code has a resource at hand, by the resource's address: it is in a local variable of
    /// a thread or a task that has not ended, or in an attribute of such an object. Resources
    /// without an entry are held by something else. `null` when that was too much to look at.
    pub used: Option<BTreeMap<String, Vec<User>>>,
    /// Who holds the resources and tasks; `null` when that was not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The graph of references, where it was asked for; files have it in sections of its own.
    #[serde(skip)]
    pub graph: Option<Arc<StoredGraph>>,
    /// Sockets joined with the kernel's tables.
    pub sockets: Sockets,
    /// Event loops and tasks.
    pub tasks: Tasks,
    /// Threads that have a Python state, with their stacks.
    pub threads: Vec<ThreadRow>,
    /// Worker threads of `ThreadPoolExecutor`, and where they get their jobs from.
    #[serde(default)]
    pub workers: Vec<WorkerRow>,
    /// Threads that have none.
    pub native_threads: Vec<NativeThreadRow>,
    /// Quick looks at the threads before and after the capture; empty when there were none.
    pub samples: Vec<Sample>,
    /// Limits that the kernel sets for the process.
    pub limits: ResourceLimits,
    /// Child processes; `null` when they could not be listed.
    pub children: Option<Vec<ChildRow>>,
}

/// What no two processes have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SameProcess {
    /// Process id.
    pub pid: i32,
    /// Start, in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's id of this boot.
    pub boot_id: String,
}

/// A collector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectorRow {
    /// Its interpreter.
    pub interpreter: i64,
    /// A collection was running.
    pub collecting: bool,
    /// Objects of the generations, the youngest first.
    pub generations: Vec<u64>,
    /// Objects of the permanent generation.
    pub permanent: u64,
    /// `gc.isenabled()`; `null` here and below: could not be read.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// `gc.get_threshold()`
    #[serde(default)]
    pub thresholds: Option<Vec<i64>>,
    /// `gc.get_count()`
    #[serde(default)]
    pub counts: Option<Vec<i64>>,
    /// `gc.get_stats()`
    #[serde(default)]
    pub stats: Option<Vec<CollectionsRow>>,
    /// `len(gc.garbage)`
    #[serde(default)]
    pub garbage: Option<u64>,
}

/// What the collections of one generation did since the interpreter began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionsRow {
    /// How many there were.
    pub collections: u64,
    /// Objects that were garbage.
    pub collected: u64,
    /// Objects that were garbage and could not be collected.
    pub uncollectable: u64,
}

/// What has a resource at hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum User {
    /// A task, by its address.
    Task(String),
    /// A thread, by its ident as [`ThreadRow::ident`] has it.
    Thread(String),
}

/// As `sockets` has them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sockets {
    /// Counts, descriptors by kind among them.
    pub summary: SocketsSummary,
    /// One by one.
    pub rows: Vec<SocketRow>,
    /// Connections without a descriptor, attributed by address.
    pub by_address: Vec<AddressRow>,
}

/// As `tasks` has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tasks {
    /// Event loops, running ones first.
    pub loops: Vec<LoopRow>,
    /// Tasks by state.
    pub totals: BTreeMap<String, u64>,
    /// The tasks.
    pub rows: Vec<TaskRow>,
    /// Coroutines that nobody awaited.
    pub not_started: Vec<NotStartedRow>,
    /// The tasks held against the interpreter's lists.
    pub registry: RegistryCheck,
}

/// A worker thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// The thread, as [`ThreadRow::ident`] has it.
    pub thread: String,
    /// The address of its queue of jobs, which is that of its executor.
    pub queue: String,
    /// It waits for a job.
    pub idle: bool,
}

/// A quick look at the running process: what its threads do, without a stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// When, in milliseconds from the capture; before it, negative.
    pub at_ms: f64,
    /// Threads with a Python state.
    pub threads: u64,
    /// Of these, waiting for the GIL.
    pub waiting_for_gil: u64,
    /// The threads that run an event loop.
    pub loops: Vec<LoopSample>,
}

/// What the thread of an event loop does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopSample {
    /// The kernel's id of the thread.
    pub thread: i32,
    /// The system call it is in; `null` for none.
    pub syscall: Option<String>,
    /// Something that is another in each turn of the loop; `null` when there is nothing to go by.
    pub turn: Option<String>,
    /// How often it went to sleep so far (`voluntary_ctxt_switches`).
    pub sleeps: Option<u64>,
    /// Its stack, innermost first, without the lines' texts.
    pub stack: Vec<FrameRow>,
}

/// Limits of the process (`/proc/PID/limits`, the soft ones); `null` is unlimited or unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Descriptors (`RLIMIT_NOFILE`).
    pub descriptors: Option<u64>,
    /// Processes and threads of the user (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Memory of the process, in bytes (`RLIMIT_AS`).
    pub address_space: Option<u64>,
}

/// A child process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRow {
    /// Process id.
    pub pid: i32,
    /// The kernel's name of it.
    pub name: String,
    /// It has ended, and the process has not asked how.
    pub zombie: bool,
}

impl CollectorRow {
    /// Nothing is collected unless the program asks for it.
    pub fn is_off(&self) -> bool {
        let first = self.thresholds.as_ref().and_then(|all| all.first());
        self.enabled == Some(false) || first == Some(&0)
    }
}

impl Whole {
    /// Open descriptors of all kinds.
    pub fn open_descriptors(&self) -> u64 {
        self.sockets.summary.descriptors.values().sum()
    }
}

impl LoopSample {
    /// The loop may still be in the same turn: by its own mark, or else by an equal stack.
    pub fn is_same_turn(&self, other: &Self) -> bool {
        match (&self.turn, &other.turn) {
            (Some(one), Some(two)) => one == two,
            _ => {
                let place =
                    |frame: &FrameRow| (frame.file.clone(), frame.function.clone(), frame.line);
                self.stack.len() == other.stack.len()
                    && self.stack.iter().map(place).eq(other.stack.iter().map(place))
            }
        }
    }
}
