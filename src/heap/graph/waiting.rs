//! Who can never be woken: a proof from one picture.
//!
//! The references of everything that waits are cut. What is awaited and reached all the same
//! may be completed one day by whoever reaches it: then the waiter runs on, and its references
//! count again. When nothing changes any more, those that were not opened wait for something
//! that only they, and others like them, refer to (as Go's detection of leaked goroutines does).

use super::{Graph, Kind, Node};
use rustc_hash::FxHashMap;

/// Objects that wake the tasks they refer to by themselves: when their time is up, they cancel.
const TIMEOUTS: &[&str] = &[
    "asyncio.timeouts.Timeout",
    "async_timeout.Timeout",
    "async_timeout._Timeout",
    "aiohttp.helpers.TimerContext",
    "anyio._backends._asyncio.CancelScope",
];

/// What has local variables. (Up to 3.10 those of a coroutine are in a frame object.)
const CODE: &[&str] =
    &["builtins.coroutine", "builtins.generator", "builtins.async_generator", "builtins.frame"];

/// A task and what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub waiter: Node,
    /// For what.
    pub awaited: Node,
}

/// Of each wait: whether something alive may end it. `from_c`: what C code holds is alive.
pub fn may_wake(graph: &Graph, waits: &[Wait], from_c: bool) -> Vec<bool> {
    let of_types = |names: &[&str]| -> Vec<bool> {
        graph.types().iter().map(|known| names.contains(&known.class.name())).collect()
    };
    let mut search = Search {
        graph,
        waits,
        gates: waits.iter().enumerate().map(|(at, wait)| (wait.waiter, at)).collect(),
        awaited: FxHashMap::default(),
        timeouts: of_types(TIMEOUTS),
        code: of_types(CODE),
        reached: vec![false; graph.len()],
        open: vec![false; waits.len()],
        stack: Vec::new(),
    };
    for (at, wait) in waits.iter().enumerate() {
        search.awaited.entry(wait.awaited).or_default().push(at);
    }
    for (node, label) in graph.references(graph.root()) {
        if from_c || label.kind() != Kind::HeldFromC {
            search.stack.push(node);
        }
    }
    while let Some(node) = search.stack.pop() {
        search.visit(node);
    }
    search.open
}

struct Search<'s> {
    graph: &'s Graph,
    waits: &'s [Wait],
    /// The wait of each waiter.
    gates: FxHashMap<Node, usize>,
    /// The waits for each object.
    awaited: FxHashMap<Node, Vec<usize>>,
    /// Of each type: its instances are timeouts.
    timeouts: Vec<bool>,
    /// Of each type: its instances are suspended code, or frames.
    code: Vec<bool>,
    reached: Vec<bool>,
    open: Vec<bool>,
    stack: Vec<Node>,
}

impl Search<'_> {
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
        let number = self.graph.type_number(node);
        if number.and_then(|number| self.timeouts.get(number as usize)) == Some(&true) {
            self.open_all_of(node);
        }
        // Code that will run on may cancel a task it has at hand, as `wait_for` does.
        if number.and_then(|number| self.code.get(number as usize)) == Some(&true) {
            for (to, label) in self.graph.references(node) {
                if matches!(label.kind(), Kind::Local | Kind::Stack)
                    && let Some(&at) = self.gates.get(&to)
                {
                    self.open(at);
                }
            }
        }
        self.stack.extend_from_slice(self.graph.targets(node));
    }

    fn open(&mut self, at: usize) {
        if let (Some(open), Some(wait)) = (self.open.get_mut(at), self.waits.get(at))
            && !std::mem::replace(open, true)
        {
            self.stack.push(wait.waiter);
        }
    }

    /// Opens what a timeout refers to: by an attribute, or in a container of its own.
    fn open_all_of(&mut self, timeout: Node) {
        let mut near: Vec<Node> = self.graph.targets(timeout).to_vec();
        for _ in 0..2 {
            let further: Vec<Node> = near
                .iter()
                .flat_map(|&node| {
                    let class = self.graph.class(node).map(|class| class.name().to_owned());
                    let is_container = class.is_some_and(|class| {
                        matches!(class.as_str(), "builtins.dict" | "builtins.set" | "builtins.list")
                    });
                    if is_container { self.graph.targets(node) } else { &[] }
                })
                .copied()
                .collect();
            for node in near {
                if let Some(&at) = self.gates.get(&node) {
                    self.open(at);
                }
            }
            near = further;
        }
        for node in near {
            if let Some(&at) = self.gates.get(&node) {
                self.open(at);
            }
        }
    }
}
