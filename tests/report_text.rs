//! What people and programs see: documents made by hand, as text and JSON.

use pyattach::report::{json, text};
use pyattach::snapshot::Number;
use pyattach::snapshot::census::{CensusDocument, ObjectTotals, ResourceSummary, TypeRow};
use pyattach::snapshot::doctor::{Ability, Check, DoctorDocument, Verdict};
use pyattach::snapshot::{
    CaptureInfo, Coverage, DumpDocument, FrameRow, LayoutInfo, LocalRow, NativeThreadRow,
    ProcessInfo, PythonInfo, ThreadRow,
};
use std::collections::BTreeMap;

fn process() -> ProcessInfo {
    ProcessInfo {
        pid: 4711,
        start_time: Some("2026-11-21T10:00:00Z".to_owned()),
        cmdline: vec!["python3".to_owned(), "app.py".to_owned(), "\u{1b}[2J".to_owned()],
        exe: Some("/usr/bin/python3.13".to_owned()),
        cwd: None,
        uid: Some(33),
        user: Some("www-data".to_owned()),
        rss_bytes: Some(312 << 20),
        os_threads: Some(4),
        fds: Some(1),
        python: PythonInfo {
            version: "3.13.0".to_owned(),
            build: vec!["gil".to_owned(), "debug".to_owned()],
            executable: "/usr/bin/python3.13".to_owned(),
            layout: LayoutInfo {
                origin: vec!["table 3.13 (3.13.0)".to_owned(), "debug offsets".to_owned()],
                table: Some("3.13.0".to_owned()),
            },
        },
    }
}

fn capture() -> CaptureInfo {
    CaptureInfo {
        mode: "copy".to_owned(),
        mode_reason: None,
        pause_ms: Some(18.25),
        total_pause_ms: Some(18.5),
        wall_ms: 1310.0,
        bytes_read: 7 << 20,
        reads: 12,
        attempts: 2,
        consistent: true,
        coverage: Coverage { unreadable: 0, ..Coverage::default() },
        notes: vec!["one thing to know".to_owned()],
    }
}

fn frame(function: &str, line: u32) -> FrameRow {
    FrameRow {
        function: function.to_owned(),
        qualname: Some(format!("App.{function}")),
        file: "/srv/app.py".to_owned(),
        line: Some(line),
        source: Some("work(\u{202e})".to_owned()),
        locals: None,
    }
}

fn thread(tid: i32, name: &str, state: &str, frames: Vec<FrameRow>) -> ThreadRow {
    ThreadRow {
        interpreter: 0,
        tid: Some(tid),
        native_id: None,
        ident: "0x7f00".to_owned(),
        name: Some(name.to_owned()),
        os_name: Some("python3".to_owned()),
        main: tid == 4711,
        state: Some(state.to_owned()),
        syscall: None,
        holds_gil: Some(state == "running"),
        truncated: None,
        frames,
    }
}

fn dump() -> DumpDocument {
    let mut main = thread(4711, "MainThread", "running", vec![frame("run", 12)]);
    main.frames[0].locals = Some(vec![
        LocalRow { name: "password".to_owned(), value: Some("***".to_owned()) },
        LocalRow { name: "gone".to_owned(), value: None },
    ]);
    let mut broken = thread(4715, "bell \u{7}", "in system call", Vec::new());
    broken.syscall = Some("futex".to_owned());
    broken.truncated = Some("code object at 0x10 is malformed".to_owned());
    DumpDocument {
        schema: DumpDocument::SCHEMA,
        pyattach: "0",
        process: process(),
        capture: capture(),
        threads: vec![
            main,
            thread(4712, "worker-0", "waiting for the GIL", vec![frame("wait", 40)]),
            thread(4713, "worker-1", "waiting for the GIL", vec![frame("wait", 40)]),
            broken,
        ],
        native_threads: vec![NativeThreadRow {
            tid: 4714,
            os_name: Some("jemalloc".to_owned()),
            syscall: Some("nanosleep".to_owned()),
        }],
    }
}

fn printed(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn a_dump_for_people() {
    insta::assert_snapshot!(printed(|out| text::dump::write(out, &dump(), false)), @r#"
    Process 4711  python3 app.py \x1b[2J
    Python 3.13.0, debug, user www-data, 312.0 MiB resident, 4 threads, 1 open file
    captured with --capture copy at attempt 2, paused for 18 ms, 7.0 MiB read, 1.3 s in all
    note: one thing to know

    Thread 4711 "MainThread", main, running, holds the GIL
        App.run (/srv/app.py:12)
            work(\u202e)
            password = ***
            gone = (unreadable)

    2 threads: 4712 "worker-0", 4713 "worker-1", waiting for the GIL
        App.wait (/srv/app.py:40)
            work(\u202e)

    Thread 4715 "bell \x07", in system call futex
        the stack ends here: code object at 0x10 is malformed

    Thread 4714 "jemalloc", native (no Python state), in system call nanosleep
    "#);
}

#[test]
fn the_middle_of_a_deep_stack_is_left_out_unless_asked_for() {
    let mut deep = dump();
    deep.threads = vec![thread(4711, "deep", "running", (0..500).map(|n| frame("f", n)).collect())];
    let short = printed(|out| text::dump::write(out, &deep, false));
    assert!(short.contains("… 300 more frames (--all-frames shows them)"), "{short}");
    assert_eq!(short.matches("App.f").count(), 200);
    let long = printed(|out| text::dump::write(out, &deep, true));
    assert_eq!(long.matches("App.f").count(), 500);
}

#[test]
fn a_census_for_people() {
    let row = |name: &str, count: u64, ambiguous: bool| TypeRow {
        name: name.to_owned(),
        address: "0x7f10".to_owned(),
        ambiguous,
        count,
        shallow_bytes: count * 1000,
        generations: None,
    };
    let sockets = ResourceSummary {
        count: 4096,
        states: BTreeMap::from([("open".to_owned(), 4090), ("unknown".to_owned(), 6)]),
        totals: BTreeMap::from([("limit".to_owned(), Number::Int(12))]),
        unknown: BTreeMap::from([("idle".to_owned(), 6)]),
        ..ResourceSummary::default()
    };
    let census = CensusDocument {
        schema: CensusDocument::SCHEMA,
        pyattach: "0",
        process: process(),
        capture: CaptureInfo { pause_ms: None, mode: "live".to_owned(), ..capture() },
        objects: ObjectTotals {
            total: 1_204_331,
            permanent: 375,
            untyped: 2,
            shallow_bytes: 99 << 20,
            type_count: 900,
            types_not_shown: 897,
            types: vec![
                row("builtins.dict", 400_000, false),
                row("app.用户", 1200, true),
                row("app.\u{1b}[0m", 7, false),
            ],
        },
        resources: BTreeMap::from([("socket".to_owned(), sockets)]),
    };
    insta::assert_snapshot!(printed(|out| text::census::write(out, &census)), @r#"
    Process 4711  python3 app.py \x1b[2J
    Python 3.13.0, debug, user www-data, 312.0 MiB resident, 4 threads, 1 open file
    captured with --capture live at attempt 2, never paused, 7.0 MiB read, 1.3 s in all
    note: one thing to know

    RESOURCE  COUNT  STATES                 TOTALS
    socket    4,096  4,090 open, 6 unknown  limit 12, idle unknown of 6

      COUNT      BYTES  TYPE
    400,000  381.5 MiB  builtins.dict
      1,200    1.1 MiB  app.用户 @0x7f10
          7    6.8 KiB  app.\x1b[0m
    … and 897 more types (--top N, --filter PATTERN)

    1,204,331 objects of 900 types, 99.0 MiB; 375 of them in the permanent generation
    2 objects had a type that could not be read
    "#);
}

#[test]
fn a_doctor_for_people() {
    let doctor = DoctorDocument {
        schema: DoctorDocument::SCHEMA,
        pyattach: "0",
        pid: 4711,
        python: None,
        checks: vec![
            Check::new("process", Verdict::Ok, "exists"),
            Check::new("ptrace_scope", Verdict::Info, "1"),
            Check::new("stop threads", Verdict::Fail, "refused")
                .with_hint("run as root".to_owned()),
        ],
        commands: vec![Ability {
            command: "dump".to_owned(),
            verdict: Verdict::Warn,
            detail: "only live".to_owned(),
        }],
    };
    insta::assert_snapshot!(printed(|out| text::doctor::write(out, &doctor)), @r#"
    Process 4711

      ok    process       exists
            ptrace_scope  1
      FAIL  stop threads  refused
                          hint: run as root

    Commands
      warn  dump  only live
    "#);
}

#[test]
fn a_document_for_programs() {
    let mut out = Vec::new();
    json::write(&mut out, &dump(), false).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\u{7}'));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema"], "pyattach.dump/1");
    assert_eq!(document["process"]["cmdline"][2], "\u{1b}[2J");
    assert_eq!(document["process"]["cwd"], serde_json::Value::Null);
    assert_eq!(document["threads"][0]["frames"][0]["locals"][1]["value"], serde_json::Value::Null);
    assert_eq!(document["threads"][1]["frames"][0]["qualname"], "App.wait");
}

#[test]
fn several_documents_are_one_a_line() {
    let mut out = Vec::new();
    json::write(&mut out, &dump(), true).unwrap();
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
}
