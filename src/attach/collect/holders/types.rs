//! The groups that are kept of every kind of resource, and of the largest types.

use super::group::Groups;
use super::{DEPTH, Extent, Holding, Kept, owner};
use crate::heap::graph::Node;
use crate::heap::graph::names::Names;
use crate::snapshot::holders::Subject;
use std::cmp::Reverse;

/// Classes of programs and libraries that are kept, and types of the interpreter.
const MOST_CLASSES: usize = 12;
const MOST_BUILTIN: usize = 4;
/// Groups of one type.
const MOST_GROUPS: usize = 3;
/// Fewer instances are no leak yet.
const LEAST: usize = 20;
/// Types of the interpreter whose instances accumulate. Functions, classes and what belongs to
/// them come with modules.
const BUILTIN: &[&str] = &[
    "builtins.dict",
    "builtins.list",
    "builtins.set",
    "builtins.tuple",
    "builtins.coroutine",
    "builtins.generator",
    "builtins.async_generator",
    "builtins.frame",
    "builtins.traceback",
    "collections.deque",
];

/// What groups are kept of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) family: &'static str,
    pub(super) name: &'a str,
    /// Groups that are kept.
    pub(super) most: usize,
    /// Objects of the smallest of them.
    pub(super) least: usize,
}

/// Adds the groups of some objects.
pub(super) fn add(
    kept: &mut Kept,
    holding: &Holding<'_, '_>,
    names: &mut Names<'_, '_>,
    nodes: &[Node],
    asked: Asked<'_>,
    extent: Extent,
) {
    let (graph, paths) = (holding.graph, &holding.paths);
    let mut groups = Groups::of(names, graph, paths, nodes);
    let mut subject = Subject {
        family: asked.family.to_owned(),
        name: asked.name.to_owned(),
        total: nodes.len() as u64,
        ..Subject::default()
    };
    let all = groups.members();
    let free = match extent {
        Extent::Resources => Vec::new(),
        _ => holding.weights.of_groups(holding, &all),
    };
    let count = all.len();
    for index in 0..count {
        let Some(members) = groups.group(index).map(<[Node]>::to_vec) else { continue };
        let size = members.len() as u64;
        if index >= asked.most || members.len() < asked.least {
            subject.groups_not_shown += 1;
            subject.objects_not_shown += size;
            subject.largest_not_shown = subject.largest_not_shown.max(size);
            continue;
        }
        let mut group = groups.describe(names, graph, paths, index, DEPTH);
        group.total = nodes.len() as u64;
        if let Some(free) = free.get(index) {
            (group.retained_bytes, group.retained) = (free.bytes, free.resources.clone());
        }
        let container = groups.container(names, graph, paths, index);
        group.only_holder = container
            .is_some_and(|container| holding.not_dominated(&members, container).is_empty());
        let owner = owner::of(names, holding, container.or(members.first().copied()));
        (group.owner, group.live) = (owner.owner, owner.live);
        let held = &mut kept.held;
        if asked.family == "resource" {
            let addresses = members.iter().map(|&node| graph.address(node).to_string());
            held.of.extend(addresses.map(|address| (address, held.groups.len())));
        }
        held.groups.push(group);
        kept.places.push(owner.place);
        subject.groups += 1;
    }
    kept.held.subjects.push(subject);
}

/// Adds the groups of the types with most instances that are no resources.
pub(super) fn largest(
    kept: &mut Kept,
    holding: &Holding<'_, '_>,
    names: &mut Names<'_, '_>,
    kinds: &[Option<String>],
) {
    let graph = holding.graph;
    let known = |number: usize| graph.types().get(number).map(|known| &known.class);
    let mut counts = vec![0usize; graph.types().len()];
    let alive = || graph.objects().filter(|&node| holding.is_alive(node));
    for node in alive() {
        let number = graph.type_number(node).and_then(|it| counts.get_mut(it as usize));
        number.into_iter().for_each(|count| *count += 1);
    }
    let is_class = |number: usize| known(number).is_some_and(|class| class.flags.heap_type());
    let may_grow = |number: &usize| {
        let Some(class) = known(*number) else { return false };
        let resource = kinds.get(*number).is_some_and(Option::is_some);
        let own = class.flags.heap_type() && class.flags.has_gc() && !class.flags.type_subclass();
        !resource && (own || BUILTIN.contains(&class.name()))
    };
    let many = |number: &usize| counts.get(*number).is_some_and(|&count| count >= LEAST);
    let mut order: Vec<usize> = (0..counts.len()).filter(many).filter(may_grow).collect();
    order.sort_by_key(|&number| Reverse(counts.get(number).copied()));
    let (classes, builtin): (Vec<usize>, Vec<usize>) =
        order.into_iter().partition(|&number| is_class(number));
    let chosen: Vec<usize> = classes
        .into_iter()
        .take(MOST_CLASSES)
        .chain(builtin.into_iter().take(MOST_BUILTIN))
        .collect();
    let mut place = vec![usize::MAX; counts.len()];
    for (index, &number) in chosen.iter().enumerate() {
        place.get_mut(number).into_iter().for_each(|place| *place = index);
    }
    let mut nodes: Vec<Vec<Node>> = vec![Vec::new(); chosen.len()];
    for node in alive() {
        let index = graph.type_number(node).and_then(|number| place.get(number as usize));
        let list = index.and_then(|&index| nodes.get_mut(index));
        list.into_iter().for_each(|list| list.push(node));
    }
    for (&number, nodes) in chosen.iter().zip(&nodes) {
        let Some(class) = known(number) else { continue };
        let name = class.name().to_owned();
        let asked = Asked { family: "type", name: &name, most: MOST_GROUPS, least: LEAST / 2 };
        add(kept, holding, names, nodes, asked, Extent::Types);
    }
}
