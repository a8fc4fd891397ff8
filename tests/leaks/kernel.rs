//! `peer` and `tcp_state` in entries: what the kernel says, in copies and stops, and in states, metrics and limits.

use crate::support::{Fixture, interpreters, pyattach_json};
use serde_json::{Value, json};

const ENTRY: &str = r#"
[[resource]]
id = "my.subscription"
kind = "subscription"
types = ["__main__.Subscription"]
[resource.state]
hung_up = "tcp_state(socket) == 'CLOSE_WAIT'"
open = "true"
[resource.metrics]
dead = "if(tcp_state(socket) == 'CLOSE_WAIT', 1, 0)"
[resource.show]
peer = "peer(socket)"
[resource.total_limits]
warn = "dead > 5"
"#;

#[test]
fn a_users_entry_sees_that_the_peer_hung_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("subscriptions.toml");
    std::fs::write(&file, ENTRY).unwrap();
    let catalog = ["--catalog", file.to_str().unwrap()];
    let Some(interpreter) = interpreters().iter().find(|one| one.at_least((3, 11))) else { return };
    let mut target = Fixture::start(interpreter, "leaks/close_wait.py", &["--rounds", "9"]);
    let pid = target.pid_text();
    let truth = target.ask("resources");
    let peer = &truth["rows"][0]["show"]["peer"];
    for mode in ["copy", "stop"] {
        let mut words = vec!["resources", &pid, "--kind", "subscription", "--capture", mode];
        words.extend(catalog);
        let document = pyattach_json(&words);
        let rows = document["resources"].as_array().unwrap();
        assert_eq!(rows.len(), 9, "{mode}");
        for row in rows {
            assert_eq!((&row["state"], &row["show"]["peer"]), (&json!("hung_up"), peer), "{mode}");
        }
        assert_eq!(document["kinds"]["subscription"]["level"], "warn", "{mode}");
    }
    // A census has states and sums only.
    let census = pyattach_json(&[&["census", &pid][..], &catalog[..]].concat());
    let expected = json!({"hung_up": 9});
    assert_eq!(census["resources"]["subscription"]["states"], expected, "{census:.2000}");
    let twin = Fixture::start(interpreter, "leaks/close_wait.py", &["--rounds", "9", "--healthy"]);
    let document = pyattach_json(&[&["resources", &twin.pid_text()][..], &catalog[..]].concat());
    let summary: &Value = &document["kinds"]["subscription"];
    assert_eq!(summary["states"], json!({"open": 9}));
    assert!(summary.get("level").is_none_or(Value::is_null), "{summary}");
}
