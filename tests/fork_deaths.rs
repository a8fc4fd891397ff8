//! Our binary is killed at every step of a fork and at random moments: the target goes on, its
//! own checks find no harm, and a later run removes what was left.

mod fork_helper;
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fork_helper::{STEPS, children, fork_census};
use pyattach::attach::Target;
use support::{Fixture, for_each_interpreter};

const RANDOM_KILLS: u64 = 40;

fn start(pid: i32, die_at: Option<&str>) -> Child {
    let program = env!("CARGO_BIN_EXE_pyattach");
    let mut command = Command::new(program);
    command.args(["census", &pid.to_string(), "--capture", "fork"]);
    if let Some(step) = die_at {
        command.env("PYATTACH_TEST_DIE_AT", step);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A busy target and one in which every thread waits for a relative time.
#[test]
fn a_target_survives_our_death_at_every_step() {
    for_each_interpreter(|interpreter| {
        let mut busy = Fixture::start(interpreter, "busy.py", &["--allocators", "1"]);
        let mut calm = Fixture::start(interpreter, "census.py", &[]);
        let before = busy.ask("check");
        let mut not_reached = Vec::new();
        for step in STEPS {
            for pid in [busy.pid, calm.pid] {
                let status = start(pid, Some(step)).wait().unwrap();
                if status.signal() != Some(libc::SIGKILL) {
                    not_reached.push((step, pid == busy.pid));
                }
            }
        }
        // A busy target may be in the middle of a collection in all attempts.
        assert!(not_reached.iter().all(|&(_, busy)| busy), "{not_reached:?}");
        assert!(not_reached.len() < STEPS.len() / 2, "{not_reached:?}");
        for fixture in [&busy, &calm] {
            let left = children(fixture.pid);
            assert!(left.iter().all(|&(_, state)| state == 'Z'), "{left:?}");
        }
        assert!(!children(calm.pid).is_empty(), "the steps leave something to remove");
        let census = fork_census(&Target::open(calm.pid).unwrap());
        let notes = census.capture.notes.join("\n");
        assert!(notes.contains("dead copies that earlier runs had left behind"), "{notes}");
        fork_census(&Target::open(busy.pid).unwrap());
        for fixture in [&busy, &calm] {
            assert_eq!(children(fixture.pid), []);
        }
        check(&mut busy, &before);
        calm.ask("census");
        calm.end();
        busy.end();
    });
}

#[test]
fn a_target_survives_our_death_at_random_moments() {
    for_each_interpreter(|interpreter| {
        let mut busy = Fixture::start(interpreter, "busy.py", &["--allocators", "1"]);
        let before = busy.ask("check");
        // How long a run takes here and now.
        let begin = std::time::Instant::now();
        assert!(start(busy.pid, None).wait().unwrap().success());
        let run = begin.elapsed();
        let mut killed = 0;
        for round in 0..RANDOM_KILLS {
            let mut child = start(busy.pid, None);
            let part = (round * 7919 % 1000) as f64 / 1000.0;
            std::thread::sleep(Duration::from_secs_f64(run.as_secs_f64() * part));
            child.kill().unwrap();
            killed += u32::from(child.wait().unwrap().signal() == Some(libc::SIGKILL));
        }
        assert!(u64::from(killed) > RANDOM_KILLS / 2, "{killed} of {RANDOM_KILLS} were killed");
        fork_census(&Target::open(busy.pid).unwrap());
        assert_eq!(children(busy.pid), []);
        check(&mut busy, &before);
        busy.end();
    });
}

/// The target's own findings: none, everything moved on, nothing more is open.
fn check(busy: &mut Fixture, before: &serde_json::Value) {
    let after = busy.ask("check");
    assert_eq!(after["harm"], serde_json::json!([]), "{after}");
    for kind in ["nanosleep", "poll"] {
        assert_eq!(after["interrupted"][kind], 0, "{after}");
    }
    assert_eq!(after["descriptors"], before["descriptors"]);
    assert_eq!(after["threads"], before["threads"]);
    assert_eq!(after["counters"]["pauses_seen"], 0);
    let count = |check: &serde_json::Value, name: &str| check["counters"][name].as_u64().unwrap();
    for name in before["counters"].as_object().unwrap().keys().filter(|&n| n != "pauses_seen") {
        assert!(count(&after, name) > count(before, name), "{name} stands still: {after}");
    }
    assert!(count(&after, "signals_sent") - count(&after, "signals_seen") <= 1, "{after}");
}
