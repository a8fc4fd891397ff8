//! `diagnose`, `tracemalloc`, `gc`, `track`: their answers against those that need no code in the
//! target, and against the target's own.

use serde_json::{Value, json};

use crate::states::exec;
use crate::support::{Fixture, for_each_interpreter, pyattach, pyattach_json};

/// What a command found.
fn result(words: &[&str]) -> Value {
    let document = pyattach_json(words);
    assert_eq!(document["ending"], "done", "{words:?}: {document}");
    document["result"].clone()
}

/// Open resources of a kind, read from outside.
fn open(pid: &str, kind: &str) -> Vec<Value> {
    let document = pyattach_json(&["resources", pid, "--kind", kind]);
    let rows = document["resources"].as_array().unwrap().iter();
    rows.filter(|row| row["state"] == "open").cloned().collect()
}

fn numbers<'v>(rows: impl IntoIterator<Item = &'v Value>, of: impl Fn(&Value) -> u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.into_iter().map(of).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_diagnosis_agrees_with_what_is_read_from_outside() {
    for_each_interpreter(|interpreter| {
        let mut programs = vec!["resources_stdlib.py"];
        if interpreter.has_aiohttp() {
            programs.push("aiohttp_sessions.py");
        }
        for program in programs {
            let target = Fixture::start(interpreter, program, &[]);
            let pid = target.pid_text();
            let (sockets, executors, sessions) = (
                open(&pid, "socket"),
                open(&pid, "thread_pool_executor"),
                open(&pid, "aiohttp_session"),
            );
            let facts = result(&["diagnose", &pid]);
            let of = |key: &str| facts[key].as_array().unwrap().clone();
            let (major, minor, patch) = interpreter.version;
            assert_eq!(facts["version"], format!("{major}.{minor}.{patch}"));
            assert_eq!(facts["current_thread"], "MainThread");
            assert_eq!(facts["sockets"].as_u64(), Some(sockets.len() as u64), "{program}");
            for (ours, theirs) in [("workers", "created"), ("limit", "limit"), ("queued", "queued")]
            {
                assert_eq!(
                    numbers(&of("executors"), |row| row[ours].as_u64().unwrap()),
                    numbers(&executors, |row| row["metrics"][theirs].as_u64().unwrap()),
                    "{program}: {ours}: {facts}"
                );
            }
            let size = |row: &Value| {
                let metric = |name: &str| row["metrics"][name].as_u64().unwrap();
                metric("in_use") + metric("idle")
            };
            assert_eq!(
                numbers(&of("sessions"), |row| row["size"].as_u64().unwrap()),
                numbers(&sessions, size),
                "{program}: {facts}"
            );
            let text = pyattach(&["diagnose", &pid]).stdout;
            assert!(text.starts_with(&format!("Python version: {major}.{minor}.{patch}\n")));
            assert!(text.contains(&format!("\nSocket count: {}\n", sockets.len())), "{text}");
            target.end();
        }
    });
}

const MAKER: &str = r#"
import json, os, sys, threading, time

class Base:
    def __init__(self, value): self.value = value

class Thing(Base):
    pass

class Bare:
    pass

kept = [Thing(0)]
def make_one():
    kept.append(Thing(len(kept)))
    Bare()
def work():
    while len(kept) < 100000:
        make_one()
        time.sleep(0.002)
threading.Thread(target=work, daemon=True).start()
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.read()
"#;

#[test]
fn collector_allocations_and_creation_stacks() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::run("maker", interpreter.command(&["-c", MAKER]));
        let pid = target.pid_text();

        let status = result(&["gc", &pid, "status"]);
        // 3.12 sets immortal objects aside by itself.
        assert_eq!((&status["enabled"], status["frozen"].is_u64()), (&json!(true), true));
        assert!(result(&["gc", &pid, "collect"])["unreachable"].is_u64());

        assert_eq!(result(&["tracemalloc", &pid, "status"])["tracing"], false);
        let started = result(&["tracemalloc", &pid, "start", "5"]);
        assert_eq!((&started["tracing"], &started["frames"]), (&json!(true), &json!(5)));
        assert_eq!(result(&["tracemalloc", &pid, "stop"])["tracing"], false);

        let begun = result(&["track", &pid, "__main__.Thing"]);
        assert!(begun["live"].as_u64() > Some(0), "{begun}");
        result(&["track", &pid, "__main__.Bare"]);
        exec(target.pid, &["--timeout", "60s"], "import __main__; __main__.make_one()", &[]);
        let told = result(&["track", &pid, "__main__.Thing"]);
        assert!(told["created"].as_u64() > Some(0), "{told}");
        let stacks = told["stacks"].as_array().unwrap();
        assert_eq!(stacks[0]["frames"][0]["function"], "make_one", "{told}");
        let last = result(&["untrack", &pid, "__main__.Thing"]);
        assert!(last["tracked_live"].as_u64() > Some(0), "{last}");
        result(&["untrack", &pid, "__main__.Bare"]);
        let check = "import sys, __main__ as m\n\
            result = ['__init__' in vars(m.Thing), '__init__' in vars(m.Bare),\
            hasattr(sys, '_pyattach_track'), m.Thing(7).value]";
        let after = exec(target.pid, &["--timeout", "60s"], check, &[]);
        assert_eq!(after["result"], json!([false, false, false, 7]), "{after}");
        let unknown = pyattach(&["track", &pid, "__main__.Nothing"]);
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.stderr.contains("no class __main__.Nothing is loaded"), "{unknown:?}");
        target.end();
    });
}
