//! `pyattach tasks` against asyncio's own answers, task by task, on every interpreter.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::{Fixture, Interpreter, for_each_interpreter, for_each_of, pyattach, pyattach_json};

const FIXTURE: &str = "tasks_chains.py";

/// `get_name()` as we show it: cut at 200 characters.
fn cut(name: &Value) -> String {
    name.as_str().unwrap().chars().take(200).collect()
}

fn rows<'v>(document: &'v Value, key: &str) -> BTreeMap<&'v str, &'v Value> {
    let rows = document[key].as_array().unwrap().iter();
    rows.map(|row| (row["address"].as_str().unwrap(), row)).collect()
}

/// Function, file and line of each frame.
fn places(stack: &Value) -> Vec<(String, String, u64)> {
    let frames = stack.as_array().unwrap_or_else(|| panic!("no stack: {stack}")).iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    frames
        .map(|frame| {
            (text(&frame["function"]), text(&frame["file"]), frame["line"].as_u64().unwrap_or(0))
        })
        .collect()
}

fn sorted(values: &Value) -> BTreeSet<String> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn compare(ours: &Value, truth: &Value) {
    assert_eq!(ours["capture"]["consistent"], true, "{}", ours["capture"]);
    let (found, expected) = (rows(ours, "tasks"), rows(truth, "tasks"));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (address, wanted) in &expected {
        let row = found[address];
        let what = format!("{}: {row:#}\nexpected {wanted:#}", wanted["short"]);
        assert_eq!(row["name"], cut(&wanted["name"]), "{what}");
        assert_eq!(row["type"], wanted["type"], "{what}");
        assert_eq!(row["state"], wanted["state"], "{what}");
        assert_eq!(row["coroutine"], wanted["coroutine"], "{what}");
        assert_eq!(row["loop"], wanted["loop"], "{what}");
        assert_eq!(row["current"], wanted["current"], "{what}");
        assert_eq!(row["waiting_for"]["address"], wanted["waiting_for"], "{what}");
        assert_eq!(places(&row["stack"]), places(&wanted["stack"]), "{what}");
        assert_eq!(sorted(&row["awaited_by"]), sorted(&wanted["awaited_by"]), "{what}");
        assert_eq!(row.get("truncated"), None, "{what}");
    }
    compare_loops(ours, truth);
}

fn compare_loops(ours: &Value, truth: &Value) {
    let (found, expected) = (rows(ours, "loops"), rows(truth, "loops"));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (address, wanted) in &expected {
        let row = found[address];
        let what = format!("{row:#}\nexpected {wanted:#}");
        for key in ["type", "running", "thread", "ready", "scheduled", "closed", "current_task"] {
            assert_eq!(row[key], wanted[key], "{key} of {what}");
        }
        assert_eq!(row["default_executor"]["type"], wanted["default_executor"], "{what}");
        assert_eq!(row["selector"]["type"], wanted["selector"], "{what}");
        let state = match wanted["name"].as_str() {
            Some("loop A" | "loop B" | "eager") => "idle",
            Some(_) => "busy",
            None if wanted["closed"] == true => "closed",
            None => "not running",
        };
        assert_eq!(row["state"], state, "{what}");
        assert_eq!(row["thread_name"], wanted["name"], "{what}");
    }
}

/// Pending tasks of the Python implementation.
fn of_python(truth: &Value) -> BTreeSet<String> {
    let rows = truth["tasks"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["type"] == "asyncio.tasks.Task" && row["state"] == "pending");
    rows.map(|row| row["address"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tasks_are_what_asyncio_says() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, FIXTURE, &[]);
        // Before the program asked for a name: from 3.12 on the names are numbers until then.
        let before = pyattach_json(&["tasks", "--all", &target.pid_text()]);
        let truth = target.ask("tasks");
        compare(&before, &truth);
        let after = pyattach_json(&["tasks", "--all", "--capture", "stop", &target.pid_text()]);
        compare(&after, &truth);

        let pending = before["tasks"].as_array().unwrap().iter();
        let pending = pending.filter(|row| row["state"] == "pending");
        let pending: BTreeSet<String> =
            pending.map(|row| row["address"].as_str().unwrap().to_owned()).collect();
        // The C `all_tasks()` of 3.14 does not ask the Python implementation for its tasks.
        let unlisted = match interpreter.at_least((3, 14)) {
            true => of_python(&truth),
            false => BTreeSet::new(),
        };
        assert_eq!(&pending - &unlisted, sorted(&truth["all_tasks"]));
        let registry = &before["registry"];
        assert!(registry["tasks"].as_u64() >= Some(pending.len() as u64), "{registry}");
        assert_eq!(registry["not_in_heap"], json!([]));
        assert_eq!(registry["not_registered"], json!([]));
        let never = before["not_started"].as_array().unwrap();
        let never = never.iter().find(|row| row["coroutine"] == "never");
        assert_eq!(never.map(|row| &row["count"]), Some(&json!(3)), "{before:#}");
    });
}

#[test]
fn activities_and_blocked_loops_are_told() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, FIXTURE, &[]);
        let ours = pyattach_json(&["tasks", &target.pid_text()]);
        let truth = target.ask("tasks");
        let short = rows(&truth, "tasks");
        let of = |name: &str| {
            let tasks = ours["tasks"].as_array().unwrap().iter();
            let mut named =
                tasks.filter(|row| short[row["address"].as_str().unwrap()]["short"] == name);
            named.next().unwrap_or_else(|| panic!("no task {name}"))
        };
        assert_eq!(of("chain")["activity"], "waiting");
        assert_eq!(of("ready")["activity"], "ready");
        assert_eq!(of("not started")["activity"], "not started");
        assert_eq!(of("blocked")["activity"], "running");
        assert_eq!(of("blocked")["stack"][0]["function"], "helper");
        assert_eq!(of("gather")["waiting_for"]["children"], 2);
        assert_eq!(of("awaits task")["waiting_for"]["name"], "awaited");
        let blocked = of("blocked")["address"].as_str().unwrap();
        let loops = ours["loops"].as_array().unwrap();
        let blocked = loops.iter().find(|row| row["current_task"] == blocked).unwrap();
        assert_eq!(blocked["stack"][0]["function"], "helper");
        let callback = loops.iter().find(|row| row["thread_name"] == "callback").unwrap();
        assert_eq!(callback["stack"][0]["function"], "helper");

        // Ended tasks only when asked for, and then with what they ended by.
        assert!(ours["tasks"].as_array().unwrap().iter().all(|row| row["state"] == "pending"));
        let done = pyattach_json(&["tasks", "--state", "done", &target.pid_text()]);
        let done = done["tasks"].as_array().unwrap();
        assert!(done.iter().all(|row| row["state"] == "done") && done.len() >= 3);
        let failed = done.iter().find(|row| row["coroutine"] == "fails").unwrap();
        assert_eq!(failed["exception"], "builtins.ValueError");
        let address = blocked["address"].as_str().unwrap();
        let one = pyattach_json(&["tasks", "--loop", address, &target.pid_text()]);
        assert_eq!(one["loops"].as_array().unwrap().len(), 1);
        assert_eq!(one["tasks"].as_array().unwrap().len(), 3);
    });
}

#[test]
fn a_running_process_can_be_read_without_a_pause() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, FIXTURE, &[]);
        let pid = target.pid_text();
        let ours = pyattach(&["tasks", "--all", "--json", "--capture", "live", &pid]);
        let mut ours: Value = serde_json::from_str(&ours.stdout).unwrap();
        assert_eq!(ours["capture"]["pause_ms"], Value::Null);
        // It stands still, so that what was read is right; that it is, is not known.
        ours["capture"]["consistent"] = json!(true);
        compare(&ours, &target.ask("tasks"));
    });
}

#[test]
fn text_joins_equal_tasks_and_hides_nothing_unsafe() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, FIXTURE, &["--workers", "1204"]);
        let text = pyattach(&["tasks", &target.pid_text()]).stdout;
        assert!(text.contains("1,204 tasks like this"), "{text}");
        assert!(text.contains("(a cycle: it waits for itself)"), "{text}");
        assert!(text.contains("It is running \"blocked\" blocks"), "{text}");
        assert!(text.contains("It is running a callback"), "{text}");
        assert!(text.contains("3 of never"), "{text}");
        assert!(text.contains("\"evil\\x1b[2J\\nname\""), "{text}");
        assert!(!text.contains('\x1b') && !text.contains("do not show me"), "{text}");
        assert!(!text.contains(&"x".repeat(100)), "{text}");
        assert!(text.lines().count() < 400, "{}", text.lines().count());
        let all = pyattach(&["tasks", "--all", &target.pid_text()]).stdout;
        assert!(!all.contains("tasks like this") && all.lines().count() > 2_408, "{all}");
        assert!(all.contains("fails, done with builtins.ValueError"), "{all}");
    });
}

fn knows_waiters(interpreter: &Interpreter) -> bool {
    interpreter.at_least((3, 14))
}

#[test]
fn waiters_are_those_of_the_call_graph() {
    for_each_of(knows_waiters, |interpreter| {
        let mut target = Fixture::start(interpreter, FIXTURE, &[]);
        let ours = pyattach_json(&["tasks", &target.pid_text()]);
        let (found, truth) = (rows(&ours, "tasks"), target.ask("call_graph"));
        let expected = rows(&truth, "tasks");
        assert!(expected.len() > 50, "{}", expected.len());
        for (address, wanted) in expected {
            // It passes over tasks of the Python implementation; we do not.
            let mut one = sorted(&found[address]["awaited_by"]);
            one.retain(|at| found[at.as_str()]["type"] != "asyncio.tasks.Task");
            assert_eq!(one, sorted(&wanted["awaited_by"]), "{}", found[address]);
        }
    });
}

/// What `python -m asyncio ps` and `pstree` are made from.
const REMOTE: &str = r#"
import json, sys
from _remote_debugging import RemoteUnwinder
def places(infos):
    return [[[f.funcname, f.filename, getattr(f, "lineno", None) or f.location.lineno] for f in i.call_stack] for i in infos]
print(json.dumps([
    {"address": hex(t.task_id), "name": t.task_name, "stacks": places(t.coroutine_stack), "waiters": [hex(c.task_name) for c in t.awaited_by]}
    for thread in RemoteUnwinder(int(sys.argv[1]), all_threads=True).get_all_awaited_by() for t in thread.awaited_by
]))
"#;

#[test]
fn tasks_are_those_of_pstree() {
    for_each_of(knows_waiters, |interpreter| {
        // 3.14.10 and 3.15.2 list the tasks of the main thread only, also with `all_threads`; probably
        // because they begin at the oldest thread state.
        let target = Fixture::start(interpreter, FIXTURE, &["--main"]);
        let ours = pyattach_json(&["tasks", &target.pid_text()]);
        let pid = target.pid_text();
        let mut command = std::process::Command::new("nsenter");
        command.args(["--target", &pid, "--mount", "--root", "--wd"]);
        command.arg(&interpreter.executable).args(["-c", REMOTE, &pid]);
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let theirs: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let theirs = json!({ "tasks": theirs });
        let (found, expected) = (rows(&ours, "tasks"), rows(&theirs, "tasks"));
        // It knows C tasks only.
        let of_c = found.iter().filter(|(_, row)| row["type"] != "asyncio.tasks.Task");
        let of_c: BTreeMap<&str, &Value> = of_c.map(|(&address, &row)| (address, row)).collect();
        let main = ours["loops"].as_array().unwrap().iter().find(|row| row["thread"] == target.pid);
        let main = &main.unwrap()["address"];
        let of_main = of_c.iter().filter(|(_, row)| row["loop"] == *main);
        let of_main: Vec<&&str> = of_main.map(|(address, _)| address).collect();
        assert!(of_main.len() > 50, "{of_main:?}");
        assert!(of_main.iter().all(|address| expected.contains_key(**address)), "{theirs:#}");
        for (address, wanted) in expected {
            let row = of_c[address];
            let what = format!("{row:#}\nexpected {wanted:#}");
            let name = wanted["name"].as_str().unwrap();
            // It reads other than ASCII names wrong.
            let ours = row["name"].as_str().unwrap();
            assert!(name.starts_with(ours) || !ours.is_ascii(), "{what}");
            let waiters = row["awaited_by"].as_array().unwrap().iter();
            let waiters = waiters.filter(|&at| of_c.contains_key(at.as_str().unwrap()));
            let waiters: BTreeSet<String> =
                waiters.map(|at| at.as_str().unwrap().to_owned()).collect();
            assert_eq!(waiters, sorted(&wanted["waiters"]), "{what}");
            if row["activity"] == "running" {
                continue;
            }
            let frames = places(&row["stack"]);
            let theirs = wanted["stacks"][0].as_array().cloned().unwrap_or_default();
            // It does not look through the steps of async generators, and stops there.
            let theirs: Vec<(String, u64)> = theirs
                .iter()
                .map(|f| (f[1].as_str().unwrap().to_owned(), f[2].as_u64().unwrap()))
                .collect();
            let ours: Vec<(String, u64)> =
                frames.into_iter().map(|(_, file, line)| (file, line)).collect();
            assert!(ours.ends_with(&theirs), "{what}");
        }
    });
}
