//! The resources one by one.

use super::{CaptureInfo, ProcessInfo, ResourceSummary};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The document of `resources --json`.
#[derive(Debug, Clone, Serialize)]
pub struct ResourcesDocument {
    /// "pyattach.resources/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Counts and sums by kind.
    pub kinds: BTreeMap<String, ResourceSummary>,
    /// Each resource; those of a kind together.
    pub resources: Vec<ResourceRow>,
}

impl ResourcesDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.resources/1";
}

/// One resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResourceRow {
    /// The catalogue's entry it was read by: "aiohttp.session".
    pub id: String,
    /// What it counts as: "aiohttp_session".
    pub kind: String,
    /// Name of its exact type.
    #[serde(rename = "type")]
    pub class: String,
    /// Where the object is.
    pub address: String,
    /// "open", "closed", …; "present" when the entry knows no states, "other" when none fits.
    pub state: Option<String>,
    /// Its numbers; one that it does not have (no limit, no descriptor) is left out.
    pub metrics: BTreeMap<String, Option<Number>>,
    /// Its texts; one that it does not have is left out.
    pub show: BTreeMap<String, Option<Shown>>,
    /// Its descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i64>,
    /// Addresses of objects it belongs to or holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub links: BTreeMap<String, String>,
    /// The gravest limit of the catalogue that it passes: "warn" or "critical".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Cow<'static, str>>,
    /// Why a state, a number or a text is `null`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub unknown: BTreeMap<String, String>,
}

/// A number as it is in the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// Whole.
    Int(i64),
    /// Not whole.
    Float(f64),
}

impl Number {
    /// The sum; whole as long as both are and it fits.
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => match a.checked_add(b) {
                Some(sum) => Self::Int(sum),
                None => Self::Float(a as f64 + b as f64),
            },
            (a, b) => Self::Float(a.as_f64() + b.as_f64()),
        }
    }

    /// As a floating point number.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
        }
    }
}

/// Something shown of a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shown {
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text, with secrets masked.
    Text(String),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("yes"),
            Self::Bool(false) => f.write_str("no"),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
