//! `sockets` on a process with thousands of them, among thousands of others' in the same tables.

mod support;

use serde_json::json;
use support::{Fixture, for_each_of, pyattach, pyattach_json};

const PAIRS: &str = "2000";

#[test]
fn thousands_are_all_found_and_none_of_the_neighbours() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 11)) && interpreter.root.is_none(),
        |interpreter| {
            let arguments = ["--pairs", PAIRS, "--strangers", "1"];
            let target = Fixture::start(interpreter, "sockets_many.py", &arguments);
            let document = pyattach_json(&["sockets", &target.pid_text()]);
            let rows = document["sockets"].as_array().unwrap();
            assert_eq!(json!(rows.len()), target.facts["sockets"]);
            assert!(rows.iter().all(|row| row["descriptor"] == "open" && !row["python"].is_null()));
            let summary = &document["summary"];
            assert_eq!(summary["states"], json!({"ESTABLISHED": 4000, "LISTEN": 1}));
            assert_eq!(summary["without_owner"], 0);
            assert_eq!(summary["unknown_owner"], 0);
            assert_eq!(summary["descriptor_limit"], target.facts["limit"]);
            assert!(summary["kernel_rows"].as_u64().unwrap() >= 8000, "{summary}");

            // The text stays short, and says so.
            let text = pyattach(&["sockets", &target.pid_text()]).stdout;
            assert!(text.lines().count() < 120, "{} lines", text.lines().count());
            assert!(text.contains("… and 3,901 more"), "{text}");
            target.end();
        },
    );
}
