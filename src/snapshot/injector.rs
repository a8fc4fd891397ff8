//! What a script that people run inside a process says of it, from outside.

use super::ResourceRow;
use super::resources::Number;
use super::whole::Whole;

/// The figures of such a script.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectorReport {
    /// "3.11.7"
    pub version: String,
    /// `threading.active_count()`
    pub threads: u64,
    /// The name of the thread in which a script would have run: the main thread.
    pub current_thread: Option<String>,
    /// The event loops that are not closed, running ones first.
    pub loops: Vec<InjectorLoop>,
    /// Socket objects with a descriptor.
    pub sockets: u64,
    /// The thread pool executors that are not shut down.
    pub executors: Vec<InjectorExecutor>,
    /// The client sessions of aiohttp that are not closed.
    pub sessions: Vec<InjectorSession>,
}

/// An event loop.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectorLoop {
    /// `is_running()`
    pub running: Option<bool>,
    /// The type of the default executor.
    pub default_executor: Option<String>,
    /// Timers.
    pub scheduled: Option<u64>,
}

/// An executor.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectorExecutor {
    /// Prefix of its threads' names.
    pub name: Option<String>,
    /// Threads it has.
    pub workers: Option<Number>,
    /// Most threads it may have.
    pub limit: Option<Number>,
    /// Threads that run a job.
    pub active: u64,
    /// Jobs that wait.
    pub queued: Option<Number>,
}

/// A client session.
#[derive(Debug, Clone, PartialEq)]
pub struct InjectorSession {
    /// Connections, in use and idle.
    pub size: Option<Number>,
    /// Most connections; 0 for no limit.
    pub limit: Option<Number>,
    /// Most connections to one host; 0 for no limit.
    pub limit_per_host: Option<Number>,
}

impl InjectorReport {
    /// The figures of a capture.
    pub fn new(whole: &Whole) -> Self {
        let open = |row: &&ResourceRow| row.state.as_deref() == Some("open");
        let of_kind = |kind: &'static str| {
            whole.resources.iter().filter(move |row| row.kind == kind).filter(open)
        };
        let named = whole.threads.iter().filter(|one| one.interpreter == 0 && one.name.is_some());
        let loops = whole.tasks.loops.iter().filter(|row| row.closed != Some(true));
        Self {
            version: whole.process.python.version.clone(),
            threads: named.count() as u64,
            current_thread: whole
                .threads
                .iter()
                .find(|thread| thread.main)
                .and_then(|thread| thread.name.clone()),
            loops: loops
                .map(|row| InjectorLoop {
                    running: row.running,
                    default_executor: row
                        .default_executor
                        .as_ref()
                        .map(|executor| executor.class.clone())
                        .filter(|class| class != "builtins.NoneType"),
                    scheduled: row.scheduled,
                })
                .collect(),
            sockets: of_kind("socket").count() as u64,
            executors: of_kind("thread_pool_executor").map(|row| executor(whole, row)).collect(),
            sessions: of_kind("aiohttp_session").map(session).collect(),
        }
    }
}

fn metric(row: &ResourceRow, name: &str) -> Option<Number> {
    row.metrics.get(name).copied().flatten()
}

fn executor(whole: &Whole, row: &ResourceRow) -> InjectorExecutor {
    let queue = row.links.get("queue");
    let at_work = whole.workers.iter().filter(|one| !one.idle && Some(&one.queue) == queue);
    InjectorExecutor {
        name: row.show.get("name").and_then(Option::as_ref).map(ToString::to_string),
        workers: metric(row, "created"),
        limit: metric(row, "limit"),
        active: at_work.count() as u64,
        queued: metric(row, "queued"),
    }
}

fn session(row: &ResourceRow) -> InjectorSession {
    // A limit that there is not is left out of a row; one that was not read is in it.
    let limit = |name: &str| match row.metrics.get(name) {
        Some(limit) => *limit,
        None => Some(Number::Int(0)),
    };
    let size = metric(row, "in_use").zip(metric(row, "idle"));
    InjectorSession {
        size: size.map(|(in_use, idle)| in_use.plus(idle)),
        limit: limit("limit"),
        limit_per_host: limit("limit_per_host"),
    }
}
