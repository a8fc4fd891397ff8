//! From the reference graph to groups: who holds these objects, all of them at once.
//!
//! One search gives the best path to every object. Paths of the objects asked for are shown
//! step by step and those that read the same are a group; where their nodes part is the
//! container that accumulates. Whether cutting it is enough is for the dominator tree to say;
//! where it is not, another search without the container finds who else holds them.

mod everything;
mod group;
mod owner;
mod proven;
mod rows;
mod select;
mod sites;
mod stored;
mod threads;
mod types;
mod weight;

pub use everything::{Everything, everything};
pub use owner::{Definition, Place};
pub use rows::{Identity, Labels, rows};
pub use select::Wanted;

use super::Problem;
use crate::cpython::{Interpreter, Python};
use crate::heap::graph::dominators::Dominators;
use crate::heap::graph::names::Names;
use crate::heap::graph::paths::{Paths, Preferences};
use crate::heap::graph::{self, Graph, Node};
use crate::memory::Address;
use crate::resources::{Catalog, Describer};
use crate::snapshot::graph::StoredGraph;
use crate::snapshot::holders::{GraphInfo, Held, HiddenWaker, HolderGroup, Holders, Proven};
use group::Groups;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use weight::Weights;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// Groups to work out; the others are counted.
    pub groups: usize,
    /// Steps of a path.
    pub depth: usize,
    /// Where tracemalloc would keep its table; `None`: where the objects were made is not asked.
    pub runtime: Option<Address>,
    /// What the kernel says of descriptors: states of sockets, in lower case.
    pub socket_states: Option<&'q BTreeMap<i64, String>>,
}

/// The graph of a picture, with what every question needs.
pub struct Holding<'h, 'm> {
    pub(super) python: &'h Python<'m>,
    pub(super) interpreters: &'h [Interpreter],
    pub(super) graph: &'h Graph,
    preferences: Preferences,
    paths: Paths,
    dominators: Dominators,
    /// The place of each node in the order of the dominator tree.
    numbers: Vec<u32>,
    weights: Weights,
}

/// An answer, with places whose lines are in the source files.
#[derive(Debug, Default)]
pub struct Answer {
    /// The groups.
    pub holders: Holders,
    /// For each group, where to look for a line that memory does not tell.
    pub places: Vec<Option<Place>>,
    /// Those among the objects that nothing can ever wake.
    pub proven: Vec<Proven>,
    /// Those among the objects of which C code hides whether it wakes them.
    pub hidden: Vec<HiddenWaker>,
}

impl<'h, 'm> Holding<'h, 'm> {
    /// Works out paths and dominators of a graph.
    pub fn new(
        python: &'h Python<'m>,
        interpreters: &'h [Interpreter],
        graph: &'h Graph,
        describer: &Describer<'_, '_>,
    ) -> Self {
        let preferences = Preferences::new(python, interpreters, graph);
        let paths = Paths::search(graph, &preferences);
        let dominators = graph.dominators();
        let mut numbers = vec![u32::MAX; graph.len()];
        for (place, &node) in dominators.order.iter().enumerate() {
            if let Some(number) = numbers.get_mut(node as usize) {
                *number = place as u32;
            }
        }
        let weights = Weights::new(graph, describer, &dominators);
        Self { python, interpreters, graph, preferences, paths, dominators, numbers, weights }
    }

    /// How large the graph is and how much of it was read.
    pub fn info(&self) -> GraphInfo {
        let statistics = &self.graph.statistics;
        let mut info = GraphInfo {
            objects: self.graph.objects().len() as u64,
            tracked: statistics.tracked,
            references: statistics.references,
            inferred: statistics.inferred,
            unreadable: statistics.unreadable,
            ..GraphInfo::default()
        };
        let mut scanned = vec![0; self.graph.types().len()];
        for node in self.graph.objects() {
            if !self.is_alive(node) {
                info.garbage += 1;
                info.garbage_bytes += self.graph.size(node);
            } else if self.graph.surplus(node) > 0 {
                info.held_from_c += 1;
            }
            let number = self.graph.type_number(node).map(|number| number as usize);
            if let Some(count) = number.and_then(|number| scanned.get_mut(number)) {
                *count += 1;
            }
        }
        for (known, count) in self.graph.types().iter().zip(scanned) {
            if known.inferred && count > 0 {
                *info.scanned_types.entry(known.class.name().to_owned()).or_default() += count;
            }
        }
        info
    }

    /// Something alive reaches it.
    fn is_alive(&self, node: Node) -> bool {
        self.number(node) != u32::MAX
    }

    fn number(&self, node: Node) -> u32 {
        self.numbers.get(node as usize).copied().unwrap_or(u32::MAX)
    }

    /// Those that some path from the root reaches without passing `above`.
    fn not_dominated(&self, nodes: &[Node], above: Node) -> Vec<Node> {
        let limit = self.number(above);
        // Each node is climbed once: a long list's members are all below each other.
        let mut known: FxHashMap<Node, bool> = FxHashMap::default();
        let mut climbed = Vec::new();
        let mut left = Vec::new();
        for &node in nodes {
            let mut at = node;
            let dominated = loop {
                if let Some(&dominated) = known.get(&at) {
                    break dominated;
                }
                if self.number(at) <= limit {
                    break at == above;
                }
                climbed.push(at);
                match self.dominators.parent(at) {
                    Some(up) => at = up,
                    None => break false,
                }
            };
            known.extend(climbed.drain(..).map(|node| (node, dominated)));
            if !dominated {
                left.push(node);
            }
        }
        left
    }

    /// Who holds these objects.
    pub fn holders(&self, targets: &[Node], question: &Question<'_>) -> Result<Answer, Problem> {
        let mut answer = Answer::default();
        let holders = &mut answer.holders;
        holders.total = targets.len() as u64;
        let alive: Vec<Node> =
            targets.iter().copied().filter(|&node| self.is_alive(node)).collect();
        holders.garbage = holders.total - alive.len() as u64;
        let mut names = Names::new(self.python, self.interpreters, self.graph);
        let mut groups = Groups::of(&mut names, self.graph, &self.paths, &alive);
        let free = self.weights.of_groups(self, &groups.members());
        (holders.retained_bytes, holders.retained) = free.iter().fold(
            (0, BTreeMap::new()),
            |(bytes, mut kinds): (u64, BTreeMap<String, u64>), group| {
                for (kind, count) in &group.resources {
                    *kinds.entry(kind.clone()).or_default() += count;
                }
                (bytes.saturating_add(group.bytes), kinds)
            },
        );
        for (index, free) in free.into_iter().enumerate() {
            let Some(members) = groups.group(index).map(<[Node]>::to_vec) else { continue };
            if index >= question.groups {
                holders.groups_not_shown += 1;
                holders.objects_not_shown += members.len() as u64;
                continue;
            }
            let mut group =
                groups.describe(&mut names, self.graph, &self.paths, index, question.depth);
            group.total = holders.total;
            group.retained_bytes = free.bytes;
            group.retained = free.resources;
            let container = groups.container(&names, self.graph, &self.paths, index);
            self.who_else(&mut names, &mut group, container, &members, question);
            let owner = owner::of(&names, self, container.or(members.first().copied()));
            group.owner = owner.owner;
            group.live = owner.live;
            answer.places.push(owner.place);
            group.examples =
                members.iter().take(3).map(|&node| self.graph.address(node).to_string()).collect();
            holders.groups.push(group);
        }
        if let Some(runtime) = question.runtime {
            (holders.sites, holders.sites_hint) = sites::of(self, runtime, targets)?;
        }
        Ok(answer)
    }

    /// Whether the container holds the members alone, and who else does.
    fn who_else(
        &self,
        names: &mut Names<'_, '_>,
        group: &mut HolderGroup,
        container: Option<Node>,
        members: &[Node],
        question: &Question<'_>,
    ) {
        /// Further holders that are looked for.
        const ROUNDS: usize = 3;
        let Some(container) = container else { return };
        let mut left = self.not_dominated(members, container);
        let mut without = vec![container];
        let mut paths = None;
        for _ in 0..ROUNDS {
            if left.is_empty() {
                break;
            }
            let before = paths.take().unwrap_or_else(|| self.paths.clone());
            let paths = paths.insert(before.without(self.graph, &self.preferences, &without));
            let wanted = |node: &Node| {
                paths.cost(*node).is_some_and(|cost| cost < crate::heap::graph::paths::UNWANTED)
            };
            left.retain(wanted);
            if left.is_empty() {
                break;
            }
            let mut others = Groups::of(names, self.graph, paths, &left);
            let described = others.describe(names, self.graph, paths, 0, question.depth);
            let next = others.container(names, self.graph, paths, 0);
            let found = others.group(0).unwrap_or_default().to_vec();
            group.also.push(crate::snapshot::holders::OtherHolder {
                count: found.len() as u64,
                path: described.path,
                accumulation: described.accumulation,
            });
            match next {
                Some(next) => without.push(next),
                None => left.retain(|node| !found.contains(node)),
            }
        }
        group.only_holder = group.also.is_empty();
    }
}

/// How much of who holds what is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Of the resources and tasks.
    #[default]
    Resources,
    /// Also of the largest types, and what would be free without them.
    Types,
    /// Also the graph itself.
    Graph,
}

/// What is kept of who holds what.
#[derive(Debug, Default)]
pub struct Kept {
    /// The groups.
    pub held: Held,
    /// For each group, where to look for a line that memory does not tell.
    pub places: Vec<Option<Place>>,
    /// The graph, and the same for each of its owners.
    pub graph: Option<(StoredGraph, Vec<Option<Place>>)>,
}

/// Groups of one kind that are kept, and steps of their paths.
const GROUPS: usize = 100;
const DEPTH: usize = 12;

/// Who holds every resource and task, and which tasks can never be woken.
pub fn of_resources(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
    describer: &Describer<'_, '_>,
    extent: Extent,
) -> Result<Kept, Problem> {
    let graph = graph::build(python, runtime, interpreters)?;
    let holding = Holding::new(python, interpreters, &graph, describer);
    let mut by_kind: BTreeMap<String, Vec<Node>> = BTreeMap::new();
    let mut kinds: Vec<Option<String>> = Vec::with_capacity(graph.types().len());
    for known in graph.types() {
        let kind = describer.entry_for(&known.class)?.map(|entry| entry.kind.clone());
        kinds.push(kind.or_else(|| python.is_task_class(&known.class).then(|| "task".to_owned())));
    }
    let mut kept = Kept::default();
    for node in graph.objects() {
        let kind = graph.type_number(node).and_then(|number| kinds.get(number as usize));
        if let Some(Some(kind)) = kind {
            if !holding.is_alive(node) {
                kept.held.garbage.insert(graph.address(node).to_string());
                continue;
            }
            match by_kind.get_mut(kind) {
                Some(nodes) => nodes.push(node),
                None => drop(by_kind.insert(kind.clone(), vec![node])),
            }
        }
    }
    let mut names = Names::new(python, interpreters, &graph);
    for (kind, nodes) in by_kind {
        let subject = types::Asked { family: "resource", name: &kind, most: GROUPS, least: 1 };
        types::add(&mut kept, &holding, &mut names, &nodes, subject, extent);
    }
    if extent >= Extent::Types {
        types::largest(&mut kept, &holding, &mut names, &kinds);
    }
    let question = Question { groups: 0, depth: DEPTH, runtime: None, socket_states: None };
    let found = proven::find(&holding, &question, runtime, proven::Futures::NotAwaited)?;
    let held = &mut kept.held;
    held.proven = found.proven.into_iter().map(|(proven, _)| proven).collect();
    held.hidden = found.hidden.into_iter().map(|(hidden, _)| hidden).collect();
    if extent == Extent::Graph {
        kept.graph = Some(stored::of(&holding, describer)?);
    }
    Ok(kept)
}

/// Reads the graph, finds the objects that are wanted, and says who holds them.
pub fn collect(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
    catalog: &Catalog,
    wanted: &Wanted,
    question: &Question<'_>,
) -> Result<(Answer, GraphInfo, Graph), Problem> {
    let graph = graph::build(python, runtime, interpreters)?;
    let describer = Describer::new(python, interpreters, catalog, None);
    let targets = select::targets(&graph, &describer, wanted, question.socket_states)?;
    let (answer, info) = {
        let holding = Holding::new(python, interpreters, &graph, &describer);
        let mut answer = holding.holders(&targets, question)?;
        let found = proven::find(&holding, question, runtime, proven::Futures::All)?;
        let asked = |nodes: &[Node]| nodes.iter().any(|node| targets.binary_search(node).is_ok());
        let proven = found.proven.into_iter().filter(|(_, nodes)| asked(nodes));
        answer.proven = proven.map(|(proven, _)| proven).collect();
        let hidden = found.hidden.into_iter().filter(|(_, nodes)| asked(nodes));
        answer.hidden = hidden.map(|(hidden, _)| hidden).collect();
        (answer, holding.info())
    };
    Ok((answer, info, graph))
}
