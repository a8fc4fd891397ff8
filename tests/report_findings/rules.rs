//! Each rule fires where there is what it is about, with its number, and on nothing else.

use crate::support::{DEADLINE, Fixture, for_each_interpreter, for_each_of, pyattach_json};
use crate::{findings, grave};
use serde_json::Value;
use std::time::Instant;

/// The fixture's word for a leak, the rule, and the number that both name.
const LEAKS: [(&str, &str, &str); 9] = [
    ("zombies", "zombies", "count"),
    ("executors", "executor-not-shut-down", "count"),
    ("orphans", "threads-without-executor", "count"),
    ("loops", "loops-leaked", "count"),
    ("coroutines", "coroutines-never-awaited", "count"),
    ("close_wait", "close-wait", "count"),
    ("time_wait", "time-wait-churn", "count"),
    ("tasks", "tasks-piling-up", "count"),
    ("descriptors", "descriptors-near-limit", "open"),
];

#[test]
fn what_leaks_is_found_with_its_number() {
    for_each_interpreter(|interpreter| {
        let leaks: Vec<&str> = LEAKS.iter().map(|(leak, ..)| *leak).collect();
        let leaks = leaks.join(",");
        let target = Fixture::start(interpreter, "report_service.py", &["--leaks", &leaks]);
        let report = pyattach_json(&["report", &target.pid_text()]);
        assert_eq!(report["schema"], "pyattach.report/1");
        for (leak, rule, number) in LEAKS {
            let found = findings(&report, rule);
            assert_eq!(found.len(), 1, "{rule}: {found:#?}");
            assert_ne!(found[0]["severity"], "info", "{rule}");
            let told = found[0]["evidence"]["numbers"][number].as_f64();
            let truth = target.facts["counts"][leak].as_f64();
            assert_eq!(told, truth, "{rule}: {:#}", found[0]);
            assert!(!found[0]["advice"].as_str().unwrap().is_empty(), "{rule}");
            let named = found[0]["objects"]["named"].as_array().unwrap().len() as f64;
            assert!(named <= 20.0 && Some(named) <= truth, "{rule}: {named}");
        }
        let allowed: Vec<&str> = LEAKS.iter().map(|(_, rule, _)| *rule).collect();
        for finding in report["findings"].as_array().unwrap() {
            let rule = finding["rule"].as_str().unwrap();
            assert!(finding["severity"] == "info" || allowed.contains(&rule), "{finding:#}");
        }
        let severities: Vec<&str> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["severity"].as_str().unwrap())
            .collect();
        let order =
            |word: &&str| ["critical", "warning", "info"].iter().position(|one| one == word);
        assert!(severities.iter().map(order).is_sorted(), "{severities:?}");
        target.end();
    });
}

#[test]
fn a_healthy_service_is_left_alone() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "report_service.py", &[]);
        let modes: &[&str] = match interpreter.version.1 {
            8 | 13 => &["copy", "stop", "fork"],
            _ => &["copy"],
        };
        for &mode in modes {
            let report = pyattach_json(&["report", &target.pid_text(), "--capture", mode]);
            assert_eq!(grave(&report), Vec::<String>::new(), "{mode}");
            // The references between objects are not read while the process stands still.
            let not_judged = report["not_judged"].as_array().unwrap().iter();
            let not_judged: Vec<&Value> = not_judged.map(|one| &one["rule"]).collect();
            assert!(
                not_judged.iter().all(|rule| mode == "stop" && is_of_the_graph(rule)),
                "{mode}: {not_judged:?}"
            );
            let resources = &report["resources"];
            let executors = &resources["thread_pool_executor"];
            assert_eq!(executors["states"]["open"], target.facts["executors"], "{executors}");
            assert_eq!(report["limits"]["descriptors"], report["sockets"]["descriptor_limit"]);
        }
        target.end();
    });
}

#[test]
fn a_blocked_loop_names_the_call() {
    for_each_of(
        |interpreter| interpreter.version.1 == 8 || interpreter.at_least((3, 12)),
        |interpreter| {
            let target = Fixture::start(interpreter, "report_service.py", &["--leaks", "blocked"]);
            let report = pyattach_json(&["report", &target.pid_text()]);
            let found = findings(&report, "event-loop-blocked");
            assert_eq!(found.len(), 1, "{:#}", report["findings"]);
            assert_eq!(found[0]["severity"], "critical");
            let title = found[0]["title"].as_str().unwrap();
            assert!(title.ends_with(": time.sleep(3600)"), "{title}");
            assert!(found[0]["evidence"]["numbers"]["lasted_ms"].as_f64() >= Some(100.0));
            let text = found[0]["evidence"]["sentences"].to_string();
            assert!(text.contains("sleep_in_a_coroutine ("), "{text}");
            assert_eq!(found[0]["confidence"], "read");
            assert_eq!(found[0]["objects"]["count"], 1, "the task: {:#}", found[0]);
            target.end();
        },
    );
}

#[test]
fn threads_that_compute_wait_for_the_gil() {
    for_each_of(
        |interpreter| [8, 12, 14].contains(&interpreter.version.1),
        |interpreter| {
            let target = Fixture::start(interpreter, "report_service.py", &["--leaks", "gil"]);
            // A thread that waits asks every 5 ms; on a busy machine it then waits for a processor,
            // which does not look like waiting for the GIL.
            let begun = Instant::now();
            let found = loop {
                let report = pyattach_json(&["report", &target.pid_text()]);
                if let Some(found) = findings(&report, "gil-contention").first() {
                    break (*found).clone();
                }
                assert!(begun.elapsed() < DEADLINE, "{report:#}");
            };
            assert!(found["evidence"]["numbers"]["average"].as_f64() >= Some(3.0));
            let text = found["evidence"]["sentences"].to_string();
            assert!(text.contains("compute ("), "{text}");
            target.end();
        },
    );
}

/// A rule that judges the references between objects.
fn is_of_the_graph(rule: &Value) -> bool {
    ["task-never-woken", "future-never-resolved", "thread-never-woken", "open-but-unreachable"]
        .iter()
        .any(|one| rule == one)
}
