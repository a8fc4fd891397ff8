//! What `doctor` found out: whether we can attach, and what each command will be able to say.

use super::PythonInfo;
use serde::Serialize;

/// The document of `doctor --json`.
#[derive(Debug, Clone, Serialize)]
pub struct DoctorDocument {
    /// "pyattach.doctor/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process looked at.
    pub pid: i32,
    /// The interpreter, when one was found.
    pub python: Option<PythonInfo>,
    /// What was looked at, in the order in which attaching needs it.
    pub checks: Vec<Check>,
    /// What each command can do with this process.
    pub commands: Vec<Ability>,
}

impl DoctorDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.doctor/1";

    /// Nothing stands in the way of attaching.
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Fail)
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A fact; neither good nor bad.
    Info,
    /// Works, but with less than usual.
    Warn,
    /// Stands in the way.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    /// A check without a hint.
    pub fn new(name: &str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict, detail: detail.into(), hint: None }
    }

    /// The same with what to do about it.
    pub fn with_hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

/// What one command can do.
#[derive(Debug, Clone, Serialize)]
pub struct Ability {
    /// The command, as it is typed.
    pub command: String,
    /// Ok, Warn (with less) or Fail (not at all).
    pub verdict: Verdict,
    /// What it will and will not say.
    pub detail: String,
}
