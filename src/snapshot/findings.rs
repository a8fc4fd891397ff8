//! What is wrong with a process: findings of rules, with their evidence.
//!
//! A finding says how it is known: read from the process, or inferred from what was read. What no
//! rule could judge for lack of data is listed too, so that silence means "looked, and found
//! nothing".

use super::ResourceRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Objects named by a finding at most.
pub const MAX_OBJECTS: usize = 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something is wrong, or will be.
    Warning,
    /// The service suffers now, or is about to.
    Critical,
}

impl Severity {
    /// As in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [Self::Info, Self::Warning, Self::Critical];
        let known = all.into_iter().find(|severity| severity.name() == word);
        known.ok_or_else(|| "one of info, warning, critical".to_owned())
    }
}

/// How a finding is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The state itself was read.
    Read,
    /// It follows from what was read, most probably.
    Inferred,
}

/// Something that is wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id: "pool-exhausted".
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// The numbers behind it.
    pub evidence: Evidence,
    /// The objects it is about.
    pub objects: Objects,
    /// Who holds the objects; `null` when that was not looked for.
    pub holders: Option<Vec<Holder>>,
    /// What to do about it.
    pub advice: String,
    /// Read, or inferred.
    pub confidence: Confidence,
}

/// What a finding rests on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// By name: "count", "in_use", "limit", "least" (the rule's threshold), …
    pub numbers: BTreeMap<String, f64>,
    /// The same and more in sentences.
    pub sentences: Vec<String>,
}

/// Objects, the first [`MAX_OBJECTS`] of them by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Objects {
    /// How many there are.
    pub count: u64,
    /// Those named.
    pub named: Vec<FoundObject>,
    /// The addresses of all, while a process is judged.
    #[serde(skip)]
    pub addresses: Vec<String>,
}

impl Objects {
    /// Adds one more.
    pub fn add(&mut self, object: FoundObject) {
        self.count += 1;
        self.addresses.extend(object.address.clone());
        if self.named.len() < MAX_OBJECTS {
            self.named.push(object);
        }
    }

    /// Resources as objects.
    pub fn of<'r>(rows: impl IntoIterator<Item = &'r ResourceRow>) -> Self {
        let mut objects = Self::default();
        rows.into_iter().for_each(|row| objects.add(FoundObject::resource(row)));
        objects
    }
}

/// An object in the target, or something with a number: a descriptor, a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundObject {
    /// Where it is; `null` for what is no object of Python.
    pub address: Option<String>,
    /// Its type, or what it is.
    #[serde(rename = "type")]
    pub class: String,
    /// What tells it from the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl FoundObject {
    /// A resource.
    pub fn resource(row: &ResourceRow) -> Self {
        let label = row.show.iter().find_map(|(name, value)| match name.as_str() {
            "name" | "peer" | "host" | "alias" | "coroutine" => value.as_ref(),
            _ => None,
        });
        let label = label.map(ToString::to_string).filter(|label| !label.is_empty());
        Self { address: Some(row.address.clone()), class: row.class.clone(), label }
    }
}

/// Who holds some of a finding's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Objects held so.
    pub count: u64,
    /// The way from the holder to the object, in words.
    pub path: String,
    /// It follows from what was read, and was not read itself.
    pub inferred: bool,
}

/// A rule that had not enough data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotJudged {
    /// The rule's id.
    pub rule: String,
    /// What was missing.
    pub reason: String,
}

/// What all rules made of a process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The gravest first.
    pub findings: Vec<Finding>,
    /// What could not be judged.
    pub not_judged: Vec<NotJudged>,
}

impl Diagnosis {
    /// The gravest severity.
    pub fn gravest(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
