//! Resources of the standard library, against the library's own counters, on every interpreter.

mod resources_support;
mod support;

use resources_support::differences;
use serde_json::Value;
use support::{Fixture, for_each_interpreter, for_each_of, pyattach, pyattach_json};

#[test]
fn every_number_is_the_librarys_own() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "resources_stdlib.py", &[]);
        let truth = fixture.ask("resources");
        let pid = fixture.pid.to_string();
        for mode in ["copy", "stop"] {
            let document = pyattach_json(&["resources", &pid, "--capture", mode]);
            let wrong = differences(&document, &truth);
            assert!(wrong.is_empty(), "{mode}:\n{}", wrong.join("\n"));
            assert_nothing_unknown(&document);
            assert!(!document.to_string().contains("hunter2"), "a secret was printed");
        }
        let text = pyattach(&["resources", &pid]);
        assert_eq!(text.code, Some(0), "{text:?}");
        assert!(!text.stdout.contains("hunter2"));
        assert!(!text.stdout.contains("unknown"), "{}", text.stdout);
    });
}

/// What the entries read exists in every version, or they say so by `| none`.
fn assert_nothing_unknown(document: &Value) {
    let rows = document["resources"].as_array().unwrap();
    let unknown: Vec<String> = rows
        .iter()
        .filter(|row| row.get("unknown").is_some())
        .flat_map(|row| {
            let reasons = row["unknown"].as_object().unwrap().iter();
            reasons.map(|(name, why)| format!("{} {}: {name}: {why}", row["kind"], row["type"]))
        })
        .collect();
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn a_kind_can_be_asked_for() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 13)),
        |interpreter| {
            let fixture = Fixture::start(interpreter, "resources_stdlib.py", &[]);
            let pid = fixture.pid.to_string();
            let document =
                pyattach_json(&["resources", &pid, "--kind", "queue", "--kind", "semaphore"]);
            let rows = document["resources"].as_array().unwrap();
            assert!(rows.iter().all(|row| row["kind"] == "queue" || row["kind"] == "semaphore"));
            assert_eq!(document["kinds"].as_object().unwrap().len(), 2);
            let unknown = pyattach(&["resources", &pid, "--kind", "quue"]);
            assert_eq!(unknown.code, Some(2));
            assert!(unknown.stderr.contains("no kind 'quue'"), "{}", unknown.stderr);
        },
    );
}

#[test]
fn a_census_has_the_same_resources() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "census.py", &[]);
        let truth = fixture.ask("resources");
        let pid = fixture.pid.to_string();
        let census = pyattach_json(&["census", &pid]);
        let pairs =
            [("socket", "socket"), ("executor", "thread_pool_executor"), ("task", "asyncio_task")];
        for (theirs, ours) in pairs {
            let (expected, found) = (&truth["counts"][theirs], &census["resources"][ours]);
            assert_eq!(found["count"], expected["count"], "{ours}");
            assert_eq!(found["states"], expected["states"], "{ours}");
        }
        assert_eq!(census["resources"]["aiohttp_session"]["count"], 0);
        let document = pyattach_json(&["resources", &pid]);
        for (kind, summary) in document["kinds"].as_object().unwrap() {
            assert_eq!(&census["resources"][kind], summary, "{kind}");
        }
    });
}

#[test]
fn aiohttp_sessions_are_as_aiohttp_says() {
    for_each_of(support::Interpreter::has_aiohttp, |interpreter| {
        let mut fixture = Fixture::start(interpreter, "aiohttp_sessions.py", &[]);
        let truth = fixture.ask("sessions");
        let pid = fixture.pid.to_string();
        let document = pyattach_json(&["resources", &pid]);
        assert_eq!(document["kinds"]["aiohttp_session"]["states"], truth["counts"]["states"]);
        let rows = document["resources"].as_array().unwrap();
        for session in truth["sessions"].as_array().unwrap() {
            let found = rows.iter().find(|row| row["address"] == session["address"]).unwrap();
            assert_eq!(found["state"], session["state"]);
            assert_eq!(found.get("unknown"), None, "{found}");
            let connector = &session["connector"];
            let metrics = &found["metrics"];
            if connector.is_null() {
                assert_eq!(metrics.as_object().unwrap().len(), 0);
                continue;
            }
            let pool = rows.iter().find(|row| row["address"] == connector["address"]).unwrap();
            assert_eq!(pool["kind"], "aiohttp_connector");
            assert_eq!(found["links"]["connector"], connector["address"]);
            for metrics in [metrics, &pool["metrics"]] {
                for name in ["in_use", "idle"] {
                    assert_eq!(metrics[name], connector[name], "{name}");
                }
                for name in ["limit", "limit_per_host"] {
                    let limit = Some(&connector[name]).filter(|limit| **limit != 0);
                    assert_eq!(metrics.get(name), limit, "{name}");
                }
            }
        }
    });
}
