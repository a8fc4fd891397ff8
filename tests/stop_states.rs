//! Processes in special states: stopped already, traced already, asleep in the kernel, with an
//! ended main thread, gone.

mod process_helper;

use std::process::Command;
use std::time::Duration;

use process_helper::{Target, states, wait_for};
use pyattach::process::{Hold, Process, ProcessError, StopError, StopOptions};

const ECHO: &str = r#"
import sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("READY")
for line in sys.stdin:
    print("answer", line.strip())
"#;

#[test]
fn a_stopped_process_is_read_and_stays_stopped() {
    for signal in [libc::SIGSTOP, libc::SIGTSTP] {
        let mut target = Target::python(ECHO);
        let process = Process::open(target.pid()).unwrap();
        target.signal(signal);
        wait_for("the stop", || states(process.pid()) == "TT");
        target.say("hello");
        for _ in 0..50 {
            let (threads, pause) = process
                .while_stopped(StopOptions::default(), |stopped| stopped.threads().to_vec())
                .unwrap();
            assert_eq!(pause.threads, 2);
            assert!(threads.iter().all(|thread| thread.hold == Hold::GroupStop(signal)));
            // Back in its stop once the release has been worked off; never running.
            wait_for("the stop again", || states(process.pid()) == "TT");
        }
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(states(process.pid()), "TT");
        target.signal(libc::SIGCONT);
        assert_eq!(target.line(), "answer hello");
        assert_eq!(target.ask("again"), "answer again");
        assert!(target.end().success());
    }
}

/// The stop signal comes while we hold the process, or is on its way when we do.
#[test]
fn a_stop_signal_during_our_stop_takes_effect_afterwards() {
    let mut target = Target::python(ECHO);
    let process = Process::open(target.pid()).unwrap();
    for _ in 0..50 {
        let stopped = process.stop(StopOptions::default()).unwrap();
        target.signal(libc::SIGSTOP);
        stopped.release();
        wait_for("the stop", || states(process.pid()) == "TT");
        target.signal(libc::SIGCONT);
        wait_for("the continuation", || !states(process.pid()).contains('T'));
        target.signal(libc::SIGSTOP);
        process.stop(StopOptions::default()).unwrap().release();
        wait_for("the stop", || states(process.pid()) == "TT");
        let stopped = process.stop(StopOptions::default()).unwrap();
        target.signal(libc::SIGCONT);
        stopped.release();
        wait_for("the continuation", || !states(process.pid()).contains(['T', 't']));
    }
    assert_eq!(target.ask("alive"), "answer alive");
    assert!(target.end().success());
}

#[test]
fn another_tracer_is_named() {
    let mut target = Target::python(ECHO);
    let process = Process::open(target.pid()).unwrap();
    let mut tracer = Command::new("python3");
    tracer.args([
        "-u",
        "-c",
        r#"
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0   # PTRACE_SEIZE
open("/proc/self/comm", "w").write("my debugger")
print("READY")
sys.stdin.read()
"#,
        &target.pid().to_string(),
    ]);
    let tracer = Target::start(tracer);
    tracer.expect("READY");
    let error = process.stop(StopOptions::default()).unwrap_err();
    match &error {
        StopError::Process(ProcessError::Traced { pid, tracer: by, name }) => {
            assert_eq!((*pid, *by, name.as_str()), (target.pid(), tracer.pid(), "my debugger"));
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains(&format!("process {} (my debugger)", tracer.pid())));
    assert!(error.hint().unwrap().contains("my debugger"));
    assert!(tracer.end().success());
    process.stop(StopOptions::default()).unwrap().release();
    assert_eq!(target.ask("alive"), "answer alive");
}

/// `vfork` holds its caller uninterruptibly in the kernel until the child has called exec:
/// here until the child, which waits for a pipe, is told to.
const IN_VFORK: &str = r#"
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static int gate[2];
static void *in_vfork(void *unused) {
    pid_t child = vfork();
    if (child == 0) { char c; while (read(gate[0], &c, 1) < 0) {} _exit(0); }
    waitpid(child, NULL, 0);
    puts("back"); fflush(stdout);
    return NULL;
}
int main(void) {
    pipe(gate);
    pthread_t thread;
    pthread_create(&thread, NULL, in_vfork, NULL);
    puts("READY"); fflush(stdout);
    char line[80];
    while (fgets(line, sizeof line, stdin)) {
        if (!strcmp(line, "go\n")) { write(gate[1], "x", 1); pthread_join(thread, NULL); }
        else { puts("answer"); fflush(stdout); }
    }
    return 0;
}
"#;

#[test]
fn a_thread_in_vfork_does_not_hold_its_siblings() {
    let directory = tempfile::tempdir().unwrap();
    let mut target =
        Target::start(Command::new(process_helper::compile(directory.path(), IN_VFORK)));
    target.expect("READY");
    let process = Process::open(target.pid()).unwrap();
    wait_for("vfork", || states(process.pid()) == "SD");
    for _ in 0..20 {
        let (threads, pause) = process
            .while_stopped(StopOptions::default(), |stopped| stopped.threads().to_vec())
            .unwrap();
        // Else the stop would have failed at its time limit.
        assert!(pause.threads == 2, "{pause:?}");
        assert_eq!(threads[0].hold, Hold::Interrupted);
        assert_eq!(threads[1].hold, Hold::InKernel);
        let call = threads[1].syscall.unwrap().number.cast_signed();
        assert!([libc::SYS_vfork, libc::SYS_clone].contains(&call), "{call}");
        assert_eq!(target.ask("?"), "answer");
    }
    // Released while we hold the process: it must trap, and go on at the release.
    let stopped = process.stop(StopOptions::default()).unwrap();
    target.say("go");
    stopped.release();
    assert_eq!(target.line(), "back");
    wait_for("the thread's end", || states(process.pid()) == "S");
    assert_eq!(target.ask("?"), "answer");
    assert!(target.end().success());
}

#[test]
fn the_main_thread_may_have_ended() {
    let directory = tempfile::tempdir().unwrap();
    let program = process_helper::compile(
        directory.path(),
        r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void *serve(void *main_thread) {
    pthread_join(*(pthread_t *)main_thread, NULL);
    puts("READY"); fflush(stdout);
    char line[80];
    while (fgets(line, sizeof line, stdin)) { puts("answer"); fflush(stdout); }
    exit(0);
}
static pthread_t self, thread;
int main(void) {
    self = pthread_self();
    pthread_create(&thread, NULL, serve, &self);
    pthread_exit(NULL);
}
"#,
    );
    let mut target = Target::start(Command::new(program));
    target.expect("READY");
    wait_for("the zombie leader", || states(target.pid()) == "ZS");
    let process = Process::open(target.pid()).unwrap();
    for _ in 0..20 {
        let (threads, _) = process
            .while_stopped(StopOptions::default(), |stopped| stopped.threads().to_vec())
            .unwrap();
        assert_eq!(threads.len(), 1);
    }
    use pyattach::memory::{Address, LiveMemory, MemorySource};
    let maps = process.maps().unwrap();
    let first = Address::new(maps[0].start);
    assert_eq!(LiveMemory::new(&process).read_u32(first).unwrap(), 0x464c_457f);
    assert_eq!(target.ask("?"), "answer");
    assert!(target.end().success());
}

/// Threads that come and go all the time.
#[test]
fn threads_that_start_and_end_during_the_stop() {
    let mut target = Target::python(
        r#"
import sys, threading
def churn():
    while True:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
for n in range(4):
    threading.Thread(target=churn, daemon=True).start()
print("READY")
for line in sys.stdin: print("answer")
"#,
    );
    let process = Process::open(target.pid()).unwrap();
    for _ in 0..300 {
        process
            .while_stopped(StopOptions::default(), |stopped| {
                for _ in 0..3 {
                    for thread in process.threads().unwrap() {
                        let held = stopped.threads().iter().any(|held| held.tid == thread.tid);
                        assert!(held || "ZX".contains(thread.state), "{thread:?} runs");
                    }
                }
            })
            .unwrap();
    }
    assert_eq!(target.ask("?"), "answer");
    assert!(target.end().success());
}

#[test]
fn a_panic_of_the_reader_releases() {
    let mut target = Target::python(ECHO);
    let process = Process::open(target.pid()).unwrap();
    let panicked = std::panic::catch_unwind(|| {
        let _ = process.while_stopped(StopOptions::default(), |_| panic!("for the test"));
    });
    assert!(panicked.is_err());
    assert_eq!(target.ask("alive"), "answer alive");
    assert!(target.end().success());
}

#[test]
fn a_process_killed_while_held_ends_and_is_gone() {
    let target = Target::python(ECHO);
    let process = Process::open(target.pid()).unwrap();
    let stopped = process.stop(StopOptions::default()).unwrap();
    target.signal(libc::SIGKILL);
    // Its threads wait for their tracer to take note of their end, which comes with the release.
    wait_for("its end", || states(process.pid()).chars().all(|state| state == 'Z'));
    stopped.release();
    wait_for("its end", || process.check().is_err());
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(target.end().signal(), Some(libc::SIGKILL));
    let error = process.stop(StopOptions::default()).unwrap_err();
    assert!(matches!(error, StopError::Process(ProcessError::Gone { .. })), "{error:?}");
}

/// No time at all: every thread is late, and everything is released again.
#[test]
fn a_missed_deadline_releases_everything() {
    let mut target = Target::python(
        r#"
import sys, threading
def burn():
    while True: pass
for n in range(8): threading.Thread(target=burn, daemon=True).start()
print("READY")
for line in sys.stdin: print("answer", line.strip())
"#,
    );
    let process = Process::open(target.pid()).unwrap();
    let options = StopOptions { stop_within: Duration::ZERO, ..StopOptions::default() };
    let mut late = 0;
    for _ in 0..200 {
        match process.stop(options) {
            Ok(stopped) => drop(stopped),
            Err(StopError::Deadline { pid, tid, .. }) => {
                assert_eq!(pid, process.pid());
                assert!(tid >= pid);
                late += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(late > 0, "no stop was late: the test shows nothing");
    wait_for("no thread held", || !states(process.pid()).contains(['t', 'T']));
    assert_eq!(target.ask("alive"), "answer alive");
    process.stop(StopOptions::default()).unwrap().release();
    assert!(target.end().success());
}
