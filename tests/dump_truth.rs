//! What `dump` shows, held against `sys._current_frames()` taken inside the very process, against what the kernel says of
//! the threads, and against the values that the program itself shows.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use support::{
    DEADLINE, Fixture, Interpreter, fixtures, for_each_interpreter, for_each_of, pyattach, scratch,
};

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn id(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("not an id: {value}"))
}

/// `dump --json` with more options, checked to be whole.
fn dump(pid: i32, options: &[&str]) -> Value {
    let pid = pid.to_string();
    let live = options.contains(&"live");
    let outcome = pyattach(&[&["dump", pid.as_str(), "--json"], options].concat());
    // A picture of a running process is never whole, and the exit code says so.
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let ours: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(ours["capture"]["consistent"], !live, "{}", ours["capture"]);
    assert_eq!(ours["capture"]["coverage"]["unreadable"], 0);
    ours
}

/// Our row of the thread with this kernel id.
fn thread(ours: &Value, tid: i64) -> &Value {
    let found: Vec<&Value> =
        rows(&ours["threads"]).iter().filter(|row| row["tid"] == tid).collect();
    assert_eq!(found.len(), 1, "thread {tid}: {}", ours["threads"]);
    found[0]
}

fn named<'a>(ours: &'a Value, name: &str) -> &'a Value {
    let found = rows(&ours["threads"]).iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("no thread {name:?}"))
}

/// The thread ids of the process as the kernel lists them.
fn tids(pid: i32) -> BTreeSet<i64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn comm(pid: i32, tid: i64) -> String {
    let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).unwrap();
    String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned()
}

/// Compares frames one by one. Before 3.11 the process cannot say a qualified name; ours is then unknown, or a generator's.
fn assert_same_frames(truth: &[Value], ours: &[Value], who: &str) {
    for (level, (truth, ours)) in truth.iter().zip(ours).enumerate() {
        for key in ["function", "file", "line"] {
            assert_eq!(ours[key], truth[key], "{who}: {key} of frame {level}: {truth} {ours}");
        }
        match &truth["qualname"] {
            Value::Null => {
                let function = text(&truth["function"]);
                let fits = ours["qualname"].as_str().is_none_or(|name| name.ends_with(function));
                assert!(fits, "{who}: frame {level}: {ours}");
            }
            known => assert_eq!(&ours["qualname"], known, "{who}: frame {level}"),
        }
    }
    assert_eq!(ours.len(), truth.len(), "{who}: number of frames");
}

#[test]
fn frames_are_those_of_the_interpreter() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "stacks.py", &["--threads", "5"]);
        let truth = target.ask("frames");
        for mode in ["stop", "copy", "live"] {
            target.wait_parked();
            let ours = dump(target.pid, &["--capture", mode]);
            assert_eq!(rows(&ours["threads"]).len(), rows(&truth["threads"]).len(), "{mode}");
            for expected in rows(&truth["threads"]) {
                let found = thread(&ours, id(&expected["native_id"]));
                let who = format!("{mode}: {}", expected["name"]);
                assert_same_frames(rows(&expected["frames"]), rows(&found["frames"]), &who);
                assert_eq!(found["name"], expected["name"], "{who}");
                assert_eq!(found["main"], expected["main"], "{who}");
                let ident = format!("{:#x}", expected["ident"].as_u64().unwrap());
                assert_eq!(found["ident"], ident, "{who}");
                assert_eq!(found["interpreter"], 0, "{who}");
                let tid = id(&expected["native_id"]);
                assert_eq!(found["os_name"], comm(target.pid, tid), "{who}");
                // All of them wait, none for the GIL.
                assert_eq!(found["holds_gil"], false, "{who}");
            }
            let python: BTreeSet<i64> =
                rows(&ours["threads"]).iter().map(|row| id(&row["tid"])).collect();
            let native: BTreeSet<i64> =
                rows(&ours["native_threads"]).iter().map(|row| id(&row["tid"])).collect();
            assert_eq!(&python | &native, tids(target.pid), "{mode}");
            assert!(python.is_disjoint(&native), "{mode}");
            assert_eq!(rows(&ours["threads"])[0]["main"], true, "{mode}: the main thread is first");
        }
    });
}

/// Numbers and names of the system calls that threads of stacks.py wait in (x86_64).
const CALLS: [(&str, &str); 9] = [
    ("0", "read"),
    ("7", "poll"),
    ("23", "select"),
    ("43", "accept"),
    ("202", "futex"),
    ("230", "clock_nanosleep"),
    ("232", "epoll_wait"),
    ("270", "pselect6"),
    ("288", "accept4"),
];

#[test]
fn states_are_those_of_the_kernel() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "stacks.py", &[]);
        let ours = dump(target.pid, &[]);
        target.wait_parked();
        let mut seen = BTreeSet::new();
        for row in rows(&ours["threads"]) {
            let call = std::fs::read_to_string(format!(
                "/proc/{}/task/{}/syscall",
                target.pid, row["tid"]
            ));
            let call = call.unwrap();
            let number = call.split(' ').next().unwrap();
            let (_, name) = CALLS.iter().find(|(known, _)| *known == number).unwrap();
            assert_eq!((&row["state"], &row["syscall"]), (&json!("in system call"), &json!(name)));
            seen.insert(*name);
        }
        assert!(seen.is_superset(&BTreeSet::from(["read", "futex", "accept4", "epoll_wait"])));
        for (name, calls) in [
            ("sleep", ["clock_nanosleep", "select", "pselect6"].as_slice()),
            ("lock", &["futex"]),
            ("condition", &["futex"]),
            ("select", &["select", "pselect6"]),
            ("accept", &["accept4", "accept", "poll"]),
            ("read", &["read"]),
            ("event loop", &["epoll_wait"]),
        ] {
            let call = text(&named(&ours, name)["syscall"]);
            assert!(calls.contains(&call), "{name}: {call}");
        }
    });
}

#[test]
fn the_holder_of_the_gil_and_who_waits_for_it() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "stacks.py", &["--only", "lock", "--busy", "2"]);
        let busy: Vec<i64> = rows(&target.facts["busy_threads"]).iter().map(id).collect();
        let (mut holders, mut waiters) = (BTreeSet::new(), BTreeSet::new());
        let deadline = Instant::now() + DEADLINE;
        // The two take turns of 5 ms: both are seen in both parts before long.
        while holders.len() < 2 || waiters.len() < 2 {
            assert!(Instant::now() < deadline, "holders {holders:?}, waiters {waiters:?}");
            let ours = dump(target.pid, &[]);
            let holding: Vec<i64> = rows(&ours["threads"])
                .iter()
                .filter(|row| row["holds_gil"] == true)
                .map(|row| id(&row["tid"]))
                .collect();
            assert!(holding.len() <= 1, "{holding:?}");
            for &tid in &busy {
                let row = thread(&ours, tid);
                let waits = row["state"] == "waiting for the GIL";
                assert!(!(waits && holding.contains(&tid)), "{row}");
                assert_eq!(row["frames"][0]["function"], "busy");
                if waits {
                    waiters.insert(tid);
                }
            }
            for tid in holding {
                assert!(busy.contains(&tid), "only these two take it");
                holders.insert(tid);
            }
            assert_eq!(
                named(&ours, "lock")["state"],
                "in system call",
                "not every futex is the GIL"
            );
        }
    });
}

#[test]
fn frames_of_c_are_never_shown() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "stacks.py", &[]);
        let ours = dump(target.pid, &[]);
        for frame in rows(&ours["threads"]).iter().flat_map(|row| rows(&row["frames"])) {
            let (function, file) = (text(&frame["function"]), text(&frame["file"]));
            let hidden = ["<interpreter trampoline>", "<shim>", "<trampoline>", ""];
            assert!(!hidden.contains(&function) && !file.is_empty(), "{frame}");
            assert!(frame["line"].as_u64().is_some(), "{frame}");
        }
    });
}

#[test]
fn source_lines_are_the_file_s() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "stacks.py", &[]);
        let ours = dump(target.pid, &[]);
        let root = interpreter.root.clone().unwrap_or_else(|| "/".into());
        let (mut shown, mut without) = (0, 0);
        for frame in rows(&ours["threads"]).iter().flat_map(|row| rows(&row["frames"])) {
            let file = Path::new(text(&frame["file"]));
            // Bound over an empty folder of the root, which only the target sees.
            let seen = match file.strip_prefix("/fixtures") {
                Ok(rest) if interpreter.root.is_some() => fixtures().join(rest),
                _ => root.join(file.strip_prefix("/").unwrap_or(file)),
            };
            if !file.is_absolute() {
                assert_eq!(frame["source"], Value::Null, "{frame}");
                without += 1;
                continue;
            }
            let content = std::fs::read_to_string(&seen).unwrap();
            let line = content.lines().nth(frame["line"].as_u64().unwrap() as usize - 1).unwrap();
            assert_eq!(frame["source"], line.trim(), "{frame}");
            shown += 1;
        }
        assert!(shown > 100 && without > 1, "{shown} {without}");
        let plain = dump(target.pid, &["--no-source"]);
        assert!(!plain.to_string().contains("\"source\""));
    });
}

/// Code whose file names are no files to be read: a FIFO, devices, folders, links to them, files that are too short.
const ODD_FILES: &str = r#"
import json, os, sys, threading
folder = sys.argv[1]
fifo, link, short = folder + "/fifo", folder + "/link", folder + "/short"
for path in (fifo, link, short):
    if os.path.lexists(path):
        os.unlink(path)
os.mkfifo(fifo)
os.symlink(fifo, link)
with open(short, "w") as file:
    file.write("one line")
names = [fifo, link, short, folder, "/dev/zero", "/dev/stdin", "/dev/tty", "/proc/kmsg", "/proc/self/mem",
         "/proc/self/fd/0", "/nowhere/at all", "relative", "", "/", "\x00", "/\x1b[2J", "/%s" % ("x" * 5000)]
lock = threading.Lock()
lock.acquire()
for name in names:
    code = compile("\n\n\nlock.acquire()", name or "<empty>", "exec") if "\x00" not in name else None
    if code is not None:
        threading.Thread(target=exec, args=(code, {"lock": lock}), daemon=True).start()
while any("lock" not in frame.f_globals for frame in sys._current_frames().values() if frame.f_globals is not globals()
          and frame.f_code.co_filename in names):
    pass
print("READY " + json.dumps({"pid": os.getpid(), "names": [name for name in names if name and name != "\x00"]}), flush=True)
sys.stdin.read()
"#;

#[test]
fn odd_file_names_do_no_harm() {
    for_each_interpreter(|interpreter| {
        let folder = scratch().join(format!("odd files of {interpreter}"));
        std::fs::create_dir_all(&folder).unwrap();
        let inside = interpreter.inside(&folder).to_string_lossy().into_owned();
        let command = interpreter.command(&["-c", ODD_FILES, inside.as_str()]);
        let target = Fixture::run(&format!("odd files on {interpreter}"), command);
        let names: Vec<&str> = rows(&target.facts["names"]).iter().map(text).collect();
        let mut seen = BTreeSet::new();
        let deadline = Instant::now() + DEADLINE;
        // The last threads may still be on their way into their code.
        while seen.len() < names.len() {
            let missing = names.iter().filter(|name| !seen.contains(*name));
            assert!(Instant::now() < deadline, "{:.200?}", missing.collect::<Vec<_>>());
            let ours = dump(target.pid, &[]);
            for frame in rows(&ours["threads"]).iter().flat_map(|row| rows(&row["frames"])) {
                let file = text(&frame["file"]);
                let whole = names
                    .iter()
                    .find(|name| **name == file || (file.len() > 4000 && name.starts_with(file)));
                if let Some(name) = whole {
                    assert_eq!(frame["source"], Value::Null, "{frame}");
                    seen.insert(*name);
                }
            }
        }
        let outcome = pyattach(&["dump", &target.pid_text()]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_nothing_acts(&outcome.stdout);
        std::fs::remove_dir_all(folder).unwrap();
    });
}

/// Nothing that a terminal would act on: no control characters but the newline, none that reorder text.
fn assert_nothing_acts(output: &str) {
    let acts = |character: char| {
        let code = u32::from(character);
        (code < 0x20 && character != '\n')
            || (0x7F..=0x9F).contains(&code)
            || matches!(code, 0x061C | 0x200E | 0x200F | 0x2028..=0x202E | 0x2066..=0x2069)
    };
    let found = output.lines().find(|line| line.contains(acts));
    assert_eq!(found, None);
}

#[test]
fn no_text_of_the_target_acts_on_a_terminal() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "stacks.py", &[]);
        let pid = target.pid_text();
        for arguments in [
            vec!["dump", &pid, "--locals"],
            vec!["dump", &pid, "--locals", "--json"],
            vec!["dump", &pid, "--all-frames"],
            vec!["doctor", &pid],
        ] {
            let outcome = pyattach(&arguments);
            assert!(!outcome.stdout.is_empty(), "{outcome:?}");
            assert_nothing_acts(&outcome.stdout);
            assert_nothing_acts(&outcome.stderr);
        }
        let outcome = pyattach(&["dump", &pid]);
        assert!(outcome.stdout.contains(r#""evil \x1b[31mred\x1b[0m\nnew line\x07""#));
        let ours = dump(target.pid, &[]);
        named(&ours, "evil \u{1b}[31mred\u{1b}[0m\nnew line\u{7}");
        named(&ours, "Überwachung 监控");
    });
}

#[test]
fn secrets_are_never_shown() {
    for_each_interpreter(|interpreter| {
        // On the command line as well: the fixture takes no such option, so Python's own -X carries it.
        let program = interpreter.inside(&fixtures().join("stacks.py"));
        let program = program.to_string_lossy().into_owned();
        let command = interpreter.command(&[
            "-X",
            "api_token=option-do-not-show",
            program.as_str(),
            "--only",
            "locals",
        ]);
        let target = Fixture::run(&format!("secrets on {interpreter}"), command);
        let mut secrets: Vec<&str> = rows(&target.facts["secrets"]).iter().map(text).collect();
        secrets.push("option-do-not-show");
        let pid = target.pid_text();
        for arguments in [
            vec!["dump", &pid, "--locals"],
            vec!["dump", &pid, "--locals", "--json"],
            vec!["dump", &pid, "--locals", "--no-source", "--json"],
            vec!["census", &pid, "--json"],
            vec!["doctor", &pid],
            vec!["doctor", &pid, "--json"],
        ] {
            let outcome = pyattach(&arguments);
            assert!(!outcome.stdout.is_empty(), "{outcome:?}");
            for secret in &secrets {
                for output in [&outcome.stdout, &outcome.stderr] {
                    assert!(!output.contains(secret), "{secret} in {arguments:?}:\n{output}");
                }
            }
        }
    });
}

/// Locals whose text of ours is not `repr()`'s, or not whole: what it is instead.
fn assert_odd_local(name: &str, value: &str, interpreter: &Interpreter) {
    let object = |class: &str| value.starts_with(&format!("<{class} at 0x"));
    let right = match name {
        "ellipsis" => object("builtins.ellipsis"),
        "complex_number" => object("builtins.complex"),
        "interval" => object("builtins.range"),
        "long_text" => value.starts_with("'xxxxxxxx") && value.ends_with('…') && value.len() < 1000,
        "huge_negative" => {
            value.contains("int of 133 bits") || value == format!("-1{}", "0".repeat(40))
        }
        "big" => value == "18446744073709551617" || value.contains("int of 65 bits"),
        "many" => value.starts_with("[0, 1, 2, ") && value.contains("more") && value.len() < 1000,
        "nested" => value.starts_with("[[1, ") && value.len() < 1000,
        "surrogate" => value.starts_with('\''),
        _ => false,
    };
    assert!(right, "{name} on {interpreter}: {value}");
}

#[test]
fn locals_are_as_the_program_shows_them() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "stacks.py", &["--only", "locals"]);
        for mode in ["stop", "copy"] {
            let ours = dump(target.pid, &["--locals", "--capture", mode]);
            let frames = rows(&named(&ours, "locals")["frames"]);
            let names: Vec<&str> = frames.iter().map(|frame| text(&frame["function"])).collect();
            assert_eq!(names[..4], ["park", "closure", "locals_of_many_kinds", "in_locals"]);
            let of = |level: usize| -> BTreeMap<&str, &Value> {
                let locals = rows(&frames[level]["locals"]);
                locals.iter().map(|row| (text(&row["name"]), &row["value"])).collect()
            };
            assert_eq!(
                of(1),
                BTreeMap::from([
                    ("captured", &json!("'in a cell'")),
                    ("mine", &json!("'in a cell'"))
                ])
            );
            let found = of(2);
            let mut same = 0;
            for (name, expected) in target.facts["locals"].as_object().unwrap() {
                let value = found.get(name.as_str()).unwrap_or_else(|| panic!("no local {name}"));
                if *value == expected {
                    same += 1;
                } else {
                    assert_odd_local(name, text(value), interpreter);
                }
            }
            assert!(same >= 20, "{same}");
            for (name, expected) in [
                ("argument", "'first'"),
                ("args", "('second',)"),
                ("keyword", "'third'"),
                ("kwargs", "{'fourth': 'fifth'}"),
                ("captured", "'in a cell'"),
                ("变量", "'a name that is not ASCII'"),
                ("password", "***"),
                ("api_token", "***"),
                ("config", "{'user': 'scott', 'password': '***'}"),
            ] {
                assert_eq!(*found[name], expected, "{name}");
            }
            assert!(!found.contains_key("unset"), "{found:?}");
            assert!(text(found["recursive"]).len() < 200, "{found:?}");
            for (name, start) in [
                ("rich", "<__main__.Rich at 0x"),
                ("slotted", "<__main__.SlottedRich at 0x"),
                ("a_class", "<builtins.type at 0x"),
                ("function", "<builtins.function at 0x"),
                ("module", "<builtins.module at 0x"),
                ("closure", "<builtins.function at 0x"),
            ] {
                assert!(text(found[name]).starts_with(start), "{name}: {}", found[name]);
            }
        }
    });
}

#[test]
fn a_thread_in_a_subinterpreter() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 12)),
        |interpreter| {
            let mut target = Fixture::start(interpreter, "census.py", &["--subinterpreters", "2"]);
            let inner = target.ask("subinterpreters");
            let parked = &inner["subinterpreters"][1];
            for mode in ["stop", "copy"] {
                let ours = dump(target.pid, &["--capture", mode]);
                // One thread, with a state in each of the two interpreters. In 3.12 the inner one is that of the thread
                // which made the interpreter, and carries its ids.
                let inherited = !interpreter.at_least((3, 13));
                let states: Vec<&Value> = rows(&ours["threads"])
                    .iter()
                    .filter(|row| {
                        row["tid"] == parked["thread"]
                            || (inherited && row["interpreter"] == parked["id"])
                    })
                    .collect();
                let inside: Vec<&&Value> =
                    states.iter().filter(|row| row["interpreter"] == parked["id"]).collect();
                assert_eq!(inside.len(), 1, "{states:?}");
                let names: Vec<&str> = rows(&inside[0]["frames"])
                    .iter()
                    .map(|frame| text(&frame["function"]))
                    .collect();
                assert_eq!(names, ["parked_in_subinterpreter", "<module>"], "{mode}");
                assert_eq!(inside[0]["syscall"], "read");
                let outside: Vec<&&Value> =
                    states.iter().filter(|row| row["interpreter"] == 0).collect();
                assert_eq!(outside.len(), 1, "{states:?}");
                assert_eq!(outside[0]["name"], "in subinterpreter");
                assert_eq!(outside[0]["frames"][0]["function"], "_run");
                let mains = rows(&ours["threads"]).iter().filter(|row| row["main"] == true);
                assert_eq!(mains.count(), 1);
            }
        },
    );
}

/// Starts a thread of glibc's through ctypes that never sees Python.
const NATIVE_THREAD: &str = r#"
import ctypes, json, os, sys
libc = ctypes.CDLL(None)
before = set(os.listdir("/proc/self/task"))
thread = ctypes.c_ulong()
pause = ctypes.cast(libc.pause, ctypes.c_void_p)
if libc.pthread_create(ctypes.byref(thread), None, pause, None) != 0:
    raise OSError("pthread_create")
libc.pthread_setname_np(thread, b"\xff native \x1b[2J")
native = (set(os.listdir("/proc/self/task")) - before).pop()
while not open("/proc/self/task/%s/syscall" % native).read().startswith("34 "):
    pass
print("READY " + json.dumps({"pid": os.getpid(), "native": int(native)}), flush=True)
sys.stdin.read()
"#;

#[test]
fn threads_without_python_are_native() {
    for_each_interpreter(|interpreter| {
        let command = interpreter.command(&["-c", NATIVE_THREAD]);
        let target = Fixture::run(&format!("native thread on {interpreter}"), command);
        let native = id(&target.facts["native"]);
        for mode in ["stop", "copy"] {
            let ours = dump(target.pid, &["--capture", mode]);
            let expected = json!([{
                "tid": native,
                "os_name": "\u{fffd} native \u{1b}[2J",
                "syscall": "pause",
            }]);
            assert_eq!(ours["native_threads"], expected, "{mode}");
            assert_eq!(rows(&ours["threads"]).len(), 1, "{mode}");
        }
        let outcome = pyattach(&["dump", &target.pid_text()]);
        assert_nothing_acts(&outcome.stdout);
        assert!(outcome.stdout.contains(&format!("Thread {native} ")), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("native (no Python state), in system call pause"));
    });
}

/// From the thread ids of a process's own namespace to ours, as the kernel has them.
fn outer_ids(pid: i32) -> BTreeMap<i64, i64> {
    let inner = |tid: &i64| -> i64 {
        let status = std::fs::read(format!("/proc/{pid}/task/{tid}/status")).unwrap();
        let status = String::from_utf8_lossy(&status).into_owned();
        let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    tids(pid).iter().map(|tid| (inner(tid), *tid)).collect()
}

#[test]
fn kernel_ids_in_forked_children_and_namespaces() {
    for_each_interpreter(|interpreter| {
        for options in
            [[].as_slice(), &["--from-thread"], &["--namespace"], &["--namespace", "--from-thread"]]
        {
            let target = Fixture::start(interpreter, "forking.py", options);
            let child = &target.facts["child"];
            let pid = i32::try_from(id(&child["pid"])).unwrap();
            let ours = dump(pid, &[]);
            let outer = outer_ids(pid);
            assert_eq!(rows(&ours["threads"]).len(), 7, "{options:?}");
            for expected in rows(&child["threads"]) {
                let native = id(&expected["native_id"]);
                let found = thread(&ours, outer[&native]);
                let ident = format!("{:#x}", expected["ident"].as_u64().unwrap());
                assert_eq!(found["ident"], ident, "{options:?}: {expected}");
                let functions: Vec<&str> =
                    rows(&found["frames"]).iter().map(|frame| text(&frame["function"])).collect();
                assert_eq!(
                    functions[..2],
                    [text(&expected["innermost"]), text(&expected["outer"])]
                );
                assert_eq!(found["main"], expected["innermost"] == "wait_for_the_end");
                let known = expected["outer"] != "parked_by_thread_module";
                assert_eq!(found["name"].is_string(), known, "{options:?}: {found}");
                let namespace = options.contains(&"--namespace");
                assert_eq!(found["native_id"], if namespace { json!(native) } else { json!(null) });
                assert_eq!(found["state"], "in system call", "{options:?}");
            }
            // The parent is as it was.
            let parent = dump(target.pid, &[]);
            let names: BTreeSet<&str> =
                rows(&parent["threads"]).iter().map(|row| text(&row["name"])).collect();
            assert_eq!(names, BTreeSet::from(["MainThread", "parent's"]), "{options:?}");
        }
    });
}

#[test]
fn deep_stacks_are_whole() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "stacks.py", &["--only", "deep"]);
        let truth = target.ask("frames");
        let truth = rows(&truth["threads"]).iter().find(|row| row["name"] == "deep").unwrap();
        let ours = dump(target.pid, &[]);
        assert!(rows(&truth["frames"]).len() > 1000);
        assert_same_frames(rows(&truth["frames"]), rows(&named(&ours, "deep")["frames"]), "deep");
        let pid = target.pid_text();
        let lines = |arguments: &[&str]| {
            let outcome = pyattach(arguments);
            outcome.stdout.lines().filter(|line| line.contains("recursion (")).count()
        };
        let frames = rows(&truth["frames"]).iter().filter(|row| row["function"] == "recursion");
        assert_eq!(lines(&["dump", &pid, "--all-frames"]), frames.count());
        let short = lines(&["dump", &pid]);
        assert!((150..250).contains(&short), "{short}");
    });
}
