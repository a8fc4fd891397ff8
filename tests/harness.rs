//! The harness itself: every interpreter of the matrix runs every fixture, and what they answer is steady and as made.
//! Nothing here uses our binary. What fails here is not pyattach's fault.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use support::{
    Fixture, Flavour, Interpreter, for_each_interpreter, for_each_of, interpreters, scratch,
};

/// Counts by type name, without the types that a check itself disturbs.
fn exact_counts(census: &Value) -> BTreeMap<String, u64> {
    let approximate = census["approximate"].as_array().unwrap();
    let counts = census["by_name"].as_object().unwrap().iter();
    let counts = counts.filter(|(name, _)| !approximate.contains(&json!(name)));
    counts.map(|(name, count)| (name.clone(), count.as_u64().unwrap())).collect()
}

#[test]
fn the_matrix_is_what_it_says() {
    for one in interpreters() {
        let inside = one.root.is_some();
        assert_eq!(inside, matches!(one.flavour, Flavour::OtherRoot | Flavour::Debug), "{one}");
        assert!(one.at_least((3, 8)), "{one}");
    }
}

#[test]
fn fixtures_are_the_children_and_end_with_them() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "stacks.py", &["--only", "lock"]);
        let (major, minor, patch) = interpreter.version;
        assert_eq!(fixture.facts["version"], format!("{major}.{minor}.{patch}"));
        let exe = std::fs::read_link(format!("/proc/{}/exe", fixture.pid)).unwrap();
        assert!(exe.to_string_lossy().contains("python3"), "{}", exe.display());
        let root = std::fs::read_link(format!("/proc/{}/root", fixture.pid)).unwrap();
        assert_eq!(root, interpreter.root.as_deref().map_or(PathBuf::from("/"), real_path));
        assert_eq!(fixture.ask("ping")["pong"], fixture.pid);
        assert!(fixture.try_ask("nonsense", support::DEADLINE).is_err());
        assert!(fixture.is_alive());
        fixture.end();

        let fixture = Fixture::start(interpreter, "stacks.py", &["--only", "sleep"]);
        let pid = fixture.pid;
        drop(fixture);
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "killed and reaped");
    });
}

fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap()
}

#[test]
fn census_is_steady_and_as_made() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "census.py", &[]);
        let census = fixture.ask("census");
        let by_name = &census["by_name"];
        assert_eq!(by_name["__main__.Plain"], 101);
        assert_eq!(by_name["__main__.Outer.Inner.Innermost"], 23);
        assert_eq!(by_name["__main__.用户会话"], 37);
        assert_eq!(by_name["__main__.WithMeta"], 29);
        assert_eq!(by_name["__main__.twin_one.<locals>.Twin"], 67 + 71);
        let rows = census["types"].as_array().unwrap().iter();
        let same: Vec<&Value> =
            rows.filter(|row| row["name"] == "twins.SameName").map(|row| &row["count"]).collect();
        assert_eq!(same, [&json!(79), &json!(73)], "two classes of one name, kept apart");

        let resources = fixture.ask("resources");
        let tasks = &resources["counts"]["task"]["states"];
        assert_eq!(tasks, &json!({"pending": 10, "done": 9, "cancelled": 4}));
        assert_eq!(resources["counts"]["executor"]["states"], json!({"open": 4, "shutdown": 2}));
        assert_eq!(resources["counts"]["socket"]["states"]["closed"], 7);

        assert_eq!(exact_counts(&fixture.ask("census")), exact_counts(&census));
        assert_eq!(fixture.ask("resources")["counts"], resources["counts"]);
        assert_eq!(exact_counts(&fixture.ask("census")), exact_counts(&census));
    });
}

#[test]
fn census_counts_frozen_objects() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "census.py", &["--freeze"]);
        for _ in 0..2 {
            let census = fixture.ask("census");
            assert!(census["frozen"].as_u64().unwrap() > 5_000, "{}", census["frozen"]);
            assert_eq!(census["by_name"]["__main__.AfterFreeze"], 83);
            assert_eq!(census["by_name"]["__main__.Plain"], 101);
        }
        assert_eq!(fixture.ask("resources")["counts"]["task"]["count"], 23);
    });
}

#[test]
fn census_counts_in_subinterpreters() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 12)),
        |interpreter| {
            let mut fixture = Fixture::start(interpreter, "census.py", &["--subinterpreters", "3"]);
            let answer = fixture.ask("subinterpreters");
            let rows = answer["subinterpreters"].as_array().unwrap();
            assert_eq!(rows.len(), 3);
            for (number, row) in rows.iter().enumerate() {
                assert_eq!(row["only_in_subinterpreter"], 100 + number);
                assert_eq!(row["by_name"]["__main__.OnlyInSubinterpreter"], 100 + number);
                assert_eq!(row["thread"].is_i64(), number == 2, "the last has a thread inside");
            }
            assert_eq!(
                fixture.ask("census")["by_name"]["__main__.OnlyInSubinterpreter"],
                Value::Null
            );
        },
    );
}

#[test]
fn stacks_stand_still() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "stacks.py", &["--threads", "5"]);
        let frames = fixture.ask("frames");
        assert_eq!(fixture.ask("frames"), frames);
        let threads = frames["threads"].as_array().unwrap();
        assert_eq!(threads.len(), 1 + 27 + 5);
        let of = |name: &str| threads.iter().find(|one| one["name"] == name).unwrap();
        assert!(of("deep")["frames"].as_array().unwrap().len() > 1_000);
        assert_eq!(of("far exec")["frames"][1]["line"], 70_001);
        assert_eq!(of("MainThread")["frames"][0]["function"], "_next_line");
        assert_eq!(of("MainThread")["main"], true);
        let qualified = of("exec")["frames"][1]["qualname"].as_str();
        let expected =
            interpreter.at_least((3, 11)).then_some("made_by_exec.<locals>.AlsoMade.method");
        assert_eq!(qualified, expected);
    });
}

#[test]
fn aiohttp_sessions_are_as_made() {
    let required = std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_some();
    for_each_of(
        |interpreter| required || interpreter.has_aiohttp(),
        |interpreter| {
            assert!(interpreter.has_aiohttp(), "no aiohttp: run tests/provision.sh");
            let mut fixture = Fixture::start(interpreter, "aiohttp_sessions.py", &[]);
            let sessions = fixture.ask("sessions");
            assert_eq!(
                sessions["counts"],
                json!({"count": 13, "states": {"open": 8, "closed": 5}})
            );
            let rows = sessions["sessions"].as_array().unwrap();
            let limited = rows.iter().find(|row| row["connector"]["limit"] == 7).unwrap();
            assert_eq!(limited["connector"]["in_use"], 3);
            assert_eq!(limited["connector"]["idle"], 2);
            assert_eq!(fixture.ask("sessions"), sessions);
        },
    );
}

#[test]
fn busy_targets_do_no_harm_to_themselves() {
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "busy.py", &[]);
        let first = fixture.ask("check");
        let second = fixture.ask("check");
        assert_eq!(second["harm"], json!([]));
        for (name, count) in first["counters"].as_object().unwrap() {
            assert!(
                second["counters"][name].as_u64() >= count.as_u64(),
                "{name}: {first} {second}"
            );
        }
        let signals = |one: &Value| one["counters"]["signals_seen"].as_u64();
        assert!(signals(&first) > Some(0), "{first}");
        assert_eq!(second["interrupted"], json!({"nanosleep": 0, "poll": 0, "epoll_wait": 0}));
        assert_eq!(second["descriptors"], first["descriptors"]);
    });
}

#[test]
fn the_leaky_service_leaks_and_ends() {
    for_each_interpreter(|interpreter| {
        let fixture = Fixture::start(interpreter, "leaky_service.py", &["--requests", "8"]);
        assert_eq!(fixture.facts["connections"], 8);
        assert_eq!(fixture.facts["executors"], 3);
        assert_eq!(fixture.facts["tasks"], 4);
        fixture.end();
    });
}

/// The built `pause_ticker.so`, as an interpreter sees it.
fn ticker(interpreter: &Interpreter) -> String {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let library = BUILT.get_or_init(|| {
        let source = support::fixtures().join("tickers/pause_ticker.c");
        let library = scratch().join("harness-pause_ticker.so");
        let flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"];
        let status = Command::new("cc").args(flags).arg(&library).arg(source).status().unwrap();
        assert!(status.success());
        library
    });
    interpreter.inside(library).to_string_lossy().into_owned()
}

#[test]
fn the_ticker_sees_a_stop() {
    for_each_interpreter(|interpreter| {
        let ticker = ticker(interpreter);
        let arguments = ["--objects", "20000", "--aged", "--threads", "10", "--ticker", &ticker];
        let mut fixture = Fixture::start(interpreter, "bench_target.py", &arguments);
        fixture.ask("gap reset");
        stop_for(fixture.pid, std::time::Duration::from_millis(300));
        let gaps = fixture.ask("gap read");
        assert!(gaps["gaps_ns"][0].as_u64().unwrap() >= 299_000_000, "{gaps}");
        assert!(gaps["ticks"].as_u64().unwrap() > 0);
        assert_eq!(fixture.ask("frames")["threads"].as_array().unwrap().len(), 11);
    });
}

/// Stops the process, waits until every thread has stopped, then for as long as asked, and lets it go on.
fn stop_for(pid: i32, time: std::time::Duration) {
    let signal = |name: &str| {
        let status = Command::new("kill").arg(name).arg(pid.to_string()).status().unwrap();
        assert!(status.success());
    };
    signal("-STOP");
    let deadline = std::time::Instant::now() + support::DEADLINE;
    let stopped = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        tasks.map(|task| std::fs::read(task.unwrap().path().join("stat")).unwrap()).all(|stat| {
            let after = stat.iter().rposition(|&byte| byte == b')').unwrap();
            stat.get(after + 2) == Some(&b'T')
        })
    };
    while !stopped() {
        assert!(std::time::Instant::now() < deadline, "it does not stop");
        std::thread::yield_now();
    }
    std::thread::sleep(time);
    signal("-CONT");
}
