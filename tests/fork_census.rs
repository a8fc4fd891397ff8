//! What is read from a frozen copy is the truth, on every interpreter, and costs what is said.

mod fork_helper;
mod support;

use std::collections::BTreeMap;

use fork_helper::{children, fork_census, options};
use pyattach::attach::{CaptureMode, StackOptions, Target};
use support::{Fixture, for_each_interpreter, pyattach, pyattach_json};

#[test]
fn a_census_by_fork_is_the_truth() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "census.py", &["--objects", "30000"]);
        fixture.ask("census");
        let truth = fixture.ask("census");
        let target = Target::open(fixture.pid).unwrap();
        for _ in 0..3 {
            let census = fork_census(&target);
            assert!(census.capture.consistent, "{:?}", census.capture);
            let ours: BTreeMap<&str, u64> =
                census.objects.types.iter().map(|row| (row.address.as_str(), row.count)).collect();
            let approximate = truth["approximate"].as_array().unwrap();
            for row in truth["types"].as_array().unwrap() {
                if approximate.iter().any(|one| *one == row["name"]) {
                    continue;
                }
                let found = ours.get(row["address"].as_str().unwrap()).copied();
                assert_eq!(found, row["count"].as_u64(), "{}", row["name"]);
            }
            // First the fork, then the removal of the copy.
            let note = census.capture.notes.iter().find(|note| note.contains("paused twice"));
            assert!(note.is_some(), "{:?}", census.capture.notes);
            assert!(census.capture.pause_ms.unwrap() <= census.capture.total_pause_ms.unwrap());
        }
        assert_eq!(children(fixture.pid), []);
        assert_eq!(fixture.ask("census")["total"], truth["total"]);
        fixture.end();
    });
}

#[test]
fn stacks_by_fork_are_those_of_a_stop() {
    for_each_interpreter(|interpreter| {
        let fixture = Fixture::start(interpreter, "stacks.py", &[]);
        let target = Target::open(fixture.pid).unwrap();
        let show = StackOptions { locals: true, source: false };
        let dump = |mode| serde_json::to_value(target.dump(&options(mode), show).unwrap()).unwrap();
        let forked = dump(CaptureMode::Fork);
        fixture.wait_parked();
        let stopped = dump(CaptureMode::Stop);
        assert_eq!(forked["threads"], stopped["threads"]);
        assert_eq!(children(fixture.pid), []);
        fixture.end();
    });
}

#[test]
fn the_binary_forks_when_told_and_when_it_pays() {
    for_each_interpreter(|interpreter| {
        let small = Fixture::start(interpreter, "census.py", &[]);
        let census = pyattach_json(&["census", &small.pid_text(), "--capture", "fork"]);
        assert_eq!(census["capture"]["mode"], "fork");
        assert_eq!(census["capture"]["mode_reason"], serde_json::Value::Null);
        let census = pyattach_json(&["census", &small.pid_text()]);
        assert_eq!(census["capture"]["mode"], "copy", "{}", census["capture"]);
        small.end();
        let large = Fixture::start(interpreter, "bench_target.py", &["--pad-mb", "300"]);
        let census = pyattach_json(&["census", &large.pid_text()]);
        assert_eq!(census["capture"]["mode"], "fork", "{}", census["capture"]);
        let reason = census["capture"]["mode_reason"].as_str().unwrap();
        assert!(reason.contains("a fork pauses the process less"), "{reason}");
        large.end();
    });
}

/// A heap that takes more work than is allowed: what was found is shown, and that it is not all.
#[test]
fn an_analysis_that_is_cut_says_so() {
    for_each_interpreter(|interpreter| {
        let arguments = ["--objects", "300000"];
        let target = Fixture::start(interpreter, "census.py", &arguments);
        for mode in ["copy", "fork", "live"] {
            let words = ["census", &target.pid_text(), "--json", "--capture", mode];
            let outcome = pyattach(&[&words[..], &["--max-analysis", "20ms"]].concat());
            assert_eq!(outcome.code, Some(5), "{mode}: {outcome:?}");
            let census: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
            let capture = &census["capture"];
            assert_eq!(capture["attempts"], 1, "{mode}: {capture}");
            assert_eq!(capture["consistent"], false, "{mode}: {capture}");
            let notes = capture["notes"].to_string();
            assert!(notes.contains("the analysis was ended after 20ms of work"), "{mode}: {notes}");
            assert!(capture["coverage"]["broken_lists"].as_u64() > Some(0), "{mode}: {capture}");
            assert!(census["objects"]["total"].as_u64() < Some(300_000), "{mode}");
        }
        // So little that nothing was found at all.
        let words = ["census", &target.pid_text(), "--capture", "copy", "--max-analysis", "1us"];
        let outcome = pyattach(&words);
        assert_eq!(outcome.code, Some(5), "{outcome:?}");
        assert!(outcome.stderr.contains("hint: allow more with --max-analysis"), "{outcome:?}");
        assert_eq!(children(target.pid), []);
        target.end();
    });
}
