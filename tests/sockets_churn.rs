//! `sockets` on a server whose connections come and go while we look: what changed is unknown, never wrong.

mod support;

use serde_json::Value;
use support::{Fixture, for_each_of, pyattach};

const LOOKS: usize = 6;

#[test]
fn what_comes_and_goes_is_not_called_leaked() {
    for_each_of(
        |interpreter| [8, 12, 15].contains(&interpreter.version.1),
        |interpreter| {
            let mut target = Fixture::start(interpreter, "sockets_churn.py", &[]);
            let before = target.ask("counts")["served"].as_u64().unwrap();
            let staying = target.facts["staying"].as_array().unwrap().clone();
            let mut astray = Vec::new();
            for look in 0..LOOKS {
                let mode = ["copy", "stop", "live"][look % 3];
                let outcome =
                    pyattach(&["sockets", &target.pid_text(), "--capture", mode, "--json"]);
                // A live picture says of itself that it is approximate.
                assert!(matches!(outcome.code, Some(0 | 5)), "{outcome:?}");
                let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
                let rows = document["sockets"].as_array().unwrap();
                for fd in &staying {
                    let row =
                        rows.iter().find(|row| &row["fd"] == fd && row["descriptor"] == "open");
                    let row = row.unwrap_or_else(|| panic!("{mode}: no open row of {fd}"));
                    assert_eq!(row["state"], "ESTABLISHED", "{mode}: {row}");
                    assert_eq!(row["python"]["type"], "socket.socket", "{mode}: {row}");
                }
                for row in rows.iter().filter(|row| row["python"]["address"].is_string()) {
                    if matches!(row["descriptor"].as_str(), Some("gone" | "reused" | "contested")) {
                        astray.push(format!("{mode}: {row}"));
                    }
                }
                let alone = rows.iter().filter(|row| row["python"].is_null());
                let claimed = alone.filter(|row| row["descriptor"] == "open");
                astray.extend(claimed.map(|row| format!("{mode}: {row}")));
            }
            assert!(target.ask("counts")["served"].as_u64().unwrap() > before, "nothing happened");
            assert!(astray.is_empty(), "{}", astray.join("\n"));
            target.end();
        },
    );
}
