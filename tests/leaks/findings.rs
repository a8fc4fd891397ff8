//! What `resources` and `report` say of the leaks and of their twins.

use crate::resources_support::differences;
use crate::scenarios::for_each;
use crate::support::{Fixture, pyattach_json};
use serde_json::Value;

#[test]
fn the_right_rule_fires_on_the_leak_and_none_on_its_twin() {
    for_each(usize::MAX, |place| {
        let mut leak = place.start(false);
        numbers_are_the_librarys(&mut leak);
        let report = report(&leak);
        for rule in place.scenario.rules {
            let found = grave(&report).any(|finding| finding["rule"] == *rule);
            assert!(found, "no {rule} in {}", summary(&report));
        }
        drop(leak);
        let mut twin = place.start(true);
        numbers_are_the_librarys(&mut twin);
        let report = self::report(&twin);
        assert_eq!(grave(&report).count(), 0, "the healthy twin has {}", summary(&report));
    });
}

fn numbers_are_the_librarys(fixture: &mut Fixture) {
    let truth = fixture.ask("resources");
    if truth["rows"].as_array().unwrap().is_empty() {
        return; // a twin has nothing to show
    }
    let document = pyattach_json(&["resources", &fixture.pid_text()]);
    let wrong = differences(&document, &truth);
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
