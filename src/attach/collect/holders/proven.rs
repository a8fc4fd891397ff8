//! Leaks that one picture proves: tasks, futures and threads that nothing alive can ever wake.

use super::threads::{self, ThreadWait, frame_of};
use super::{Holding, Question};
use crate::attach::collect::Problem;
use crate::cpython::{Frame, FutureState, Python};
use crate::heap::graph::waiting::{Wait, Waiting, Woken, may_wake};
use crate::heap::graph::{Graph, Node, Special};
use crate::memory::Address;
use crate::snapshot::holders::{HiddenWaker, Location, Proven, StuckThread};
use rustc_hash::FxHashSet;
use std::cmp::Reverse;
use std::collections::BTreeMap;

const TASK: &str = "nothing alive refers to what they wait for, but others that wait like them: \
                    unless they are cancelled, they wait for ever";
const THREAD: &str = "nothing alive refers to the lock they wait for, but others that wait like \
                      them: nothing can ever release it";
const FUTURE: &str = "nothing alive refers to them, but tasks and threads that wait for ever: \
                      nothing can ever give them a result";
/// Parts of the names of files whose functions only pass a wait on.
const LIBRARY: [&str; 4] = ["/asyncio/", "/threading.py", "/queue.py", "/concurrent/futures/"];
/// Places whose waiters' holders are looked for: that takes searches of the whole graph.
const HELD: usize = 3;
/// A future of `concurrent.futures`.
const CONCURRENT: &str = "concurrent.futures._base.Future";
const HIDDEN: &str = "only C code refers to what they wait for: it may wake them";

/// Which futures are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Futures {
    /// Every one.
    All,
    /// Not those that a task or thread told of waits for: one finding is enough.
    NotAwaited,
}

/// What is proven, each with its objects, and what C code hides.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) proven: Vec<(Proven, Vec<Node>)>,
    pub(super) hidden: Vec<(HiddenWaker, Vec<Node>)>,
}

/// Looks for everyone who can never be woken, by where they wait.
pub(super) fn find(
    holding: &Holding<'_, '_>,
    question: &Question<'_>,
    runtime: Address,
    which: Futures,
) -> Result<Found, Problem> {
    let mut waiting = Waiting::default();
    tasks(holding, &mut waiting)?;
    let tasks = waiting.waits.len();
    let main = holding.python.runtime(runtime)?.main_thread;
    let threads = threads::add(holding, main, &mut waiting)?;
    let mut search = Search { holding, question, waiting, tasks, threads, found: Found::default() };
    if search.waiting.waits.is_empty() {
        return Ok(search.found);
    }
    let graph = holding.graph;
    search.waiting.garbage = graph.objects().filter(|&node| !holding.is_alive(node)).collect();
    search.waiting.bookkeeping = bookkeeping(holding);
    let woken = may_wake(holding.python, graph, &search.waiting, true);
    let without_c = may_wake(holding.python, graph, &search.waiting, false);
    let all = 0..search.waiting.waits.len();
    for (kind, waits, reason) in [("task", 0..tasks, TASK), ("thread", tasks..all.end, THREAD)] {
        let is_open = |woken: &Woken, at: usize| woken.open.get(at) == Some(&true);
        let total = waits.len() as u64;
        let stuck = waits.clone().filter(|&at| !is_open(&woken, at)).collect();
        search.add(kind, stuck, total, reason)?;
        let hidden = waits.filter(|&at| is_open(&woken, at) && !is_open(&without_c, at));
        let hidden = hidden.filter_map(|at| search.waiter(at)).collect();
        search.hide(kind, hidden, total);
    }
    search.futures(&woken, &without_c, which)?;
    Ok(search.found)
}

/// Tasks that wait for a future.
fn tasks(holding: &Holding<'_, '_>, waiting: &mut Waiting) -> Result<(), Problem> {
    let (python, graph) = (holding.python, holding.graph);
    let is_task: Vec<bool> =
        graph.types().iter().map(|known| python.is_task_class(&known.class)).collect();
    for node in graph.objects() {
        let number = graph.type_number(node);
        let is_task = number.and_then(|number| is_task.get(number as usize)).copied();
        if is_task != Some(true) || !holding.is_alive(node) {
            continue;
        }
        let address = graph.address(node);
        let waits_for = python.future(address).and_then(|future| match future.state {
            FutureState::Pending => Ok(python.task(address)?.waits_for),
            _ => Ok(None),
        });
        let awaited = python.unless_unreadable(waits_for)?.flatten();
        let awaited = awaited.and_then(|awaited| graph.node_at(awaited));
        waiting.waits.extend(awaited.map(|awaited| Wait { waiter: node, awaited }));
    }
    Ok(())
}

/// Where event loops note the asynchronous generators that they would close at their end.
fn bookkeeping(holding: &Holding<'_, '_>) -> FxHashSet<Node> {
    let (python, graph) = (holding.python, holding.graph);
    let is_loop = |class| python.is_subtype(class, "asyncio.events.AbstractEventLoop");
    let loops: Vec<bool> = graph.types().iter().map(|known| is_loop(&known.class)).collect();
    let loops = graph.objects().filter(|&node| {
        let number = graph.type_number(node);
        number.and_then(|number| loops.get(number as usize)) == Some(&true)
    });
    let attribute = |object: Address, name: &str| python.attribute(object, name).ok()?.found();
    let sets = loops.filter_map(|node| {
        let weak = attribute(graph.address(node), "_asyncgens")?;
        graph.node_at(attribute(weak, "data")?)
    });
    sets.collect()
}

struct Search<'s, 'h, 'm> {
    holding: &'s Holding<'h, 'm>,
    question: &'s Question<'s>,
    waiting: Waiting,
    /// The waits up to this one are those of tasks, the others of threads.
    tasks: usize,
    threads: Vec<ThreadWait>,
    found: Found,
}

/// A function, and a place in it.
type Suspended = (String, Option<Location>);

impl Search<'_, '_, '_> {
    fn waiter(&self, at: usize) -> Option<Node> {
        self.waiting.waits.get(at).map(|wait| wait.waiter)
    }

    /// The object of a waiter: of a thread, its `threading.Thread`.
    fn object(&self, waiter: Node) -> Node {
        if !matches!(self.holding.graph.special(waiter), Some(Special::Thread(_))) {
            return waiter;
        }
        let wait = self.waiting.waits.iter().skip(self.tasks).position(|one| one.waiter == waiter);
        let thread = wait.and_then(|thread| self.threads.get(thread));
        thread.and_then(|thread| thread.object).unwrap_or(waiter)
    }

    fn hide(&mut self, kind: &str, waiters: Vec<Node>, waiting: u64) {
        if !waiters.is_empty() {
            let waiters: Vec<Node> = waiters.into_iter().map(|node| self.object(node)).collect();
            let hidden = HiddenWaker {
                kind: kind.to_owned(),
                count: waiters.len() as u64,
                waiting,
                reason: HIDDEN.to_owned(),
            };
            self.found.hidden.push((hidden, waiters));
        }
    }

    /// Adds waits that are proven, those that wait at the same place together.
    fn add(
        &mut self,
        kind: &str,
        waits: Vec<usize>,
        waiting: u64,
        reason: &str,
    ) -> Result<(), Problem> {
        let mut places: BTreeMap<Suspended, Vec<Node>> = BTreeMap::new();
        for at in waits {
            let Some(waiter) = self.waiter(at) else { continue };
            let place = match at.checked_sub(self.tasks) {
                Some(thread) => self.threads.get(thread).map(|thread| self.of_thread(thread)),
                None => Some(self.of_task(waiter)),
            };
            places.entry(place.unwrap_or_default()).or_default().push(waiter);
        }
        self.groups(kind, places, waiting, reason)
    }

    fn of_task(&self, task: Node) -> Suspended {
        let python = self.holding.python;
        let task = python.task(self.holding.graph.address(task)).ok();
        let chain = task
            .and_then(|task| task.coroutine)
            .and_then(|coroutine| python.await_chain(coroutine).ok());
        suspended(chain.iter().flat_map(|chain| &chain.frames))
    }

    fn of_thread(&self, thread: &ThreadWait) -> Suspended {
        suspended(thread.frames.iter().filter_map(|&node| frame_of(self.holding.graph, node)))
    }

    fn groups(
        &mut self,
        kind: &str,
        places: BTreeMap<Suspended, Vec<Node>>,
        waiting: u64,
        reason: &str,
    ) -> Result<(), Problem> {
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_by_key(|(_, nodes)| Reverse(nodes.len()));
        let graph = self.holding.graph;
        for (place, ((name, location), nodes)) in places.into_iter().enumerate() {
            let threads = nodes.iter().filter_map(|&node| thread_row(graph, node)).collect();
            let nodes: Vec<Node> = nodes.into_iter().map(|node| self.object(node)).collect();
            let holders = match place < self.question.groups.min(HELD) {
                true => {
                    let question = Question { groups: 3, runtime: None, ..*self.question };
                    self.holding.holders(&nodes, &question)?.holders.groups
                }
                false => Vec::new(),
            };
            let proven = Proven {
                kind: kind.to_owned(),
                count: nodes.len() as u64,
                waiting,
                waits_in: Some(name).filter(|name| !name.is_empty()),
                location,
                objects: nodes.iter().map(|&node| graph.address(node).to_string()).collect(),
                threads,
                reason: reason.to_owned(),
                holders,
            };
            self.found.proven.push((proven, nodes));
        }
        Ok(())
    }

    /// Adds the futures that nothing can ever resolve.
    fn futures(&mut self, woken: &Woken, without_c: &Woken, which: Futures) -> Result<(), Problem> {
        let (python, graph) = (self.holding.python, self.holding.graph);
        let kinds: Vec<Option<bool>> = graph
            .types()
            .iter()
            .map(|known| match &known.class {
                class if python.is_task_class(class) => None,
                class if python.is_future_class(class) => Some(true),
                class => python.is_subtype(class, CONCURRENT).then_some(false),
            })
            .collect();
        let is_reached =
            |woken: &Woken, node: Node| woken.reached.get(node as usize) == Some(&true);
        let (mut lost, mut hidden, mut pending) = (Vec::new(), Vec::new(), 0);
        for node in graph.objects().filter(|&node| self.holding.is_alive(node)) {
            let kind = graph.type_number(node).and_then(|number| kinds.get(number as usize));
            let Some(Some(of_asyncio)) = kind else { continue };
            if !is_pending(python, graph.address(node), *of_asyncio)? {
                continue;
            }
            pending += 1;
            if !is_reached(woken, node) {
                lost.push(node);
            } else if !is_reached(without_c, node) {
                hidden.push(node);
            }
        }
        self.hide("future", hidden, pending);
        if which == Futures::NotAwaited {
            let awaited = self.awaited(woken);
            lost.retain(|node| !awaited.contains(node));
        }
        let places = BTreeMap::from([(Suspended::default(), lost)]);
        let places = places.into_iter().filter(|(_, nodes)| !nodes.is_empty()).collect();
        self.groups("future", places, pending, FUTURE)
    }

    /// What those wait for that are proven.
    fn awaited(&self, woken: &Woken) -> FxHashSet<Node> {
        let (python, graph) = (self.holding.python, self.holding.graph);
        let mut awaited = FxHashSet::default();
        for (at, wait) in self.waiting.waits.iter().enumerate() {
            if woken.open.get(at) == Some(&true) {
                continue;
            }
            awaited.insert(wait.awaited);
            // The future of a thread that waits in `result()`.
            let frames = at.checked_sub(self.tasks).and_then(|thread| self.threads.get(thread));
            for &frame in frames.map(|thread| thread.frames.as_slice()).unwrap_or_default() {
                let locals = frame_of(graph, frame).and_then(|frame| python.locals(frame).ok());
                let own = locals.into_iter().flatten().find(|local| local.name == "self");
                awaited.extend(own.and_then(|own| graph.node_at(own.value)));
            }
        }
        awaited
    }
}

/// The program's own frame says more than the one of the standard library it waits in.
fn suspended<'f>(frames: impl Iterator<Item = &'f Frame> + Clone) -> Suspended {
    let is_own = |frame: &&Frame| {
        let file = &frame.code.filename;
        !LIBRARY.iter().any(|part| file.contains(part))
    };
    let frame = frames.clone().find(is_own).or_else(|| frames.clone().next());
    let name = frame.map(|frame| frame.qualname().unwrap_or(&frame.code.name).to_owned());
    let location = frame.map(|frame| Location {
        file: frame.code.filename.clone(),
        line: frame.line.map(u64::from),
    });
    (name.unwrap_or_default(), location)
}

fn is_pending(python: &Python<'_>, future: Address, of_asyncio: bool) -> Result<bool, Problem> {
    if of_asyncio {
        let state = python.unless_unreadable(python.future(future))?;
        return Ok(state.is_some_and(|future| future.state == FutureState::Pending));
    }
    let state = python.attribute_as(future, "_state", |state| python.text(state, 40));
    Ok(state.is_some_and(|state| matches!(state.as_str(), "PENDING" | "RUNNING")))
}

fn thread_row(graph: &Graph, node: Node) -> Option<StuckThread> {
    let Some(Special::Thread(thread)) = graph.special(node) else { return None };
    Some(StuckThread { name: thread.name.clone(), native_id: thread.native_id })
}
