//! `pyattach report`: rules against programs that have what they are about and against one that has not, thresholds, exit
//! codes, families, and the lines of the injected script held against the target itself.

#[path = "../support/mod.rs"]
mod support;

mod families;
mod injector;
mod options;
mod rules;

use serde_json::Value;

/// The findings of a report, by rule.
fn findings<'r>(report: &'r Value, rule: &str) -> Vec<&'r Value> {
    let all = report["findings"].as_array().expect("a list of findings").iter();
    all.filter(|finding| finding["rule"] == rule).collect()
}

/// Rules with findings of severity warning or above.
fn grave(report: &Value) -> Vec<String> {
    let all = report["findings"].as_array().expect("a list of findings").iter();
    let grave = all.filter(|finding| finding["severity"] != "info");
    grave.map(|finding| format!("{}: {}", finding["rule"], finding["title"])).collect()
}
