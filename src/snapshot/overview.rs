//! Where things accumulate in a process: the document of `why PID` without a selector.

use super::holders::{GraphInfo, HiddenWaker, HolderGroup, Proven};
use super::{CaptureInfo, ProcessInfo};
use serde::Serialize;
use std::collections::BTreeMap;

/// The document of `why PID --json`.
#[derive(Debug, Clone, Serialize)]
pub struct OverviewDocument {
    /// "pyattach.why-all/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// The graph the answer comes from.
    pub graph: GraphInfo,
    /// One for each container, the most resources first, then the most objects.
    pub accumulated: Vec<Accumulated>,
    /// Containers left out.
    pub not_shown: u64,
    /// What nothing can ever wake.
    pub proven: Vec<Proven>,
    /// What may be woken by C code only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<HiddenWaker>,
}

impl OverviewDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.why-all/1";
}

/// A container with what it holds.
#[derive(Debug, Clone, Serialize)]
pub struct Accumulated {
    /// The kind of resource, or the type.
    pub what: String,
    /// These objects.
    #[serde(flatten)]
    pub group: HolderGroup,
    /// What else it holds through them, by kind or type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, u64>,
}
