//! The main thread in every state: the script runs, or is taken back with the reason; the
//! program's own checks find nothing, and nothing stays behind.

use serde_json::{Value, json};

use crate::support::{Fixture, Interpreter, for_each_interpreter, pyattach, uvloop};

/// Says that it ran, where, and in which namespace.
const PROBE: &str = "import sys, threading\n\
    sys.seen = getattr(sys, 'seen', []) + argv\n\
    print('from the script', argv[0])\n\
    result = {'main': threading.current_thread() is threading.main_thread(), 'name': __name__}";

/// The fixture, with uvloop where there is one.
pub(crate) fn start(interpreter: &Interpreter) -> Fixture {
    let folder = uvloop(interpreter);
    let folder = folder.as_ref().and_then(|folder| folder.to_str());
    let arguments: Vec<&str> = folder.iter().flat_map(|&folder| ["--site", folder]).collect();
    Fixture::start(interpreter, "exec_states.py", &arguments)
}

/// Runs a script in a fixture and gives the document.
pub(crate) fn exec(pid: i32, options: &[&str], code: &str, arguments: &[&str]) -> Value {
    let pid = pid.to_string();
    let mut words = vec!["exec", pid.as_str(), "--json", "-c", code];
    words.extend(options);
    words.extend(arguments);
    let outcome = pyattach(&words);
    serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{words:?}: {error}: {outcome:?}"))
}

#[test]
fn a_script_runs_in_every_state() {
    for_each_interpreter(|interpreter| {
        let mut target = start(interpreter);
        let states = target.facts["states"].as_array().unwrap().clone();
        let before = target.ask("residue");
        let mut expected = Vec::new();
        for state in &states {
            let state = state.as_str().unwrap();
            target.ask(&format!("enter {state}"));
            let limit = if state == "write" { "300ms" } else { "60s" };
            let document = exec(target.pid, &["--timeout", limit], PROBE, &[state]);
            if state == "write" {
                assert_eq!(document["ending"], "taken-back", "{document}");
                let reason = document["detail"].as_str().unwrap();
                assert!(reason.contains("has been in write for 300 ms"), "{reason}");
            } else {
                assert_eq!(document["ending"], "done", "{interpreter} {state}: {document}");
                assert_eq!(document["stdout"], format!("from the script {state}\n"));
                let result = json!({"main": true, "name": "__pyattach__"});
                assert_eq!(document["result"], result, "{document}");
                expected.push(state);
            }
            assert_eq!(document["left_behind"], json!([]), "{document}");
            let found = target.ask("leave");
            assert_eq!(found["problems"], json!([]), "{interpreter} {state}: {document}");
        }
        assert!(expected.len() >= 16, "{expected:?}");
        let after = target.ask("residue");
        // None of them ran late.
        assert_eq!(after["seen"], json!(expected));
        for kind in ["descriptors", "threads", "names", "streams"] {
            assert_eq!(after[kind], before[kind], "{kind}");
        }
        target.end();
    });
}
