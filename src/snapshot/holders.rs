//! Who holds what: the retention paths of many objects, grouped.

use super::{CaptureInfo, ProcessInfo};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The document of `why --json`.
#[derive(Debug, Clone, Serialize)]
pub struct WhyDocument {
    /// "pyattach.why/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// What was asked for.
    pub selector: String,
    /// The graph the answer comes from; `null` for a file that has none.
    pub graph: Option<GraphInfo>,
    /// Who holds them.
    pub holders: Holders,
    /// Those among them that nothing can ever wake.
    pub proven: Vec<Proven>,
    /// Those among them of which C code hides whether it wakes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<HiddenWaker>,
}

impl WhyDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.why/1";
}

/// How large the graph is and how much of it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphInfo {
    /// Objects: tracked ones and those they refer to.
    pub objects: u64,
    /// Of these, tracked by the collector.
    pub tracked: u64,
    /// References between them.
    pub references: u64,
    /// References found by looking for pointers in the bodies of C types.
    pub inferred: u64,
    /// Objects that could not be read.
    pub unreadable: u64,
    /// Objects that nothing reaches: garbage that waits for the collector.
    pub garbage: u64,
    /// Bytes of the garbage.
    pub garbage_bytes: u64,
    /// Objects with more references than were found: held from C.
    pub held_from_c: u64,
    /// C types that were scanned for pointers, with their number of instances.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub scanned_types: BTreeMap<String, u64>,
}

/// Who holds the objects that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Holders {
    /// Objects that match.
    pub total: u64,
    /// Of these, garbage that waits for the collector; in no group.
    pub garbage: u64,
    /// Bytes that would be free without them: each counted once.
    pub retained_bytes: u64,
    /// Resources that would be free without them, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub retained: BTreeMap<String, u64>,
    /// The groups, largest first.
    pub groups: Vec<HolderGroup>,
    /// Groups left out.
    pub groups_not_shown: u64,
    /// Objects in the groups left out.
    pub objects_not_shown: u64,
    /// Where they were made, most first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sites: Vec<CreationSite>,
    /// How to learn where they were made, when that is not known.
    pub sites_hint: Option<String>,
}

/// Objects that are held the same way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HolderGroup {
    /// Objects in the group.
    pub count: u64,
    /// Objects that were asked for.
    pub total: u64,
    /// What the path begins at: "module", "thread", "event_loop", "class", "interpreter", "c".
    pub root: String,
    /// From the root to the objects.
    pub steps: Vec<PathStep>,
    /// The steps as one line: "module app.gateway › class Gateway › _live › [item]".
    pub path: String,
    /// The container where the path fans out to the objects.
    pub accumulation: Option<Accumulation>,
    /// The class or function that owns the container, and where it is defined.
    pub owner: Option<Owner>,
    /// Where the thread is, when the path begins at a frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live: Option<Location>,
    /// A step of the path was found by looking for pointers in a C object.
    pub inferred: bool,
    /// Cutting this path sets the objects free: nothing else holds them.
    pub only_holder: bool,
    /// Other paths that must be cut as well.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub also: Vec<OtherHolder>,
    /// Bytes that would be free without the objects of the group.
    pub retained_bytes: u64,
    /// Resources that would be free without them, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub retained: BTreeMap<String, u64>,
    /// References from C beyond those found, when the path begins in C.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_c: Option<u64>,
    /// Addresses of some of the objects.
    pub examples: Vec<String>,
}

/// One step of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// "module", "class", "global", "attribute", "item", "key", "closure", "local", "field", …
    pub kind: String,
    /// As shown.
    pub text: String,
    /// The type of the object the step leads to.
    #[serde(rename = "type")]
    pub class: String,
}

/// A container that holds many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accumulation {
    /// Its type.
    #[serde(rename = "type")]
    pub class: String,
    /// Where it is.
    pub address: String,
    /// Its `len()`, if it has one.
    pub length: Option<u64>,
    /// The path up to it.
    pub path: String,
}

/// What owns a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// "class", "function", "module".
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub location: Option<Location>,
}

/// A place in the program.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// The file, as the target names it.
    pub file: String,
    /// The line; unknown of a class before 3.13 whose file cannot be read.
    pub line: Option<u64>,
}

/// A second path to the same objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherHolder {
    /// Objects of the group that it holds.
    pub count: u64,
    /// The path.
    pub path: String,
    /// Its container.
    pub accumulation: Option<Accumulation>,
}

/// Where objects were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreationSite {
    /// How many.
    pub count: u64,
    /// "tracemalloc", or "source traceback": of asyncio's debug mode, of aiohttp.
    pub source: String,
    /// Innermost first.
    pub frames: Vec<Location>,
}

/// Who holds every resource and task of a capture.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The ways they are held, those of a kind together, the largest first.
    pub groups: Vec<HolderGroup>,
    /// By the address of a resource or task, its place in `groups`.
    pub of: BTreeMap<String, usize>,
    /// Resources that nothing alive reaches, by address: garbage that waits for the collector.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub garbage: BTreeSet<String>,
    /// Tasks, futures and threads that nothing can ever wake.
    pub proven: Vec<Proven>,
    /// Those of which C code hides whether it wakes them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hidden: Vec<HiddenWaker>,
    /// What the groups are of, in their order: the kinds of resources, then the largest types.
    /// Empty where only the resources were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub subjects: Vec<Subject>,
}

/// What some groups, one after the other, are of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// "resource" or "type".
    pub family: String,
    /// The kind, or the name of the type.
    pub name: String,
    /// Its groups.
    pub groups: u64,
    /// Its objects that something alive reaches.
    pub total: u64,
    /// Groups left out.
    #[serde(skip_serializing_if = "is_none", default)]
    pub groups_not_shown: u64,
    /// Objects in the groups left out.
    #[serde(skip_serializing_if = "is_none", default)]
    pub objects_not_shown: u64,
    /// Objects in the largest group left out.
    #[serde(skip_serializing_if = "is_none", default)]
    pub largest_not_shown: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Held {
    /// The groups of each kind and type.
    pub fn by_subject(&self) -> impl Iterator<Item = (&Subject, &[HolderGroup])> {
        let mut rest = self.groups.as_slice();
        self.subjects.iter().map(move |subject| {
            let count = usize::try_from(subject.groups).unwrap_or(usize::MAX).min(rest.len());
            let (groups, behind) = rest.split_at_checked(count).unwrap_or_default();
            rest = behind;
            (subject, groups)
        })
    }
}

/// What stands between the steps of a path.
pub const ARROW: &str = " › ";

/// The steps of a path as one line, at most `depth` of them: the middle is left out.
pub fn line(texts: &[String], depth: usize) -> String {
    let depth = depth.max(1);
    if texts.len() <= depth {
        return texts.join(ARROW);
    }
    let before = 3.min(depth - 1);
    let after = depth - before;
    let left = texts.len() - depth;
    let first = texts.get(..before).unwrap_or_default().join(ARROW);
    let last = texts.get(texts.len() - after..).unwrap_or_default().join(ARROW);
    let steps = if left == 1 { "step" } else { "steps" };
    format!("{first}{ARROW}… {left} {steps} …{ARROW}{last}")
}

/// A leak that one picture proves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Proven {
    /// "task", "future", "thread"
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Of how many that wait, or are pending, in all.
    pub waiting: u64,
    /// The function they wait in: the innermost that is not of the standard library; unknown
    /// of futures.
    pub waits_in: Option<String>,
    /// Where that is.
    pub location: Option<Location>,
    /// Their addresses; of threads that of the thread state.
    pub objects: Vec<String>,
    /// The threads, where these wait.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub threads: Vec<StuckThread>,
    /// Why this is a proof, or what weakens it.
    pub reason: String,
    /// Who holds them.
    pub holders: Vec<HolderGroup>,
}

/// A thread that waits for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckThread {
    /// What `threading` calls it.
    pub name: Option<String>,
    /// The kernel's id, as the target sees it.
    pub native_id: Option<u64>,
}

/// Who waits for what only C code refers to: whether that ever wakes them cannot be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HiddenWaker {
    /// "task", "future", "thread"
    pub kind: String,
    /// How many.
    pub count: u64,
    /// Of how many that wait, or are pending, in all.
    pub waiting: u64,
    /// What it means.
    pub reason: String,
}
