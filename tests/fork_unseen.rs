//! What a frozen copy must not do while it lives: keep connections open, get in the way of
//! exec or exit, show up anywhere. And what becomes of it when several things happen at once.

mod fork_helper;
mod process_helper;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fork_helper::{children, fork_once, frozen, options, until};
use process_helper::Target as Program;
use pyattach::attach::{CaptureMode, Target};
use pyattach::process::{ForkError, ForkPlan, Process, StopOptions};
use support::{Fixture, for_each_interpreter, pyattach};

/// A server with one connection, which it closes when told.
const SERVER: &str = r#"
import json, os, select, socket, sys
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(1)
print("READY " + json.dumps({"pid": os.getpid(), "port": listener.getsockname()[1]}), flush=True)
connection, address = listener.accept()
epoll = select.epoll(); epoll.register(connection, select.EPOLLIN)
for line in sys.stdin:
    if line.strip() == "close": connection.close()
    print(json.dumps({"events": len(epoll.poll(0)), "fds": sorted(os.listdir("/proc/self/fd"))}), flush=True)
"#;

#[test]
fn a_connection_closed_during_a_capture_ends_at_once() {
    for_each_interpreter(|interpreter| {
        let mut server = Fixture::run("server", interpreter.command(&["-u", "-c", SERVER]));
        let port = u16::try_from(server.facts["port"].as_u64().unwrap()).unwrap();
        let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let before = server.ask("hello");
        let process = Process::open(server.pid).unwrap();
        let plan = ForkPlan::prepare(&process, false).unwrap();
        let (child, _) = frozen(&process, &plan);
        assert_eq!(server.ask("hello"), before, "a descriptor more, or an event");
        server.ask("close");
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "no end of file");
        // Data for a closed socket are no event of the server's.
        let _ = peer.write(b"late");
        assert_eq!(server.ask("hello")["events"], 0);
        let still = child.process().check();
        assert!(still.is_ok(), "the copy has to live through this: {still:?}");
        child.finish();
        assert_eq!(children(server.pid), []);
        server.end();
    });
}

const THREADS: &str = r#"
import sys, threading
gate = threading.Event()
for n in range(199): threading.Thread(target=gate.wait, daemon=True).start()
print("READY")
for line in sys.stdin: print("answer", threading.active_count())
"#;

#[test]
fn two_hundred_threads() {
    let mut program = Program::python(THREADS);
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let mut pauses: Vec<Duration> = (0..30).map(|_| fork_once(&process, &plan).0).collect();
    pauses.sort();
    println!("200 threads: median pause {:?}, longest {:?}", pauses[15], pauses[29]);
    assert_eq!(program.ask("still there?"), "answer 200");
    assert_eq!(children(program.pid()), []);
    assert!(program.end().success());
}

/// The copy shares the process's number of threads with nobody: it has one.
#[test]
fn the_copy_stands_still_and_dies_first() {
    let program = Program::python(THREADS);
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let (child, _) = frozen(&process, &plan);
    let pid = child.process().pid();
    assert_eq!(children(program.pid()), [(pid, 't')]);
    assert_eq!(process_helper::states(pid), "t");
    let of = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(of("oom_score_adj").trim(), "1000");
    // Never ran: no time in its own code. utime is field 14.
    let stat = of("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    assert_eq!(fields[14 - 3], "0");
    drop(child);
    assert_eq!(children(program.pid()), []);
    assert!(program.end().success());
}

#[test]
fn exec_during_a_capture() {
    let mut program = Program::python(
        r#"
import os, sys
print("READY")
sys.stdin.readline()
os.execv("/bin/sh", ["sh", "-c", "echo new; while read line; do echo $line; done"])
"#,
    );
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let (child, _) = frozen(&process, &plan);
    assert_eq!(program.ask("go"), "new");
    let ending = child.finish();
    assert_eq!((ending.reaped, ending.left), (1, 0));
    assert_eq!(program.ask("still there?"), "still there?");
    assert_eq!(children(program.pid()), []);
    assert!(program.end().success());
}

#[test]
fn exit_during_a_capture() {
    let program = Program::python(THREADS);
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let (child, _) = frozen(&process, &plan);
    let pid = child.process().pid();
    assert!(program.end().success());
    let ending = child.finish();
    assert_eq!(ending.reaped, 0);
    until("the copy is gone", || std::fs::metadata(format!("/proc/{pid}")).is_err());
}

/// A copy that is killed while it is read is told apart from the process's own end.
#[test]
fn a_copy_that_is_killed_is_no_harm() {
    let mut program = Program::python(THREADS);
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let (child, _) = frozen(&process, &plan);
    process_helper::send(child.process().pid(), libc::SIGKILL);
    until("its end", || child.process().check().is_err());
    let ending = child.finish();
    assert_eq!((ending.reaped, ending.left), (1, 0));
    assert_eq!(program.ask("still there?"), "answer 200");
    assert!(program.end().success());
}

#[test]
fn two_at_once_wait_or_say_so() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "census.py", &[]);
        let pid = fixture.pid_text();
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let run = || {
                let census = ["census", pid.as_str(), "--capture", "fork", "--json"];
                (0..6).map(|_| pyattach(&census)).collect::<Vec<_>>()
            };
            let both = [scope.spawn(run), scope.spawn(run)];
            both.into_iter().flat_map(|one| one.join().unwrap()).collect()
        });
        let fine = outcomes.iter().filter(|outcome| outcome.code == Some(0)).count();
        assert!(fine >= 1);
        for outcome in outcomes.iter().filter(|outcome| outcome.code != Some(0)) {
            assert!(outcome.stderr.contains("already traced by process"), "{outcome:?}");
        }
        fixture.ask("census");
        let target = Target::open(fixture.pid).unwrap();
        target.census(&options(CaptureMode::Fork)).unwrap();
        assert_eq!(children(fixture.pid), []);
        fixture.end();
    });
}

/// The limit is kept: a process too large to fork within it is not stopped at all.
#[test]
fn the_longest_pause_is_kept() {
    let program =
        Program::python("import sys\nx = bytearray(400 << 20)\nprint('READY')\nsys.stdin.read()");
    let pid = program.pid().to_string();
    let outcome = pyattach(&["census", &pid, "--capture", "fork", "--max-pause", "100us"]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(outcome.stderr.contains("would have paused"), "{outcome:?}");
    assert_eq!(children(program.pid()), []);
    assert!(program.end().success());
}

/// Stopped and continued by somebody else all the time: a fork that is interrupted puts
/// everything back and lets the stop be.
#[test]
fn job_control_during_forks() {
    let mut program = Program::python(
        r#"
import sys, time
print("READY")
begin = time.monotonic()
while time.monotonic() < begin + 3: time.sleep(0.01)
print("done")
for line in sys.stdin: print("answer")
"#,
    );
    let pid = program.pid();
    let process = Process::open(pid).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let sender = std::thread::spawn(move || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            process_helper::send(pid, libc::SIGSTOP);
            std::thread::sleep(Duration::from_micros(700));
            process_helper::send(pid, libc::SIGCONT);
            std::thread::sleep(Duration::from_micros(1300));
        }
    });
    let (mut forks, mut refusals) = (0, 0);
    while !sender.is_finished() {
        let stopped = process.stop(StopOptions::default()).unwrap();
        match stopped.fork(&plan, Duration::from_secs(5)) {
            (Ok(child), _) => {
                child.finish();
                forks += 1;
            }
            (Err(_), _) => refusals += 1,
        }
    }
    sender.join().unwrap();
    println!("{forks} forks, {refusals} refusals");
    assert!(forks > 0 && refusals > 0);
    program.expect("done");
    assert_eq!(program.ask("still there?"), "answer");
    // Copies that could not be removed while it was stopped are removed now.
    let plan = ForkPlan::prepare(&process, false).unwrap();
    frozen(&process, &plan).0.finish();
    assert_eq!(children(pid), []);
    assert!(program.end().success());
}

/// A fork that is not done in time: everything is let go, and the thread that was to fork finds
/// back by itself.
#[test]
fn a_late_fork_is_abandoned() {
    let mut program = Program::python(
        r#"
import sys
x = bytearray(b"x" * (300 << 20))
print("READY")
for line in sys.stdin: print("answer", len(x))
"#,
    );
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let mut late = 0;
    for microseconds in [0, 20, 50, 100, 200, 500, 1000, 2000, 4000] {
        let stopped = process.stop(StopOptions::default()).unwrap();
        match stopped.fork(&plan, Duration::from_micros(microseconds)) {
            (Err(ForkError::Late { .. }), _) => late += 1,
            (Ok(child), _) => drop(child),
            (Err(error), _) => panic!("{error}"),
        }
        assert_eq!(program.ask("still there?"), format!("answer {}", 300 << 20));
    }
    assert!(late > 3, "{late} of 9 were late");
    // The copies that came about nevertheless have ended by themselves.
    until("their ends", || children(program.pid()).iter().all(|&(_, state)| state == 'Z'));
    frozen(&process, &ForkPlan::prepare(&process, false).unwrap()).0.finish();
    assert_eq!(children(program.pid()), []);
    assert!(program.end().success());
}
