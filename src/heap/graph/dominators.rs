//! Immediate dominators: the one node that every path from the root to a node passes last.
//!
//! Semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005):
//! a depth-first numbering, semidominators by path compression, then the nearest common
//! ancestor of each node's parent and semidominator. Nothing recurses.

use super::Node;

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
    /// The nodes reached, in the order of a depth-first search: each after its dominator.
    pub order: Vec<Node>,
}

impl Dominators {
    /// The dominator tree of what is reached from `root`.
    pub fn of(graph: &impl Rows, root: Node) -> Self {
        let count = graph.count();
        let (order, number, tree) = search(graph, root);
        let reached = order.len();
        // From here on, nodes are their numbers in the search.
        let mut semi: Vec<u32> = (0..reached as u32).collect();
        let mut label = semi.clone();
        let mut ancestor = tree.clone();
        // Predecessors, in rows.
        let mut starts = vec![0u32; reached + 1];
        let targets = |from: u32| order.get(from as usize).map_or(&[][..], |&node| graph.row(node));
        let numbered = |node: Node| number.get(node as usize).copied().filter(|&n| n != NONE);
        for from in 0..reached as u32 {
            for to in targets(from).iter().filter_map(|&to| numbered(to)) {
                if let Some(start) = starts.get_mut(to as usize + 1) {
                    *start += 1;
                }
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut sources = vec![0u32; sum as usize];
        let mut next = starts.clone();
        for from in 0..reached as u32 {
            for to in targets(from).iter().filter_map(|&to| numbered(to)) {
                if let Some(place) = next.get_mut(to as usize) {
                    if let Some(source) = sources.get_mut(*place as usize) {
                        *source = from;
                    }
                    *place += 1;
                }
            }
        }
        drop(next);
        let mut path = Vec::new();
        for node in (1..reached).rev() {
            let (Some(&from), Some(&to)) = (starts.get(node), starts.get(node + 1)) else {
                continue;
            };
            let row = sources.get(from as usize..to as usize).unwrap_or_default();
            let mut best = at(&tree, node as u32);
            for &source in row {
                let found = if source <= node as u32 {
                    source
                } else {
                    compress(source, node as u32, &mut ancestor, &mut label, &semi, &mut path);
                    at(&semi, at(&label, source))
                };
                best = best.min(found);
            }
            if let Some(semi) = semi.get_mut(node) {
                *semi = best;
            }
        }
        let mut dominator = tree;
        for node in 1..reached {
            let limit = at(&semi, node as u32);
            let mut up = at(&dominator, node as u32);
            while up > limit {
                up = at(&dominator, up);
            }
            if let Some(dominator) = dominator.get_mut(node) {
                *dominator = up;
            }
        }
        let mut parent = vec![NONE; count];
        for (place, &node) in order.iter().enumerate().skip(1) {
            let up = order.get(at(&dominator, place as u32) as usize).copied().unwrap_or(NONE);
            if let Some(parent) = parent.get_mut(node as usize) {
                *parent = up;
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
        let mut sums = vec![0u64; self.parent.len()];
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

/// Depth-first: the nodes in the order they are met, the number of each node, and of each number
/// that of its parent.
fn search(graph: &impl Rows, root: Node) -> (Vec<Node>, Vec<u32>, Vec<u32>) {
    let mut order = Vec::new();
    let mut number = vec![NONE; graph.count()];
    let mut tree = Vec::new();
    let mut stack: Vec<(u32, usize)> = Vec::new();
    let mut meet = |node: Node, parent: u32, stack: &mut Vec<(u32, usize)>| {
        let slot = number.get_mut(node as usize).filter(|slot| **slot == NONE)?;
        let own = order.len() as u32;
        *slot = own;
        order.push(node);
        tree.push(parent);
        stack.push((own, 0));
        Some(node)
    };
    let mut nodes = vec![root];
    meet(root, 0, &mut stack);
    while let (Some((own, next)), Some(&node)) = (stack.last_mut(), nodes.last()) {
        let own = *own;
        match graph.row(node).get(*next) {
            Some(&to) => {
                *next += 1;
                if meet(to, own, &mut stack).is_some() {
                    nodes.push(to);
                }
            }
            None => {
                stack.pop();
                nodes.pop();
            }
        }
    }
    (order, number, tree)
}

/// Finds the label with the least semidominator among the ancestors of `node` that were handled
/// already (their numbers are above `last`), and shortens the way for later.
fn compress(
    node: u32,
    last: u32,
    ancestor: &mut [u32],
    label: &mut [u32],
    semi: &[u32],
    path: &mut Vec<u32>,
) {
    path.clear();
    let mut up = node;
    while at(ancestor, up) > last {
        path.push(up);
        up = at(ancestor, up);
    }
    // `up` is the highest one handled; from now on all below hang where it hangs.
    let beyond = at(ancestor, up);
    while let Some(node) = path.pop() {
        let above = at(ancestor, node);
        let better = at(label, above);
        if at(semi, better) < at(semi, at(label, node))
            && let Some(label) = label.get_mut(node as usize)
        {
            *label = better;
        }
        if let Some(ancestor) = ancestor.get_mut(node as usize) {
            *ancestor = beyond;
        }
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
