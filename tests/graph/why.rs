//! `why` names the holders of leaks, with path, file and line, and nothing healthy is among them.

use super::support::{Fixture, Interpreter, for_each_of, pyattach, pyattach_json};
use serde_json::Value;
use std::collections::BTreeSet;

const LEAKS: u64 = 60;

pub(super) fn some(series: &'static [(u8, u8)]) -> impl Fn(&Interpreter) -> bool {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    move |one| {
        let found = (one.version.0, one.version.1);
        series.contains(&found) && seen.lock().unwrap().insert(found)
    }
}

#[test]
fn four_leaks_are_named() {
    for_each_of(some(&[(3, 8), (3, 11), (3, 12), (3, 13), (3, 14), (3, 15)]), |interpreter| {
        let count = LEAKS.to_string();
        let arguments = ["--objects", "8000", "--leaks", &count];
        check(interpreter, &mut Fixture::start(interpreter, "held.py", &arguments));
    });
}

#[test]
fn also_while_the_main_thread_is_in_accept() {
    for_each_of(some(&[(3, 10), (3, 13)]), |interpreter| {
        let count = LEAKS.to_string();
        let arguments = ["--objects", "8000", "--leaks", &count, "--accept"];
        check(interpreter, &mut Fixture::start(interpreter, "held.py", &arguments));
    });
}

fn check(interpreter: &Interpreter, target: &mut Fixture) {
    let pid = target.pid_text();
    let lines = &target.facts["lines"];
    let place = |name: &str| (lines[name][0].clone(), lines[name][1].clone());
    let expected = [
        // Selector, of the leak, of all, path, container, owner.
        (
            "shop.gateway.Connection",
            LEAKS,
            LEAKS + 6,
            "module shop.gateway › class Gateway › _live › [item]",
            "builtins.list",
            "Gateway",
        ),
        (
            "thread_pool_executor",
            LEAKS / 10,
            LEAKS / 10,
            "module shop.reports › REGISTRY › [key] › .pool",
            "builtins.dict",
            "REGISTRY",
        ),
        (
            "asyncio_task",
            LEAKS,
            LEAKS + 7,
            "module shop.events › bus › .tasks › [item]",
            "builtins.set",
            "Bus",
        ),
        (
            "Session",
            LEAKS,
            LEAKS + 5,
            "module shop.store › audit › .callbacks › [item] (function \
             Audit.record.<locals>.<lambda>) › closure session",
            "builtins.list",
            "Audit",
        ),
    ];
    for (selector, leaked, total, path, container, owner) in expected {
        let found = pyattach_json(&["why", &pid, selector]);
        let label = format!("{interpreter}: {selector}: {:#}", found["holders"]);
        assert_eq!(found["schema"], "pyattach.why/1", "{label}");
        assert_eq!(found["holders"]["total"], total, "{label}");
        let group = &found["holders"]["groups"][0];
        assert_eq!(group["count"], leaked, "{label}");
        assert_eq!(group["path"], path, "{label}");
        assert_eq!(group["accumulation"]["type"], container, "{label}");
        assert_eq!(group["accumulation"]["length"], leaked, "{label}");
        assert_eq!(group["only_holder"], true, "{label}");
        assert_eq!(group["inferred"], false, "{label}");
        let (file, line) = place(owner);
        assert_eq!(group["owner"]["location"]["file"], file, "{label}");
        assert_eq!(group["owner"]["location"]["line"], line, "{label}");
        // The healthy ones are elsewhere.
        let groups = found["holders"]["groups"].as_array().unwrap();
        let sum: u64 = groups.iter().filter_map(|group| group["count"].as_u64()).sum();
        assert_eq!(sum + found["holders"]["objects_not_shown"].as_u64().unwrap(), total, "{label}");
    }
    one_command_names_all(&pid, interpreter, &expected.map(|row| (row.1, row.3)));
    executors_go_with_their_registry(&pid, interpreter);
    let text = pyattach(&["why", &pid, "Session"]);
    assert!(text.stdout.contains(&format!("{LEAKS} of {}  module shop.store", LEAKS + 5)));
    assert!(text.stdout.contains("nothing else holds them"), "{interpreter}: {}", text.stdout);
    let drawing = pyattach(&["why", &pid, "Session", "--dot"]);
    assert!(drawing.stdout.starts_with("digraph holders {"), "{interpreter}: {}", drawing.stdout);
    let nothing = pyattach(&["why", &pid, "there.is.no.such.Type"]);
    assert!(nothing.stdout.contains("Nothing matches"), "{interpreter}: {}", nothing.stdout);
}

/// Without a selector: one row for each leak, with all that it holds.
fn one_command_names_all(pid: &str, interpreter: &Interpreter, leaks: &[(u64, &str)]) {
    let found = pyattach_json(&["why", pid]);
    let label = format!("{interpreter}: {:#}", found["accumulated"]);
    assert_eq!(found["schema"], "pyattach.why-all/1", "{label}");
    let rows = found["accumulated"].as_array().unwrap();
    for (count, path) in leaks {
        let row = rows.iter().filter(|row| row["path"] == *path).collect::<Vec<_>>();
        assert_eq!(row.len(), 1, "{path}: {label}");
        assert_eq!(row[0]["count"], *count, "{path}: {label}");
        assert_eq!(row[0]["only_holder"], true, "{path}: {label}");
        assert!(row[0]["owner"]["location"]["line"].is_u64(), "{path}: {label}");
    }
    let text = pyattach(&["why", pid]);
    let sockets = format!("with    {} socket", 2 * LEAKS);
    assert!(text.stdout.contains(&sockets), "{interpreter}: {}", text.stdout);
}

fn executors_go_with_their_registry(pid: &str, interpreter: &Interpreter) {
    let jobs = pyattach_json(&["why", pid, "ReportJob"]);
    let group: &Value = &jobs["holders"]["groups"][0];
    assert_eq!(group["retained"]["thread_pool_executor"], LEAKS / 10, "{interpreter}: {group:#}");
    let one = group["examples"][0].as_str().unwrap();
    let alone = pyattach_json(&["why", pid, one]);
    assert_eq!(alone["holders"]["total"], 1, "{interpreter}: {alone:#}");
    let path = alone["holders"]["groups"][0]["path"].as_str().unwrap();
    assert!(path.starts_with("module shop.reports › REGISTRY › ['job-"), "{interpreter}: {path}");
}

#[test]
fn exactly_the_tasks_that_cannot_be_woken_are_proven() {
    for_each_of(some(&[(3, 8), (3, 11), (3, 12), (3, 13), (3, 14), (3, 15)]), |interpreter| {
        let target = Fixture::start(interpreter, "never_woken.py", &[]);
        let found = pyattach_json(&["why", &target.pid_text(), "asyncio_task"]);
        let label = format!("{interpreter}: {:#}", found["proven"]);
        let leaked: Vec<&str> =
            target.facts["leaked"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!((leaked.len(), &target.facts["waiting"]), (100, &Value::from(241)));
        let proven = found["proven"].as_array().unwrap();
        let count: u64 = proven.iter().filter_map(|group| group["count"].as_u64()).sum();
        assert_eq!(count, 100, "{label}");
        for group in proven {
            assert_eq!(group["waiting"], 241, "{label}");
            for example in group["objects"].as_array().unwrap() {
                assert!(leaked.contains(&example.as_str().unwrap()), "{label}");
            }
        }
    });
}

#[test]
fn says_where_objects_were_made() {
    for_each_of(some(&[(3, 8), (3, 11), (3, 12), (3, 13), (3, 14), (3, 15)]), |interpreter| {
        let program = interpreter.inside(&super::support::fixtures().join("held.py"));
        let program = program.to_string_lossy().into_owned();
        let mut command = interpreter.command(&[&program, "--objects", "500", "--leaks", "40"]);
        command.env("PYTHONTRACEMALLOC", "4");
        let target = Fixture::run(&format!("traced on {interpreter}"), command);
        let found = pyattach_json(&["why", &target.pid_text(), "shop.gateway.Connection"]);
        let sites = &found["holders"]["sites"];
        let label = format!("{interpreter}: {sites:#}");
        let gateway =
            std::fs::read_to_string(super::support::fixtures().join("shop/gateway.py")).unwrap();
        let line = |text: &str| 1 + gateway.lines().position(|line| line.contains(text)).unwrap();
        assert_eq!(sites[0]["source"], "tracemalloc", "{label}");
        assert_eq!(sites[0]["count"], 40, "{label}");
        assert_eq!(sites[0]["frames"][0]["line"], line("connection = Connection("), "{label}");
        assert!(sites[0]["frames"][0]["file"].as_str().unwrap().ends_with("shop/gateway.py"));
        assert_eq!(sites[1]["count"], 6, "{label}");
        assert_eq!(found["holders"]["sites_hint"], Value::Null, "{label}");
    });
}

/// Connections in all states, and handles that only an event loop has.
const STATES: &str = r#"
import asyncio, json, os, socket, sys

class Late: pass

listener = socket.create_server(("127.0.0.1", 0))
ENDED, LIVE, OTHERS = [], [], []
for place in range(5):
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    if place < 3:
        near.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""
        near.close()
        ENDED.append(far)
    else:
        LIVE.append(near)
        OTHERS.append(far)
del near, far
loop = asyncio.new_event_loop()
for _ in range(4):
    loop.call_later(100000, print, Late())
print("READY", json.dumps({"pid": os.getpid(), "listener": hex(id(listener))}), flush=True)
sys.stdin.read()
"#;

#[test]
fn sockets_are_selected_by_what_the_kernel_says() {
    for_each_of(some(&[(3, 8), (3, 13)]), |interpreter| {
        let command = interpreter.command(&["-c", STATES]);
        let target = Fixture::run(&format!("states on {interpreter}"), command);
        let pid = target.pid_text();
        let groups = |selector: &str| -> Vec<(u64, String)> {
            let found = pyattach_json(&["why", &pid, selector]);
            let groups = found["holders"]["groups"].as_array().unwrap().iter();
            groups
                .map(|one| {
                    (one["count"].as_u64().unwrap(), one["path"].as_str().unwrap().to_owned())
                })
                .collect()
        };
        let path = |text: &str| format!("module __main__ › {text}");
        assert_eq!(groups("socket:close_wait"), [(3, path("ENDED › [item]"))], "{interpreter}");
        let mut established = groups("socket:ESTABLISHED");
        established.sort();
        let expected = [(2, path("LIVE › [item]")), (2, path("OTHERS › [item]"))];
        assert_eq!(established, expected, "{interpreter}");
        assert_eq!(groups("socket:listen"), [(1, path("listener"))], "{interpreter}");
        assert_eq!(groups("socket:time_wait"), [], "{interpreter}");
        let listener = target.facts["listener"].as_str().unwrap();
        assert_eq!(groups(listener), [(1, path("listener"))], "{interpreter}");
        // What only timers hold hangs from the event loop, whoever has that.
        let late = "event loop › scheduled handles › [item] › ._args › [item]";
        assert_eq!(groups("__main__.Late"), [(4, late.to_owned())], "{interpreter}");

        let folded = pyattach(&["why", &pid, "socket:close_wait", "--folded"]);
        assert_eq!(
            folded.stdout, "module __main__;ENDED;[item];socket.socket 3\n",
            "{interpreter}"
        );
        let short = pyattach(&["why", &pid, "__main__.Late", "--depth", "4"]);
        assert!(short.stdout.contains("… 1 step …"), "{interpreter}: {}", short.stdout);
        let wrong = pyattach(&["why", &pid, "soket:open"]);
        assert_eq!(wrong.code, Some(2), "{interpreter}: {}", wrong.stderr);
        assert!(wrong.stderr.contains("hint:"), "{interpreter}: {}", wrong.stderr);
    });
}

/// Each node of it is held by all before it.
const LIST: &str = r#"
import json, os, sys

class Node:
    __slots__ = ("next",)

head = None
for _ in range(30000):
    node = Node()
    node.next = head
    head = node
del node
print("READY", json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.read()
"#;

#[test]
fn a_long_list_has_an_answer() {
    for_each_of(some(&[(3, 11)]), |interpreter| {
        let command = interpreter.command(&["-c", LIST]);
        let target = Fixture::run(&format!("list on {interpreter}"), command);
        let found = pyattach_json(&["why", &target.pid_text(), "__main__.Node"]);
        let holders = &found["holders"];
        assert_eq!((&holders["total"], &holders["garbage"]), (&30_000.into(), &0.into()));
        let groups = holders["groups"].as_array().unwrap();
        let shown: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
        let all = shown + holders["objects_not_shown"].as_u64().unwrap();
        assert_eq!(all, 30_000, "{holders:#}");
        let path = groups[0]["path"].as_str().unwrap();
        assert!(path.starts_with("module __main__ › head"), "{path}");
    });
}
