//! What goes when objects go: bytes and resources, each counted once.

use super::Holding;
use crate::heap::graph::dominators::Dominators;
use crate::heap::graph::{Graph, Node};
use crate::resources::Describer;
use std::collections::BTreeMap;

/// Groups are told apart by numbers; this is none.
const NO_GROUP: u32 = u32::MAX;

/// What each node weighs.
pub(super) struct Weights {
    /// The kind of resource of each type.
    kinds: Vec<Option<String>>,
    /// Bytes that go with each node.
    retained: Vec<u64>,
}

/// What goes with a group.
#[derive(Debug, Default, Clone)]
pub(super) struct Free {
    pub(super) bytes: u64,
    pub(super) resources: BTreeMap<String, u64>,
}

impl Weights {
    pub(super) fn new(graph: &Graph, describer: &Describer<'_, '_>, tree: &Dominators) -> Self {
        let kinds = graph.types().iter().map(|known| {
            let entry = describer.entry_for(&known.class).ok().flatten();
            entry.map(|entry| entry.kind.clone())
        });
        Self { kinds: kinds.collect(), retained: tree.retained(|node| graph.size(node)) }
    }

    /// What would be free without the members of each group.
    pub(super) fn of_groups(&self, holding: &Holding<'_, '_>, groups: &[&[Node]]) -> Vec<Free> {
        let graph = holding.graph;
        let mut free = vec![Free::default(); groups.len()];
        let mut group_of = vec![NO_GROUP; graph.len()];
        for (group, members) in groups.iter().enumerate() {
            for &member in *members {
                if let Some(slot) = group_of.get_mut(member as usize) {
                    *slot = group as u32;
                }
            }
        }
        // Dominators come first: what is below a member of any group goes with that one.
        for &node in &holding.dominators.order {
            let above = holding.dominators.parent(node).and_then(|up| group_of.get(up as usize));
            let above = above.copied().unwrap_or(NO_GROUP);
            let Some(own) = group_of.get_mut(node as usize) else { continue };
            if above == NO_GROUP && *own != NO_GROUP {
                let bytes = self.retained.get(node as usize).copied().unwrap_or(0);
                if let Some(free) = free.get_mut(*own as usize) {
                    free.bytes = free.bytes.saturating_add(bytes);
                }
            }
            if above != NO_GROUP {
                *own = above;
            }
            let Some(free) = free.get_mut(*own as usize) else { continue };
            let kind = graph.type_number(node).and_then(|number| self.kinds.get(number as usize));
            if let Some(Some(kind)) = kind {
                match free.resources.get_mut(kind) {
                    Some(count) => *count += 1,
                    None => {
                        free.resources.insert(kind.clone(), 1);
                    }
                }
            }
        }
        free
    }
}
