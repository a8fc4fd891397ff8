//! Everything from one picture of the target, walking the heap once.

use super::dump::{DumpOptions, OsThreads, Stacks};
use super::holders::{Extent, Kept};
use super::resources::{Finder, Selection, row};
use super::sockets::{SocketHeap, SocketTypes};
use super::tasks::{FrameOf, TaskTypes, TasksPicture};
use super::usage::Usage;
use super::{Problem, census, dump, sockets, tasks};
use crate::cpython::{Frame, Interpreter, LocalKind, Python, Runtime, Value, ValueLimits};
use crate::heap::census::{self as walk, Census};
use crate::heap::collector::Collections;
use crate::memory::Address;
use crate::process::{Descriptor, Mapping};
use crate::resources::{Catalog, Describer, Detail, SocketFacts};
use crate::snapshot::census::ObjectTotals;
use crate::snapshot::whole::{CollectionsRow, CollectorRow, User, WorkerRow};
use crate::snapshot::{ResourceRow, ResourceSummary};
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;

/// What a picture gives.
#[derive(Debug)]
pub struct WholePicture {
    /// Counts of every type.
    pub objects: ObjectTotals,
    /// The collectors.
    pub collectors: Vec<CollectorRow>,
    /// Resources summed.
    pub kinds: BTreeMap<String, ResourceSummary>,
    /// Resources one by one.
    pub resources: Vec<ResourceRow>,
    /// Which code has them at hand.
    pub used: Option<BTreeMap<String, Vec<User>>>,
    /// Socket objects and their owners.
    pub sockets: SocketHeap,
    /// Who holds resources and tasks.
    pub kept: Option<Kept>,
    /// Loops and tasks.
    pub tasks: TasksPicture,
    /// Thread stacks.
    pub stacks: Stacks,
    /// By a thread's ident, what tells the turns of its event loop apart.
    pub turns: BTreeMap<u64, String>,
    /// Worker threads of executors.
    pub workers: Vec<WorkerRow>,
    /// Values that could not be read.
    pub unreadable: u64,
    /// Lists that did not close.
    pub broken_lists: u64,
    /// A collection was running.
    pub collecting: bool,
    /// Nothing contradicts itself.
    pub consistent: bool,
    /// What the numbers leave out, in words.
    pub notes: Vec<String>,
}

/// What the picture is read with.
pub(in crate::attach) struct Setting<'s> {
    pub(in crate::attach) runtime: &'s Runtime,
    pub(in crate::attach) interpreters: &'s [Interpreter],
    pub(in crate::attach) os: &'s OsThreads,
    pub(in crate::attach) catalog: &'s Catalog,
    pub(in crate::attach) descriptors: &'s [Descriptor],
    pub(in crate::attach) maps: &'s [Mapping],
    pub(in crate::attach) kernel: &'s dyn SocketFacts,
    /// Whether to find out who holds resources and tasks.
    pub(in crate::attach) holders: Option<u64>,
    /// And of what else.
    pub(in crate::attach) extent: Extent,
}

/// Reads everything.
pub(in crate::attach) fn collect(
    python: &Python<'_>,
    setting: &Setting<'_>,
) -> Result<WholePicture, Problem> {
    let Setting { runtime, interpreters, os, catalog, descriptors, maps, kernel, holders, extent } =
        *setting;
    let stacks = dump::collect(python, runtime, interpreters, os, DumpOptions { locals: false })?;
    let describer = Describer::new(python, interpreters, catalog, Some(kernel));
    let finder = Finder::new(&describer, &Selection::All);
    let (task_types, socket_types) = (TaskTypes::default(), SocketTypes::default());
    let census = walk::take(python, runtime.address, interpreters, &|class| {
        // Each is asked: they keep what they are told.
        let asked = [
            finder.wants(class),
            task_types.wants(python, class),
            socket_types.wants(python, class),
        ];
        asked.contains(&true)
    })?;
    let mut rows = Vec::new();
    let (kinds, undescribed) = finder.describe(&census, Detail::Everything, &mut |resource| {
        let links: Vec<Address> = resource.links.iter().map(|&(_, to)| to).collect();
        rows.push((resource.address, links, row(resource)));
    })?;
    rows.sort_by(|(a_at, _, a), (b_at, _, b)| (&a.kind, &a.id, a_at).cmp(&(&b.kind, &b.id, b_at)));
    let addresses: FxHashSet<Address> = rows.iter().map(|&(address, ..)| address).collect();
    let mut usage = Usage::new(python, addresses);
    let mut turns = BTreeMap::new();
    let mut workers = Workers::default();
    let tasks = tasks::from_census(
        python,
        runtime,
        interpreters,
        os,
        &census,
        task_types,
        &mut |of, frame| {
            if let FrameOf::Thread(ident) = of {
                if let Some(turn) = turn(python, frame)? {
                    turns.insert(ident, turn);
                }
                workers.add(python, ident, frame)?;
            }
            usage.add(of, frame)
        },
    )?;
    let used = usage.finish().filter(|_| !has_greenlets(&census)).map(|used| {
        let mut by_address: BTreeMap<String, Vec<User>> = BTreeMap::new();
        for (address, users) in &used {
            by_address.insert(address.to_string(), users.iter().map(user).collect());
        }
        // What a resource at hand is linked with is at hand too: the session in an async session.
        for (address, links, _) in &rows {
            let Some(users) = used.get(address) else { continue };
            for to in links {
                let users = users.iter().map(user);
                by_address.entry(to.to_string()).or_insert_with(|| users.collect());
            }
        }
        by_address
    });
    let sockets =
        sockets::from_census(python, interpreters, &census, socket_types, descriptors, maps)?;
    let kept = match holders.is_some_and(|most| census.objects <= most) {
        true => python.unless_unreadable(super::holders::of_resources(
            python,
            runtime.address,
            interpreters,
            &describer,
            extent,
        ))?,
        false => None,
    };
    let mut notes = census::notes(&census);
    if holders.is_some() && kept.is_none() {
        let why = "who holds the resources was not looked for among so many objects: `why` tells";
        notes.push(why.to_owned());
    }
    notes.extend(tasks.notes());
    notes.extend(sockets.notes.iter().cloned());
    let unread = [undescribed, census.untyped, sockets.unreadable, tasks.unreadable];
    Ok(WholePicture {
        objects: census::totals(&census),
        collectors: collectors(&census),
        kinds,
        resources: rows.into_iter().map(|(.., row)| row).collect(),
        used,
        kept,
        turns,
        workers: workers.rows,
        unreadable: unread.iter().sum::<u64>() + stacks.unreadable,
        broken_lists: census.breaks.len() as u64,
        collecting: census.collecting,
        consistent: tasks.consistent && sockets.consistent && stacks.complete,
        sockets,
        tasks,
        stacks,
        notes,
    })
}

/// The program's code runs in greenlets, whose stacks are not those of threads.
fn has_greenlets(census: &Census) -> bool {
    census.types.iter().any(|row| {
        let name = row.class.name();
        row.count > 0 && (name == "gevent.hub.Hub" || name.starts_with("eventlet.hubs."))
    })
}

/// Collects worker threads, whose frames come innermost first.
#[derive(Default)]
struct Workers {
    rows: Vec<WorkerRow>,
    /// The thread whose frames were seen last.
    last: Option<u64>,
}

impl Workers {
    /// `_worker` of Lib/concurrent/futures/thread.py has its queue in the variable `work_queue`,
    /// and is the innermost frame while it waits there: the queue is written in C.
    fn add(&mut self, python: &Python<'_>, ident: u64, frame: &Frame) -> Result<(), Problem> {
        let innermost = self.last.replace(ident) != Some(ident);
        if frame.code.name != "_worker"
            || !frame.code.filename.ends_with("/concurrent/futures/thread.py")
        {
            return Ok(());
        }
        let locals = python.unless_unreadable(python.locals(frame))?.unwrap_or_default();
        if let Some(queue) = locals.into_iter().find(|local| local.name == "work_queue") {
            self.rows.push(WorkerRow {
                thread: format!("{ident:#x}"),
                queue: queue.value.to_string(),
                idle: innermost,
            });
        }
        Ok(())
    }
}

fn user(of: &FrameOf) -> User {
    match of {
        FrameOf::Task(address) => User::Task(address.to_string()),
        FrameOf::Thread(ident) => User::Thread(format!("{ident:#x}")),
    }
}

fn collectors(census: &Census) -> Vec<CollectorRow> {
    let row = |count: &walk::CollectorCount| CollectorRow {
        interpreter: count.interpreter,
        collecting: count.collecting,
        generations: count.generations.clone(),
        permanent: count.permanent,
        enabled: count.state.enabled,
        thresholds: count.state.thresholds.clone(),
        counts: count.state.counts.clone(),
        stats: count.state.collections.as_ref().map(|all| all.iter().map(stats).collect()),
        garbage: count.state.garbage,
    };
    census.collectors.iter().map(row).collect()
}

fn stats(of: &Collections) -> CollectionsRow {
    let &Collections { collections, collected, uncollectable } = of;
    CollectionsRow { collections, collected, uncollectable }
}

/// What tells the turns of asyncio's own loops apart: the local variable `end_time`, the clock at
/// which the turn began to run callbacks (`BaseEventLoop._run_once` in Lib/asyncio/base_events.py).
pub(in crate::attach) fn turn(
    python: &Python<'_>,
    frame: &Frame,
) -> Result<Option<String>, Problem> {
    if frame.code.name != "_run_once" {
        return Ok(None);
    }
    let locals = python.unless_unreadable(python.locals(frame))?.unwrap_or_default();
    let mark =
        |local: &crate::cpython::Local| local.name == "end_time" && local.kind == LocalKind::Plain;
    let Some(local) = locals.into_iter().find(mark) else { return Ok(None) };
    Ok(match python.value(local.value, ValueLimits::default())? {
        Value::Float(time) => Some(time.to_string()),
        _ => None,
    })
}
