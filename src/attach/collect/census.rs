//! A census document's body from a picture of the heap.

use super::Problem;
use super::resources::{Finder, Selection};
use crate::cpython::{Interpreter, Python};
use crate::heap::census::{self, Census};
use crate::memory::Address;
use crate::resources::{Catalog, Describer, Detail, SocketFacts};
use crate::snapshot::census::{ObjectTotals, ResourceSummary, TypeRow};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What the heap holds.
#[derive(Debug)]
pub struct HeapPicture {
    /// Counts of every type, most instances first.
    pub objects: ObjectTotals,
    /// The resources by kind; the headline kinds are there also with none.
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
    catalog: &Catalog,
    sockets: Option<&dyn SocketFacts>,
) -> Result<HeapPicture, Problem> {
    let describer = Describer::new(python, interpreters, catalog, sockets);
    let finder = Finder::new(&describer, &Selection::All);
    let census = census::take(python, runtime, interpreters, &|class| finder.wants(class))?;
    let (resources, unreadable) = finder.describe(&census, Detail::Numbers, &mut |_| {})?;
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

pub(super) fn totals(census: &Census) -> ObjectTotals {
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
            generations: Some(row.generations),
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

/// What the numbers leave out, in words.
pub(in crate::attach) fn notes(census: &Census) -> Vec<String> {
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
