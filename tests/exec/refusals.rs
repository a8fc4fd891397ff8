//! Where nothing may be run, nothing is, and the message says why.

use std::process::Command;
use std::time::Instant;

use crate::states::exec;
use crate::support::{DEADLINE, Fixture, for_each_of, pyattach};

/// A filter that allows everything: which it is cannot be seen from outside.
const FILTERED: &str = r#"
import ctypes, json, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
code = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.read()
"#;

const PLAIN: &str = r#"
import json, os, sys
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.read()
"#;

#[test]
fn a_seccomp_filter_and_another_tracer() {
    let mut command = Command::new("python3");
    command.args(["-c", FILTERED]);
    let target = Fixture::run("filtered", command);
    let outcome = pyattach(&["exec", &target.pid_text(), "-c", "print(1)"]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("seccomp"), "{outcome:?}");
    assert!(outcome.stderr.contains("hint: "), "{outcome:?}");
    target.end();

    let mut command = Command::new("python3");
    command.args(["-c", PLAIN]);
    let target = Fixture::run("traced", command);
    let pid = nix::unistd::Pid::from_raw(target.pid);
    nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty()).unwrap();
    let outcome = pyattach(&["exec", &target.pid_text(), "-c", "print(1)"]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("traced"), "{outcome:?}");
}

#[test]
fn who_disables_remote_debugging_is_left_alone() {
    for_each_of(
        |one| one.at_least((3, 14)),
        |interpreter| {
            let mut command = interpreter.command(&["-c", PLAIN]);
            command.env("PYTHON_DISABLE_REMOTE_DEBUG", "1");
            let target = Fixture::run("disabled", command);
            let outcome = pyattach(&["exec", &target.pid_text(), "-c", "print(1)"]);
            assert_eq!(outcome.code, Some(3), "{outcome:?}");
            assert!(outcome.stderr.contains("has remote debugging disabled"), "{outcome:?}");
            assert!(outcome.stderr.contains("PYTHON_DISABLE_REMOTE_DEBUG"), "{outcome:?}");
            target.end();
        },
    );
}

/// A call in C that never ends keeps everybody out; the ring is then as it was.
#[test]
fn a_long_call_in_c_is_waited_for_and_then_left_alone() {
    for_each_of(
        |one| {
            [(3, 8), (3, 10), (3, 12), (3, 13), (3, 14)].contains(&(one.version.0, one.version.1))
        },
        |interpreter| {
            let program = format!("{}\nsum(range(10**15))", PLAIN.replace("sys.stdin.read()", ""));
            let command = interpreter.command(&["-c", &program]);
            let mut target = Fixture::run("long call", command);
            let deadline = Instant::now() + DEADLINE;
            let mut in_call = false;
            // More often than the ring has places, once it is in the call.
            let mut round = 0;
            while round < 40 {
                let document = exec(target.pid, &["--timeout", "30ms"], "print(1)", &[]);
                let reason = document["detail"].as_str().unwrap_or_default();
                let stuck =
                    document["ending"] == "taken-back" && reason.contains("a long call in C?");
                assert!(stuck || (!in_call && Instant::now() < deadline), "{document}");
                in_call |= stuck;
                round += usize::from(in_call);
                assert_eq!(document["left_behind"], serde_json::json!([]));
            }
            assert!(target.is_alive());
        },
    );
}
