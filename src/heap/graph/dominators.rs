//! Immediate dominators: the one node that every path from the root to a node passes last.
//!
//! Semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005):
//! a depth-first numbering, semidominators by path compression, then the nearest common
//! ancestor of each node's parent and semidominator. Nothing recurses.

use super::Node;
use crate::memory::room::{copied, filled, room};

/// No node.
pub const NONE: Node = Node::MAX;

/// A graph as dominators see it: rows of targets.
pub trait Rows {
    /// Number of nodes.
    fn count(&self) -> usize;
    /// Where the edges of a node lead.
    fn row(&self, node: Node) -> &[Node];
}

/// The dominator tree of what is reached from a root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dominators {
    /// The immediate dominator of each node; [`NONE`] of the root and of what is not reached.
    pub parent: Vec<Node>,
    /// The nodes reached, each after its dominator: in the order of a depth-first search, and
    /// last those that refer to nothing and are referred to once.
    pub order: Vec<Node>,
}

impl Dominators {
    /// The dominator tree of what is reached from `root`.
    pub fn of(graph: &impl Rows, root: Node) -> Self {
        let is_only_leaf = only_leaves(graph, root);
        let Search { mut order, tree, others } = search(graph, root, &is_only_leaf);
        let reached = order.len();
        // From here on, nodes are their numbers in the search.
        let semi = {
            let (starts, sources) = sources(reached, others);
            semidominators(&tree, &starts, &sources)
        };
        let mut dominator = tree;
        for node in 1..reached {
            let limit = at(&semi, node as u32);
            let mut up = at(&dominator, node as u32);
            while up > limit {
                up = at(&dominator, up);
            }
            set(&mut dominator, node as u32, up);
        }
        drop(semi);
        let mut parent = filled(NONE, graph.count());
        for (place, &node) in order.iter().enumerate().skip(1) {
            let up = order.get(at(&dominator, place as u32) as usize).copied().unwrap_or(NONE);
            set(&mut parent, node, up);
        }
        drop(dominator);
        for place in 0..reached {
            let Some(&node) = order.get(place) else { break };
            for &to in graph.row(node) {
                if is_only_leaf.get(to as usize) == Some(&ONLY_LEAF) {
                    set(&mut parent, to, node);
                    order.push(to);
                }
            }
        }
        Self { parent, order }
    }

    /// The immediate dominator of a node.
    pub fn parent(&self, node: Node) -> Option<Node> {
        self.parent.get(node as usize).copied().filter(|&parent| parent != NONE)
    }

    /// Sums `weight` over what each node dominates, itself among it: what goes when it goes.
    pub fn retained(&self, weight: impl Fn(Node) -> u64) -> Vec<u64> {
        let mut sums = filled(0u64, self.parent.len());
        for &node in self.order.iter().rev() {
            let own = match sums.get_mut(node as usize) {
                Some(sum) => {
                    *sum = sum.saturating_add(weight(node));
                    *sum
                }
                None => continue,
            };
            if let Some(up) = self.parent(node).and_then(|up| sums.get_mut(up as usize)) {
                *up = up.saturating_add(own);
            }
        }
        sums
    }
}

fn at(values: &[u32], index: u32) -> u32 {
    values.get(index as usize).copied().unwrap_or(0)
}

fn set(values: &mut [u32], index: u32, value: u32) {
    if let Some(slot) = values.get_mut(index as usize) {
        *slot = value;
    }
}

/// What marks a node in the answer of [`only_leaves`].
const ONLY_LEAF: u8 = 1;

/// The nodes that refer to nothing and are referred to once, half of all: who refers to them
/// dominates them, and nothing else depends on them.
fn only_leaves(graph: &impl Rows, root: Node) -> Vec<u8> {
    let mut counts = filled(0u8, graph.count());
    for node in 0..graph.count() as Node {
        for &to in graph.row(node) {
            if let Some(count) = counts.get_mut(to as usize) {
                *count = count.saturating_add(1);
            }
        }
    }
    for (node, count) in (0..).zip(&mut counts) {
        if *count == 1 && (node == root || !graph.row(node).is_empty()) {
            *count = 0;
        }
    }
    counts
}

/// A depth-first search.
struct Search {
    /// The nodes in the order they are met.
    order: Vec<Node>,
    /// Of each place in it, that of its parent.
    tree: Vec<u32>,
    /// All other references: the places of their targets and sources.
    others: Vec<(u32, u32)>,
}

fn search(graph: &impl Rows, root: Node, left_out: &[u8]) -> Search {
    /// What is left out has this place.
    const LEFT_OUT: u32 = NONE - 1;
    let count = graph.count();
    let mut number = room(count);
    number.extend(left_out.iter().map(|&mark| if mark == ONLY_LEAF { LEFT_OUT } else { NONE }));
    let mut found = Search { order: room(count), tree: room(count), others: room(count) };
    found.order.push(root);
    found.tree.push(0);
    set(&mut number, root, 0);
    // The place of a node, and which of its references is followed next.
    let mut stack = vec![(0u32, 0u32)];
    while let Some((own, next)) = stack.last_mut() {
        let (own, begun) = (*own, *next);
        let Some(&node) = found.order.get(own as usize) else { break };
        let row = graph.row(node).get(begun as usize..).unwrap_or_default();
        let mut unseen = None;
        for (&to, at) in row.iter().zip(begun + 1..) {
            match number.get_mut(to as usize) {
                Some(slot) if *slot == NONE => {
                    *slot = found.order.len() as u32;
                    *next = at;
                    unseen = Some(to);
                    break;
                }
                Some(&mut LEFT_OUT) | None => {}
                Some(&mut place) if place != own => found.others.push((place, own)),
                Some(_) => {}
            }
        }
        match unseen {
            Some(to) => {
                stack.push((found.order.len() as u32, 0));
                found.order.push(to);
                found.tree.push(own);
            }
            None => {
                stack.pop();
            }
        }
    }
    found
}

/// For each place in the search, where its row of sources begins; and the rows.
fn sources(reached: usize, others: Vec<(u32, u32)>) -> (Vec<u32>, Vec<u32>) {
    let mut starts = filled(0u32, reached + 1);
    for &(to, _) in &others {
        if let Some(count) = starts.get_mut(to as usize) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    // Each row is filled from its end to its beginning.
    let mut sources = filled(0u32, sum as usize);
    for (to, from) in others {
        if let Some(start) = starts.get_mut(to as usize) {
            *start -= 1;
            set(&mut sources, *start, from);
        }
    }
    (starts, sources)
}

/// The semidominator of each place.
fn semidominators(tree: &[u32], starts: &[u32], sources: &[u32]) -> Vec<u32> {
    let reached = tree.len();
    let mut semi = room(reached);
    semi.extend(0..reached as u32);
    // The least semidominator on the way up to the ancestor.
    let mut least = copied(&semi);
    let mut ancestor = copied(tree);
    let mut path = Vec::new();
    for node in (1..reached as u32).rev() {
        let row = at(starts, node) as usize..at(starts, node + 1) as usize;
        let mut best = at(tree, node);
        for &source in sources.get(row).unwrap_or_default() {
            if source > node {
                compress(source, node, &mut ancestor, &mut least, &mut path);
                best = best.min(at(&least, source));
            } else {
                best = best.min(source);
            }
        }
        set(&mut semi, node, best);
        set(&mut least, node, best);
    }
    semi
}

/// Finds the least semidominator among `node` and its ancestors that were handled already
/// (their numbers are above `last`), and shortens the way for later.
fn compress(node: u32, last: u32, ancestor: &mut [u32], least: &mut [u32], path: &mut Vec<u32>) {
    path.clear();
    let mut up = node;
    while at(ancestor, up) > last {
        path.push(up);
        up = at(ancestor, up);
    }
    // `up` is the highest one handled; from now on all below hang where it hangs.
    let beyond = at(ancestor, up);
    while let Some(node) = path.pop() {
        let above = at(least, at(ancestor, node));
        if above < at(least, node) {
            set(least, node, above);
        }
        set(ancestor, node, beyond);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use petgraph::algo::dominators::simple_fast;
    use petgraph::graph::{DiGraph, NodeIndex};
    use proptest::prelude::*;

    struct Lists(Vec<Vec<Node>>);

    impl Rows for Lists {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn row(&self, node: Node) -> &[Node] {
            &self.0[node as usize]
        }
    }

    fn check(count: u32, edges: &[(u32, u32)]) {
        let mut lists = vec![Vec::new(); count as usize];
        let mut graph = DiGraph::<(), ()>::new();
        let nodes: Vec<NodeIndex> = (0..count).map(|_| graph.add_node(())).collect();
        for &(from, to) in edges {
            lists[from as usize].push(to);
            graph.add_edge(nodes[from as usize], nodes[to as usize], ());
        }
        let ours = Dominators::of(&Lists(lists), 0);
        let theirs = simple_fast(&graph, nodes[0]);
        let mut dominated = vec![0u64; count as usize];
        for node in 0..count {
            let expected = theirs.immediate_dominator(nodes[node as usize]);
            assert_eq!(ours.parent(node), expected.map(|up| up.index() as Node), "{edges:?}");
            for up in theirs.dominators(nodes[node as usize]).into_iter().flatten() {
                dominated[up.index()] += u64::from(node) + 1;
            }
        }
        assert_eq!(ours.retained(|node| u64::from(node) + 1), {
            let reached = |node: usize| ours.order.contains(&(node as Node));
            dominated
                .iter()
                .enumerate()
                .map(|(n, &s)| if reached(n) { s } else { 0 })
                .collect::<Vec<_>>()
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn are_those_of_petgraph(
            (count, edges) in (1u32..40).prop_flat_map(|count| {
                (Just(count), proptest::collection::vec((0..count, 0..count), 0..120))
            })
        ) {
            check(count, &edges);
        }
    }

    #[test]
    fn a_long_chain_does_not_recurse() {
        let count = 300_000u32;
        let lists = (0..count).map(|node| if node + 1 < count { vec![node + 1] } else { vec![0] });
        let found = Dominators::of(&Lists(lists.collect()), 0);
        assert_eq!(found.parent(count - 1), Some(count - 2));
        assert_eq!(found.retained(|_| 1)[0], u64::from(count));
    }
}
