//! Where things accumulate, whatever they are: without being asked for anything.
//!
//! Of every kind of resource and of the types with most instances, the groups are found. Those
//! that fan out from one container are one row: a list of connections holds their sockets too.

use super::group::Groups;
use super::{Graph, Holding, Place, Problem, Question, owner, proven};
use crate::cpython::{Interpreter, Python};
use crate::heap::graph::names::Names;
use crate::heap::graph::paths::UNWANTED;
use crate::heap::graph::{self, Node};
use crate::memory::Address;
use crate::resources::{Catalog, Describer};
use crate::snapshot::holders::{GraphInfo, HiddenWaker, HolderGroup, Proven};
use crate::snapshot::overview::Accumulated;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Types looked at, beside the resources.
const MOST_TYPES: usize = 40;
/// Fewer resources in one place, or instances of a type, are no accumulation.
const LEAST_RESOURCES: usize = 5;
const LEAST_INSTANCES: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Everything {
    /// One for each container, the most resources first, then the most objects.
    pub rows: Vec<Accumulated>,
    /// For each of them, where to look for a line that memory does not tell.
    pub places: Vec<Option<Place>>,
    /// Containers that are not shown.
    pub not_shown: u64,
    /// What nothing can ever wake.
    pub proven: Vec<Proven>,
    /// What C code may wake.
    pub hidden: Vec<HiddenWaker>,
}

/// A container with what fans out from it.
struct Row {
    what: String,
    group: HolderGroup,
    members: Vec<Node>,
    container: Node,
    others: BTreeMap<String, u64>,
    resources: u64,
}

/// Reads the graph and finds where resources and instances accumulate.
pub fn everything(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
    catalog: &Catalog,
    question: &Question<'_>,
) -> Result<(Everything, GraphInfo, Graph), Problem> {
    let graph = graph::build(python, runtime, interpreters)?;
    let describer = Describer::new(python, interpreters, catalog, None);
    let (found, info) = {
        let holding = Holding::new(python, interpreters, &graph, &describer);
        let subjects = subjects(&holding, &describer)?;
        let mut found = rows(&holding, subjects, question);
        let stuck = proven::find(&holding, question, runtime, proven::Futures::All)?;
        found.proven = stuck.proven.into_iter().map(|(proven, _)| proven).collect();
        found.hidden = stuck.hidden.into_iter().map(|(hidden, _)| hidden).collect();
        (found, holding.info())
    };
    Ok((found, info, graph))
}

/// The kinds of resources, and then the types with most instances, each with its objects.
fn subjects(
    holding: &Holding<'_, '_>,
    describer: &Describer<'_, '_>,
) -> Result<Vec<(String, bool, Vec<Node>)>, Problem> {
    let graph = holding.graph;
    let mut subjects: Vec<(String, bool, Vec<Node>)> = Vec::new();
    let mut of_kind: BTreeMap<String, usize> = BTreeMap::new();
    let mut of_type: Vec<Option<usize>> = Vec::with_capacity(graph.types().len());
    for known in graph.types() {
        let class = &known.class;
        let place = match describer.entry_for(class)? {
            Some(entry) => Some(*of_kind.entry(entry.kind.clone()).or_insert_with(|| {
                subjects.push((entry.kind.clone(), true, Vec::new()));
                subjects.len() - 1
            })),
            None if class.flags.heap_type()
                && class.flags.has_gc()
                && !class.flags.type_subclass() =>
            {
                subjects.push((class.name().to_owned(), false, Vec::new()));
                Some(subjects.len() - 1)
            }
            None => None,
        };
        of_type.push(place);
    }
    for node in graph.objects().filter(|&node| holding.is_alive(node)) {
        let number = graph.type_number(node).and_then(|number| of_type.get(number as usize));
        if let Some((.., nodes)) = number.and_then(|place| subjects.get_mut((*place)?)) {
            nodes.push(node);
        }
    }
    subjects.retain(|&(_, resource, ref nodes)| nodes.len() >= least(resource));
    subjects.sort_by_key(|(_, resource, nodes)| Reverse((*resource, nodes.len())));
    let resources = subjects.iter().filter(|(_, resource, _)| *resource).count();
    subjects.truncate(resources + MOST_TYPES);
    Ok(subjects)
}

fn least(resource: bool) -> usize {
    if resource { LEAST_RESOURCES } else { LEAST_INSTANCES }
}

fn rows(
    holding: &Holding<'_, '_>,
    subjects: Vec<(String, bool, Vec<Node>)>,
    question: &Question<'_>,
) -> Everything {
    let (graph, paths) = (holding.graph, &holding.paths);
    let mut names = Names::new(holding.python, holding.interpreters, graph);
    let mut rows: Vec<Row> = Vec::new();
    let mut of_container: BTreeMap<Node, usize> = BTreeMap::new();
    for (what, resource, nodes) in subjects {
        let mut groups = Groups::of(&mut names, graph, paths, &nodes);
        for index in 0..groups.members().len() {
            let Some(members) = groups.group(index).map(<[Node]>::to_vec) else { continue };
            if members.len() < least(resource) {
                continue;
            }
            let wanted = |&node: &Node| paths.cost(node).is_some_and(|cost| cost < UNWANTED);
            let container = groups.container(&names, graph, paths, index);
            let Some(container) = container.filter(|_| members.first().is_some_and(wanted)) else {
                continue;
            };
            let count = members.len() as u64;
            let mut group = groups.describe(&mut names, graph, paths, index, question.depth);
            group.total = nodes.len() as u64;
            let own = if resource { count } else { 0 };
            let row = Row {
                what: what.clone(),
                group,
                members,
                container,
                others: BTreeMap::new(),
                resources: own,
            };
            let known = of_container.get(&container).and_then(|&at| rows.get_mut(at));
            let Some(known) = known else {
                of_container.insert(container, rows.len());
                rows.push(row);
                continue;
            };
            // What lies nearest to the container speaks for the others.
            let resources = known.resources + own;
            let beside = match row.group.steps.len() < known.group.steps.len() {
                true => {
                    let others = std::mem::take(&mut known.others);
                    let farther = std::mem::replace(known, Row { others, ..row });
                    (farther.what, farther.members.len() as u64)
                }
                false => (row.what, count),
            };
            known.resources = resources;
            *known.others.entry(beside.0).or_default() += beside.1;
        }
    }
    rows.sort_by_key(|row| Reverse((row.resources, row.members.len())));
    let not_shown = rows.len().saturating_sub(question.groups) as u64;
    let mut found = Everything { not_shown, ..Everything::default() };
    for row in rows.into_iter().take(question.groups) {
        let Row { what, mut group, members, container, others, .. } = row;
        holding.who_else(&mut names, &mut group, Some(container), &members, question);
        if let Some(free) = holding.weights.of_groups(holding, &[&members]).pop() {
            (group.retained_bytes, group.retained) = (free.bytes, free.resources);
        }
        let owner = owner::of(&names, holding, Some(container));
        (group.owner, group.live) = (owner.owner, owner.live);
        let examples = members.iter().take(3).map(|&node| graph.address(node).to_string());
        group.examples = examples.collect();
        found.places.push(owner.place);
        found.rows.push(Accumulated { what, group, others });
    }
    found
}
