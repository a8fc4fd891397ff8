//! Every way in which a thread can wait survives twenty forks: the time is exact, the answer
//! right, and the program sees nothing of the copies.
//!
//! Each program has one thread only, so it is the waiting thread that has to run our system
//! calls.

mod fork_helper;
mod support;

use std::time::{Duration, Instant};

use fork_helper::{children, fork_once};
use pyattach::process::{ForkPlan, Process};
use serde_json::Value;
use support::{DEADLINE, Fixture, Interpreter, for_each_of};

const FORKS: usize = 20;
/// What a machine with ten times as much to do as it can manages.
const FEWEST: usize = 4;
/// Longer than the forks of all programs take.
const SECONDS: f64 = 14.0;
/// How late a wait may end on a loaded machine; early is never right. One that began anew at the last
/// fork would be later.
const LATE: f64 = 6.0;

const WAITS: [&str; 15] = [
    "sleep",
    "select",
    "poll",
    "epoll",
    "read",
    "accept",
    "accept_timeout",
    "wait",
    "lock",
    "condition",
    "native_nanosleep",
    "native_poll",
    "native_futex",
    "native_select",
    "busy",
];

const PROGRAM: &str = r#"
import ctypes, json, os, select, signal, socket, sys, threading, time
name, seconds = sys.argv[1], float(sys.argv[2])
deaths = []
signal.signal(signal.SIGCHLD, lambda number, frame: deaths.append(number))
libc = ctypes.CDLL(None, use_errno=True)
class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]
def native(call):
    ctypes.set_errno(0)
    return [call(), ctypes.get_errno()]
def relative(): return ctypes.byref(Timespec(int(seconds), int(seconds % 1 * 1e9)))
def later(do):
    child = os.fork()
    if child == 0:
        time.sleep(seconds)
        do()
        os._exit(7)
    return child
a, b = socket.socketpair()
word = ctypes.c_int(0)
own = 0
def sleep(): time.sleep(seconds)
def select_(): return select.select([a], [], [], seconds)
def poll():
    poll = select.poll(); poll.register(a, select.POLLIN)
    return poll.poll(seconds * 1000)
def epoll():
    with select.epoll() as epoll:
        epoll.register(a, select.EPOLLIN)
        return epoll.poll(seconds)
def read(): return os.read(a.fileno(), 5).decode()
def accept():
    with listener: connection, address = listener.accept()
    with connection: return connection.recv(5).decode()
def accept_timeout():
    listener.settimeout(seconds)
    try: listener.accept()
    except socket.timeout: return "timeout"
def wait():
    pid, status = os.wait()
    return [pid == own, os.WEXITSTATUS(status)]
def lock():
    lock = threading.Lock(); lock.acquire()
    return lock.acquire(timeout=seconds)
def condition():
    condition = threading.Condition()
    with condition: return condition.wait(seconds)
def native_nanosleep(): return native(lambda: libc.nanosleep(relative(), None))
def native_poll(): return native(lambda: libc.poll(None, 0, int(seconds * 1000)))
def native_futex(): return native(lambda: libc.syscall(202, ctypes.byref(word), 128, 0, relative()))
def native_select():
    time = (ctypes.c_long * 2)(int(seconds), 0)
    return native(lambda: libc.select(0, None, None, None, time))
def busy():
    end, total, rounds = time.monotonic() + seconds, 0.0, 0
    while time.monotonic() < end:
        part = sum(n * 0.5 for n in range(1000)); rounds += 1
        if part != 249750.0: return "wrong"
    return "right"
if name == "accept" or name == "accept_timeout":
    listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(1)
begin = time.monotonic()
if name == "read": own = later(lambda: os.write(b.fileno(), b"hello"))
if name == "wait": own = later(lambda: None)
if name == "accept":
    def connect():
        with socket.create_connection(listener.getsockname()) as one: one.sendall(b"hello"); one.recv(1)
    own = later(connect)
if own: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
fds = len(os.listdir("/proc/self/fd"))
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
result = globals()[name + "_" if name == "select" else name]()
elapsed = time.monotonic() - begin
if own: signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
if own and name != "wait": os.waitpid(own, 0)
# Maybe during a fork: no ordinary wait sees the copy.
seen = libc.waitpid(-1, None, os.WNOHANG)
if name == "accept": fds -= 1
answer = {"elapsed": elapsed, "result": result, "deaths": len(deaths), "own": own != 0, "seen": seen,
          "fds": len(os.listdir("/proc/self/fd")) - fds, "threads": len(os.listdir("/proc/self/task"))}
sys.stdin.readline()
# After the last fork: no wait of any kind has a child to see.
ALL = 0x40000000
answer["left"] = libc.waitpid(-1, None, os.WNOHANG | ALL)
print(json.dumps(answer), flush=True)
sys.stdin.read()
"#;

fn expected(name: &str) -> &'static str {
    match name {
        "sleep" => "null",
        "select" => "[[],[],[]]",
        "poll" | "epoll" => "[]",
        "read" | "accept" => "\"hello\"",
        "accept_timeout" => "\"timeout\"",
        "wait" => "[true,7]",
        "lock" | "condition" => "false",
        "native_nanosleep" | "native_poll" | "native_select" => "[0,0]",
        // ETIMEDOUT
        "native_futex" => "[-1,110]",
        "busy" => "\"right\"",
        _ => panic!("no such wait: {name}"),
    }
}

#[test]
fn every_wait_is_exact_under_forks() {
    // What waits is the C library, ours and others': not each version waits in a way of its own.
    let some = |python: &Interpreter| [8, 11, 13, 15].contains(&python.version.1);
    for_each_of(some, |interpreter| {
        let seconds = SECONDS.to_string();
        let mut programs: Vec<(&str, Fixture, Process, ForkPlan)> = WAITS
            .iter()
            .map(|&name| {
                let command = interpreter.command(&["-c", PROGRAM, name, &seconds]);
                let fixture = Fixture::run(&format!("{name} on {interpreter}"), command);
                let process = Process::open(fixture.pid).unwrap();
                let plan = ForkPlan::prepare(&process, false).unwrap();
                (name, fixture, process, plan)
            })
            .collect();
        let begin = Instant::now();
        let mut forks = 0;
        while forks < FORKS && begin.elapsed().as_secs_f64() < SECONDS * 0.7 {
            // Spread over the time, so that the last of them is late in it.
            let due = Duration::from_secs_f64(SECONDS * 0.65 * forks as f64 / FORKS as f64);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            for (.., process, plan) in &programs {
                fork_once(process, plan);
            }
            forks += 1;
        }
        assert!(forks >= FEWEST, "{forks} forks in {SECONDS} s");
        println!("{interpreter}: {forks} forks of each program");
        for (name, fixture, ..) in &mut programs {
            let answer = fixture.try_ask("", DEADLINE.max(Duration::from_secs(60)));
            let answer = answer.unwrap_or_else(|problem| panic!("{name}: {problem}"));
            let elapsed = answer["elapsed"].as_f64().unwrap();
            assert!(
                (SECONDS..SECONDS + LATE).contains(&elapsed),
                "{name}: {elapsed} s instead of {SECONDS} s"
            );
            let result: Value = serde_json::from_str(expected(name)).unwrap();
            assert_eq!(answer["result"], result, "{name}");
            // SIGCHLD for its own children only.
            assert_eq!(answer["deaths"], i32::from(answer["own"] == true), "{name}: {answer}");
            assert_eq!(answer["seen"], -1, "{name}: a child was seen: {answer}");
            assert_eq!(answer["left"], -1, "{name}: a child is left: {answer}");
            assert_eq!(answer["fds"], 0, "{name}: {answer}");
            assert_eq!(answer["threads"], 1, "{name}: {answer}");
            assert_eq!(children(fixture.pid), [], "{name}");
        }
    });
}
