//! The graph as a snapshot file keeps it: the tree of the best paths with names, and what
//! dominates each node.

use super::group::Trie;
use super::{Holding, Place, owner};
use crate::attach::collect::Problem;
use crate::heap::graph::dominators::{Dominators, Rows};
use crate::heap::graph::names::Names;
use crate::heap::graph::paths::Preferences;
use crate::heap::graph::{Graph, Kind, Node};
use crate::resources::Describer;
use crate::snapshot::graph::{
    NONE, Nodes, StoredGraph, StoredOwner, StoredPath, StoredStep, StoredType,
};
use crate::snapshot::secrets::mask_text;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Keys of a dict are kept when it has no more than so many entries of the tree, or when so many
/// objects are behind one of them.
const MOST_KEYS: u32 = 16;
const MANY_BEHIND: u32 = 1000;
/// A step that so many nodes have is one to be foretold.
const COMMON: u32 = 8;
/// Lengths beyond this are not believed.
const MOST_LENGTH: u64 = 1 << 48;

/// The graph without references to bookkeeping containers.
struct Meant<'g> {
    graph: &'g Graph,
    preferences: &'g Preferences,
}

impl Rows for Meant<'_> {
    fn count(&self) -> usize {
        self.graph.count()
    }

    fn row(&self, node: Node) -> &[Node] {
        match self.preferences.is_bookkeeping(node) {
            true => &[],
            false => self.graph.row(node),
        }
    }
}

/// The tree of the best paths: the children of each node, and nodes before what is below them.
struct Tree {
    rows: Vec<u32>,
    children: Vec<Node>,
    order: Vec<Node>,
    /// Nodes below each, itself among them.
    below: Vec<u32>,
}

impl Tree {
    fn of(holding: &Holding<'_, '_>) -> Self {
        let graph = holding.graph;
        let count = graph.len();
        let parent = |node: Node| {
            let parent = holding.paths.parent(node).map(|(parent, _)| parent);
            parent.filter(|_| holding.is_alive(node))
        };
        let mut rows = vec![0u32; count + 2];
        for node in 0..count as Node {
            if let Some(row) = parent(node).and_then(|it| rows.get_mut(it as usize + 2)) {
                *row += 1;
            }
        }
        let mut sum = 0;
        for row in &mut rows {
            sum += *row;
            *row = sum;
        }
        let mut children = vec![0; sum as usize];
        for node in 0..count as Node {
            let Some(row) = parent(node).and_then(|it| rows.get_mut(it as usize + 1)) else {
                continue;
            };
            if let Some(slot) = children.get_mut(*row as usize) {
                *slot = node;
            }
            *row += 1;
        }
        let mut tree = Self { rows, children, order: vec![graph.root()], below: vec![1; count] };
        let mut next = 0;
        while let Some(&node) = tree.order.get(next) {
            next += 1;
            let children = tree.children(node);
            let children: Vec<Node> = children.to_vec();
            tree.order.extend(children);
        }
        for &node in tree.order.iter().rev() {
            let below = tree.below.get(node as usize).copied().unwrap_or(0);
            let above = parent(node).and_then(|it| tree.below.get_mut(it as usize));
            above.into_iter().for_each(|above| *above = above.saturating_add(below));
        }
        tree
    }

    fn children(&self, node: Node) -> &[Node] {
        let at = node as usize;
        match (self.rows.get(at), self.rows.get(at + 1)) {
            (Some(&from), Some(&to)) => {
                self.children.get(from as usize..to as usize).unwrap_or_default()
            }
            _ => &[],
        }
    }

    fn below(&self, node: Node) -> u32 {
        self.below.get(node as usize).copied().unwrap_or(0)
    }
}

/// The graph with the places of owners whose lines are in source files, in the owners' order.
pub(super) fn of(
    holding: &Holding<'_, '_>,
    describer: &Describer<'_, '_>,
) -> Result<(StoredGraph, Vec<Option<Place>>), Problem> {
    let graph = holding.graph;
    let tree = Tree::of(holding);
    let mut names = Names::new(holding.python, holding.interpreters, graph);
    let mut trie = Trie::new(&mut names, graph, &holding.paths);
    let mut path_of = vec![0u32; graph.len()];
    for &node in tree.order.iter().skip(1) {
        let Some((parent, _)) = holding.paths.parent(node) else { continue };
        let literal = |dict: Node| {
            tree.children(dict).len() <= MOST_KEYS as usize || tree.below(node) >= MANY_BEHIND
        };
        let above = path_of.get(parent as usize).copied().unwrap_or(0);
        let path = match trie.names.step(&holding.paths, node, &literal) {
            Some(step) => trie.add(above, step, node),
            None => above,
        };
        path_of.get_mut(node as usize).into_iter().for_each(|slot| *slot = path);
    }
    let shown = std::mem::take(&mut trie.shown);
    drop(trie);

    let mut stored = StoredGraph { info: holding.info(), ..StoredGraph::default() };
    let mut type_numbers: BTreeMap<String, u32> = BTreeMap::new();
    for (number, known) in graph.types().iter().enumerate() {
        let entry = describer.entry_for(&known.class)?;
        let task = || holding.python.is_task_class(&known.class).then(|| "task".to_owned());
        type_numbers.entry(known.class.name().to_owned()).or_insert(number as u32);
        stored.types.push(StoredType {
            name: known.class.name().to_owned(),
            kind: entry.map(|entry| entry.kind.clone()).or_else(task),
            entry: entry.map(|entry| entry.id.clone()),
            ..StoredType::default()
        });
    }
    for node in graph.objects().filter(|&node| !holding.is_alive(node)) {
        let number = graph.type_number(node).unwrap_or(NONE);
        if let Some(known) = stored.types.get_mut(number as usize) {
            known.garbage += 1;
            known.garbage_bytes = known.garbage_bytes.saturating_add(graph.size(node));
        }
    }
    let mut steps: BTreeMap<StoredStep, u32> = BTreeMap::new();
    for (index, one) in shown.iter().enumerate() {
        let step = StoredStep {
            kind: one.step.kind.name().to_owned(),
            text: mask_text(&one.step.text),
            inferred: one.step.inferred,
        };
        let step = match index {
            0 => NONE,
            _ => {
                let next = stored.steps.len() as u32;
                *steps.entry(step.clone()).or_insert_with(|| {
                    stored.steps.push(step);
                    next
                })
            }
        };
        let class = type_numbers.get(&one.class).copied().unwrap_or(NONE);
        stored.paths.push(StoredPath { parent: one.parent, step, class, owner: NONE });
    }
    let order = stored_order(&tree, holding, &path_of, &stored.paths);
    stored.nodes = columns(holding, &names, &tree, &order, &path_of);
    let places = owners(holding, &names, &tree, &order, &path_of, &mut stored);
    Ok((stored, places))
}

/// The nodes as a walk meets them. Of several children those come first whose step many nodes have,
/// always in the same order, so that a file foretells them; then by address, as they were made.
fn stored_order(
    tree: &Tree,
    holding: &Holding<'_, '_>,
    path_of: &[u32],
    paths: &[StoredPath],
) -> Vec<Node> {
    let graph = holding.graph;
    let path = |node: Node| path_of.get(node as usize).copied().unwrap_or(0);
    let step = |node: Node| paths.get(path(node) as usize).map_or(NONE, |path| path.step);
    let mut seen: FxHashMap<u32, u32> = FxHashMap::default();
    tree.order.iter().for_each(|&node| *seen.entry(step(node)).or_default() += 1);
    let key = |node: &Node| {
        let step = step(*node);
        let common = seen.get(&step).is_some_and(|&seen| seen >= COMMON);
        (if common { step } else { NONE }, graph.address(*node))
    };
    let mut order = Vec::with_capacity(tree.order.len());
    let mut waiting = vec![graph.root()];
    while let Some(node) = waiting.pop() {
        order.push(node);
        let begin = waiting.len();
        waiting.extend_from_slice(tree.children(node));
        if let Some(children) = waiting.get_mut(begin..) {
            children.sort_unstable_by_key(|child| std::cmp::Reverse(key(child)));
        }
    }
    order
}

fn columns(
    holding: &Holding<'_, '_>,
    names: &Names<'_, '_>,
    tree: &Tree,
    order: &[Node],
    path_of: &[u32],
) -> Nodes {
    let graph = holding.graph;
    let meant = Meant { graph, preferences: &holding.preferences };
    let meant = Dominators::of(&meant, graph.root());
    let mut number = vec![NONE; graph.len()];
    for (index, &node) in order.iter().enumerate() {
        number.get_mut(node as usize).into_iter().for_each(|slot| *slot = index as u32);
    }
    let number = |node: Node| number.get(node as usize).copied().unwrap_or(0);
    // What dominates a node is on its best path; without bookkeeping, where that avoids it.
    let is_above = |above: Node, index: usize| {
        let at = number(above) as usize;
        (at..at + tree.below(above) as usize).contains(&index)
    };
    // Of each type: whether its instances have a length.
    let mut sized: FxHashMap<u32, bool> = FxHashMap::default();
    let mut nodes = Nodes::default();
    for (index, &node) in order.iter().enumerate() {
        let class = graph.type_number(node).unwrap_or(NONE);
        nodes.class.push(class);
        nodes.path.push(path_of.get(node as usize).copied().unwrap_or(0));
        nodes.size.push(graph.size(node));
        nodes.address.push(graph.address(node).get());
        let above = holding.paths.parent(node);
        nodes.parent.push(above.map_or(0, |(parent, _)| number(parent)));
        let dominator = holding.dominators.parent(node).filter(|&above| is_above(above, index));
        let dominator = dominator.map_or(0, number);
        nodes.dominator.push(dominator);
        let holder = meant.parent(node).filter(|&above| is_above(above, index));
        nodes.holder.push(holder.map_or(dominator, number).max(dominator));
        let asked = *sized.entry(class).or_insert_with(|| names.length(node).is_some());
        let length = if asked { names.length(node) } else { None };
        nodes.length.push(length.filter(|&length| length < MOST_LENGTH).unwrap_or(u64::MAX));
        if above.is_some_and(|(_, label)| label.kind() == Kind::HeldFromC) {
            nodes.surplus.push((index as u32, graph.surplus(node).into()));
        }
    }
    debug_assert_eq!(tree.order.len(), nodes.len());
    nodes
}

/// Finds the owners of what may be asked for: of the first container of each path.
fn owners(
    holding: &Holding<'_, '_>,
    names: &Names<'_, '_>,
    tree: &Tree,
    order: &[Node],
    path_of: &[u32],
    stored: &mut StoredGraph,
) -> Vec<Option<Place>> {
    // Owners that read the same may be defined in other lines.
    let mut known: BTreeMap<(StoredOwner, Option<Place>), u32> = BTreeMap::new();
    let mut places = Vec::new();
    for (&node, &length) in order.iter().zip(&stored.nodes.length) {
        let is_container = length != u64::MAX || tree.children(node).len() > 1;
        let path = path_of.get(node as usize).copied().unwrap_or(0);
        let Some(slot) = stored.paths.get_mut(path as usize) else { continue };
        if !is_container || slot.owner != NONE || path == 0 {
            continue;
        }
        let found = owner::of(names, holding, Some(node));
        let owner = StoredOwner { owner: found.owner, live: found.live };
        let key = (owner, found.place);
        slot.owner = match known.get(&key) {
            Some(&number) => number,
            None => {
                let number = stored.owners.len() as u32;
                stored.owners.push(key.0.clone());
                places.push(key.1.clone());
                known.insert(key, number);
                number
            }
        };
    }
    places
}
