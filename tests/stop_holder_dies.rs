//! Whatever happens to the process that holds a stop, the target runs on.
//!
//! The holder is this test program itself, started again with a variable that makes the test
//! `holder` hold stops instead of testing anything.

mod process_helper;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use process_helper::{PATIENCE, Target, compile, send, states, wait_for};
use pyattach::process::{Hold, Process, StopOptions};

const PID: &str = "PYATTACH_TEST_HOLD_PID";
const HOLD: &str = "PYATTACH_TEST_HOLD";

const TARGET: &str = r#"
import sys, threading
def burn():
    while True: pass
threading.Thread(target=burn, daemon=True).start()
for n in range(20):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("READY")
for line in sys.stdin: print("answer", line.strip())
"#;

/// Not a test of its own: what the other tests start.
#[test]
fn holder() {
    let Ok(pid) = std::env::var(PID) else { return };
    let process = Process::open(pid.parse().unwrap()).unwrap();
    if std::env::var(HOLD).unwrap() == "loop" {
        loop {
            process.stop(StopOptions::default()).unwrap().release();
        }
    }
    if std::env::var(HOLD).unwrap() == "signal" {
        loop {
            let stopped = process.stop(StopOptions::default()).unwrap();
            if stopped.threads().iter().any(|thread| matches!(thread.hold, Hold::Signal(_))) {
                send(std::process::id().cast_signed(), libc::SIGKILL);
            }
        }
    }
    let millis = std::env::var(HOLD).unwrap().parse().unwrap();
    let options =
        StopOptions { hard_deadline: Duration::from_millis(millis), ..StopOptions::default() };
    let _stopped = process.stop(options).unwrap();
    std::thread::sleep(PATIENCE * 4);
}

fn start_holder(pid: i32, hold: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "holder", "--nocapture"])
        .env(PID, pid.to_string())
        .env(HOLD, hold)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // In an orphaned group, such as that of a job without a terminal, SIGTSTP stops nobody.
        .process_group(0);
    // SAFETY: signal() is async-signal-safe. Jobs in the background of a shell ignore SIGINT,
    // and so would the holder.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

fn is_held(pid: i32) -> bool {
    states(pid).contains('t')
}

/// Waits until the process answers, and is not held or stopped.
fn assert_free(target: &mut Target, word: &str) {
    assert_eq!(target.ask(word), format!("answer {word}"));
    wait_for("no thread held", || !states(target.pid()).contains(['t', 'T']));
}

#[test]
fn killed_at_random_moments() {
    let mut target = Target::python(TARGET);
    let mut held_at_death = 0;
    for round in 0..40_u64 {
        let mut holder = start_holder(target.pid(), "loop");
        wait_for("a stop", || is_held(target.pid()));
        // Scattered over some ten stops.
        std::thread::sleep(Duration::from_micros(round * 7919 % 20_000));
        holder.kill().unwrap();
        held_at_death += u32::from(is_held(target.pid()));
        assert_eq!(holder.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_free(&mut target, &round.to_string());
    }
    println!("{held_at_death} of 40 were seen holding when they were killed");
    assert!(target.end().success());
}

#[test]
fn interrupted_by_the_user() {
    let mut target = Target::python(TARGET);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut holder = start_holder(target.pid(), "60000");
        wait_for("the stop", || states(target.pid()).chars().all(|state| state == 't'));
        send(i32::try_from(holder.id()).unwrap(), signal);
        assert_eq!(holder.wait().unwrap().signal(), Some(signal));
        assert_free(&mut target, "free");
    }
}

#[test]
fn a_holder_that_hangs_ends_itself_and_says_why() {
    let mut target = Target::python(TARGET);
    let holder = start_holder(target.pid(), "1000");
    // Nobody else would end it.
    let output = holder.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("held for too long"), "{message}");
    assert_free(&mut target, "free");
}

#[test]
fn a_stopped_holder_is_killed_in_time() {
    for signal in [libc::SIGSTOP, libc::SIGTSTP] {
        let mut target = Target::python(TARGET);
        let mut holder = start_holder(target.pid(), "8000");
        wait_for("the stop", || states(target.pid()).chars().all(|state| state == 't'));
        send(i32::try_from(holder.id()).unwrap(), signal);
        wait_for("the holder's stop", || {
            !states(i32::try_from(holder.id()).unwrap()).contains(['S', 'R'])
        });
        wait_for("the release", || !is_held(target.pid()));
        assert_eq!(holder.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_free(&mut target, "free");
    }
}

/// Counts queued signals in its handler; each has its number.
const COUNTING: &str = r#"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile long seen, sum;
static void handler(int n, siginfo_t *info, void *c) { seen++; sum += info->si_value.sival_int; }
int main(void) {
    struct sigaction a = {0};
    a.sa_sigaction = handler; a.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGRTMIN + 3, &a, NULL);
    puts("READY"); fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0)
        if (c == '\n') printf("%ld signals, sum %ld\n", seen, sum), fflush(stdout);
    return 0;
}
"#;

/// We die while a thread stands still on its way to a handler: the handler is run all the same.
#[test]
fn a_signal_on_its_way_outlives_us() {
    let directory = tempfile::tempdir().unwrap();
    let mut target = Target::start(Command::new(compile(directory.path(), COUNTING)));
    target.expect("READY");
    let (mut sent, mut sum) = (0_i64, 0_i64);
    for round in 0..10 {
        let mut holder = start_holder(target.pid(), "signal");
        let begin = Instant::now();
        let status = loop {
            let value = libc::sigval { sival_ptr: sent as usize as *mut libc::c_void };
            // SAFETY: passes integers.
            if unsafe { libc::sigqueue(target.pid(), libc::SIGRTMIN() + 3, value) } == 0 {
                sum += sent;
                sent += 1;
            }
            std::thread::sleep(Duration::from_micros(150));
            if let Some(status) = holder.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "round {round}: no stop met a signal");
        };
        assert_eq!(status.signal(), Some(libc::SIGKILL), "round {round}");
        wait_for("no thread held", || !states(target.pid()).contains(['t', 'T']));
        let expected = format!("{sent} signals, sum {sum}");
        let begin = Instant::now();
        while target.ask("") != expected {
            assert!(begin.elapsed() < PATIENCE, "round {round}: {expected} sent");
        }
    }
    assert!(target.end().success());
}
