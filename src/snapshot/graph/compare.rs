//! What is different between two graphs: which paths lead to more, and which objects are large.

use super::{NONE, StoredGraph, at};
use crate::snapshot::holders::{Owner, line};
use crate::snapshot::retention::{any_key, plain};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Steps of a path that are shown.
const DEPTH: usize = 12;
/// A dict with more keys than this that are told apart is a registry.
const LITERAL_KEYS: usize = 3;
/// A path is set aside when the one it goes on from grew by as many.
const PART: u64 = 2;

/// What is different between two graphs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GraphDiff {
    /// Objects alive, before and after.
    pub objects: [u64; 2],
    /// Their bytes.
    pub bytes: [u64; 2],
    /// Of the objects before: still there, of the same type and at the same place; `null` between
    /// two processes.
    pub stayed: Option<u64>,
    /// Objects after that were not there before.
    pub appeared: Option<u64>,
    /// Paths that lead to more objects or hold more bytes, the most bytes first.
    pub grew: Vec<GraphRow>,
    /// Paths that grew, left out.
    pub grew_not_shown: u64,
    /// Paths that hold less, the most bytes first.
    pub shrank: Vec<GraphRow>,
    /// Paths that hold less, left out.
    pub shrank_not_shown: u64,
    /// The objects that hold most bytes more than before, one within another left out.
    pub largest: Vec<LargeObject>,
}

/// A path in both graphs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphRow {
    /// From the root to the objects.
    pub path: String,
    /// The type of most of them.
    #[serde(rename = "type")]
    pub class: String,
    /// Who owns the container they are in.
    pub owner: Option<Owner>,
    /// Objects at the path, before and after.
    pub count: [u64; 2],
    /// Bytes that would be free without them, before and after.
    pub retained_bytes: [u64; 2],
    /// Of the objects before, those still there; `null` between two processes.
    pub stayed: Option<u64>,
}

/// One object that holds much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LargeObject {
    /// Where it is, after.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub class: String,
    /// How it is held.
    pub path: String,
    /// It was there before; `null` between two processes.
    pub stayed: Option<bool>,
    /// Its `len()`, after.
    pub length: Option<u64>,
    /// Bytes that would be free without it, before (0 for what appeared) and after.
    pub retained_bytes: [u64; 2],
}

/// A step as it is compared.
type Step = (String, String);
/// Number of an identity of a path that both graphs know.
type Place = usize;

/// Gives paths of both graphs numbers, the same to those that read the same.
struct Places {
    known: BTreeMap<(Place, Step), Place>,
    above: Vec<Place>,
    texts: Vec<String>,
}

impl Places {
    fn add(&mut self, above: Place, step: Step) -> Place {
        let next = self.texts.len();
        let text = step.1.clone();
        let place = *self.known.entry((above, step)).or_insert(next);
        if place == next {
            self.above.push(above);
            self.texts.push(text);
        }
        place
    }

    fn path(&self, mut place: Place) -> String {
        let mut texts = Vec::new();
        while place != 0 {
            texts.extend(self.texts.get(place).cloned());
            place = self.above.get(place).copied().unwrap_or(0);
        }
        texts.reverse();
        line(&texts, DEPTH)
    }

    /// The places of all paths of a graph. The keys that `joined` has count as one.
    fn of(&mut self, graph: &StoredGraph, joined: &[bool]) -> Vec<Place> {
        let mut places: Vec<Place> = vec![0];
        for (index, path) in graph.paths.iter().enumerate().skip(1) {
            let above = places.get(path.parent as usize).copied().unwrap_or(0);
            let step = graph.steps.get(path.step as usize);
            let (kind, text) = step.map_or(("", ""), |step| (&step.kind, &step.text));
            let step = match joined.get(index) == Some(&true) {
                true => ("item".to_owned(), any_key(text)),
                false => (kind.to_owned(), plain(text, matches!(kind, "thread" | "interpreter"))),
            };
            places.push(self.add(above, step));
        }
        places
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { known: BTreeMap::new(), above: vec![0], texts: vec![String::new()] }
    }
}

/// Of the paths of each graph, which end with a key of a dict that has many in either.
fn joined(graphs: [&StoredGraph; 2]) -> [Vec<bool>; 2] {
    let mut places = Places::default();
    let of = graphs.map(|graph| places.of(graph, &[]));
    let is_key = |graph: &StoredGraph, path: &super::StoredPath| {
        graph.steps.get(path.step as usize).is_some_and(|step| step.kind == "key")
    };
    let mut keys: BTreeMap<Place, BTreeSet<Place>> = BTreeMap::new();
    for (graph, of) in graphs.iter().zip(&of) {
        for (path, &place) in graph.paths.iter().zip(of).skip(1) {
            let above = of.get(path.parent as usize).copied().unwrap_or(0);
            if is_key(graph, path) {
                keys.entry(above).or_default().insert(place);
            }
        }
    }
    let of_graph = |(graph, of): (&StoredGraph, &Vec<Place>)| -> Vec<bool> {
        let above = |path: &super::StoredPath| of.get(path.parent as usize).copied().unwrap_or(0);
        let many = |place| keys.get(&place).is_some_and(|keys| keys.len() > LITERAL_KEYS);
        graph.paths.iter().map(|path| is_key(graph, path) && many(above(path))).collect()
    };
    [of_graph((graphs[0], &of[0])), of_graph((graphs[1], &of[1]))]
}

/// What is at a place of one graph.
#[derive(Debug, Clone, Default)]
struct Sum {
    count: u64,
    retained: u64,
    classes: BTreeMap<u32, u64>,
    owner: u32,
}

fn sums(graph: &StoredGraph, places: &[Place], retained: &[u64], all: usize) -> Vec<Sum> {
    let mut sums = vec![Sum { owner: NONE, ..Sum::default() }; all];
    let nodes = &graph.nodes;
    let place = |node: u32| places.get(at(&nodes.path, node)? as usize).copied();
    for node in 1..nodes.len() as u32 {
        let class = at(&nodes.class, node).unwrap_or(NONE);
        let Some(here) = place(node).filter(|_| class != NONE) else { continue };
        // What adds no step belongs to what is before it.
        let above = at(&nodes.parent, node).and_then(place);
        let Some(sum) = sums.get_mut(here) else { continue };
        if above != Some(here) {
            sum.count += 1;
            *sum.classes.entry(class).or_default() += 1;
        }
        if at(&nodes.dominator, node).and_then(place) != Some(here) {
            sum.retained = sum.retained.saturating_add(at(retained, node).unwrap_or(0));
        }
        if sum.owner == NONE {
            let mut path = at(&nodes.path, node).unwrap_or(0);
            while let Some(one) = at(&graph.paths, path).filter(|_| path != 0) {
                if one.owner != NONE {
                    sum.owner = one.owner;
                    break;
                }
                path = one.parent;
            }
        }
    }
    sums
}

/// Compares two graphs. `same`: they are of one process, so that addresses mean something.
/// `rows`: rows of each list that are kept.
pub fn compare(old: &StoredGraph, new: &StoredGraph, same: bool, rows: usize) -> GraphDiff {
    let [joined_old, joined_new] = joined([old, new]);
    let mut places = Places::default();
    let of_old = places.of(old, &joined_old);
    let of_new = places.of(new, &joined_new);
    let retained = [old.nodes.retained(), new.nodes.retained()];
    let all = places.texts.len();
    let before = sums(old, &of_old, &retained[0], all);
    let after = sums(new, &of_new, &retained[1], all);
    let was: Option<HashMap<u64, u32>> = same.then(|| {
        let addresses = old.nodes.address.iter().zip(0u32..);
        addresses
            .filter(|&(&address, _)| address != 0)
            .map(|(&address, node)| (address, node))
            .collect()
    });
    let known = |node: u32| -> Option<u32> {
        let address = at(&new.nodes.address, node)?;
        let other = *was.as_ref()?.get(&address)?;
        (old.class_name(other) == new.class_name(node)).then_some(other)
    };
    let mut stayed_at = vec![0u64; all];
    let mut stayed = 0;
    let objects = |graph: &StoredGraph| {
        graph.nodes.class.iter().filter(|&&class| class != NONE).count() as u64
    };
    for node in 1..new.nodes.len() as u32 {
        let is_object = at(&new.nodes.class, node).is_some_and(|class| class != NONE);
        if is_object && known(node).is_some() {
            stayed += 1;
            let place = at(&new.nodes.path, node).and_then(|path| of_new.get(path as usize));
            let above = at(&new.nodes.parent, node).and_then(|it| at(&new.nodes.path, it));
            let above = above.and_then(|path| of_new.get(path as usize));
            if let Some(count) =
                place.filter(|_| above != place).and_then(|&it| stayed_at.get_mut(it))
            {
                *count += 1;
            }
        }
    }
    let mut found = GraphDiff {
        objects: [objects(old), objects(new)],
        bytes: [old, new].map(|graph| graph.nodes.size.iter().sum()),
        stayed: same.then_some(stayed),
        appeared: same.then(|| objects(new).saturating_sub(stayed)),
        ..GraphDiff::default()
    };
    let more = |place: Place| -> (u64, u64) {
        match (before.get(place), after.get(place)) {
            (Some(old), Some(new)) => {
                (new.count.saturating_sub(old.count), new.retained.saturating_sub(old.retained))
            }
            _ => (0, 0),
        }
    };
    for (place, (was, is)) in before.iter().zip(&after).enumerate().skip(1) {
        if was.count == is.count && was.retained == is.retained {
            continue;
        }
        let row = |from: &StoredGraph, sum: &Sum| GraphRow {
            path: places.path(place),
            class: sum
                .classes
                .iter()
                .max_by_key(|&(_, &count)| count)
                .and_then(|(&class, _)| from.types.get(class as usize))
                .map(|class| class.name.clone())
                .unwrap_or_default(),
            owner: from.owners.get(sum.owner as usize).and_then(|owner| owner.owner.clone()),
            count: [was.count, is.count],
            retained_bytes: [was.retained, is.retained],
            stayed: same.then(|| stayed_at.get(place).copied().unwrap_or(0)),
        };
        if is.count > was.count {
            // What comes with each of the objects before it is theirs.
            let above = places.above.get(place).copied().unwrap_or(0);
            let (count, _) = more(place);
            if above != 0 && more(above).0.saturating_mul(PART) >= count {
                continue;
            }
            found.grew.push(row(new, is));
        } else if is.count < was.count {
            found.shrank.push(row(old, was));
        }
    }
    let order = |row: &GraphRow| {
        let [was, is] = row.retained_bytes;
        let [less, more] = row.count;
        (
            std::cmp::Reverse(was.abs_diff(is)),
            std::cmp::Reverse(less.abs_diff(more)),
            row.path.clone(),
        )
    };
    found.grew.sort_by_key(order);
    found.shrank.sort_by_key(order);
    found.grew_not_shown = found.grew.len().saturating_sub(rows) as u64;
    found.grew.truncate(rows);
    found.shrank_not_shown = found.shrank.len().saturating_sub(rows) as u64;
    found.shrank.truncate(rows);
    found.largest = largest(new, &places, &of_new, &retained, &known, same, rows.min(20));
    found
}

/// The objects that hold most bytes more than before, and do not owe most of that to one thing
/// within. What one of them alone holds is left out.
fn largest(
    new: &StoredGraph,
    places: &Places,
    of_new: &[Place],
    retained: &[Vec<u64>; 2],
    known: &dyn Fn(u32) -> Option<u32>,
    same: bool,
    rows: usize,
) -> Vec<LargeObject> {
    if !same {
        return Vec::new();
    }
    let [before, after] = retained;
    let growth = |node: u32| {
        let was = known(node).and_then(|node| at(before, node)).unwrap_or(0);
        (was, at(after, node).unwrap_or(0).saturating_sub(was))
    };
    // Of what each node alone holds, the part that grew most.
    let mut inner = vec![0u64; new.nodes.len()];
    for node in 1..new.nodes.len() as u32 {
        let above = at(&new.nodes.dominator, node).and_then(|it| inner.get_mut(it as usize));
        above.into_iter().for_each(|most| *most = growth(node).1.max(*most));
    }
    // Where most of the growth is that of one thing within, that one is meant.
    let is_meant = |node: u32, more: u64| {
        more > 0 && at(&inner, node).is_some_and(|inner| inner.saturating_mul(PART) < more)
    };
    let mut order: Vec<(u64, u32)> = (1..new.nodes.len() as u32)
        .filter(|&node| at(&new.nodes.class, node).is_some_and(|class| class != NONE))
        .map(|node| (growth(node).1, node))
        .filter(|&(more, node)| is_meant(node, more))
        .collect();
    order.sort_by_key(|&(more, node)| (std::cmp::Reverse(more), node));
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    let mut found = Vec::new();
    for (_, node) in order {
        if found.len() >= rows {
            break;
        }
        let mut up = node;
        let mut within = false;
        while let Some(next) = at(&new.nodes.dominator, up).filter(|&next| next < up && !within) {
            up = next;
            within = taken.contains(&up);
        }
        if within {
            continue;
        }
        taken.insert(node);
        let place = at(&new.nodes.path, node).and_then(|path| of_new.get(path as usize)).copied();
        let (was, more) = growth(node);
        found.push(LargeObject {
            address: format!("{:#x}", at(&new.nodes.address, node).unwrap_or(0)),
            class: new.class_name(node).to_owned(),
            path: places.path(place.unwrap_or(0)),
            stayed: Some(known(node).is_some()),
            length: at(&new.nodes.length, node).filter(|&length| length != u64::MAX),
            retained_bytes: [was, was.saturating_add(more)],
        });
    }
    found
}
