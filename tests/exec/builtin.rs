//! `diagnose`, `tracemalloc`, `gc`, `track`: their answers against those that need no code in the
//! target, and against the target's own.

use serde_json::{Value, json};

use crate::states::exec;
use crate::support::{Fixture, for_each_interpreter, for_each_of, pyattach, pyattach_json};

/// What a command found.
fn result(words: &[&str]) -> Value {
    let document = pyattach_json(words);
    assert_eq!(document["ending"], "done", "{words:?}: {document}");
    document["result"].clone()
}

/// Open resources of a kind, read from outside.
fn open(pid: &str, kind: &str) -> Vec<Value> {
    let document = pyattach_json(&["resources", pid, "--kind", kind]);
    let rows = document["resources"].as_array().unwrap().iter();
    rows.filter(|row| row["state"] == "open").cloned().collect()
}

fn numbers<'v>(rows: impl IntoIterator<Item = &'v Value>, of: impl Fn(&Value) -> u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.into_iter().map(of).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_diagnosis_agrees_with_what_is_read_from_outside() {
    for_each_interpreter(|interpreter| {
        let mut programs = vec!["resources_stdlib.py", "tasks_chains.py"];
        if interpreter.has_aiohttp() {
            programs.push("aiohttp_sessions.py");
        }
        for program in programs {
            let target = Fixture::start(interpreter, program, &[]);
            let pid = target.pid_text();
            let (sockets, executors, sessions) = (
                open(&pid, "socket"),
                open(&pid, "thread_pool_executor"),
                open(&pid, "aiohttp_session"),
            );
            let facts = result(&["diagnose", &pid]);
            let of = |key: &str| facts[key].as_array().unwrap().clone();
            let (major, minor, patch) = interpreter.version;
            assert_eq!(facts["version"], format!("{major}.{minor}.{patch}"));
            assert_eq!(facts["current_thread"], "MainThread");
            assert_eq!(facts["sockets"].as_u64(), Some(sockets.len() as u64), "{program}");
            for (ours, theirs) in [("workers", "created"), ("limit", "limit"), ("queued", "queued")]
            {
                assert_eq!(
                    numbers(&of("executors"), |row| row[ours].as_u64().unwrap()),
                    numbers(&executors, |row| row["metrics"][theirs].as_u64().unwrap()),
                    "{program}: {ours}: {facts}"
                );
            }
            let size = |row: &Value| {
                let metric = |name: &str| row["metrics"][name].as_u64().unwrap();
                metric("in_use") + metric("idle")
            };
            assert_eq!(
                numbers(&of("sessions"), |row| row["size"].as_u64().unwrap()),
                numbers(&sessions, size),
                "{program}: {facts}"
            );
            let text = pyattach(&["diagnose", &pid]).stdout;
            assert!(text.starts_with(&format!("Python version: {major}.{minor}.{patch}\n")));
            assert!(text.contains(&format!("\nSocket count: {}\n", sockets.len())), "{text}");
            let read = pyattach(&["report", &pid, "--injector-format"]).stdout;
            assert_eq!(text, read, "{program}");
            target.end();
        }
    });
}

const MAKER: &str = r#"
import json, os, sys, threading, time

class Base:
    def __init__(self, value): self.value = value

class Thing(Base):
    pass

class Bare:
    pass

kept = [Thing(0)]
def make_one():
    kept.append(Thing(len(kept)))
    Bare()
def work():
    while len(kept) < 100000:
        make_one()
        time.sleep(0.002)
threading.Thread(target=work, daemon=True).start()
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.read()
"#;

#[test]
fn collector_allocations_and_creation_stacks() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::run("maker", interpreter.command(&["-c", MAKER]));
        let pid = target.pid_text();

        let status = result(&["gc", &pid, "status"]);
        // 3.12 sets immortal objects aside by itself.
        assert_eq!((&status["enabled"], status["frozen"].is_u64()), (&json!(true), true));
        assert!(result(&["gc", &pid, "collect"])["unreachable"].is_u64());

        assert_eq!(result(&["tracemalloc", &pid, "status"])["tracing"], false);
        let started = result(&["tracemalloc", &pid, "start", "5"]);
        assert_eq!((&started["tracing"], &started["frames"]), (&json!(true), &json!(5)));
        assert_eq!(result(&["tracemalloc", &pid, "stop"])["tracing"], false);

        let begun = result(&["track", &pid, "__main__.Thing"]);
        assert!(begun["live"].as_u64() > Some(0), "{begun}");
        result(&["track", &pid, "__main__.Bare"]);
        exec(target.pid, &["--timeout", "60s"], "import __main__; __main__.make_one()", &[]);
        let told = result(&["track", &pid, "__main__.Thing"]);
        assert!(told["created"].as_u64() > Some(0), "{told}");
        let stacks = told["stacks"].as_array().unwrap();
        assert_eq!(stacks[0]["frames"][0]["function"], "make_one", "{told}");
        let last = result(&["untrack", &pid, "__main__.Thing"]);
        assert!(last["tracked_live"].as_u64() > Some(0), "{last}");
        result(&["untrack", &pid, "__main__.Bare"]);
        let check = "import sys, __main__ as m\n\
            result = ['__init__' in vars(m.Thing), '__init__' in vars(m.Bare),\
            hasattr(sys, '_pyattach_track'), m.Thing(7).value]";
        let after = exec(target.pid, &["--timeout", "60s"], check, &[]);
        assert_eq!(after["result"], json!([false, false, false, 7]), "{after}");
        let unknown = pyattach(&["track", &pid, "__main__.Nothing"]);
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.stderr.contains("no class __main__.Nothing is loaded"), "{unknown:?}");
        target.end();
    });
}

/// Classes of every kind; `make` makes one of each, and one that fails.
const KINDS: &str = r#"
import dataclasses, json, os, sys, time

class Guarded(type):
    def __setattr__(cls, name, value): raise AttributeError("no")
    def __delattr__(cls, name): raise AttributeError("no")

class Own:
    def __init__(self, value=1): self.value = value
class Inherits(Own): pass
class CallsUp(Own):
    def __init__(self): super().__init__(2)
class Slotted:
    __slots__ = ("value",)
    def __init__(self, value=1): self.value = value
class FromDict(dict): pass
class FromTuple(tuple): pass
class Made:
    def __new__(cls, value): return super().__new__(cls)
class WithMeta(metaclass=Guarded):
    def __init__(self): self.value = 1
@dataclasses.dataclass
class Data:
    value: int = 1
class Failing:
    def __init__(self): raise KeyError("on purpose")
class Outer:
    class Inner: pass

ALL = [Own, Inherits, CallsUp, Slotted, FromDict, FromTuple, Made, WithMeta, Data, Failing, Outer.Inner]
before = [vars(cls).get("__init__") for cls in ALL]
kept = []
def make():
    kept[:] = [Own(3), Inherits(4), CallsUp(), Slotted(5), FromDict(a=6), FromTuple((7, 8)), Made(9), WithMeta(), Data(10)]
    kept.append(Outer.Inner())
    try:
        Failing()
    except KeyError:
        pass
    try:
        Outer.Inner(1)
    except TypeError as error:
        assert "takes no arguments" in str(error), error
    else:
        raise AssertionError("an argument was taken")
    values = [getattr(one, "value", None) for one in kept]
    assert values == [3, 4, 2, 5, None, None, None, 1, 10, None], values
    assert kept[4] == {"a": 6} and kept[5] == (7, 8) and kept[8] == Data(10), kept
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
sys.stdin.read()
"#;

#[test]
fn classes_of_every_kind_are_tracked_and_restored() {
    for_each_of(
        |one| [(3, 8), (3, 12), (3, 15)].contains(&(one.version.0, one.version.1)),
        |interpreter| {
            let target = Fixture::run("kinds", interpreter.command(&["-c", KINDS]));
            let pid = target.pid_text();
            let run = |code: &str| {
                let document = exec(target.pid, &["--timeout", "60s"], code, &[]);
                assert_eq!(document["ending"], "done", "{document}");
                document["result"].clone()
            };
            let names = run("import __main__ as m; result = [one.__qualname__ for one in m.ALL]");
            let names: Vec<String> = names
                .as_array()
                .unwrap()
                .iter()
                .map(|name| format!("__main__.{}", name.as_str().unwrap()))
                .collect();
            for name in &names {
                result(&["track", &pid, name, "--timeout", "60s"]);
            }
            run("import __main__ as m; m.make()");
            for name in &names {
                let told = result(&["untrack", &pid, name, "--timeout", "60s"]);
                let created = match name.strip_prefix("__main__.").unwrap() {
                    // Its own, and those of the two classes that call its __init__.
                    "Own" => 3,
                    // One of them to compare with; one that was refused for its argument.
                    "Data" | "Outer.Inner" => 2,
                    _ => 1,
                };
                assert_eq!(told["created"], created, "{name}: {told}");
                let stacks = told["stacks"].as_array().unwrap();
                let in_make = |stack: &Value| {
                    let frames = stack["frames"].as_array().unwrap().iter();
                    frames.clone().any(|frame| frame["function"] == "make")
                };
                assert!(name.ends_with("Failing") || stacks.iter().all(in_make), "{name}: {told}");
            }
            let same = "import sys, __main__ as m\n\
                now = [vars(cls).get('__init__') for cls in m.ALL]\n\
                m.make()\n\
                result = [one is two for one, two in zip(now, m.before)] + [hasattr(sys, '_pyattach_track')]";
            let same = run(same);
            let (last, all) = same.as_array().unwrap().split_last().unwrap();
            assert!(all.iter().all(|one| one == true) && last == false, "{same}");
            let foreign = pyattach(&["track", &pid, "collections.OrderedDict"]);
            assert_eq!(foreign.code, Some(1), "{foreign:?}");
            target.end();
        },
    );
}
