//! Tracked objects by type, and the resources among them.

use super::{CaptureInfo, Number, ProcessInfo};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The document of `census --json`.
#[derive(Debug, Clone, Serialize)]
pub struct CensusDocument {
    /// "pyattach.census/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Tracked objects.
    pub objects: ObjectTotals,
    /// The resources by kind.
    pub resources: BTreeMap<String, ResourceSummary>,
}

impl CensusDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.census/1";
}

/// Counts over all types.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectTotals {
    /// Objects on all lists of all interpreters.
    pub total: u64,
    /// Of these, in the permanent generation, which `gc.get_objects()` leaves out.
    pub permanent: u64,
    /// Objects whose type could not be read.
    pub untyped: u64,
    /// Sum of all shallow sizes.
    pub shallow_bytes: u64,
    /// Types met.
    pub type_count: u64,
    /// Types left out by `--top` or `--filter`.
    pub types_not_shown: u64,
    /// Most instances first.
    pub types: Vec<TypeRow>,
}

/// One type.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TypeRow {
    /// `__module__ + "." + __qualname__`
    pub name: String,
    /// Where the type object is: tells classes of one name apart.
    #[serde(rename = "type_address")]
    pub address: String,
    /// Another type has the same name.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub ambiguous: bool,
    /// Tracked instances.
    pub count: u64,
    /// Sum of their shallow sizes.
    pub shallow_bytes: u64,
    /// Of the instances, those in each generation, the youngest first; the permanent one last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generations: Option<[u64; 4]>,
}

/// All resources of one kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ResourceSummary {
    /// How many objects.
    pub count: u64,
    /// How many in each state; `unknown` where the state could not be read.
    pub states: BTreeMap<String, u64>,
    /// Sums over the objects whose number could be read.
    #[serde(flatten)]
    pub totals: BTreeMap<String, Number>,
    /// Objects for which a number could not be read, by metric.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub unknown: BTreeMap<String, u64>,
    /// Objects whose numbers pass a limit of the catalogue, by level.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub over_limit: BTreeMap<Cow<'static, str>, u64>,
    /// The gravest limit of the catalogue that they pass together: "warn" or "critical".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Cow<'static, str>>,
}

impl ResourceSummary {
    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, from: Self) {
        self.count += from.count;
        for (state, count) in from.states {
            *self.states.entry(state).or_default() += count;
        }
        for (metric, value) in from.totals {
            let total = self.totals.entry(metric).or_insert(Number::Int(0));
            *total = total.plus(value);
        }
        for (metric, count) in from.unknown {
            *self.unknown.entry(metric).or_default() += count;
        }
        for (level, count) in from.over_limit {
            *self.over_limit.entry(level).or_default() += count;
        }
        // "critical" comes before "warn", also by the alphabet.
        self.level = match (self.level.take(), from.level) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
