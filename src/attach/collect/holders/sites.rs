//! Where the objects were made, as far as anybody wrote it down.
//!
//! tracemalloc keeps the stack of every allocation, asyncio in debug mode and aiohttp that of the
//! moment in `_source_traceback`.

use super::Holding;
use crate::attach::collect::Problem;
use crate::cpython::Python;
use crate::heap::graph::{Graph, GraphType, Kind, Node};
use crate::heap::traces::Traces;
use crate::memory::Address;
use crate::snapshot::holders::{CreationSite, Location};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Innermost first: file and line.
type Frames = Vec<(String, Option<u64>)>;

/// Objects that are asked, frames of a stack that are kept, sites that are shown.
const MAX_ASKED: usize = 100_000;
const MAX_FRAMES: u64 = 12;
const MAX_SITES: usize = 10;
const MAX_PATH: usize = 4096;
const HINT: &str = "restart with PYTHONTRACEMALLOC=10 (all objects) or PYTHONASYNCIODEBUG=1 \
                    (tasks, futures, transports) to learn it";

/// The sites, and how to learn them when there are none.
pub(super) fn of(
    holding: &Holding<'_, '_>,
    runtime: Address,
    targets: &[Node],
) -> Result<(Vec<CreationSite>, Option<String>), Problem> {
    let traces = Traces::find(holding.python, runtime)?;
    let has_summary = summaries(holding.graph);
    let mut sites: BTreeMap<(&str, Frames), u64> = BTreeMap::new();
    for &target in targets.iter().take(MAX_ASKED) {
        let address = holding.graph.address(target);
        let traced = traces.as_ref().zip(holding.graph.class(target));
        if let Some(site) = traced.and_then(|(traces, class)| traces.site(class, address)) {
            let frames = site.into_iter().map(|(file, line)| (file, Some(line)));
            let frames = frames.take(MAX_FRAMES as usize).collect();
            *sites.entry(("tracemalloc", frames)).or_default() += 1;
            continue;
        }
        if !has_summary(target) {
            continue;
        }
        let frames = match source_traceback(holding.python, address) {
            Ok(Some(frames)) => frames,
            Ok(None) => continue,
            Err(error) if error.fatal().is_some() => return Err(error),
            Err(_) => continue,
        };
        *sites.entry(("source traceback", frames)).or_default() += 1;
    }
    if sites.is_empty() {
        return Ok((Vec::new(), Some(HINT.to_owned())));
    }
    let mut sites: Vec<CreationSite> = sites
        .into_iter()
        .map(|((source, frames), count)| CreationSite {
            count,
            source: source.to_owned(),
            frames: frames.into_iter().map(|(file, line)| Location { file, line }).collect(),
        })
        .collect();
    sites.sort_by_key(|site| Reverse(site.count));
    sites.truncate(MAX_SITES);
    Ok((sites, None))
}

/// Whether an object may have a `_source_traceback`: it or its dict refers to what is made like a
/// list, and is none.
fn summaries(graph: &Graph) -> impl Fn(Node) -> bool {
    let is_summary = |known: &GraphType| {
        known.class.flags.list_subclass() && known.class.name() != "builtins.list"
    };
    let types: Vec<bool> = graph.types().iter().map(is_summary).collect();
    let any = types.contains(&true);
    move |object| {
        let is_summary = |to: Node| {
            let number = graph.type_number(to).map(|number| number as usize);
            number.and_then(|number| types.get(number)) == Some(&true)
        };
        any && graph.references(object).any(|(to, label)| {
            is_summary(to)
                || label.kind() == Kind::Namespace
                    && graph.targets(to).iter().any(|&value| is_summary(value))
        })
    }
}

/// `_source_traceback`: a `traceback.StackSummary`, outermost frame first.
fn source_traceback(python: &Python<'_>, object: Address) -> Result<Option<Frames>, Problem> {
    let summary = match python.attribute_not_none(object, "_source_traceback")? {
        Some(summary) => summary,
        None => match python.future_source(object)? {
            Some(summary) => summary,
            None => return Ok(None),
        },
    };
    if !python.type_of(summary)?.flags.list_subclass() {
        return Ok(None);
    }
    let length = python.length(summary, "stack")?;
    let frames = python.list_items(summary, length.min(1000))?;
    let mut found = Vec::new();
    for &frame in frames.iter().rev().take(MAX_FRAMES as usize) {
        let file = python.attribute_as(frame, "filename", |text| python.text(text, MAX_PATH));
        let line = match python.attribute(frame, "lineno")?.found() {
            Some(line) => python.small_integer(line).ok(),
            None => python.attribute_as(frame, "_lineno", |line| python.small_integer(line)),
        };
        if let Some(file) = file {
            found.push((file, line.and_then(|line| u64::try_from(line).ok())));
        }
    }
    Ok(Some(found).filter(|found| !found.is_empty()))
}
