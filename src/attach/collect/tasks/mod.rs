//! Event loops and tasks from a picture of the heap.
//!
//! Tasks are found by walking what the collector tracks, so the ended ones and those of loops
//! that nobody runs any more are found as well; the interpreter's own lists are a check.

mod awaited_by;
mod loops;
mod registry;
mod uvloop;

use super::Problem;
use super::dump::{OsThreads, frame_row};
use crate::cpython::{
    AwaitChain, Frame, FutureState, Interpreter, Progress, Python, Runtime, Task, Type,
};
use crate::heap::census::{self, Census};
use crate::memory::Address;
use crate::snapshot::secrets::mask_text;
use crate::snapshot::tasks::{LoopRow, NotStartedRow, RegistryCheck, TaskRow, WaitingFor};
use loops::ThreadStack;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Frames kept of one task's stack.
const MAX_FRAMES: usize = 1_000;
/// Children of a `gather()` that are counted.
const MAX_CHILDREN: u64 = 10_000_000;

/// What the process has of asyncio.
#[derive(Debug)]
pub struct TasksPicture {
    /// The loops, running ones first.
    pub loops: Vec<LoopRow>,
    /// Every task.
    pub tasks: Vec<TaskRow>,
    /// Coroutines nobody awaited.
    pub not_started: Vec<NotStartedRow>,
    /// What the interpreter's own lists say.
    pub registry: RegistryCheck,
    /// Objects visited.
    pub objects: u64,
    /// Tasks, loops and frames that could not be read.
    pub unreadable: u64,
    /// Lists that did not close.
    pub broken_lists: u64,
    /// A collection was running.
    pub collecting: bool,
    /// Nothing contradicts itself.
    pub consistent: bool,
}

impl TasksPicture {
    /// What a reader of the list should know, in words.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.registry.tasks.is_none() {
            notes.push("the interpreter's own lists of tasks could not be read".to_owned());
        }
        if !self.registry.not_in_heap.is_empty() {
            let count = self.registry.not_in_heap.len();
            notes.push(format!("{count} tasks that the interpreter lists were not found"));
        }
        notes
    }
}

/// One task, read; positions in the list of them are used as ids.
struct Found {
    address: Address,
    class: String,
    state: Option<FutureState>,
    event_loop: Option<Address>,
    exception: Option<Address>,
    task: Option<Task>,
    chain: AwaitChain,
}

/// What kinds of types the walk keeps the instances of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Task,
    Loop,
    Coroutine,
}

impl Wanted {
    fn of(python: &Python<'_>, class: &Type) -> Option<Self> {
        if class.name() == "builtins.coroutine" {
            Some(Self::Coroutine)
        } else if python.is_task_class(class) {
            Some(Self::Task)
        } else if python.is_subtype(class, "asyncio.events.AbstractEventLoop") {
            Some(Self::Loop)
        } else {
            None
        }
    }
}

/// The types whose instances the walk is to keep for us.
#[derive(Debug, Default)]
pub(super) struct TaskTypes(RefCell<FxHashMap<Address, Wanted>>);

impl TaskTypes {
    /// True when the instances of `class` are wanted.
    pub(super) fn wants(&self, python: &Python<'_>, class: &Type) -> bool {
        match Wanted::of(python, class) {
            Some(kind) => {
                self.0.borrow_mut().insert(class.address, kind);
                true
            }
            None => false,
        }
    }
}

/// Is shown each frame that was read, and the task or else the thread that it is of.
pub(super) type EachFrame<'f> = dyn FnMut(FrameOf, &Frame) -> Result<(), Problem> + 'f;

/// Whose frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum FrameOf {
    /// Of a task that has not ended.
    Task(Address),
    /// Of a thread, by its ident.
    Thread(u64),
}

/// Reads loops and tasks.
pub fn collect(
    python: &Python<'_>,
    runtime: &Runtime,
    interpreters: &[Interpreter],
    os: &OsThreads,
) -> Result<TasksPicture, Problem> {
    let types = TaskTypes::default();
    let wanted = |class: &Type| types.wants(python, class);
    let census = census::take(python, runtime.address, interpreters, &wanted)?;
    from_census(python, runtime, interpreters, os, &census, types, &mut |_, _| Ok(()))
}

/// Reads the loops and tasks that a walk has kept.
pub(super) fn from_census(
    python: &Python<'_>,
    runtime: &Runtime,
    interpreters: &[Interpreter],
    os: &OsThreads,
    census: &Census,
    types: TaskTypes,
    each_frame: &mut EachFrame<'_>,
) -> Result<TasksPicture, Problem> {
    let kinds = types.0.into_inner();
    let of_kind = |kind: Wanted| {
        let kept = census.kept.iter().filter(|(class, _)| kinds.get(class) == Some(&kind));
        kept.flat_map(|(_, instances)| instances.iter().copied()).collect::<Vec<Address>>()
    };
    let mut tasks = Vec::new();
    for address in of_kind(Wanted::Task) {
        tasks.push(read_task(python, address)?);
    }
    let registry = registry::check(python, interpreters, &tasks)?;
    let stacks = loops::thread_stacks(python, runtime, interpreters, os)?;
    for stack in &stacks {
        for frame in &stack.frames {
            each_frame(FrameOf::Thread(stack.ident), frame)?;
        }
    }
    for task in tasks.iter().filter(|task| task.state == Some(FutureState::Pending)) {
        for frame in &task.chain.frames {
            each_frame(FrameOf::Task(task.address), frame)?;
        }
    }
    let running = Running::find(python, &tasks, &stacks)?;
    let awaited_by = awaited_by::of(python, &tasks)?;
    let mut counts = states_by_loop(&tasks);
    let mut loops = Vec::new();
    for address in of_kind(Wanted::Loop) {
        let counts = counts.remove(&address).unwrap_or_default();
        loops.push(loops::row(python, address, &tasks, counts, &stacks, &running)?);
    }
    loops.sort_by_key(|row| (row.running != Some(true), row.closed == Some(true)));
    let not_started = not_started(python, &of_kind(Wanted::Coroutine), &tasks)?;
    let names = names(&tasks);
    let mut rows = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let waiters = awaited_by.get(index).map_or(&[][..], Vec::as_slice);
        let addresses = waiters.iter().filter_map(|&id| tasks.get(id));
        let awaited_by = addresses.map(|waiter| waiter.address.to_string()).collect();
        rows.push(row(python, index, task, &running, &names, awaited_by)?);
    }
    let order: FxHashMap<&str, usize> =
        loops.iter().enumerate().map(|(at, one)| (one.address.as_str(), at)).collect();
    rows.sort_by_cached_key(|row| {
        let at = row.event_loop.as_deref().and_then(|address| order.get(address));
        (at.is_none(), at, row.event_loop.clone(), natural(row.name.as_deref().unwrap_or_default()))
    });
    let is_cut =
        |task: &&Found| task.chain.cut.is_some() || task.task.is_none() || task.state.is_none();
    let cut = tasks.iter().filter(is_cut).count();
    Ok(TasksPicture {
        loops,
        tasks: rows,
        not_started,
        objects: census.objects,
        unreadable: census.untyped + cut as u64,
        broken_lists: census.breaks.len() as u64,
        collecting: census.collecting,
        consistent: census.is_consistent() && cut == 0 && registry.not_in_heap.is_empty(),
        registry,
    })
}

/// Tasks of each loop by state.
fn states_by_loop(tasks: &[Found]) -> FxHashMap<Address, BTreeMap<String, u64>> {
    let mut counts: FxHashMap<Address, BTreeMap<String, u64>> = FxHashMap::default();
    for task in tasks {
        if let Some(event_loop) = task.event_loop {
            let state = task.state.map_or_else(|| "unknown".to_owned(), state_name);
            *counts.entry(event_loop).or_default().entry(state).or_default() += 1;
        }
    }
    counts
}

fn read_task(python: &Python<'_>, address: Address) -> Result<Found, Problem> {
    let class = python.type_of(address).map(|class| class.name().to_owned());
    let future = python.unless_unreadable(python.future(address))?;
    let task = python.unless_unreadable(python.task(address))?;
    let chain = match task.as_ref().and_then(|task| task.coroutine) {
        Some(coroutine) => python.await_chain(coroutine)?,
        None => AwaitChain::default(),
    };
    Ok(Found {
        address,
        class: python.unless_unreadable(class)?.unwrap_or_default(),
        state: future.as_ref().map(|future| future.state),
        event_loop: future.as_ref().and_then(|future| future.event_loop),
        exception: future.as_ref().and_then(|future| future.exception),
        task,
        chain,
    })
}

/// The tasks whose coroutine is on a thread's stack, by position in the list of tasks.
struct Running {
    /// Innermost first: thread, then the range of its frames that is the task's.
    by_task: FxHashMap<usize, (usize, std::ops::RangeInclusive<usize>)>,
    /// The innermost task of each thread.
    current: FxHashMap<usize, usize>,
    frames: Vec<Vec<Frame>>,
}

impl Running {
    fn find(python: &Python<'_>, tasks: &[Found], stacks: &[ThreadStack]) -> Result<Self, Problem> {
        let mut roots: FxHashMap<Address, usize> = FxHashMap::default();
        for (index, task) in tasks.iter().enumerate() {
            let coroutine = task.task.as_ref().and_then(|task| task.coroutine);
            if let Some(coroutine) = coroutine
                && task.chain.progress == Some(Progress::Executing)
                && let Some(frame) =
                    python.unless_unreadable(python.generator_frame(coroutine))?.flatten()
            {
                roots.insert(frame, index);
            }
        }
        let mut running = Self {
            by_task: FxHashMap::default(),
            current: FxHashMap::default(),
            frames: stacks.iter().map(|stack| stack.frames.clone()).collect(),
        };
        for (thread, stack) in stacks.iter().enumerate() {
            let mut begin = 0;
            for (position, frame) in stack.frames.iter().enumerate() {
                if let Some(&task) = roots.get(&frame.address) {
                    running.by_task.insert(task, (thread, begin..=position));
                    running.current.entry(thread).or_insert(task);
                    // A task that is started eagerly runs on top of the one that made it.
                    begin = position + 1;
                }
            }
        }
        Ok(running)
    }

    /// The frames of a running task, innermost first.
    fn stack(&self, task: usize) -> Option<&[Frame]> {
        let (thread, range) = self.by_task.get(&task)?;
        self.frames.get(*thread)?.get(range.clone())
    }

    fn is_current(&self, task: usize) -> bool {
        self.current.values().any(|&current| current == task)
    }
}

fn names(tasks: &[Found]) -> FxHashMap<Address, &str> {
    let named = tasks.iter().filter_map(|found| {
        let name = found.task.as_ref().and_then(|task| task.name.as_deref());
        name.map(|name| (found.address, name))
    });
    named.collect()
}

fn row(
    python: &Python<'_>,
    index: usize,
    found: &Found,
    running: &Running,
    names: &FxHashMap<Address, &str>,
    awaited_by: Vec<String>,
) -> Result<TaskRow, Problem> {
    let task = found.task.as_ref();
    let pending = found.state == Some(FutureState::Pending);
    let waits_for = task.and_then(|task| task.waits_for).filter(|_| pending);
    let activity = match found.chain.progress {
        _ if !pending => None,
        Some(Progress::Executing) => Some("running"),
        Some(Progress::Created) => Some("not started"),
        _ if waits_for.is_some() => Some("waiting"),
        Some(Progress::Suspended) => Some("ready"),
        _ => None,
    };
    let frames = running.stack(index).unwrap_or(&found.chain.frames);
    let coroutine = match task.and_then(|task| task.coroutine) {
        Some(coroutine) => coroutine_name(python, coroutine)?,
        None => None,
    };
    Ok(TaskRow {
        address: found.address.to_string(),
        class: found.class.clone(),
        name: task.and_then(|task| task.name.as_deref()).map(mask_text),
        state: found.state.map(state_name),
        activity: activity.map(str::to_owned),
        coroutine,
        event_loop: found.event_loop.map(|event_loop| event_loop.to_string()),
        current: running.is_current(index),
        stack: frames.iter().take(MAX_FRAMES).map(frame_row).collect(),
        truncated: match found.chain.cut {
            Some(error) => Some(error.to_string()),
            None if frames.len() > MAX_FRAMES => {
                Some(format!("{} more frames", frames.len() - MAX_FRAMES))
            }
            None => None,
        },
        waiting_for: waits_for.map(|future| waiting_for(python, future, names)).transpose()?,
        awaited_by,
        exception: match found.exception.filter(|_| found.state == Some(FutureState::Finished)) {
            Some(exception) => type_name(python, exception)?.filter(|n| n != "builtins.NoneType"),
            None => None,
        },
    })
}

fn state_name(state: FutureState) -> String {
    let name = match state {
        FutureState::Pending => "pending",
        FutureState::Cancelled => "cancelled",
        FutureState::Finished => "done",
    };
    name.to_owned()
}

fn waiting_for(
    python: &Python<'_>,
    future: Address,
    names: &FxHashMap<Address, &str>,
) -> Result<WaitingFor, Problem> {
    let class = type_name(python, future)?;
    let children = match class.as_deref() {
        Some("asyncio.tasks._GatheringFuture") => {
            let children = python.unless_unreadable(python.attribute(future, "_children"))?;
            match children.and_then(|children| children.found()) {
                Some(list) => python.unless_unreadable(python.length(list, "list length"))?,
                None => None,
            }
        }
        _ => None,
    };
    let state = python.unless_unreadable(python.future(future))?;
    Ok(WaitingFor {
        address: future.to_string(),
        class,
        name: names.get(&future).map(|name| mask_text(name)),
        state: state.map(|future| state_name(future.state)),
        children: children.map(|count| count.min(MAX_CHILDREN)),
    })
}

/// The qualified name of a coroutine or generator, the type of anything else.
fn coroutine_name(python: &Python<'_>, coroutine: Address) -> Result<Option<String>, Problem> {
    match type_name(python, coroutine)?.as_deref() {
        Some("builtins.coroutine" | "builtins.generator" | "builtins.async_generator") => {
            let name = python.unless_unreadable(python.generator_name(coroutine))?;
            Ok(name.map(|name| name.qualname))
        }
        other => Ok(other.map(str::to_owned)),
    }
}

fn type_name(python: &Python<'_>, object: Address) -> Result<Option<String>, Problem> {
    let class = python.unless_unreadable(python.type_of(object))?;
    Ok(class.map(|class| class.name().to_owned()))
}

/// Coroutines that were made and never started, except those that a task is going to start.
fn not_started(
    python: &Python<'_>,
    coroutines: &[Address],
    tasks: &[Found],
) -> Result<Vec<NotStartedRow>, Problem> {
    let owned: FxHashSet<Address> =
        tasks.iter().filter_map(|task| task.task.as_ref()?.coroutine).collect();
    let mut counts: BTreeMap<(String, String, i64), u64> = BTreeMap::new();
    for &coroutine in coroutines {
        let progress = python.unless_unreadable(python.progress(coroutine))?;
        if progress != Some(Progress::Created) || owned.contains(&coroutine) {
            continue;
        }
        let here = python.unless_unreadable(python.suspension(coroutine))?;
        let frame = here.and_then(|here| here.frame);
        let name = coroutine_name(python, coroutine)?;
        if let (Some(frame), Some(name)) = (frame, name) {
            let key = (name, frame.code.filename.clone(), frame.code.first_line);
            *counts.entry(key).or_default() += 1;
        }
    }
    let row = |((coroutine, file, line), count)| NotStartedRow { coroutine, file, line, count };
    let mut rows: Vec<NotStartedRow> = counts.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    Ok(rows)
}

/// A key that puts "Task-2" before "Task-10".
fn natural(name: &str) -> (String, u64, String) {
    let head = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name.strip_prefix(head).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    (head.to_owned(), number, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn names_are_ordered_by_their_number() {
        let mut names = ["Task-10", "worker", "Task-2", "Task-99999999999999999999", "7", ""];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["", "7", "Task-99999999999999999999", "Task-2", "Task-10", "worker"]);
    }
}
