//! Resources from a picture of the heap: one by one, and summed by kind.
//!
//! Texts that come from the target are masked here, before anything else sees them.

use super::Problem;
use crate::cpython::{Python, Type};
use crate::heap::census::Census;
use crate::memory::Address;
use crate::resources::{Answer, Describer, Detail, Entry, Resource, SocketFacts};
use crate::snapshot::secrets::{MASK, is_secret_name, mask_text};
use crate::snapshot::{Number, ResourceRow, ResourceSummary, Shown};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Kinds that a summary has also when there are none.
const HEADLINES: [&str; 4] = ["socket", "thread_pool_executor", "aiohttp_session", "asyncio_task"];
/// Metrics that are names or settings, not quantities: their sum means nothing.
const NOT_SUMMED: [&str; 5] = ["fd", "timeout", "pid", "native_id", "returncode"];
/// Longest text shown, in characters.
const MAX_TEXT: usize = 300;

/// Which resources are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All.
    All,
    /// Those of these kinds.
    Kinds(Vec<String>),
    /// Those that one entry is for.
    Entry(String),
}

impl Selection {
    pub(in crate::attach) fn includes(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Kinds(kinds) => kinds.contains(&entry.kind),
            Self::Entry(id) => entry.id == *id,
        }
    }
}

/// Finds out which types are resources, once for each type.
pub(super) struct Finder<'d, 'c, 'm> {
    describer: &'d Describer<'c, 'm>,
    selection: &'d Selection,
    entries: RefCell<FxHashMap<Address, &'c Entry>>,
    problem: RefCell<Option<Problem>>,
}

impl<'d, 'c, 'm> Finder<'d, 'c, 'm> {
    pub(super) fn new(describer: &'d Describer<'c, 'm>, selection: &'d Selection) -> Self {
        Self { describer, selection, entries: RefCell::default(), problem: RefCell::default() }
    }

    /// True when the instances of `class` are to be described.
    pub(super) fn wants(&self, class: &Type) -> bool {
        match self.describer.entry_for(class) {
            Ok(Some(entry)) if self.selection.includes(entry) => {
                self.entries.borrow_mut().insert(class.address, entry);
                true
            }
            Ok(_) => false,
            Err(error) => {
                self.problem.borrow_mut().get_or_insert(error);
                false
            }
        }
    }

    /// Describes what a census kept; `each` gets every resource. Gives the sums by kind and
    /// how many objects could not be described at all.
    pub(super) fn describe(
        self,
        census: &Census,
        detail: Detail,
        each: &mut dyn FnMut(&Resource<'c>),
    ) -> Result<(BTreeMap<String, ResourceSummary>, u64), Problem> {
        if let Some(problem) = self.problem.into_inner().filter(|error| error.fatal().is_some()) {
            return Err(problem);
        }
        let entries = self.entries.into_inner();
        let mut sums: BTreeMap<&str, (&Entry, ResourceSummary)> = BTreeMap::new();
        let mut unreadable = 0;
        let mut summed: FxHashSet<Address> = FxHashSet::default();
        for (class, instances) in &census.kept {
            let Some(&entry) = entries.get(class) else { continue };
            let sum = sums.entry(&entry.id).or_insert_with(|| (entry, ResourceSummary::default()));
            for &instance in instances {
                match self.describer.describe(entry, instance, detail) {
                    Ok(resource) => {
                        let first = resource.shared.is_none_or(|shared| summed.insert(shared));
                        add(&mut sum.1, &resource, first);
                        each(&resource);
                    }
                    Err(error) if error.fatal().is_some() => return Err(error),
                    Err(_) => {
                        unreadable += 1;
                        sum.1.count += 1;
                        *sum.1.states.entry("unknown".to_owned()).or_default() += 1;
                    }
                }
            }
        }
        let mut kinds = BTreeMap::new();
        if self.selection == &Selection::All {
            kinds.extend(HEADLINES.map(|kind| (kind.to_owned(), ResourceSummary::default())));
        }
        for (entry, mut summary) in sums.into_values() {
            let totals: Vec<(&str, Answer)> = entry
                .metrics
                .iter()
                .map(|metric| (metric.name.as_str(), total(&summary, &metric.name)))
                .collect();
            let level = self.describer.total_level(entry, summary.count, &totals)?;
            summary.level = level.map(|level| level.name().into());
            kinds.entry(entry.kind.clone()).or_default().merge(summary);
        }
        Ok((kinds, unreadable))
    }
}

/// The sum of a metric over all of an entry's resources; unknown when it is unknown of one.
fn total(summary: &ResourceSummary, metric: &str) -> Answer {
    if summary.unknown.contains_key(metric) {
        return Answer::Missing("not known of all".to_owned());
    }
    match summary.totals.get(metric) {
        Some(Number::Int(value)) => Answer::Int(*value),
        Some(Number::Float(value)) => Answer::Float(*value),
        None => Answer::Int(0),
    }
}

/// Counts a resource; its numbers too, unless they are of an object that was counted before.
fn add(summary: &mut ResourceSummary, resource: &Resource<'_>, numbers: bool) {
    summary.count += 1;
    let state = state(resource).unwrap_or_else(|| "unknown".to_owned());
    *summary.states.entry(state).or_default() += 1;
    for (metric, answer) in &resource.metrics {
        if !numbers || NOT_SUMMED.contains(metric) {
            continue;
        }
        match answer {
            Answer::None => {}
            answer => match number(answer) {
                Some(value) => {
                    let total =
                        summary.totals.entry((*metric).to_owned()).or_insert(Number::Int(0));
                    *total = total.plus(value);
                }
                None => *summary.unknown.entry((*metric).to_owned()).or_default() += 1,
            },
        }
    }
    if let Some(level) = resource.level {
        *summary.over_limit.entry(level.name().into()).or_default() += 1;
    }
}

fn state(resource: &Resource<'_>) -> Option<String> {
    match &resource.state {
        Answer::Text(state) => Some(state.clone()),
        Answer::None if resource.entry.state.is_empty() => Some("present".to_owned()),
        Answer::None => Some("other".to_owned()),
        _ => None,
    }
}

fn number(answer: &Answer) -> Option<Number> {
    match answer {
        Answer::Int(value) => Some(Number::Int(*value)),
        // JSON has no infinities.
        Answer::Float(value) if value.is_finite() => Some(Number::Float(*value)),
        _ => None,
    }
}

/// A resource as a row of the document.
pub(super) fn row(resource: &Resource<'_>) -> ResourceRow {
    let entry = resource.entry;
    let mut unknown = BTreeMap::new();
    if let Answer::Missing(reason) = &resource.state {
        unknown.insert("state".to_owned(), reason.clone());
    }
    let mut metrics = BTreeMap::new();
    for (name, answer) in &resource.metrics {
        if let Answer::Missing(reason) = answer {
            unknown.insert((*name).to_owned(), reason.clone());
        }
        if *answer != Answer::None {
            metrics.insert((*name).to_owned(), number(answer));
        }
    }
    let mut show = BTreeMap::new();
    for (named, answer) in &resource.show {
        if let Answer::Missing(reason) = answer {
            unknown.insert(named.name.clone(), reason.clone());
        }
        if *answer != Answer::None {
            let secret =
                is_secret_name(&named.name) || named.value_names().into_iter().any(is_secret_name);
            show.insert(named.name.clone(), shown(answer, secret));
        }
    }
    let fd = resource.metrics.iter().find(|(name, _)| *name == "fd");
    let links = resource.links.iter().map(|(name, to)| ((*name).to_owned(), to.to_string()));
    ResourceRow {
        id: entry.id.clone(),
        kind: entry.kind.clone(),
        class: resource.class.name().to_owned(),
        address: resource.address.to_string(),
        state: state(resource),
        metrics,
        show,
        fd: fd.and_then(|(_, answer)| answer.as_int()),
        links: links.collect(),
        level: resource.level.map(|level| level.name().into()),
        unknown,
    }
}

fn shown(answer: &Answer, secret: bool) -> Option<Shown> {
    Some(match answer {
        Answer::Bool(value) => Shown::Bool(*value),
        Answer::Int(_) | Answer::Float(_) | Answer::Text(_) if secret => {
            Shown::Text(MASK.to_owned())
        }
        Answer::Text(text) => {
            let masked = mask_text(text);
            Shown::Text(match masked.char_indices().nth(MAX_TEXT) {
                Some((cut, _)) => format!("{}…", &masked[..cut]),
                None => masked,
            })
        }
        other => Shown::Number(number(other)?),
    })
}

/// The resources one by one, those of a kind together, in the order of their addresses.
#[derive(Debug)]
pub struct ResourcePicture {
    /// One by one.
    pub rows: Vec<ResourceRow>,
    /// Summed.
    pub kinds: BTreeMap<String, ResourceSummary>,
    /// The walk of the heap behind it.
    pub census: Census,
    /// Objects that could not be described.
    pub unreadable: u64,
}

/// Walks the heap and describes the resources that are wanted. Without `sockets`, what the kernel
/// says of them is unknown.
pub fn collect(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[crate::cpython::Interpreter],
    catalog: &crate::resources::Catalog,
    selection: &Selection,
    sockets: Option<&dyn SocketFacts>,
) -> Result<ResourcePicture, Problem> {
    let describer = Describer::new(python, interpreters, catalog, sockets);
    let finder = Finder::new(&describer, selection);
    let census =
        crate::heap::census::take(python, runtime, interpreters, &|class| finder.wants(class))?;
    let mut rows = Vec::new();
    let (kinds, unreadable) = finder.describe(&census, Detail::Everything, &mut |resource| {
        rows.push((resource.address, row(resource)));
    })?;
    rows.sort_by(|(a_at, a), (b_at, b)| (&a.kind, &a.id, a_at).cmp(&(&b.kind, &b.id, b_at)));
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(ResourcePicture { rows, kinds, unreadable: unreadable + census.untyped, census })
}
