//! The graph of references as a snapshot file keeps it: what holds each object best, what alone
//! holds it, what it is and what it weighs.
//!
//! Every object that is alive is in the tree of the best paths; the nodes are in the order in
//! which a walk of that tree meets them, so that a node's parent comes before it and what is
//! below it follows it. What dominates a node lies on its path too. With that, everything that
//! `why` says of a process can be said of a file ([`answer`]), and two files can be compared
//! ([`compare`]). Of the other references there are their effects only: what alone holds.

pub mod answer;
mod coder;
pub mod compare;
mod model;
mod names;
mod owners;
mod places;
mod sections;
#[cfg(test)]
mod tests;
mod version_one;

use super::holders::{GraphInfo, Location, Owner};
use serde::{Deserialize, Serialize};

/// How the names of the sections begin.
pub const SECTION: &str = "graph";
/// No path, no type, no owner, no length.
pub const NONE: u32 = u32::MAX;

/// The graph of a capture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredGraph {
    /// How large the graph was and how much of it was read.
    pub info: GraphInfo,
    /// The types of the nodes.
    pub types: Vec<StoredType>,
    /// What the paths are made of.
    pub steps: Vec<StoredStep>,
    /// The paths; the first is that of the root, and empty.
    pub paths: Vec<StoredPath>,
    /// Owners of containers.
    pub owners: Vec<StoredOwner>,
    /// The nodes.
    pub nodes: Nodes,
}

/// A type of which there are objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredType {
    /// Its name.
    pub name: String,
    /// The kind of resource its instances are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// The entry of the catalogue that says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<String>,
    /// Instances that nothing alive reaches; they are no nodes.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub garbage: u64,
    /// Their bytes.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub garbage_bytes: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A step of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredStep {
    /// "module", "class", "global", "attribute", "item", "key", …
    pub kind: String,
    /// As shown.
    pub text: String,
    /// It was found by looking for pointers.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub inferred: bool,
}

/// A path: another one, and a step more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPath {
    /// The path before the step; comes before this one.
    pub parent: u32,
    /// The step.
    pub step: u32,
    /// The type it leads to, or [`NONE`].
    pub class: u32,
    /// Who owns the containers here, or [`NONE`].
    pub owner: u32,
}

/// Who owns containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredOwner {
    /// The class, function or module.
    pub owner: Option<Owner>,
    /// Where the thread is, when the path begins at a frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live: Option<Location>,
}

/// The nodes as columns, the root first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// The node before it on its path; comes before it. The root's is itself.
    pub parent: Vec<u32>,
    /// Its path.
    pub path: Vec<u32>,
    /// Its type, or [`NONE`] for what is no object.
    pub class: Vec<u32>,
    /// Its own bytes.
    pub size: Vec<u64>,
    /// Where it is.
    pub address: Vec<u64>,
    /// The last node that all paths to it pass. The root's is itself.
    pub dominator: Vec<u32>,
    /// The same where bookkeeping containers do not count as holders.
    pub holder: Vec<u32>,
    /// `len()` of containers, or `u64::MAX`.
    pub length: Vec<u64>,
    /// References from C beyond those found, by node, of those that only these hold.
    pub surplus: Vec<(u32, u64)>,
}

impl Nodes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// True before anything was read.
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }

    /// The bytes that go with each node.
    fn retained(&self) -> Vec<u64> {
        let mut sums = self.size.clone();
        for node in (1..self.len()).rev() {
            let own = sums.get(node).copied().unwrap_or(0);
            let above = self.dominator.get(node).and_then(|&above| sums.get_mut(above as usize));
            if let Some(sum) = above {
                *sum = sum.saturating_add(own);
            }
        }
        sums
    }
}

/// The value at a place of a column.
fn at<T: Copy>(column: &[T], place: u32) -> Option<T> {
    column.get(place as usize).copied()
}

impl StoredGraph {
    /// The steps of a path from the root.
    fn steps(&self, mut path: u32) -> Vec<(&StoredStep, StoredPath)> {
        let mut steps = Vec::new();
        while path != 0 {
            let Some(one) = at(&self.paths, path) else { break };
            let Some(step) = self.steps.get(one.step as usize) else { break };
            steps.push((step, one));
            path = one.parent;
        }
        steps.reverse();
        steps
    }

    /// The name of a node's type; empty for what is no object.
    fn class_name(&self, node: u32) -> &str {
        let class = at(&self.nodes.class, node).and_then(|class| self.types.get(class as usize));
        class.map_or("", |class| class.name.as_str())
    }
}
