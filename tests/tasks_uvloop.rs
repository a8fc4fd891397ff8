//! `pyattach tasks` on uvloop, whose loops are C structs.

mod support;

use serde_json::{Value, json};
use support::{Fixture, for_each_of, pyattach, pyattach_json, uvloop};

fn row<'v>(document: &'v Value, key: &str, address: &Value) -> &'v Value {
    let mut rows = document[key].as_array().unwrap().iter();
    rows.find(|row| row["address"] == *address).unwrap_or_else(|| panic!("no {address}"))
}

fn lines(stack: &Value) -> Vec<(&str, u64)> {
    let frames = stack.as_array().unwrap().iter();
    frames.map(|f| (f["function"].as_str().unwrap(), f["line"].as_u64().unwrap())).collect()
}

#[test]
fn loops_and_tasks_of_uvloop() {
    for_each_of(
        |interpreter| uvloop(interpreter).is_some(),
        |interpreter| {
            let folder = uvloop(interpreter).unwrap();
            let arguments = ["--site", folder.to_str().unwrap()];
            let mut target = Fixture::start(interpreter, "tasks_uvloop.py", &arguments);
            let pid = target.pid_text();
            let ours = pyattach_json(&["tasks", "--all", &pid]);
            let text = pyattach(&["tasks", &pid]).stdout;
            let facts = target.facts.clone();
            let truth = target.ask("tasks");

            assert_eq!(ours["loops"].as_array().unwrap().len(), 4, "{ours:#}");
            let of = |name: &str| row(&ours, "loops", &facts["loops"][name]);
            for (name, state, running, closed) in [
                ("idle", "idle", true, false),
                ("blocked", "busy", true, false),
                ("unused", "not running", false, false),
                ("closed", "closed", false, true),
            ] {
                let found = of(name);
                assert_eq!(found["type"], "uvloop.Loop", "{found:#}");
                assert_eq!(found["state"], state, "{name}: {found:#}");
                assert_eq!(found["running"], running, "{found:#}");
                assert_eq!(found["closed"], closed, "{found:#}");
                assert_eq!(found["thread"], facts["threads"][name], "{found:#}");
                let made =
                    |of: &str, count: &Value| if name == of { count.clone() } else { json!(0) };
                assert_eq!(found["scheduled"], made("idle", &facts["timers"]), "{found:#}");
                assert_eq!(found["ready"], made("blocked", &facts["due"]), "{found:#}");
                let executor = match name {
                    "idle" => "concurrent.futures.thread.ThreadPoolExecutor",
                    _ => "builtins.NoneType",
                };
                assert_eq!(found["default_executor"]["type"], executor, "{found:#}");
            }
            assert!(text.contains("It is running") && text.contains("blocks"), "{text}");

            let expected = truth["tasks"].as_array().unwrap();
            assert_eq!(ours["tasks"].as_array().unwrap().len(), expected.len());
            for wanted in expected {
                let found = row(&ours, "tasks", &wanted["address"]);
                for key in ["name", "loop", "state", "coroutine", "current"] {
                    assert_eq!(found[key], wanted[key], "{key} of {found:#}");
                }
                if wanted["current"] == true {
                    assert_eq!(of("blocked")["current_task"], found["address"]);
                    assert_eq!(found["stack"][0]["function"], "blocks");
                } else {
                    assert_eq!(lines(&found["stack"]), lines(&wanted["stack"]), "{found:#}");
                }
            }
            let waited = ours["tasks"].as_array().unwrap().iter();
            let waited = waited.filter(|row| row["awaited_by"] != json!([])).count();
            assert_eq!(waited, 2, "the children of gather");
        },
    );
}
