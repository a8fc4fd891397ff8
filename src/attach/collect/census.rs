//! A census document's body from a picture of the heap.

use super::Problem;
use crate::cpython::{Interpreter, Python, Type};
use crate::heap::census::{self, Census};
use crate::memory::Address;
use crate::resources::{self, Kind};
use crate::snapshot::census::{ObjectTotals, ResourceSummary, TypeRow};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What the heap holds.
#[derive(Debug)]
pub struct HeapPicture {
    /// Counts of every type, most instances first.
    pub objects: ObjectTotals,
    /// The resources by kind; every kind is there, also with none.
    pub resources: BTreeMap<String, ResourceSummary>,
    /// Values that could not be read.
    pub unreadable: u64,
    /// Lists that did not close.
    pub broken_lists: u64,
    /// A collection was running.
    pub collecting: bool,
    /// Nothing contradicts itself.
    pub consistent: bool,
    /// What the numbers leave out, in words.
    pub notes: Vec<String>,
}

/// Counts everything that the interpreters track and describes the resources among it.
pub fn collect(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
) -> Result<HeapPicture, Problem> {
    let kinds: RefCell<FxHashMap<Address, Kind>> = RefCell::default();
    let wanted = |class: &Type| match Kind::of(python, class) {
        Some(kind) => kinds.borrow_mut().insert(class.address, kind).is_none(),
        None => false,
    };
    let census = census::take(python, runtime, interpreters, &wanted)?;
    let (resources, unreadable) = summarise(python, &census, &kinds.borrow())?;
    Ok(HeapPicture {
        objects: totals(&census),
        resources,
        unreadable: unreadable + census.untyped,
        broken_lists: census.breaks.len() as u64,
        collecting: census.collecting,
        consistent: census.is_consistent(),
        notes: notes(&census),
    })
}

fn totals(census: &Census) -> ObjectTotals {
    let mut names: FxHashMap<&str, u32> = FxHashMap::default();
    for row in &census.types {
        *names.entry(row.class.name()).or_default() += 1;
    }
    let mut types: Vec<TypeRow> = census
        .types
        .iter()
        .map(|row| TypeRow {
            name: row.class.name().to_owned(),
            address: row.class.address.to_string(),
            ambiguous: names.get(row.class.name()).is_some_and(|&count| count > 1),
            count: row.count,
            shallow_bytes: row.shallow_bytes,
        })
        .collect();
    types.sort_by(|a, b| {
        (Reverse(a.count), &a.name, &a.address).cmp(&(Reverse(b.count), &b.name, &b.address))
    });
    ObjectTotals {
        total: census.objects,
        permanent: census.permanent,
        untyped: census.untyped,
        shallow_bytes: types.iter().fold(0, |sum: u64, row| sum.saturating_add(row.shallow_bytes)),
        type_count: types.len() as u64,
        types_not_shown: 0,
        types,
    }
}

fn summarise(
    python: &Python<'_>,
    census: &Census,
    kinds: &FxHashMap<Address, Kind>,
) -> Result<(BTreeMap<String, ResourceSummary>, u64), Problem> {
    let mut summaries: BTreeMap<String, ResourceSummary> =
        Kind::ALL.iter().map(|kind| (kind.name().to_owned(), ResourceSummary::default())).collect();
    let mut unreadable = 0;
    let mut summed: FxHashSet<Address> = FxHashSet::default();
    for (class, instances) in &census.kept {
        let Some(&kind) = kinds.get(class) else { continue };
        let Some(summary) = summaries.get_mut(kind.name()) else { continue };
        for &instance in instances {
            let described = match resources::describe(python, kind, instance) {
                Ok(described) => Some(described),
                Err(error) if error.fatal().is_some() => return Err(error),
                Err(_) => None,
            };
            unreadable += u64::from(described.is_none());
            summary.count += 1;
            let state = described.as_ref().and_then(|resource| resource.state);
            *summary.states.entry(state.unwrap_or("unknown").to_owned()).or_default() += 1;
            let shared = described.as_ref().and_then(|resource| resource.shared);
            if shared.is_some_and(|shared| !summed.insert(shared)) {
                continue;
            }
            for (metric, value) in described.into_iter().flat_map(|resource| resource.metrics) {
                match value {
                    // A descriptor's number is a name, not a quantity.
                    _ if metric == "fd" => {}
                    Some(value) => {
                        let total = summary.totals.entry(metric.to_owned()).or_default();
                        *total = total.saturating_add(value);
                    }
                    // "No limit" is an answer, not an unknown.
                    None if metric == "limit" => {}
                    None => *summary.unknown.entry(metric.to_owned()).or_default() += 1,
                }
            }
        }
    }
    Ok((summaries, unreadable))
}

fn notes(census: &Census) -> Vec<String> {
    let mut notes = Vec::new();
    if census.collecting {
        notes.push(
            "a garbage collection was running during every attempt: cyclic garbage it has set \
             aside is not counted"
                .to_owned(),
        );
    }
    for broken in &census.breaks {
        notes.push(format!(
            "a list of tracked objects broke at {} ({}): objects behind it are not counted",
            broken.at, broken.reason
        ));
    }
    if let Some(expected) = census.expected.filter(|&expected| expected != census.objects)
        && census.breaks.is_empty()
    {
        let found = census.objects;
        notes.push(format!("the collector counts {expected} tracked objects, {found} were found"));
    }
    if census.kept_overflow > 0 {
        let more = census.kept_overflow;
        notes.push(format!("{more} resources beyond the first ten million were not described"));
    }
    notes
}
