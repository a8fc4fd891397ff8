//! Targets that are busy in every way a Python process can be, captured in every mode, with our
//! binary killed in between and two of us at once: each target checks itself, and must find
//! nothing.
//!
//! The short form is part of the tests. The long form, with every program on every interpreter,
//! and tables of captures, kills and harms by version and mode at its end:
//!
//!     PYATTACH_HARM_SECONDS=3600 cargo test --release --test harm -- --nocapture

mod client;
#[path = "../fork_helper/mod.rs"]
mod fork_helper;
mod ledger;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod torment;

use std::process::Stdio;
use std::time::{Duration, Instant};

use ledger::Ledger;
use support::for_each_interpreter;
use torment::{MODES, Span, capture, torment};

/// In the short form each program meets every so manieth interpreter.
const EVERY: usize = 6;

#[test]
fn nothing_is_harmed() {
    let seconds = std::env::var("PYATTACH_HARM_SECONDS").ok().map(|text| text.parse().unwrap());
    let only = std::env::var("PYATTACH_HARM_ONLY").unwrap_or_default();
    let known = support::interpreters();
    // Two interpreters at a time, and each has a share of the time.
    let cells = (known.len() * programs::ALL.len()) as u64;
    let share = Duration::from_millis(seconds.unwrap_or(0_u64) * 2000 / cells);
    let ledger = Ledger::default();
    for_each_interpreter(|interpreter| {
        let index = known.iter().position(|one| std::ptr::eq(one, interpreter)).unwrap();
        for (number, program) in programs::ALL.iter().enumerate() {
            let its_turn = known.len() == 1 || index % EVERY == number % EVERY;
            if (seconds.is_none() && !its_turn) || !program.name.contains(&only) {
                continue;
            }
            let span = Span { rounds: 2, until: Instant::now() + share };
            torment(interpreter, program, span, &ledger);
        }
    });
    programs::forget_copies();
    println!("{}", ledger.text());
    let harms = ledger.harms();
    assert!(harms.is_empty(), "{} harms\n{}", harms.len(), harms.join("\n"));
    assert!(ledger.silent_modes().is_empty(), "seldom give an answer: {:?}", ledger.silent_modes());
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
                // No answer is an answer here.
                let _ = capture(pid, mode);
            }
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(i32::try_from(round).unwrap() + 3), "{mode}");
            assert_eq!(output.stdout, b"begin\nend\n", "{mode}");
        }
    });
}
