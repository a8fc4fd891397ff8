//! Captures of processes that allocate, collect and handle signals as fast as they can: each is consistent or says
//! that it is not, and the process never notices.

mod support;

use std::collections::BTreeSet;

use pyattach::attach::{CaptureMode, CaptureOptions, StackOptions, Target};
use pyattach::snapshot::{CensusDocument, DumpDocument};
use serde_json::Value;
use support::{Fixture, Interpreter, for_each_interpreter, pyattach};

const CAPTURES: usize = 200;

/// What the captures of one target came to.
#[derive(Debug, Default)]
struct Tally {
    censuses: usize,
    consistent_censuses: usize,
    dumps: usize,
    consistent_dumps: usize,
    attempts: u32,
}

fn options(mode: CaptureMode) -> CaptureOptions {
    CaptureOptions { mode, ..CaptureOptions::default() }
}

/// A census is whole, or tells why it is not.
fn check_census(census: &CensusDocument, tally: &mut Tally) {
    let (objects, capture) = (&census.objects, &census.capture);
    tally.censuses += 1;
    tally.attempts += capture.attempts;
    let sum: u64 = objects.types.iter().map(|row| row.count).sum();
    assert_eq!(objects.total, sum + objects.untyped, "every object is counted once");
    let count = |name: &str| {
        let rows = objects.types.iter().filter(|row| row.name == name);
        rows.map(|row| row.count).sum::<u64>()
    };
    // Whatever is going on: not absurd.
    assert!(objects.total < 3_000_000 && count("_busy.Node") < 500_000, "{capture:?}");
    if capture.consistent {
        tally.consistent_censuses += 1;
        assert_eq!(capture.coverage.broken_lists, Some(0));
        assert_eq!(capture.coverage.collecting, Some(false));
        assert!(objects.total > 4000, "{}", objects.total);
        // Two rings of a thousand are alive whenever they are full.
        assert!(count("_busy.Node") > 1000, "{}", count("__main__.Node"));
        assert!(count("builtins.module") > 20 && count("builtins.function") > 500);
        assert!(count("socket.socket") == 2, "{}", count("socket.socket"));
    } else {
        let coverage = &capture.coverage;
        let broken = coverage.broken_lists.is_some_and(|broken| broken > 0);
        let told = broken || coverage.collecting == Some(true) || capture.notes.len() > 1;
        assert!(told && capture.attempts > 5, "why? {capture:?}");
    }
}

fn check_dump(dump: &DumpDocument, names: &BTreeSet<String>, tally: &mut Tally) {
    tally.dumps += 1;
    let capture = &dump.capture;
    let cut = dump.threads.iter().filter(|thread| thread.truncated.is_some()).count();
    if !capture.consistent {
        assert!(cut > 0 || capture.coverage.unreadable > 0, "why? {capture:?}");
        return;
    }
    tally.consistent_dumps += 1;
    assert_eq!(cut, 0);
    let found: BTreeSet<String> =
        dump.threads.iter().filter_map(|thread| thread.name.clone()).collect();
    assert_eq!(&found, names);
    for thread in &dump.threads {
        let outermost = thread.frames.last().map(|frame| frame.function.as_str());
        let expected = if thread.main { "<module>" } else { "_bootstrap" };
        assert_eq!(outermost, Some(expected), "{thread:#?}");
        assert!(thread.tid.is_some(), "{thread:#?}");
        // The compiler's own instructions have no line (PEP 626).
        let without_line = thread.frames.iter().skip(1).find(|frame| frame.line.is_none());
        assert_eq!(without_line, None, "{thread:#?}");
    }
    assert!(dump.threads.iter().filter(|thread| thread.holds_gil == Some(true)).count() <= 1);
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn captures_of_a_busy_process() {
    for_each_interpreter(|python| {
        let mut target = Fixture::start(python, "busy.py", &[]);
        let before = target.ask("check");
        let names = thread_names(&target);
        let mut tally = Tally::default();
        for round in 0..CAPTURES {
            capture(&target, round, &names, &mut tally);
        }
        let after = target.ask("check");
        println!("{python}: {tally:?}");
        assert!(tally.consistent_censuses * 2 > tally.censuses, "{tally:?}");
        assert!(tally.consistent_dumps * 10 > tally.dumps * 9, "{tally:?}");
        assert_unharmed(&before, &after);
        target.end();
    });
}

/// The names as a dump has them that was taken with nothing in motion but the threads.
fn thread_names(target: &Fixture) -> BTreeSet<String> {
    let dump = Target::open(target.pid).unwrap();
    let show = StackOptions { locals: false, source: false };
    let dump = dump.dump(&options(CaptureMode::Stop), show).unwrap();
    let names: BTreeSet<String> =
        dump.threads.iter().filter_map(|thread| thread.name.clone()).collect();
    assert_eq!(names.len(), dump.threads.len(), "every thread has a name of its own");
    assert!(names.len() > 10, "{names:?}");
    names
}

fn capture(target: &Fixture, round: usize, names: &BTreeSet<String>, tally: &mut Tally) {
    let open = || Target::open(target.pid).unwrap_or_else(|error| panic!("{round}: {error:?}"));
    let dump = |locals| {
        let show = StackOptions { locals, source: false };
        open().dump(&options(CaptureMode::Auto), show).unwrap()
    };
    match round % 4 {
        _ if round % 50 == 49 => run_binary(target, round),
        0 => check_census(&open().census(&options(CaptureMode::Copy)).unwrap(), tally),
        1 => check_census(&open().census(&options(CaptureMode::Stop)).unwrap(), tally),
        2 => check_dump(&dump(false), names, tally),
        _ => check_dump(&dump(true), names, tally),
    }
}

/// The exit code agrees with what the document says.
fn run_binary(target: &Fixture, round: usize) {
    let command = if round % 100 == 49 { &["census"][..] } else { &["dump", "--locals"] };
    let outcome = pyattach(&[command, &[&target.pid_text(), "--json"]].concat());
    let document: Value = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|problem| panic!("{problem}: {outcome:?}"));
    let consistent = document["capture"]["consistent"] == true;
    assert_eq!(outcome.code, Some(if consistent { 0 } else { 5 }), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
}

fn assert_unharmed(before: &Value, after: &Value) {
    assert_eq!(after["harm"], Value::Array(Vec::new()));
    assert_eq!(before["descriptors"], after["descriptors"]);
    assert_eq!(before["threads"], after["threads"]);
    for (name, value) in after["counters"].as_object().unwrap() {
        if name == "pauses_seen" {
            assert_eq!(value, 0, "nobody sent SIGSTOP");
        } else {
            assert!(number(value) > number(&before["counters"][name]), "{name} stands still");
        }
    }
    let counters = &after["counters"];
    let (sent, seen) = (number(&counters["signals_sent"]), number(&counters["signals_seen"]));
    assert!(sent - seen <= 1, "{sent} signals sent, {seen} seen");
    for call in ["nanosleep", "poll"] {
        assert_eq!(after["interrupted"][call], 0, "{call} was interrupted");
    }
}

/// Its collector has called a finalizer that does not return.
const IN_FINALIZER: &str = "
import gc, json, os, sys
class Blocker:
    def __init__(self):
        self.me = self
    def __del__(self):
        print('READY', json.dumps({'pid': os.getpid()}), flush=True)
        sys.stdin.readline()
gc.disable()
Blocker()
gc.collect()
print(json.dumps({'done': True}), flush=True)
sys.stdin.readline()
";

fn in_finalizer(python: &Interpreter) -> Fixture {
    Fixture::run("a finalizer that blocks", python.command(&["-c", IN_FINALIZER]))
}

#[test]
fn a_collection_that_does_not_end_is_told() {
    for_each_interpreter(|python| {
        let mut target = in_finalizer(python);
        for mode in ["copy", "stop"] {
            let outcome = pyattach(&["census", &target.pid_text(), "--capture", mode, "--json"]);
            let document: Value = serde_json::from_str(&outcome.stdout)
                .unwrap_or_else(|problem| panic!("{problem}: {outcome:?}"));
            let capture = &document["capture"];
            assert_eq!((outcome.code, &capture["consistent"]), (Some(5), &Value::Bool(false)));
            assert_eq!(capture["coverage"]["collecting"], true, "{capture:#}");
            assert_eq!(capture["attempts"], 10);
            let notes = capture["notes"].to_string();
            assert!(notes.contains("a garbage collection was running during every attempt"));
            let text = pyattach(&["census", &target.pid_text(), "--capture", mode]);
            assert_eq!(text.code, Some(5));
            assert!(text.stdout.contains("garbage collection was running"), "{}", text.stdout);
        }
        // Stacks do not depend on it.
        let dump = pyattach(&["dump", &target.pid_text()]);
        assert_eq!(dump.code, Some(0), "{dump:?}");
        assert!(dump.stdout.contains("__del__"), "{}", dump.stdout);
        assert_eq!(target.ask("")["done"], true);
    });
}

#[test]
fn a_collection_is_waited_for() {
    for_each_interpreter(|python| {
        let mut target = in_finalizer(python);
        let opened = Target::open(target.pid).unwrap();
        let status = format!("/proc/{}/status", target.pid);
        let census = std::thread::scope(|scope| {
            let census = scope.spawn(|| opened.census(&options(CaptureMode::Copy)).unwrap());
            // Once it has been stopped and found collecting, it may go on.
            while !census.is_finished()
                && !std::fs::read_to_string(&status).unwrap().contains("State:\tt")
            {
                std::thread::yield_now();
            }
            assert_eq!(target.ask("")["done"], true);
            census.join().unwrap()
        });
        assert!(census.capture.consistent, "{:?}", census.capture);
        assert!(census.capture.attempts > 1, "{:?}", census.capture);
    });
}
