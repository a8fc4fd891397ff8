//! Programs in which a script cannot run to its end, or not at all: each is told from the others, and none is hurt.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::states::exec;
use crate::support::{Fixture, Flavour, Interpreter, for_each_of, pyattach, scratch};

/// What each program begins with. Ends with its stdin; what it finds wrong it says on stderr.
const HEAD: &str = r#"
import json, os, sys, threading, time
over = threading.Event()
def ready():
    print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
def listen():
    sys.stdin.read()
    over.set()
threading.Thread(target=listen, daemon=True).start()
"#;

/// As deep as its recursion limit allows, running all the time.
const DEEP: &str = r"
sys.setrecursionlimit(400)
depth = 0
def measure():
    global depth
    depth += 1
    measure()
try:
    measure()
except RecursionError:
    pass
def go(left):
    if left:
        return go(left - 1)
    ready()
    while not over.is_set():
        pass
go(depth - 12)
";

const CLOSES_ALL: &str = r"
ready()
while not over.is_set():
    os.closerange(3, 40)
";

/// The main thread has come to its end and waits for another one.
const MAIN_HAS_ENDED: &str = r"
def last():
    ready()
    over.wait()
threading.Thread(target=last).start()
";

const IN_ATEXIT: &str = r"
import atexit
@atexit.register
def last():
    ready()
    over.wait()
";

/// The interpreter takes itself apart, and stays for a while in one finaliser.
const FINALIZING: &str = r"
class Last:
    def __del__(self, print=print, pid=os.getpid(), read=os.read):
        print('READY {\x22pid\x22: %d}' % pid, flush=True)
        read(0, 1)
sys.modules['kept'] = type(sys)('kept')
sys.modules['kept'].last = Last()
";

const NO_DESCRIPTORS: &str = r"
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
kept = []
try:
    while True:
        kept.append(os.open('/dev/null', 0))
except OSError:
    pass
ready()
over.wait()
";

const SMALL_FILES: &str = r"
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
ready()
over.wait()
";

/// The main thread waits in read(2), which it can be borrowed from; another thread waits for a line with the GIL.
const GIL_IS_KEPT: &str = r"
import ctypes
reading, writing = os.pipe()
over = threading.Event()
def keep():
    line = ctypes.create_string_buffer(3)
    read = ctypes.PyDLL(None).read
    os.write(1, b'READY {\x22pid\x22: %d}\n' % os.getpid())
    read(0, line, 3)
    os.write(writing, b'x')
    os.write(1, b'{}\n')
    sys.stdin.read()
    over.set()
threading.Timer(0.1, keep).start()
if os.read(reading, 5) != b'x':
    print('read', file=sys.stderr)
over.wait()
";

fn start(interpreter: &Interpreter, program: &str) -> Fixture {
    let text = match program {
        FINALIZING | GIL_IS_KEPT => format!("import os, sys, threading\n{program}"),
        _ => format!("{HEAD}{program}"),
    };
    Fixture::run("hostile", interpreter.command(&["-c", &text]))
}

/// One of each way to keep pending calls, and the request for debuggers.
fn chosen(one: &Interpreter) -> bool {
    let series = (one.version.0, one.version.1);
    [(3, 8), (3, 11), (3, 12), (3, 13), (3, 15)].contains(&series)
        && one.flavour != Flavour::Distribution
}

fn ends_well(target: Fixture) {
    assert_eq!(target.stderr(), "");
    target.end();
}

#[test]
fn where_a_script_cannot_run_to_its_end() {
    for_each_of(chosen, |interpreter| {
        let mut target = start(interpreter, DEEP);
        let document = exec(target.pid, &["--timeout", "5s"], "result = 1", &[]);
        let endings = ["done", "lost", "raised", "taken-back"];
        assert!(endings.contains(&document["ending"].as_str().unwrap()), "{document}");
        assert!(target.is_alive(), "{document}");
        ends_well(target);

        let mut target = start(interpreter, CLOSES_ALL);
        for _ in 0..5 {
            let outcome = pyattach(&[
                "exec",
                &target.pid_text(),
                "--timeout",
                "200ms",
                "-c",
                "while True: pass",
            ]);
            assert!(matches!(outcome.code, Some(3 | 5)), "{outcome:?}");
            assert!(target.is_alive(), "{outcome:?}");
        }
        // The interpreter itself says so when it cannot open the file of a debugger's request (3.14+).
        let said = target.stderr();
        assert!(said.is_empty() || said.starts_with("Can't open debugger script"), "{said}");
        target.end();

        // Once nobody can say whether the script has ended, no exception is raised in what may be the program.
        let mut target = start(interpreter, MAIN_HAS_ENDED);
        let code = "import os; os.closerange(3, 100)";
        let document = exec(target.pid, &["--timeout", "60s"], code, &[]);
        assert_eq!(document["ending"], "lost", "{document}");
        assert!(target.is_alive());
        let document = exec(target.pid, &["--timeout", "60s"], "result = 2", &[]);
        assert_eq!(document["result"], 2, "{document}");
        ends_well(target);
    });
}

#[test]
fn at_the_end_of_a_program() {
    for_each_of(chosen, |interpreter| {
        let target = start(interpreter, IN_ATEXIT);
        let document = exec(target.pid, &["--timeout", "60s"], "result = 3", &[]);
        assert_eq!(document["result"], 3, "{document}");
        ends_well(target);

        let target = start(interpreter, FINALIZING);
        refused(&target.pid_text(), "shutting down");
        ends_well(target);
    });
}

fn refused(pid: &str, why: &str) {
    let outcome = pyattach(&["exec", pid, "--timeout", "300ms", "-c", "print(1)"]);
    assert!(matches!(outcome.code, Some(3 | 4)), "{outcome:?}");
    assert!(outcome.stderr.contains(why), "{outcome:?}");
}

#[test]
fn limits_and_stopped_processes() {
    for_each_of(
        |one| [(3, 8), (3, 13)].contains(&(one.version.0, one.version.1)),
        |interpreter| {
            let target = start(interpreter, NO_DESCRIPTORS);
            let outcome = pyattach(&["exec", &target.pid_text(), "-c", "print(1)"]);
            assert_eq!(outcome.code, Some(3), "{outcome:?}");
            assert!(outcome.stderr.contains("Too many open files"), "{outcome:?}");
            assert!(outcome.stderr.contains("hint: "), "{outcome:?}");
            ends_well(target);

            let target = start(interpreter, SMALL_FILES);
            refused(&target.pid_text(), "RLIMIT_FSIZE");
            ends_well(target);

            let target = start(interpreter, "ready()\nover.wait()");
            let pid = nix::unistd::Pid::from_raw(target.pid);
            nix::sys::signal::kill(pid, nix::sys::signal::SIGSTOP).unwrap();
            let stat = format!("/proc/{}/stat", target.pid);
            while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
                std::thread::yield_now();
            }
            refused(&target.pid_text(), "stopped by a signal");
            nix::sys::signal::kill(pid, nix::sys::signal::SIGCONT).unwrap();
            let document = exec(target.pid, &["--timeout", "60s"], "result = 6", &[]);
            assert_eq!(document["result"], 6, "{document}");
            ends_well(target);

            let mut command = interpreter.command(&["-c", "pass"]);
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            let stat = format!("/proc/{}/stat", child.id());
            while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
                std::thread::yield_now();
            }
            let outcome = pyattach(&["exec", &child.id().to_string(), "-c", "print(1)"]);
            assert_eq!(outcome.code, Some(3), "{outcome:?}");
            child.wait().unwrap();
        },
    );
}

/// It waits for the GIL on a stack of ours and cannot be called back; but what it then runs is empty.
#[test]
fn a_borrowed_thread_that_waits_for_the_gil_is_taken_back() {
    for_each_of(
        |one| !one.at_least((3, 14)) && chosen(one),
        |interpreter| {
            let mut target = start(interpreter, GIL_IS_KEPT);
            let code = "import sys; print('ran late', file=sys.__stderr__)";
            let document = exec(target.pid, &["--timeout", "100ms"], code, &[]);
            assert_eq!(document["way"], "borrowed-thread", "{document}");
            assert_eq!(document["ending"], "taken-back", "{document}");
            assert_eq!(document["left_behind"], json!([]));
            // Nothing runs once the GIL is free, and the read is what it is without us.
            target.ask("go");
            let document = exec(target.pid, &["--timeout", "60s"], "result = 4", &[]);
            assert_eq!(document["result"], 4, "{document}");
            ends_well(target);
        },
    );
}

const EMBEDDED: &str = r#"
#include <Python.h>
#include <sys/epoll.h>
#include <pthread.h>
#include <string.h>

static const char *text =
    "import os, sys, threading\n"
    "def end():\n"
    "    sys.stdin.read()\n"
    "    os._exit(0)\n"
    "threading.Thread(target=end, daemon=True).start()\n"
    "print('READY {\"pid\": %d}' % os.getpid(), flush=True)\n";

static void *elsewhere(void *unused) {
    (void)unused;
    Py_Initialize();
    PyRun_SimpleString(text);
    PyEval_SaveThread();
    return NULL;
}

int main(int count, char **words) {
    if (count > 1 && strcmp(words[1], "thread") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, elsewhere, NULL);
        pthread_join(thread, NULL);
    } else {
        elsewhere(NULL);
    }
    struct epoll_event event;
    int events = epoll_create1(0);
    for (;;) {
        if (count > 1 && strcmp(words[1], "epoll") == 0) epoll_wait(events, &event, 1, -1); else pause();
    }
}
"#;

/// Builds a program with the interpreter in it; `None` where its headers or a compiler are missing.
fn build(interpreter: &Interpreter) -> Option<std::path::PathBuf> {
    let (major, minor, patch) = interpreter.version;
    let prefix = interpreter.executable.parent()?.parent()?.to_owned();
    let headers = prefix.join(format!("include/python{major}.{minor}"));
    if !headers.join("Python.h").is_file() || Command::new("gcc").arg("--version").output().is_err()
    {
        return None;
    }
    let program =
        scratch().join(format!("embedded-{major}.{minor}.{patch}-{}", std::process::id()));
    let source = program.with_extension("c");
    std::fs::write(&source, EMBEDDED).unwrap();
    let library = prefix.join("lib");
    let mut command = Command::new("gcc");
    command.arg("-o").arg(&program).arg(&source).arg("-I").arg(headers).arg("-L").arg(&library);
    command.arg(format!("-Wl,-rpath,{}", library.display()));
    command.args([&format!("-lpython{major}.{minor}"), "-lpthread"]);
    let built = command.output().unwrap();
    std::fs::remove_file(source).unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(program)
}

fn embedded(program: &Path, word: &str, home: &Path) -> Fixture {
    let mut command = Command::new(program);
    command.arg(word).env("PYTHONHOME", home);
    let target = Fixture::run("embedded", command);
    // It says that it is ready before it has come to its wait.
    target.wait_parked();
    target
}

#[test]
fn an_embedded_interpreter_whose_main_thread_runs_no_python() {
    for_each_of(
        |one| {
            one.flavour == Flavour::Shared
                && [(3, 8), (3, 11), (3, 13)].contains(&(one.version.0, one.version.1))
        },
        |interpreter| {
            let Some(program) = build(interpreter) else {
                assert!(std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_none(), "gcc and headers");
                println!("not run: no gcc, or no headers of {interpreter}");
                return;
            };
            let home = interpreter.executable.parent().unwrap().parent().unwrap();
            // A wait that nobody is called away from.
            let mut target = embedded(&program, "pause", home);
            let document = exec(target.pid, &["--timeout", "200ms"], "print(1)", &[]);
            assert_eq!(document["ending"], "taken-back", "{document}");
            let reason = document["detail"].as_str().unwrap();
            assert!(reason.contains("has been in pause for 200 ms"), "{reason}");
            assert_eq!(document["left_behind"], json!([]));
            assert!(target.is_alive());
            target.end();
            // An event loop of somebody else: borrowed.
            let target = embedded(&program, "epoll", home);
            let document = exec(target.pid, &["--timeout", "60s"], "result = 5", &[]);
            assert_eq!(document["result"], 5, "{document}");
            assert_eq!(document["way"], "borrowed-thread", "{document}");
            target.end();
            // Python's main thread has ended.
            let target = embedded(&program, "thread", home);
            let outcome = pyattach(&["exec", &target.pid_text(), "-c", "print(1)"]);
            assert_eq!(outcome.code, Some(3), "{outcome:?}");
            assert!(outcome.stderr.contains("does not exist any more"), "{outcome:?}");
            target.end();
            std::fs::remove_file(program).unwrap();
        },
    );
}

/// Children are asked as well, each for itself.
#[test]
fn children_and_threads() {
    const PROGRAM: &str = r"
child = os.fork()
if child == 0:
    time.sleep(1000)
worker = threading.Thread(target=over.wait, name='worker', daemon=True)
worker.start()
ready()
over.wait()
os.kill(child, 9)
os.waitpid(child, 0)
";
    for_each_of(chosen, |interpreter| {
        let mut command = interpreter.command(&["-W", "ignore", "-c", &format!("{HEAD}{PROGRAM}")]);
        command.stderr(Stdio::inherit());
        let target = Fixture::run("children", command);
        let pid = target.pid_text();
        let outcome = pyattach(&[
            "exec",
            &pid,
            "--children",
            "--json",
            "--timeout",
            "60s",
            "-c",
            "import os; result = os.getpid()",
        ]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let mut pids: Vec<Value> = Vec::new();
        for line in outcome.stdout.lines().filter(|line| !line.is_empty()) {
            let document: Value = serde_json::from_str(line).unwrap();
            assert_eq!(document["result"], document["pid"], "{document}");
            pids.push(document["pid"].clone());
        }
        assert_eq!(pids.len(), 2, "{outcome:?}");
        // The thread that reads our stdin waits in a system call: any version can borrow it.
        let threads = pyattach(&["dump", &pid, "--json"]);
        let dump: Value = serde_json::from_str(&threads.stdout).unwrap();
        let reader = dump["threads"].as_array().unwrap().iter().find(|thread| {
            let frames = thread["frames"].as_array().unwrap().iter();
            frames.clone().any(|frame| frame["function"] == "listen")
        });
        let tid = reader.unwrap()["tid"].to_string();
        let code = "import threading; result = threading.current_thread().name";
        let document = exec(target.pid, &["--thread", &tid, "--timeout", "60s"], code, &[]);
        assert!(document["result"].as_str().unwrap().starts_with("Thread-1"), "{document}");
        ends_well(target);
    });
}
