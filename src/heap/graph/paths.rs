//! The best path from the root to every node, in one search.
//!
//! Best is not shortest: a path that can be named wins. References have costs: an attribute, an
//! item, a global variable cost little, a local variable of a frame more, what only a C struct
//! knows or an object's class much more; bookkeeping (a container that holds everything of its
//! kind, whoever else does) so much that it is a holder only where there is no other.

use super::{Graph, Kind, Label, NONE, Node};
use crate::cpython::{Interpreter, Python};
use crate::memory::room::{copied, filled, room};
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

/// The node refers to nothing.
const LEAF: u8 = 1;
/// The node has a cost of its own.
const MARKED: u8 = 2;
/// The node is an event loop.
const LOOP: u8 = 4;

/// What nodes cost beside the references that lead to them.
#[derive(Debug, Default)]
pub struct Preferences {
    extra: FxHashMap<Node, u32>,
    /// What is to be known of a node when a reference to it is weighed.
    marks: Vec<u8>,
    /// What each type of source means for costs.
    sources: Vec<Source>,
}

impl Preferences {
    /// Looks up the modules and the bookkeeping containers of all interpreters.
    pub fn new(python: &Python<'_>, interpreters: &[Interpreter], graph: &Graph) -> Self {
        let is_loop = |class| python.is_subtype(class, "asyncio.events.AbstractEventLoop");
        let loops: Vec<bool> = graph.types().iter().map(|known| is_loop(&known.class)).collect();
        let mut marks = room(graph.len());
        marks.extend((0..graph.len() as Node).map(|node| {
            let number = graph.type_number(node).map(|number| number as usize);
            let is_loop = number.and_then(|number| loops.get(number)) == Some(&true);
            let is_leaf = graph.targets(node).is_empty();
            (if is_leaf { LEAF } else { 0 }) | (if is_loop { LOOP } else { 0 })
        }));
        let sources = graph.types().iter().map(|known| source(known.class.name(), known)).collect();
        let mut found = Self { extra: FxHashMap::default(), marks, sources };
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
        if let Some(mark) = self.marks.get_mut(node as usize) {
            *mark |= MARKED;
        }
    }

    /// It holds everything of its kind, and means nothing.
    pub fn is_bookkeeping(&self, node: Node) -> bool {
        self.extra(node) >= BOOKKEEPING
    }

    fn marks(&self, node: Node) -> u8 {
        self.marks.get(node as usize).copied().unwrap_or(0)
    }

    fn extra(&self, node: Node) -> u32 {
        match self.marks(node) & MARKED {
            0 => 0,
            _ => self.extra.get(&node).copied().unwrap_or(0),
        }
    }
}

/// How a node is reached; what belongs together lies together, since searches jump.
#[derive(Debug, Clone, Copy)]
struct Way {
    cost: u32,
    parent: Node,
    label: Label,
}

/// The best path to every node that is reached.
#[derive(Debug)]
pub struct Paths {
    ways: Vec<Way>,
}

impl Clone for Paths {
    fn clone(&self) -> Self {
        Self { ways: copied(&self.ways) }
    }
}

/// What the source of a reference is, as far as costs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Other,
    Function,
    Class,
}

/// Whether a path is still there without some nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Kept,
    Lost,
}

impl Paths {
    /// Searches from the root.
    pub fn search(graph: &Graph, preferences: &Preferences) -> Self {
        let mut found = Self { ways: filled(Way::NONE, graph.len()) };
        let root = graph.root();
        if let Some(way) = found.ways.get_mut(root as usize) {
            way.cost = 0;
        }
        found.go_on(graph, preferences, &[(0, root)], &[]);
        found
    }

    /// The same when the nodes in `without` are not passed, though they may be reached. Only what
    /// lies behind them is searched anew. They are among those that `self` was made without.
    pub fn without(mut self, graph: &Graph, preferences: &Preferences, without: &[Node]) -> Self {
        let fates = self.fates(without);
        for (way, fate) in self.ways.iter_mut().zip(&fates) {
            if *fate == Fate::Lost {
                *way = Way::NONE;
            }
        }
        // From where what was lost may be reached all the same.
        let is_lost = |to: &Node| fates.get(*to as usize) == Some(&Fate::Lost);
        let mut borders: Vec<(u32, Node)> = Vec::new();
        for ((node, way), fate) in (0..).zip(&self.ways).zip(&fates) {
            if *fate == Fate::Kept
                && way.cost != u32::MAX
                && !without.contains(&node)
                && graph.targets(node).iter().any(is_lost)
            {
                borders.push((way.cost, node));
            }
        }
        borders.sort_unstable();
        self.go_on(graph, preferences, &borders, without);
        self
    }

    /// Which nodes have a path that does not pass `without`.
    fn fates(&self, without: &[Node]) -> Vec<Fate> {
        let mut fates = filled(Fate::Unknown, self.ways.len());
        let mut climbed = Vec::new();
        for node in 0..self.ways.len() {
            let mut at = node;
            let fate = loop {
                match fates.get(at) {
                    Some(Fate::Unknown) => climbed.push(at),
                    known => break known.copied().unwrap_or(Fate::Kept),
                }
                match self.ways.get(at) {
                    Some(way) if without.contains(&way.parent) => break Fate::Lost,
                    Some(way) if way.parent != NONE => at = way.parent as usize,
                    _ => break Fate::Kept,
                }
            };
            for at in climbed.drain(..) {
                if let Some(slot) = fates.get_mut(at) {
                    *slot = fate;
                }
            }
        }
        fates
    }

    /// Goes on from nodes whose paths are known, given with their costs, ascending: Dial's
    /// algorithm, with one bucket for each cost modulo more than the largest.
    fn go_on(
        &mut self,
        graph: &Graph,
        preferences: &Preferences,
        from: &[(u32, Node)],
        without: &[Node],
    ) {
        let mut from = from.iter().copied().peekable();
        let mut buckets: Vec<Vec<Node>> = vec![Vec::new(); MOST as usize * 2];
        let buckets_len = buckets.len() as u32;
        let mut waiting = 0u64;
        let mut distance = 0u32;
        loop {
            if waiting == 0 {
                match from.peek() {
                    Some(&(cost, _)) => distance = cost,
                    None => return,
                }
            }
            let mut reach = |total: u32, to: Node| {
                if let Some(bucket) = buckets.get_mut((total % buckets_len) as usize) {
                    bucket.push(to);
                    waiting += 1;
                }
            };
            while let Some((_, node)) = from.next_if(|&(cost, _)| cost == distance) {
                self.expand(graph, preferences, node, distance, &mut reach);
            }
            // What costs nothing comes into the same bucket again.
            let bucket = (distance % buckets_len) as usize;
            let mut nodes = match buckets.get_mut(bucket) {
                Some(nodes) if !nodes.is_empty() => std::mem::take(nodes),
                _ => {
                    distance += 1;
                    continue;
                }
            };
            waiting -= nodes.len() as u64;
            let mut reach = |total: u32, to: Node| {
                if let Some(bucket) = buckets.get_mut((total % buckets_len) as usize) {
                    bucket.push(to);
                    waiting += 1;
                }
            };
            for &node in &nodes {
                // Otherwise reached at less cost meanwhile.
                let is_best = self.ways.get(node as usize).is_some_and(|way| way.cost == distance);
                if is_best && !without.contains(&node) {
                    self.expand(graph, preferences, node, distance, &mut reach);
                }
            }
            nodes.clear();
            if let Some(bucket) = buckets.get_mut(bucket)
                && bucket.is_empty()
            {
                *bucket = nodes;
            }
        }
    }

    /// Follows the references of a node that is reached at a cost of `distance`.
    fn expand(
        &mut self,
        graph: &Graph,
        preferences: &Preferences,
        node: Node,
        distance: u32,
        reach: &mut impl FnMut(u32, Node),
    ) {
        let from = match graph.type_number(node) {
            Some(number) => preferences.sources.get(number as usize).copied(),
            None => None,
        };
        let from = from.unwrap_or(Source::Other);
        for (to, label) in graph.references(node) {
            let Some(way) = self.ways.get_mut(to as usize) else { continue };
            // No reference makes it cheaper: most end here.
            if way.cost <= distance {
                continue;
            }
            let mut cost = cost(graph, from, to, label);
            let marks = preferences.marks(to);
            if marks & MARKED != 0 {
                cost = cost.saturating_add(preferences.extra(to));
            }
            // Everything of asyncio knows its loop; what runs it holds it.
            if marks & LOOP != 0 && label.kind() != Kind::Local {
                cost += 15 * UNIT;
            }
            let total = distance.saturating_add(cost.min(MOST));
            if total >= way.cost || total == u32::MAX {
                continue;
            }
            *way = Way { cost: total, parent: node, label };
            // What refers to nothing leads nowhere.
            if marks & LEAF == 0 {
                reach(total, to);
            }
        }
    }

    /// Where the best path to a node comes from, and by which reference.
    pub fn parent(&self, node: Node) -> Option<(Node, Label)> {
        let way = self.ways.get(node as usize).filter(|way| way.parent != NONE)?;
        Some((way.parent, way.label))
    }

    /// The cost of the best path; `None` for what is not reached.
    pub fn cost(&self, node: Node) -> Option<u32> {
        self.ways.get(node as usize).map(|way| way.cost).filter(|&cost| cost != u32::MAX)
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

impl Way {
    const NONE: Self = Self { cost: u32::MAX, parent: NONE, label: Label::NONE };
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

#[cfg(test)]
mod tests {
    use super::super::NO_TYPE;
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 5] = [Kind::Namespace, Kind::Item, Kind::Local, Kind::Key, Kind::Type];

    fn graph(count: u32, edges: &[(u32, u32, usize)]) -> Graph {
        let classes = vec![NO_TYPE; count as usize];
        let mut graph = Graph { classes, rows: vec![0], ..Graph::default() };
        for node in 0..count {
            for &(_, to, kind) in edges.iter().filter(|edge| edge.0 == node) {
                graph.targets.push(to);
                graph.labels.push(Label::new(KINDS[kind], 0));
            }
            graph.rows.push(graph.targets.len() as u32);
        }
        graph
    }

    /// The cost of each node by trying everything until nothing gets better.
    fn costs(graph: &Graph, without: &[Node]) -> Vec<u32> {
        let mut costs = vec![u32::MAX; graph.len()];
        costs[graph.root() as usize] = 0;
        for _ in 0..graph.len() {
            for node in (0..graph.len() as Node).filter(|node| !without.contains(node)) {
                let from = costs[node as usize];
                for (to, label) in graph.references(node).filter(|_| from != u32::MAX) {
                    let total = from + cost(graph, Source::Other, to, label);
                    let known = &mut costs[to as usize];
                    *known = total.min(*known);
                }
            }
        }
        costs
    }

    fn check(paths: &Paths, graph: &Graph, without: &[Node]) {
        let costs = costs(graph, without);
        for node in 0..graph.len() as Node {
            let own = costs[node as usize];
            assert_eq!(paths.cost(node), (own != u32::MAX).then_some(own));
            let Some((parent, label)) = paths.parent(node) else {
                assert!(own == u32::MAX || node == graph.root());
                continue;
            };
            assert!(!without.contains(&parent));
            let before = costs[parent as usize];
            assert_eq!(own, before + cost(graph, Source::Other, node, label));
            assert!(graph.references(parent).any(|edge| edge == (node, label)));
            assert_eq!(paths.chain(node).last(), Some(&node));
        }
    }

    proptest! {
        #[test]
        fn are_the_cheapest_also_without_some_nodes(
            (count, edges, without) in (2u32..30).prop_flat_map(|count| {
                let edges = prop::collection::vec((0..count, 0..count, 0..KINDS.len()), 0..100);
                (Just(count), edges, prop::collection::vec(0..count - 1, 0..4))
            })
        ) {
            let graph = graph(count, &edges);
            let preferences = Preferences::default();
            let mut paths = Paths::search(&graph, &preferences);
            check(&paths, &graph, &[]);
            for done in 1..=without.len() {
                paths = paths.without(&graph, &preferences, &without[..done]);
                check(&paths, &graph, &without[..done]);
            }
        }
    }
}
