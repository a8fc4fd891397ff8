//! The best path from the root to every node, in one search.
//!
//! Best is not shortest: a path that can be named wins. References have costs: an attribute, an
//! item, a global variable cost little, a local variable of a frame more, what only a C struct
//! knows or an object's class much more; bookkeeping (a container that holds everything of its
//! kind, whoever else does) so much that it is a holder only where there is no other.

use super::{Graph, Kind, Label, NONE, Node};
use crate::cpython::{Interpreter, Python};
use rustc_hash::FxHashMap;

/// Costs are multiples of this, so that there is room for preferences between equals.
const UNIT: u32 = 8;
/// What it costs to enter a bookkeeping container.
const BOOKKEEPING: u32 = 500 * UNIT;
/// Paths that cost this much lead through bookkeeping.
pub const UNWANTED: u32 = BOOKKEEPING;
/// The largest cost of one reference.
const MOST: u32 = 600 * UNIT;

/// Global variables that hold everything of a kind and mean nothing: module and name.
const CONTAINERS: &[(&str, &str)] = &[
    ("threading", "_active"),
    ("threading", "_limbo"),
    ("threading", "_shutdown_locks"),
    ("threading", "_dangling"),
    ("asyncio.tasks", "_all_tasks"),
    ("asyncio.tasks", "_scheduled_tasks"),
    ("asyncio.tasks", "_eager_tasks"),
    ("asyncio.tasks", "_current_tasks"),
    ("_asyncio", "_scheduled_tasks"),
    ("_asyncio", "_eager_tasks"),
    ("_asyncio", "_current_tasks"),
    ("logging", "_handlers"),
    ("logging", "_handlerList"),
    ("multiprocessing.process", "_children"),
    ("multiprocessing.process", "_dangling"),
    ("multiprocessing.util", "_afterfork_registry"),
    ("concurrent.futures.thread", "_threads_queues"),
    ("concurrent.futures.process", "_threads_wakeups"),
];

/// What nodes cost beside the references that lead to them.
#[derive(Debug, Default)]
pub struct Preferences {
    extra: FxHashMap<Node, u32>,
    marked: Vec<bool>,
    /// Of each type: its instances are event loops.
    loops: Vec<bool>,
}

impl Preferences {
    /// Looks up the modules and the bookkeeping containers of all interpreters.
    pub fn new(python: &Python<'_>, interpreters: &[Interpreter], graph: &Graph) -> Self {
        let is_loop = |class| python.is_subtype(class, "asyncio.events.AbstractEventLoop");
        let mut found = Self {
            extra: FxHashMap::default(),
            marked: vec![false; graph.len()],
            loops: graph.types().iter().map(|known| is_loop(&known.class)).collect(),
        };
        for interpreter in interpreters {
            let Some(modules) = graph.node_at(interpreter.modules) else { continue };
            // Longer module names first: a package that passes something on is not its home.
            let names = python.dict_items(interpreter.modules, 1 << 20).unwrap_or_default();
            for (name, module) in names {
                let Some(node) = graph.node_at(module) else { continue };
                let name = python.text(name, 200).unwrap_or_default();
                let dots = name.matches('.').count().min(3) as u32;
                let cost = if name == "__main__" { UNIT + 2 } else { UNIT - 2 * dots };
                found.set(node, cost);
            }
            found.set(modules, 0);
            for &(module, name) in CONTAINERS {
                let Ok(Some(container)) = python.module_global(interpreter, module, name) else {
                    continue;
                };
                let Some(node) = graph.node_at(container) else { continue };
                found.set(node, BOOKKEEPING);
                // A weak set is an object around a set.
                let inner = python.attribute(container, "data").ok().and_then(|data| data.found());
                if let Some(inner) = inner.and_then(|inner| graph.node_at(inner)) {
                    found.set(inner, BOOKKEEPING);
                }
            }
        }
        found
    }

    fn set(&mut self, node: Node, cost: u32) {
        self.extra.insert(node, cost);
        if let Some(marked) = self.marked.get_mut(node as usize) {
            *marked = true;
        }
    }

    /// It holds everything of its kind, and means nothing.
    pub fn is_bookkeeping(&self, node: Node) -> bool {
        self.extra(node) >= BOOKKEEPING
    }

    fn extra(&self, node: Node) -> u32 {
        match self.marked.get(node as usize) {
            Some(true) => self.extra.get(&node).copied().unwrap_or(0),
            _ => 0,
        }
    }
}

/// The best path to every node that is reached.
#[derive(Debug, Clone)]
pub struct Paths {
    parents: Vec<Node>,
    labels: Vec<Label>,
    costs: Vec<u32>,
}

/// What the source of a reference is, as far as costs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Other,
    Function,
    Class,
}

impl Paths {
    /// Searches from the root. Nodes in `without` are not passed, but may be reached.
    pub fn search(graph: &Graph, preferences: &Preferences, without: &[Node]) -> Self {
        let count = graph.len();
        let none = Label::new(Kind::Field, 0);
        let mut found = Self {
            parents: vec![NONE; count],
            labels: vec![none; count],
            costs: vec![u32::MAX; count],
        };
        let types = graph.types();
        let kinds: Vec<Source> =
            types.iter().map(|known| source(known.class.name(), known)).collect();
        let loops = &preferences.loops;
        // Dial's algorithm: one bucket for each cost modulo more than the largest.
        let mut buckets: Vec<Vec<Node>> = vec![Vec::new(); MOST as usize * 2];
        let buckets_len = buckets.len() as u64;
        let mut waiting = 1u64;
        let mut distance = 0u64;
        let root = graph.root();
        if let Some(cost) = found.costs.get_mut(root as usize) {
            *cost = 0;
        }
        if let Some(first) = buckets.first_mut() {
            first.push(root);
        }
        while waiting > 0 {
            let bucket = (distance % buckets_len) as usize;
            let mut nodes = match buckets.get_mut(bucket) {
                Some(nodes) if !nodes.is_empty() => std::mem::take(nodes),
                _ => {
                    distance += 1;
                    continue;
                }
            };
            waiting -= nodes.len() as u64;
            for &node in &nodes {
                // Reached at less cost meanwhile.
                if found.costs.get(node as usize).is_none_or(|&cost| u64::from(cost) != distance) {
                    continue;
                }
                if without.contains(&node) {
                    continue;
                }
                let from = match graph.type_number(node) {
                    Some(number) => kinds.get(number as usize).copied().unwrap_or(Source::Other),
                    None => Source::Other,
                };
                for (to, label) in graph.references(node) {
                    let at = to as usize;
                    let Some(known) = found.costs.get_mut(at) else { continue };
                    // No reference makes it cheaper: most end here.
                    if u64::from(*known) <= distance {
                        continue;
                    }
                    let mut cost =
                        cost(graph, from, to, label).saturating_add(preferences.extra(to));
                    // Everything of asyncio knows its loop; what runs it holds it.
                    if label.kind() != Kind::Local
                        && graph
                            .type_number(to)
                            .is_some_and(|at| loops.get(at as usize) == Some(&true))
                    {
                        cost += 15 * UNIT;
                    }
                    let total = (distance as u32).saturating_add(cost.min(MOST));
                    if total >= *known || total == u32::MAX {
                        continue;
                    }
                    *known = total;
                    if let (Some(parent), Some(slot)) =
                        (found.parents.get_mut(at), found.labels.get_mut(at))
                    {
                        *parent = node;
                        *slot = label;
                    }
                    // What refers to nothing leads nowhere.
                    if graph.targets(to).is_empty() {
                        continue;
                    }
                    let bucket = (u64::from(total) % buckets_len) as usize;
                    if let Some(bucket) = buckets.get_mut(bucket) {
                        bucket.push(to);
                        waiting += 1;
                    }
                }
            }
            nodes.clear();
            // What costs nothing is in the same bucket again.
            if let Some(bucket) = buckets.get_mut(bucket)
                && bucket.is_empty()
            {
                *bucket = nodes;
                distance += 1;
            }
        }
        found
    }

    /// Where the best path to a node comes from, and by which reference.
    pub fn parent(&self, node: Node) -> Option<(Node, Label)> {
        let parent = self.parents.get(node as usize).copied().filter(|&parent| parent != NONE)?;
        Some((parent, self.labels.get(node as usize).copied()?))
    }

    /// The cost of the best path; `None` for what is not reached.
    pub fn cost(&self, node: Node) -> Option<u32> {
        self.costs.get(node as usize).copied().filter(|&cost| cost != u32::MAX)
    }

    /// The nodes from the root (left out) to `node`.
    pub fn chain(&self, node: Node) -> Vec<Node> {
        let mut chain = vec![node];
        let mut at = node;
        while let Some((parent, _)) = self.parent(at) {
            chain.push(parent);
            at = parent;
        }
        // The root.
        chain.pop();
        chain.reverse();
        chain
    }
}

fn source(name: &str, known: &super::GraphType) -> Source {
    match name {
        "builtins.function" => Source::Function,
        _ if known.class.flags.type_subclass() => Source::Class,
        _ => Source::Other,
    }
}

fn cost(graph: &Graph, from: Source, to: Node, label: Label) -> u32 {
    let is_dict = || graph.class(to).is_some_and(|class| class.flags.dict_subclass());
    let units = match label.kind() {
        Kind::Namespace | Kind::Frame => 0,
        Kind::Item | Kind::Value | Kind::Member | Kind::Attribute => 1,
        // The globals of a function are those of its module.
        Kind::Field if from == Source::Function && is_dict() => 14,
        // Bases, and the method resolution order.
        Kind::Field if from == Source::Class => 25,
        Kind::Field if label.is_inferred() => 3,
        Kind::Field => 1,
        Kind::Key => 4,
        Kind::Local => 2,
        Kind::Stack => 3,
        Kind::Function => 4,
        Kind::Code => 6,
        Kind::Type => 50,
        Kind::Thread => match graph.special(to) {
            Some(super::Special::Thread(_)) => 8,
            _ => 0,
        },
        Kind::Interpreter => match (graph.special(to), label.place()) {
            (Some(_), _) | (None, 0) => 0,
            (None, 1) => 30,
            (None, _) => 24,
        },
        Kind::Static => 16,
        Kind::HeldFromC => 35,
    };
    units * UNIT
}
