//! Our binary is killed at each step: the target goes on, and its waits are what they were.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::states::{exec, start};
use crate::support::for_each_of;

const STEPS: [&str; 21] = [
    "gadgets",
    "frames written",
    "registers set",
    "mask set",
    "at entry",
    "call set",
    "at exit",
    "left",
    "mask restored",
    "registers restored",
    "memory made",
    "chain written",
    "sent away",
    "request placed",
    "call interrupted",
    "prepared",
    "released",
    "begun",
    "asked to end",
    "finished",
    "cleaned",
];

/// Runs code in the process, to be killed at a step; whether the step was reached.
fn died_at(step: &str, pid: i32, limit: &str, code: &str) -> bool {
    let status = Command::new(env!("CARGO_BIN_EXE_pyattach"))
        .args(["exec", &pid.to_string(), "--timeout", limit, "-c", code])
        .env("PYATTACH_TEST_DIE_AT", step)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.signal() == Some(libc::SIGKILL)
}

#[test]
fn a_target_survives_our_death_at_every_step() {
    // One of each way to keep pending calls, and the request for debuggers.
    let chosen = [(3, 8), (3, 11), (3, 12), (3, 13), (3, 15)];
    for_each_of(
        |one| chosen.contains(&(one.version.0, one.version.1)),
        |interpreter| {
            let mut target = start(interpreter);
            let mut reached = std::collections::BTreeSet::new();
            for state in ["cpu", "sleep", "lock_timeout", "epoll", "recv_timeout"] {
                target.ask(&format!("enter {state}"));
                for step in STEPS {
                    // One that has to be asked to end, so that this step is reached too.
                    let (limit, code) = match step {
                        "asked to end" => ("30ms", "while True: pass"),
                        _ => ("60s", "result = 1"),
                    };
                    if died_at(step, target.pid, limit, code) {
                        reached.insert(step);
                    }
                    assert!(target.is_alive(), "{interpreter} {state} {step}: {}", target.stderr());
                }
                let document = exec(target.pid, &["--timeout", "60s"], "print(1)", &[]);
                assert_eq!(document["ending"], "done", "{document}");
                let found = target.ask("leave");
                assert_eq!(found["problems"], serde_json::json!([]), "{interpreter} {state}");
            }
            // On a loaded machine a script may need longer to begin, and a thread to come to its wait.
            for (step, state, code) in [
                ("asked to end", "cpu", "while True: pass"),
                ("call interrupted", "lock_timeout", "result = 1"),
            ] {
                for limit in ["2s", "10s", "20s"] {
                    if reached.contains(step) {
                        break;
                    }
                    target.ask(&format!("enter {state}"));
                    if died_at(step, target.pid, limit, code) {
                        reached.insert(step);
                    }
                    target.ask("leave");
                }
            }
            let requests = interpreter.at_least((3, 14));
            for step in STEPS {
                let borrowed = ["chain written", "sent away"].contains(&step);
                assert!(reached.contains(step) || (requests && borrowed), "{step}: {reached:?}");
            }
            target.end();
        },
    );
}
