//! An attribute that a release of a library renamed: what depends on it is unknown, with the reason, and the rest is right.

use crate::support::{Fixture, for_each_of, pyattach, pyattach_json};
use serde_json::Value;

#[test]
fn what_is_renamed_is_unknown_and_never_a_wrong_number() {
    for_each_of(
        |one| ["3.8.18", "3.13.0", "sid 3.15"].iter().any(|name| one.label.starts_with(name)),
        |interpreter| {
            let target = Fixture::start(interpreter, "leaks/renamed.py", &[]);
            let pid = target.pid_text();
            let document = pyattach_json(&["resources", &pid]);
            let rows = document["resources"].as_array().unwrap();
            for (address, truth) in target.facts["renamed"].as_object().unwrap() {
                let row = rows.iter().find(|row| row["address"] == **address);
                let row = row.unwrap_or_else(|| panic!("{truth} was not found"));
                let reason = format!("has no attribute '{}'", truth["attribute"].as_str().unwrap());
                let unknown = |name: &str| {
                    let why = row["unknown"][name].as_str().unwrap_or("");
                    assert!(why.contains(&reason), "{name} of {row}");
                };
                for name in truth["metrics"].as_array().unwrap() {
                    let name = name.as_str().unwrap();
                    assert_eq!(row["metrics"].get(name), Some(&Value::Null), "{name} of {row}");
                    unknown(name);
                    let kind = &document["kinds"][row["kind"].as_str().unwrap()];
                    assert_ne!(kind["unknown"][name], Value::Null, "{kind}");
                }
                for (name, value) in truth["known"].as_object().unwrap() {
                    assert_eq!(&row["metrics"][name], value, "{name} of {row}");
                }
                assert_eq!(row["state"], truth["state"], "{row}");
                if truth["state"].is_null() {
                    unknown("state");
                }
            }
            let text = pyattach(&["resources", &pid]).stdout;
            assert!(text.contains("unknown"), "{text}");
            let report = pyattach_json(&["report", &pid]);
            let findings = report["findings"].as_array().unwrap();
            let about_pools = findings.iter().filter(|one| one["rule"] == "pool-exhausted");
            assert_eq!(about_pools.count(), 0, "{findings:?}");
            let not_judged = report["not_judged"].as_array().unwrap();
            assert!(not_judged.iter().any(|one| one["rule"] == "pool-exhausted"), "{not_judged:?}");
        },
    );
}
