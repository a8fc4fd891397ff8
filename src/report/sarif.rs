//! Findings as SARIF 2.1.0, which code hosts show beside the code.

use crate::snapshot::VERSION;
use crate::snapshot::findings::{Finding, Severity};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The document for findings, each with the name of what it is about ("process 4711 on host").
pub fn document<'f>(findings: impl IntoIterator<Item = (String, &'f Finding)>) -> Value {
    let findings: Vec<(String, &Finding)> = findings.into_iter().collect();
    let rules: BTreeSet<&str> = findings.iter().map(|(_, finding)| finding.rule.as_str()).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({"id": id})).collect();
    let results: Vec<Value> = findings.iter().map(|(about, it)| result(about, it)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "pyattach", "version": VERSION, "rules": rules}},
            "results": results,
        }],
    })
}

fn result(about: &str, finding: &Finding) -> Value {
    let level = match finding.severity {
        Severity::Critical => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut text = finding.title.clone();
    for sentence in &finding.evidence.sentences {
        text += ". ";
        text += sentence;
    }
    json!({
        "ruleId": finding.rule,
        "level": level,
        "message": {"text": format!("{text}. {}", finding.advice)},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": about, "kind": "process"}]}],
        "properties": {"numbers": finding.evidence.numbers},
    })
}
