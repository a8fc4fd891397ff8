//! What `resources` and `report` say of the leaks and of their twins.

use crate::resources_support::differences;
use crate::scenarios::for_each;
use crate::support::{Fixture, pyattach_json};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn the_right_rule_fires_on_the_leak_and_none_on_its_twin() {
    for_each(usize::MAX, |place| {
        let mut leak = place.start(false);
        let kinds = numbers_are_the_librarys(&mut leak);
        let report = report(&leak);
        for rule in place.scenario.rules {
            let found = grave(&report).any(|finding| finding["rule"] == *rule);
            assert!(found, "no {rule} in {}", summary(&report));
        }
        drop(leak);
        let mut twin = place.start(true);
        numbers_of_twin(&mut twin, &kinds);
        let report = self::report(&twin);
        assert_eq!(grave(&report).count(), 0, "the healthy twin has {}", summary(&report));
    });
}

/// Compares, and gives the kinds of what was compared.
fn numbers_are_the_librarys(fixture: &mut Fixture) -> BTreeSet<String> {
    let truth = fixture.ask("resources");
    compare(fixture, &truth);
    let kind = |row: &Value| row["kind"].as_str().unwrap().to_owned();
    truth["rows"].as_array().unwrap().iter().map(kind).collect()
}

/// Some twins have let go of everything: then there is nothing of these kinds.
fn numbers_of_twin(fixture: &mut Fixture, kinds: &BTreeSet<String>) {
    let truth = fixture.ask("resources");
    if !truth["rows"].as_array().unwrap().is_empty() {
        return compare(fixture, &truth);
    }
    let document = pyattach_json(&["resources", &fixture.pid_text()]);
    let left = document["resources"].as_array().unwrap().iter();
    let left: Vec<&Value> =
        left.filter(|row| kinds.contains(row["kind"].as_str().unwrap())).collect();
    assert!(left.is_empty(), "the program has none of these: {left:?}");
}

fn compare(fixture: &Fixture, truth: &Value) {
    let document = pyattach_json(&["resources", &fixture.pid_text()]);
    let wrong = differences(&document, truth);
    assert!(wrong.is_empty(), "{}\n{}", fixture.facts, wrong.join("\n"));
}

fn report(fixture: &Fixture) -> Value {
    pyattach_json(&["report", &fixture.pid_text()])
}

fn grave(report: &Value) -> impl Iterator<Item = &Value> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().filter(|one| one["severity"] == "warning" || one["severity"] == "critical")
}

fn summary(report: &Value) -> String {
    let line = |one: &Value| format!("{} {}: {}", one["severity"], one["rule"], one["title"]);
    let mut lines: Vec<String> = report["findings"].as_array().unwrap().iter().map(line).collect();
    lines.push(format!("not judged: {}", report["not_judged"]));
    lines.join("\n")
}
