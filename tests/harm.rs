//! Targets that are busy in every way a Python process can be, captured in every mode, with our
//! binary killed in between: each target checks itself, and must find nothing.
//!
//! The short form is part of the tests. The long form, on every interpreter, a row each for
//! captures, kills and harms by mode at its end:
//!
//!     PYATTACH_HARM_SECONDS=3600 cargo test --release --test harm -- --nocapture

mod fork_helper;
mod support;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fork_helper::{STEPS, children, options};
use pyattach::attach::{AttachError, CaptureMode, StackOptions, Target};
use serde_json::Value;
use support::{DEADLINE, Fixture, Interpreter, for_each_interpreter};

const MODES: [CaptureMode; 4] =
    [CaptureMode::Stop, CaptureMode::Copy, CaptureMode::Fork, CaptureMode::Live];

/// The programs, by name.
const PROGRAMS: [(&str, &str); 5] = [
    ("busy", ""),
    ("family", include_str!("harm_programs/family.py")),
    ("threads", include_str!("harm_programs/threads.py")),
    ("server", include_str!("harm_programs/server.py")),
    ("execs", include_str!("harm_programs/execs.py")),
];

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    captures: u32,
    kills: u32,
    /// Captures that gave no answer, and said why.
    refused: u32,
}

fn start(interpreter: &Interpreter, name: &str, source: &str) -> Fixture {
    if source.is_empty() {
        return Fixture::start(interpreter, "busy.py", &["--allocators", "1"]);
    }
    let command = interpreter.command(&["-c", source, "0"]);
    Fixture::run(&format!("{name} on {interpreter}"), command)
}

/// One capture by our library; true when there is an answer.
fn capture(pid: i32, mode: CaptureMode) -> bool {
    let outcome = Target::open(pid).and_then(|target| {
        let show = StackOptions { locals: false, source: false };
        match mode {
            CaptureMode::Stop | CaptureMode::Live => target.dump(&options(mode), show).map(drop),
            _ => target.census(&options(mode)).map(drop),
        }
    });
    match outcome {
        Ok(()) => true,
        // What a program that replaces itself, or its reader on a loaded machine, may meet.
        Err(error) => {
            let text = error.to_string();
            assert!(!matches!(error, AttachError::OverBudget { .. }), "{text}");
            false
        }
    }
}

/// Our binary, killed: at a step of the fork for even rounds, else after part of `run`.
fn kill_one(pid: i32, mode: CaptureMode, round: u32, run: Duration) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyattach"));
    command.args(["census", &pid.to_string(), "--capture", mode.name()]);
    let by_step = mode == CaptureMode::Fork && round.is_multiple_of(2);
    if by_step {
        let step = STEPS[(round / 2) as usize % STEPS.len()];
        command.env("PYATTACH_TEST_DIE_AT", step);
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    if !by_step {
        let part = f64::from(round.wrapping_mul(7919) % 1000) / 1000.0;
        std::thread::sleep(run.mul_f64(part));
        child.kill().unwrap();
    }
    child.wait().unwrap().signal() == Some(libc::SIGKILL)
}

fn ask(fixture: &mut Fixture, name: &str, command: &str) -> Value {
    let answer = fixture.try_ask(command, DEADLINE);
    let answer = answer.unwrap_or_else(|problem| panic!("{name}: {problem}: {}", fixture.stderr()));
    assert_eq!(answer["harm"], serde_json::json!([]), "{name}: {answer}");
    if name == "busy" {
        for kind in ["nanosleep", "poll"] {
            assert_eq!(answer["interrupted"][kind], 0, "{answer}");
        }
    }
    answer
}

/// Captures and kills until `end`, at least `rounds` times.
fn torment(
    interpreter: &Interpreter,
    (name, source): (&str, &str),
    rounds: u32,
    end: Instant,
    total: &Mutex<BTreeMap<&'static str, Tally>>,
) {
    let mut fixture = start(interpreter, name, source);
    let before = ask(&mut fixture, name, "check");
    let begin = Instant::now();
    capture(fixture.pid, CaptureMode::Fork);
    let run = begin.elapsed() * 2;
    let mut round = 0;
    while round < rounds || Instant::now() < end {
        for mode in MODES {
            let answered = capture(fixture.pid, mode);
            let killed = mode != CaptureMode::Live && kill_one(fixture.pid, mode, round, run);
            let mut total = total.lock().unwrap();
            let tally = total.entry(mode.name()).or_default();
            tally.captures += u32::from(answered);
            tally.refused += u32::from(!answered);
            tally.kills += u32::from(killed);
        }
        round += 1;
        if round.is_multiple_of(16) {
            ask(&mut fixture, name, "check");
        }
    }
    // What the kills have left is removed by the next fork that comes about.
    let begin = Instant::now();
    while children(fixture.pid).iter().any(|&(child, state)| state == 'Z' && is_of_ours(child)) {
        assert!(begin.elapsed() < DEADLINE, "{name}: {:?}", children(fixture.pid));
        capture(fixture.pid, CaptureMode::Fork);
    }
    let last = if name == "busy" { "check" } else { "finish" };
    let after = ask(&mut fixture, name, last);
    for (counter, count) in before["counters"].as_object().unwrap() {
        let moved = after["counters"][counter].as_u64() > count.as_u64();
        assert!(moved || counter == "pauses_seen", "{counter}: {after}");
    }
    if name == "busy" {
        assert_eq!(after["descriptors"], before["descriptors"]);
    }
    assert_eq!(after["counters"]["pauses_seen"].as_u64().unwrap_or(0), 0);
    fixture.end();
}

/// Exit signal 0: field 38.
fn is_of_ours(child: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_ascii_whitespace().nth(38 - 3) == Some("0")
}

#[test]
fn nothing_is_harmed() {
    let seconds = std::env::var("PYATTACH_HARM_SECONDS").ok().map(|text| text.parse().unwrap());
    let (rounds, seconds): (u32, u64) = (2, seconds.unwrap_or(0));
    let known = support::interpreters();
    // Two interpreters at a time, and each has a share of the time.
    let share = seconds * 2 / known.len() as u64 / PROGRAMS.len() as u64;
    let total = Mutex::new(BTreeMap::new());
    for_each_interpreter(|interpreter| {
        let index = known.iter().position(|one| std::ptr::eq(one, interpreter)).unwrap();
        for (number, program) in PROGRAMS.into_iter().enumerate() {
            // In the short form each program meets every fifth interpreter, or the only one.
            if seconds == 0 && known.len() > 1 && !(index + number).is_multiple_of(PROGRAMS.len()) {
                continue;
            }
            let end = Instant::now() + Duration::from_secs(share);
            torment(interpreter, program, rounds, end, &total);
        }
    });
    let total = total.into_inner().unwrap();
    println!("mode   captures  no answer  kills  harms");
    for (mode, tally) in &total {
        let Tally { captures, refused, kills } = tally;
        println!("{mode:<6} {captures:>8} {refused:>10} {kills:>6}      0");
        assert!(captures > refused, "{mode} seldom gives an answer: {tally:?}");
    }
}

/// Processes that end by themselves in the middle of captures: with their own status, and
/// all that they had to say.
#[test]
fn an_end_in_mid_capture_is_the_programs_own() {
    for_each_interpreter(|interpreter| {
        for round in 0..8_u32 {
            let program = format!(
                "import time, sys\nx = [[n] for n in range(20000)]\nprint('begin', flush=True)\n\
                 time.sleep({})\nprint('end')\nsys.exit({})",
                0.02 * f64::from(round),
                round + 3
            );
            let mut command = interpreter.command(&["-c", &program]);
            let child = command.stdout(Stdio::piped()).spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            let mode = MODES[round as usize % MODES.len()];
            while !std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| stat.contains(") Z"))
            {
                capture(pid, mode);
            }
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(i32::try_from(round).unwrap() + 3), "{mode}");
            assert_eq!(output.stdout, b"begin\nend\n", "{mode}");
        }
    });
}
