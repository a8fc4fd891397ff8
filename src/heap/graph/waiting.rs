//! Who can never be woken: a proof from one picture.
//!
//! The references of everything that waits are cut. What is awaited and reached all the same
//! may be completed one day by whoever reaches it: then the waiter runs on, and its references
//! count again. When nothing changes any more, those that were not opened wait for something
//! that only they, and others like them, refer to (as Go's detection of leaked goroutines does).
//!
//! In doubt, something can wake: what C code holds, or may hold where references to it were only
//! inferred; what weak references lead to; garbage, whose finalizers have yet to run; and whatever
//! has a task at hand to cancel.

use super::{Graph, Kind, Node, Special};
use crate::cpython::Python;
use rustc_hash::{FxHashMap, FxHashSet};

/// Objects that end the waits of the tasks they refer to: when their time is up, when another
/// task of theirs fails, when they are called, they cancel.
const CANCELLERS: &[&str] = &[
    "asyncio.timeouts.Timeout",
    "asyncio.taskgroups.TaskGroup",
    "asyncio.runners.Runner",
    "asyncio.events.Handle",
    "asyncio.events.TimerHandle",
    "uvloop.loop.Handle",
    "uvloop.loop.TimerHandle",
    "async_timeout.Timeout",
    "async_timeout._Timeout",
    "aiohttp.helpers.TimerContext",
    "anyio._backends._asyncio.CancelScope",
    "anyio._backends._asyncio.TaskGroup",
    "functools.partial",
];

/// Objects that are as good as a task at hand: its bound method `cancel`, a variable of a closure.
const HANDS: &[&str] = &[
    "builtins.builtin_function_or_method",
    "builtins.builtin_method",
    "builtins.method",
    "builtins.cell",
];

/// What has local variables. (Up to 3.10 those of a coroutine are in a frame object.)
const CODE: &[&str] =
    &["builtins.coroutine", "builtins.generator", "builtins.async_generator", "builtins.frame"];

/// The future of `asyncio.gather`: who cancels it cancels its children.
const GATHERING: &str = "asyncio.tasks._GatheringFuture";

/// C types that are scanned for pointers, of which every pointer to an object is a reference.
const OWNERS: &[&str] = &[
    "builtins.async_generator_asend",
    "builtins.async_generator_athrow",
    "builtins.anext_awaitable",
    "builtins.callable_iterator",
    "builtins.dict_itemiterator",
    "builtins.dict_items",
    "builtins.dict_keyiterator",
    "builtins.dict_keys",
    "builtins.dict_valueiterator",
    "builtins.dict_values",
    "builtins.enumerate",
    "builtins.filter",
    "builtins.list_iterator",
    "builtins.map",
    "builtins.reversed",
    "builtins.set_iterator",
    "builtins.tuple_iterator",
    "builtins.zip",
    "builtins.hamt",
    "builtins.hamt_array_node",
    "builtins.hamt_bitmap_node",
    "builtins.hamt_collision_node",
    "_contextvars.Context",
    "_contextvars.ContextVar",
    "_contextvars.Token",
];

/// Someone who waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// A task or thread.
    pub waiter: Node,
    /// A future, or a lock.
    pub awaited: Node,
}

/// Everyone who waits, and what is known of them.
#[derive(Debug, Default)]
pub struct Waiting {
    /// The waits.
    pub waits: Vec<Wait>,
    /// References that the stacks of waiting threads have and nobody sees: to what, and whose
    /// (the place in `waits`).
    pub unseen: Vec<(Node, usize)>,
    /// References that nobody follows but a waiting thread: from what, to what, and whose.
    pub private: Vec<(Node, Node, usize)>,
    /// Weak references in these are never followed.
    pub bookkeeping: FxHashSet<Node>,
    /// What nothing alive reaches.
    pub garbage: Vec<Node>,
}

/// What may be woken.
#[derive(Debug)]
pub struct Woken {
    /// Of each wait: whether something alive may end it.
    pub open: Vec<bool>,
    /// Of each node: whether something reaches it that does not wait in vain.
    pub reached: Vec<bool>,
}

/// Follows the references of what may run. `from_c`: what C code holds may.
pub fn may_wake(python: &Python<'_>, graph: &Graph, waiting: &Waiting, from_c: bool) -> Woken {
    let of_types = |names: &[&str]| -> Vec<bool> {
        graph.types().iter().map(|known| names.contains(&known.class.name())).collect()
    };
    let waits = &waiting.waits;
    let mut search = Search {
        python,
        graph,
        waiting,
        gates: waits.iter().enumerate().map(|(at, wait)| (wait.waiter, at)).collect(),
        awaited: FxHashMap::default(),
        private: FxHashMap::default(),
        own: FxHashMap::default(),
        cancellers: of_types(CANCELLERS),
        hands: of_types(HANDS),
        code: of_types(CODE),
        gathering: of_types(&[GATHERING]),
        weak: graph.types().iter().map(|known| python.is_weak_reference(&known.class)).collect(),
        reached: vec![false; graph.len()],
        open: vec![false; waits.len()],
        stack: Vec::new(),
    };
    for (at, wait) in waits.iter().enumerate() {
        search.awaited.entry(wait.awaited).or_default().push(at);
    }
    for &(from, to, whose) in &waiting.private {
        search.private.entry(from).or_default().push((to, whose));
        search.own.entry(whose).or_default().push(to);
    }
    for &(to, whose) in &waiting.unseen {
        search.own.entry(whose).or_default().push(to);
    }
    search.begin(from_c);
    while let Some(node) = search.stack.pop() {
        search.visit(node);
    }
    Woken { open: search.open, reached: search.reached }
}

struct Search<'s, 'm> {
    python: &'s Python<'m>,
    graph: &'s Graph,
    waiting: &'s Waiting,
    /// The wait of each waiter.
    gates: FxHashMap<Node, usize>,
    /// The waits for each object.
    awaited: FxHashMap<Node, Vec<usize>>,
    /// References that are followed once a wait is over.
    private: FxHashMap<Node, Vec<(Node, usize)>>,
    /// What else a thread refers to that waits no more, by its wait.
    own: FxHashMap<usize, Vec<Node>>,
    /// Of each type: its instances cancel.
    cancellers: Vec<bool>,
    hands: Vec<bool>,
    /// Of each type: its instances are suspended code, or frames.
    code: Vec<bool>,
    gathering: Vec<bool>,
    weak: Vec<bool>,
    reached: Vec<bool>,
    open: Vec<bool>,
    stack: Vec<Node>,
}

impl Search<'_, '_> {
    /// What runs, or is there for whatever runs.
    fn begin(&mut self, from_c: bool) {
        let mut unseen: FxHashMap<Node, u32> = FxHashMap::default();
        for &(node, _) in &self.waiting.unseen {
            *unseen.entry(node).or_default() += 1;
        }
        let unseen = |node: Node| unseen.get(&node).copied().unwrap_or(0);
        for (node, label) in self.graph.references(self.graph.root()) {
            let more = self.graph.surplus(node) > unseen(node);
            let runs = match label.kind() {
                Kind::HeldFromC => from_c && more,
                Kind::Interpreter => more || self.graph.special(node).is_some(),
                _ => true,
            };
            if runs {
                self.stack.push(node);
            }
        }
        if from_c {
            self.stack.extend(self.doubtful(unseen));
        }
        self.stack.extend_from_slice(&self.waiting.garbage);
    }

    /// Objects that C code may hold, were the pointers to them that were inferred no references.
    fn doubtful(&self, unseen: impl Fn(Node) -> u32) -> Vec<Node> {
        let names = self.graph.types().iter();
        let exact: Vec<bool> =
            names.map(|known| !known.inferred || OWNERS.contains(&known.class.name())).collect();
        let mut inferred: FxHashMap<Node, u32> = FxHashMap::default();
        for from in self.graph.objects() {
            let number = self.graph.type_number(from);
            if number.and_then(|number| exact.get(number as usize)) == Some(&false) {
                for (to, _) in self.graph.references(from).filter(|(_, to)| to.is_inferred()) {
                    *inferred.entry(to).or_default() += 1;
                }
            }
        }
        let counted = inferred.into_iter().filter(|&(node, pointers)| {
            self.graph.surplus(node).saturating_add(pointers) > unseen(node)
        });
        counted.map(|(node, _)| node).collect()
    }

    fn is(&self, kind: &[bool], node: Node) -> bool {
        let number = self.graph.type_number(node);
        number.and_then(|number| kind.get(number as usize)) == Some(&true)
    }

    fn visit(&mut self, node: Node) {
        let closed = self.gates.get(&node).is_some_and(|&at| self.open.get(at) == Some(&false));
        if closed {
            return;
        }
        let Some(reached) = self.reached.get_mut(node as usize) else { return };
        if std::mem::replace(reached, true) {
            return;
        }
        if let Some(waits) = self.awaited.get(&node).cloned() {
            waits.into_iter().for_each(|at| self.open(at));
        }
        if self.is(&self.cancellers, node) {
            self.cancel_all_of(node);
        } else if self.is(&self.hands, node) {
            self.graph.targets(node).iter().for_each(|&to| self.cancel(to));
        }
        // Code that will run on may cancel a task it has at hand, as `wait_for` does.
        let runs = matches!(self.graph.special(node), Some(Special::Frame { .. }));
        if runs || self.is(&self.code, node) {
            for (to, label) in self.graph.references(node) {
                if matches!(label.kind(), Kind::Local | Kind::Stack) {
                    self.cancel(to);
                    // The task lies behind what awaits it.
                    if !self.gates.contains_key(&to) && self.is(&self.gathering, to) {
                        self.cancel_all_of(to);
                    }
                }
            }
        }
        if self.is(&self.weak, node)
            && let Ok(Some(target)) = self.python.weak_target(self.graph.address(node))
        {
            self.stack.extend(self.graph.node_at(target));
        }
        self.follow(node);
    }

    /// Passes on to what a node refers to, but for what only a waiting thread follows.
    fn follow(&mut self, node: Node) {
        let targets = self.graph.targets(node);
        if self.waiting.bookkeeping.contains(&node) {
            // The weak references in it lead nowhere.
            let weak = |to: &Node| self.is(&self.weak, *to);
            let others: Vec<Node> = targets.iter().copied().filter(|to| !weak(to)).collect();
            self.stack.extend(others);
            return;
        }
        let Some(private) = self.private.get(&node) else {
            self.stack.extend_from_slice(targets);
            return;
        };
        let closed = private.iter().filter(|(_, whose)| self.open.get(*whose) == Some(&false));
        let mut hidden: Vec<Node> = closed.map(|&(to, _)| to).collect();
        for &to in targets {
            match hidden.iter().position(|&one| one == to) {
                // Once: another reference to the same counts.
                Some(place) => drop(hidden.swap_remove(place)),
                None => self.stack.push(to),
            }
        }
    }

    /// A wait may end: who waited runs on.
    fn open(&mut self, at: usize) {
        if let (Some(open), Some(wait)) = (self.open.get_mut(at), self.waiting.waits.get(at))
            && !std::mem::replace(open, true)
        {
            self.stack.push(wait.waiter);
            self.stack.extend(self.own.get(&at).into_iter().flatten());
        }
    }

    /// A task may be cancelled, and with it what it awaits.
    fn cancel(&mut self, task: Node) {
        let mut pending = vec![task];
        while let Some(node) = pending.pop() {
            if let Some(&at) = self.gates.get(&node) {
                if self.open.get(at) == Some(&false) {
                    self.open(at);
                    pending.extend(self.waiting.waits.get(at).map(|wait| wait.awaited));
                }
            } else if node != task && self.is(&self.gathering, node) {
                pending.extend(self.near(node));
            }
        }
    }

    /// Cancels the tasks that a node refers to, directly or in a container of its own.
    fn cancel_all_of(&mut self, node: Node) {
        for to in self.near(node) {
            self.cancel(to);
        }
    }

    /// What a node refers to, and what is in its containers, and theirs.
    fn near(&self, node: Node) -> Vec<Node> {
        let mut all = Vec::new();
        let mut near: Vec<Node> = self.graph.targets(node).to_vec();
        for _ in 0..3 {
            all.extend_from_slice(&near);
            let containers = near.iter().filter(|&&node| {
                self.graph.class(node).is_some_and(|class| {
                    matches!(
                        class.name(),
                        "builtins.dict" | "builtins.set" | "builtins.list" | "builtins.tuple"
                    )
                })
            });
            near = containers.flat_map(|&node| self.graph.targets(node)).copied().collect();
        }
        all
    }
}
