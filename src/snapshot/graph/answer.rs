//! Who holds objects, from a stored graph: what `why` says of a process, said of a file.

use super::{NONE, StoredGraph, StoredPath, StoredStep, at};
use crate::snapshot::holders::{Accumulation, HolderGroup, Holders, PathStep, line};
use crate::snapshot::retention::any_key;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// A dict in which more keys than this lead to objects is a registry: its keys are data.
const LITERAL_KEYS: usize = 3;
/// Addresses of a group that are named.
const EXAMPLES: usize = 3;

/// Which objects are meant.
pub enum Selected<'s> {
    /// The one at an address.
    Object(u64),
    /// Resources of a kind or of an entry of the catalogue; of these the ones at `addresses`, or
    /// all.
    Resources {
        /// A kind, or the id of an entry.
        name: &'s str,
        /// Where those are that are in the state asked for.
        addresses: Option<BTreeSet<u64>>,
    },
    /// Instances of types.
    Types {
        /// The types that are certainly meant.
        exactly: &'s dyn Fn(&str) -> bool,
        /// Where there is none of those: the types that may be meant.
        roughly: &'s dyn Fn(&str) -> bool,
    },
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Show {
    /// Groups that are worked out.
    pub groups: usize,
    /// Steps of a path.
    pub depth: usize,
}

/// A path that is shown, within an answer.
type Key = Vec<StoredStep>;

impl StoredGraph {
    /// Who holds these objects.
    pub fn holders(&self, selected: &Selected<'_>, show: Show) -> Holders {
        let (targets, garbage) = self.targets(selected);
        let mut holders = Holders {
            total: targets.len() as u64 + garbage,
            garbage,
            sites_hint: Some(
                "files do not keep where objects were made: ask the process".to_owned(),
            ),
            ..Holders::default()
        };
        let groups = self.groups(&targets);
        let free = self.free(&groups);
        for (group, free) in groups.iter().zip(&free) {
            holders.retained_bytes = holders.retained_bytes.saturating_add(free.0);
            for (kind, count) in &free.1 {
                *holders.retained.entry(kind.clone()).or_default() += count;
            }
            if holders.groups.len() >= show.groups {
                holders.groups_not_shown += 1;
                holders.objects_not_shown += group.1.len() as u64;
                continue;
            }
            let mut described = self.describe(group, show.depth);
            described.total = holders.total;
            (described.retained_bytes, described.retained) = free.clone();
            holders.groups.push(described);
        }
        holders
    }

    /// Where the objects are that are meant.
    pub fn addresses(&self, selected: &Selected<'_>) -> HashSet<u64> {
        let (targets, _) = self.targets(selected);
        targets.into_iter().filter_map(|node| at(&self.nodes.address, node)).collect()
    }

    /// The nodes that are meant, in their order, and how many more are garbage.
    fn targets(&self, selected: &Selected<'_>) -> (Vec<u32>, u64) {
        let meant: Vec<bool> = match selected {
            Selected::Object(address) => {
                let found = self.nodes.address.iter().position(|at| at == address);
                return (found.map(|node| node as u32).into_iter().collect(), 0);
            }
            Selected::Resources { name, .. } => {
                let is = |text: &Option<String>| text.as_deref() == Some(*name);
                self.types.iter().map(|one| is(&one.kind) || is(&one.entry)).collect()
            }
            Selected::Types { exactly, roughly } => {
                let matching = |fits: &dyn Fn(&str) -> bool| -> Vec<bool> {
                    self.types.iter().map(|one| fits(&one.name)).collect()
                };
                let exactly = matching(exactly);
                if exactly.contains(&true) { exactly } else { matching(roughly) }
            }
        };
        let is_meant = |node: &u32| {
            at(&self.nodes.class, *node).is_some_and(|class| at(&meant, class) == Some(true))
        };
        let nodes = (0..self.nodes.len() as u32).filter(is_meant);
        if let Selected::Resources { addresses: Some(addresses), .. } = selected {
            let here = |node: &u32| at(&self.nodes.address, *node);
            let nodes: Vec<u32> =
                nodes.filter(|node| here(node).is_some_and(|it| addresses.contains(&it))).collect();
            let garbage = (addresses.len() as u64).saturating_sub(nodes.len() as u64);
            return (nodes, garbage);
        }
        let garbage = self.types.iter().zip(&meant).filter(|&(_, &meant)| meant);
        let garbage = garbage.map(|(one, _)| one.garbage).sum();
        (nodes.collect(), garbage)
    }

    /// The targets by the paths they are shown with, the largest group first.
    fn groups(&self, targets: &[u32]) -> Vec<(Key, Vec<u32>)> {
        let mut of_paths: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &target in targets {
            let path = at(&self.nodes.path, target).unwrap_or(0);
            of_paths.entry(path).or_default().push(target);
        }
        // Which keys of each dict lead to targets.
        let mut keys: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let mut seen: BTreeSet<u32> = BTreeSet::new();
        for &path in of_paths.keys() {
            let mut path = path;
            while path != 0 && seen.insert(path) {
                let Some(one) = at(&self.paths, path) else { break };
                if self.is_key(one) {
                    keys.entry(one.parent).or_default().insert(path);
                }
                path = one.parent;
            }
        }
        let mut groups: BTreeMap<Key, Vec<u32>> = BTreeMap::new();
        for (path, members) in of_paths {
            let steps = self.steps(path).into_iter().map(|(step, one)| {
                let registry = keys.get(&one.parent).is_some_and(|all| all.len() > LITERAL_KEYS);
                match registry && self.is_key(one) {
                    true => StoredStep {
                        kind: "item".to_owned(),
                        text: any_key(&step.text),
                        inferred: step.inferred,
                    },
                    false => step.clone(),
                }
            });
            groups.entry(steps.collect()).or_default().extend(members);
        }
        let mut groups: Vec<(Key, Vec<u32>)> = groups.into_iter().collect();
        for (_, members) in &mut groups {
            members.sort_unstable();
        }
        groups.sort_by_key(|(_, members)| (Reverse(members.len()), members.first().copied()));
        groups
    }

    fn is_key(&self, path: StoredPath) -> bool {
        self.steps.get(path.step as usize).is_some_and(|step| step.kind == "key")
    }

    /// What would be free without the members of each group: each byte and resource counts once.
    fn free(&self, groups: &[(Key, Vec<u32>)]) -> Vec<(u64, BTreeMap<String, u64>)> {
        let mut free = vec![(0u64, BTreeMap::new()); groups.len()];
        if groups.is_empty() {
            return free;
        }
        let mut group_of = vec![NONE; self.nodes.len()];
        for (group, (_, members)) in groups.iter().enumerate() {
            for &member in members {
                group_of.get_mut(member as usize).into_iter().for_each(|slot| *slot = group as u32);
            }
        }
        let retained = self.nodes.retained();
        for node in 1..self.nodes.len() as u32 {
            let above = at(&self.nodes.dominator, node).and_then(|above| at(&group_of, above));
            let above = above.unwrap_or(NONE);
            let Some(own) = group_of.get_mut(node as usize) else { continue };
            if above == NONE
                && *own != NONE
                && let Some(free) = free.get_mut(*own as usize)
            {
                free.0 = free.0.saturating_add(at(&retained, node).unwrap_or(0));
            }
            if above != NONE {
                *own = above;
            }
            let Some(free) = free.get_mut(*own as usize) else { continue };
            let class = at(&self.nodes.class, node).and_then(|it| self.types.get(it as usize));
            if let Some(kind) = class.and_then(|class| class.kind.as_ref()) {
                *free.1.entry(kind.clone()).or_default() += 1;
            }
        }
        free
    }

    fn describe(&self, (key, members): &(Key, Vec<u32>), depth: usize) -> HolderGroup {
        let first = members.first().copied().unwrap_or(0);
        let path = at(&self.nodes.path, first).unwrap_or(0);
        let classes = self.steps(path).into_iter().map(|(_, one)| one.class);
        let class = |class: u32| {
            self.types.get(class as usize).map(|one| one.name.clone()).unwrap_or_default()
        };
        let texts: Vec<String> = key.iter().map(|step| step.text.clone()).collect();
        let container = self.container(members);
        let owner = at(&self.nodes.path, container.unwrap_or(first))
            .and_then(|path| self.owner(path))
            .cloned()
            .unwrap_or_default();
        let root = key.first().map_or("field", |step| step.kind.as_str());
        let from_c = match root {
            "c" => self.surplus(first),
            _ => None,
        };
        HolderGroup {
            count: members.len() as u64,
            root: root.to_owned(),
            path: line(&texts, depth),
            inferred: key.iter().any(|step| step.inferred),
            steps: key
                .iter()
                .zip(classes)
                .map(|(step, of)| PathStep {
                    kind: step.kind.clone(),
                    text: step.text.clone(),
                    class: class(of),
                })
                .collect(),
            accumulation: container.map(|node| self.accumulation(node, key, depth)),
            only_holder: container.is_some_and(|container| self.are_held_by(members, container)),
            owner: owner.owner,
            live: owner.live,
            from_c,
            examples: members
                .iter()
                .take(EXAMPLES)
                .filter_map(|&node| Some(format!("{:#x}", at(&self.nodes.address, node)?)))
                .collect(),
            ..HolderGroup::default()
        }
    }

    /// The owner of containers at a path, or of what is on the way to it.
    fn owner(&self, mut path: u32) -> Option<&super::StoredOwner> {
        loop {
            let one = at(&self.paths, path)?;
            if one.owner != NONE {
                return self.owners.get(one.owner as usize);
            }
            if path == 0 {
                return None;
            }
            path = one.parent;
        }
    }

    fn accumulation(&self, node: u32, key: &Key, depth: usize) -> Accumulation {
        let path = at(&self.nodes.path, node).unwrap_or(0);
        let steps = self.steps(path);
        // As far as it is the path of the group, it reads as that does.
        let texts: Vec<String> = match key.get(..steps.len()) {
            Some(same) => same.iter().map(|step| step.text.clone()).collect(),
            None => steps.iter().map(|(step, _)| step.text.clone()).collect(),
        };
        Accumulation {
            class: self.class_name(node).to_owned(),
            address: format!("{:#x}", at(&self.nodes.address, node).unwrap_or(0)),
            length: at(&self.nodes.length, node).filter(|&length| length != u64::MAX),
            path: line(&texts, depth),
        }
    }

    /// Nodes come in the order of a walk of the tree: where the paths of the first and the last
    /// part, those of all have parted.
    fn container(&self, members: &[u32]) -> Option<u32> {
        let (&first, &last) = (members.first()?, members.last()?);
        let up = |node: u32| at(&self.nodes.parent, node).filter(|&parent| parent < node);
        let (mut a, mut b) = (first, last);
        while a != b {
            match a > b {
                true => a = up(a)?,
                false => b = up(b)?,
            }
        }
        if a == first {
            a = up(a)?;
        }
        let is_object = |node: u32| at(&self.nodes.class, node).is_some_and(|class| class != NONE);
        if members.len() > 1 {
            return Some(a).filter(|&node| is_object(node));
        }
        let mut node = a;
        loop {
            let known = at(&self.nodes.length, node).is_some_and(|length| length != u64::MAX);
            let parent = up(node);
            // What adds no step is the namespace of what is before it.
            let path = |node: u32| at(&self.nodes.path, node);
            let named = parent.is_some_and(|parent| path(parent) != path(node));
            let plain = !matches!(self.class_name(node), "builtins.tuple" | "builtins.str");
            if known && named && plain {
                return Some(node);
            }
            match parent {
                Some(parent) => node = parent,
                None => break,
            }
        }
        // No container on the way: the nearest object or frame.
        let mut node = a;
        while node != 0 {
            let path = at(&self.nodes.path, node).unwrap_or(0);
            let step = at(&self.paths, path).and_then(|path| self.steps.get(path.step as usize));
            if is_object(node) || step.is_some_and(|step| step.kind == "frame") {
                return Some(node);
            }
            node = up(node)?;
        }
        None
    }

    /// Every path that counts passes `above`, to each of these. What was climbed is not climbed
    /// again.
    fn are_held_by(&self, members: &[u32], above: u32) -> bool {
        let mut known: HashSet<u32> = HashSet::new();
        members.iter().all(|&member| {
            let mut node = member;
            while node > above && known.insert(node) {
                match at(&self.nodes.holder, node) {
                    Some(up) if up < node => node = up,
                    _ => return false,
                }
            }
            node >= above
        })
    }

    /// References from C to what the path of a node begins with.
    fn surplus(&self, mut node: u32) -> Option<u64> {
        while let Some(parent) = at(&self.nodes.parent, node).filter(|&parent| parent != 0) {
            node = parent;
        }
        let all = &self.nodes.surplus;
        let place = all.binary_search_by_key(&node, |&(node, _)| node).ok()?;
        all.get(place).map(|&(_, count)| count)
    }
}
