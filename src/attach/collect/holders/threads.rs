//! Threads that wait for a lock which only another thread can release, and what is theirs alone.
//!
//! A thread waits where its innermost frame is that of `threading.Condition.wait` without a time
//! limit, and its lock is among those that the condition would release: so wait `Event`,
//! `Condition`, `Semaphore`, `Barrier`, `queue.Queue` and futures of `concurrent.futures`. Any
//! other thread counts as running, the main thread always: a signal may wake it.

use super::Holding;
use crate::attach::collect::Problem;
use crate::cpython::{Code, Frame, Integer, Interpreter, Python};
use crate::heap::graph::waiting::{Wait, Waiting};
use crate::heap::graph::{Graph, Kind, Node, Special};
use crate::layout::traits::FrameChain;
use crate::memory::Address;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// What a condition makes its waiters wait for.
const LOCK: &str = "_thread.lock";
/// Attributes of a thread that nobody looks at but its own `run`.
const PRIVATE: [&str; 3] = ["_target", "_args", "_kwargs"];
/// Words of a value stack that are looked through.
const MAX_STACK: u64 = 24;
/// What `f(*args, **kwargs)` keeps on the value stack during the call; a null beside it from 3.11.
const CALL_WORDS: usize = 3;

/// The functions whose value stacks are known.
struct Known {
    /// `threading.Condition.wait`
    wait: Rc<Code>,
    /// `Thread.run` and the like: all they do is `f(*args, **kwargs)`.
    calls: Vec<Rc<Code>>,
}

impl Known {
    fn of(python: &Python<'_>, interpreter: &Interpreter) -> Option<Self> {
        let method = |module: &str, class: &str, name: &str| -> Option<Rc<Code>> {
            let class = python.module_global(interpreter, module, class).ok()??;
            let dict = python.layout().structs.type_object.dict;
            let dict = dict.read_pointer(python.memory(), class).ok()?.non_null()?;
            python.function_code(python.dict_get(dict, name).ok()??).ok()
        };
        let calls = [
            method("threading", "Thread", "run"),
            method("concurrent.futures.thread", "_WorkItem", "run"),
        ];
        Some(Self {
            wait: method("threading", "Condition", "wait")?,
            calls: calls.into_iter().flatten().collect(),
        })
    }
}

/// A thread that waits.
pub(super) struct ThreadWait {
    /// Its frames, innermost first.
    pub(super) frames: Vec<Node>,
    /// Its `threading.Thread`.
    pub(super) object: Option<Node>,
}

/// Adds the threads that wait; the threads that were added, in order. `main`: the ident of the
/// main thread.
pub(super) fn add(
    holding: &Holding<'_, '_>,
    main: u64,
    waiting: &mut Waiting,
) -> Result<Vec<ThreadWait>, Problem> {
    let (python, graph) = (holding.python, holding.graph);
    let known: Vec<Known> =
        holding.interpreters.iter().filter_map(|one| Known::of(python, one)).collect();
    let active = active(holding);
    let mut found = Vec::new();
    for thread in 0..graph.objects().start {
        let Some(Special::Thread(state)) = graph.special(thread) else { continue };
        let frames: Vec<Node> =
            (thread + 1..).take_while(|&node| frame_of(graph, node).is_some()).collect();
        if state.ident == main {
            continue;
        }
        let stack: Vec<&Frame> =
            frames.iter().filter_map(|&frame| frame_of(graph, frame)).collect();
        let Some(lock) = awaited(python, graph, &known, &stack)? else { continue };
        let at = waiting.waits.len();
        waiting.waits.push(Wait { waiter: thread, awaited: lock });
        unseen(python, graph, &known, &frames, lock, at, waiting);
        let object = private(holding, &active, state.ident, at, waiting);
        found.push(ThreadWait { frames, object });
    }
    Ok(found)
}

pub(super) fn frame_of(graph: &Graph, node: Node) -> Option<&Frame> {
    match graph.special(node) {
        Some(Special::Frame { frame, .. }) => Some(frame),
        _ => None,
    }
}

/// The lock that a thread waits for, if it is certain.
fn awaited(
    python: &Python<'_>,
    graph: &Graph,
    known: &[Known],
    stack: &[&Frame],
) -> Result<Option<Node>, Problem> {
    let Some(frame) = stack.first() else { return Ok(None) };
    if !known.iter().any(|known| Rc::ptr_eq(&known.wait, &frame.code)) {
        return Ok(None);
    }
    let locals = match python.locals(frame) {
        Ok(locals) => locals,
        Err(error) if error.fatal().is_some() => return Err(error),
        Err(_) => return Ok(None),
    };
    let local = |name: &str| locals.iter().find(|one| one.name == name).map(|one| one.value);
    let (Some(condition), Some(lock), Some(timeout)) =
        (local("self"), local("waiter"), local("timeout"))
    else {
        return Ok(None);
    };
    let (Some(lock), true) = (graph.node_at(lock), python.is_none(timeout).unwrap_or(false)) else {
        return Ok(None);
    };
    // Before and behind the wait itself, it is not among them.
    let waiters = python.attribute(condition, "_waiters").ok().and_then(|found| found.found());
    let waiters = waiters.and_then(|waiters| graph.node_at(waiters));
    let listed = waiters.is_some_and(|waiters| graph.targets(waiters).contains(&lock));
    let is_lock = graph.class(lock).is_some_and(|class| class.name() == LOCK);
    Ok((listed && is_lock).then_some(lock))
}

/// References that frames have on their value stacks while they call: a frame tells how far its
/// stack reaches from 3.14 on, and before (but not up to 3.10) where it calls Python code.
fn unseen(
    python: &Python<'_>,
    graph: &Graph,
    known: &[Known],
    frames: &[Node],
    lock: Node,
    at: usize,
    waiting: &mut Waiting,
) {
    let heap_frames = python.layout().traits.frame_chain == FrameChain::HeapFrames;
    for (place, &node) in frames.iter().enumerate() {
        let Some(frame) = frame_of(graph, node) else { continue };
        if heap_frames {
            // What executes a frame has a reference to it.
            let object = graph.node_at(frame.address);
            waiting.unseen.extend(object.map(|object| (object, at)));
        }
        if python.frame_depth(frame.address).ok().flatten().is_some() {
            continue;
        }
        if place == 0 {
            // The bound lock of `waiter.acquire()`.
            waiting.unseen.push((lock, at));
        }
        let words = stack_words(python, frame);
        if known.iter().any(|known| known.calls.iter().any(|call| Rc::ptr_eq(call, &frame.code))) {
            let count = CALL_WORDS + usize::from(!heap_frames);
            let words = words.iter().take(count);
            waiting.unseen.extend(words.filter_map(|&word| Some((graph.node_at(word)?, at))));
        } else if heap_frames {
            // `with` keeps the bound `__exit__`.
            let exits = words.iter().filter_map(|&word| {
                let node = graph.node_at(word)?;
                (graph.surplus(node) == 1 && is_exit(python, graph, node)).then_some((node, at))
            });
            waiting.unseen.extend(exits);
            // The callee's `self`.
            let callee = place.checked_sub(1).and_then(|callee| frames.get(callee));
            let first = callee.and_then(|&callee| {
                let object = graph.node_at(frame_of(graph, callee)?.address)?;
                let first = graph
                    .references(object)
                    .find(|(_, label)| label.kind() == Kind::Local && label.place() == 0);
                first.map(|(first, _)| first)
            });
            waiting.unseen.extend(first.map(|first| (first, at)));
        }
    }
}

/// What lies where a frame has its value stack.
fn stack_words(python: &Python<'_>, frame: &Frame) -> Vec<Address> {
    let structs = &python.layout().structs;
    let locals = match structs.frame.locals {
        Some(locals) => Some(locals),
        None => structs.interpreter_frame.as_ref().map(|fields| fields.locals),
    };
    let Some(locals) = locals else { return Vec::new() };
    let first = locals.at(frame.address).add(frame.code.slots() as u64 * 8);
    let words = (0..MAX_STACK).map_while(|word| python.memory().read_u64(first.add(word * 8)).ok());
    words.map(|word| python.stack_reference(word).object).collect()
}

fn is_exit(python: &Python<'_>, graph: &Graph, node: Node) -> bool {
    if graph.class(node).is_none_or(|class| class.name() != "builtins.method") {
        return false;
    }
    let field = python.layout().structs.method.function;
    let function = field.read_pointer(python.memory(), graph.address(node));
    let name = function.ok().and_then(|function| python.function_name(function).ok());
    name.is_some_and(|name| name.ends_with(".__exit__"))
}

/// `threading._active` of all interpreters.
fn active(holding: &Holding<'_, '_>) -> FxHashMap<u64, Address> {
    let python = holding.python;
    let items = holding.interpreters.iter().flat_map(|interpreter| {
        let active = python.module_global(interpreter, "threading", "_active").ok().flatten();
        active.and_then(|active| python.dict_items(active, 1 << 20).ok()).unwrap_or_default()
    });
    let threads = items.filter_map(|(ident, thread)| match python.integer(ident) {
        // Idents are pthread addresses: positive, up to 64 bits.
        Ok(Integer::Small(ident)) => Some((ident as u64, thread)),
        _ => None,
    });
    threads.collect()
}

/// The `threading.Thread` of a thread. Its target and arguments belong to the thread, though it
/// is itself in the hands of `threading`.
fn private(
    holding: &Holding<'_, '_>,
    active: &FxHashMap<u64, Address>,
    ident: u64,
    at: usize,
    waiting: &mut Waiting,
) -> Option<Node> {
    let (python, graph) = (holding.python, holding.graph);
    let thread = *active.get(&ident)?;
    let owner = graph.node_at(thread)?;
    let storage = graph
        .references(owner)
        .find(|(_, label)| label.kind() == Kind::Namespace)
        .map_or(owner, |(dict, _)| dict);
    for name in PRIVATE {
        let value = python.attribute(thread, name).ok().and_then(|value| value.found());
        let value = value.and_then(|value| graph.node_at(value));
        waiting.private.extend(value.map(|value| (storage, value, at)));
    }
    Some(owner)
}
