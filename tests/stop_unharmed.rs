//! Stopping a process does it no harm: it answers, gets its signals, and its timeouts are exact.

mod process_helper;

use process_helper::{Target, wait_for};
use pyattach::process::{Hold, Process, StopOptions};

const MANY_THREADS: &str = r#"
import sys, threading
gate = threading.Event()
for n in range(199):
    threading.Thread(target=gate.wait, daemon=True).start()
print("READY")
for line in sys.stdin:
    print("answer", threading.active_count())
"#;

/// Two of the threads burn the processor, the others wait.
const BUSY_THREADS: &str = r#"
import sys, threading
def burn():
    n = 0
    while True:
        n += 1
for n in range(2):
    threading.Thread(target=burn, daemon=True).start()
print("READY")
for line in sys.stdin:
    print("answer", threading.active_count())
"#;

#[test]
fn two_hundred_stops_of_two_hundred_threads() {
    let mut target = Target::python(MANY_THREADS);
    let process = Process::open(target.pid()).unwrap();
    // Longer than anybody sleeps for the GIL (5 ms) on the way to its lock.
    let quiet = std::cell::Cell::new(0);
    wait_for("all threads to wait", || {
        let asleep = process_helper::states(process.pid()).chars().all(|state| state == 'S');
        quiet.set(if asleep { quiet.get() + 1 } else { 0 });
        quiet.get() > 20
    });
    for _ in 0..200 {
        // Those that have not come back to their calls since the last stop are in none.
        wait_for("all threads to wait again", || {
            process_helper::states(process.pid()).chars().all(|state| state == 'S')
        });
        let (threads, pause) = process
            .while_stopped(StopOptions::default(), |stopped| {
                assert!(process_helper::states(process.pid()).chars().all(|state| state == 't'));
                stopped.threads().to_vec()
            })
            .unwrap();
        assert_eq!(threads.len(), 200);
        assert_eq!(pause.threads, 200);
        assert!(pause.until_all_stopped + pause.release <= pause.total);
        assert_eq!(threads[0].tid, process.pid());
        // The leader waits in read, the others for a lock.
        assert_eq!(threads[0].syscall.unwrap().number, libc::SYS_read.cast_unsigned());
        assert!(
            threads[1..]
                .iter()
                .all(|thread| thread.syscall.unwrap().number == libc::SYS_futex.cast_unsigned()
                    && thread.hold == Hold::Interrupted)
        );
    }
    wait_for("no thread held", || !process_helper::states(process.pid()).contains(['t', 'T']));
    assert_eq!(target.ask("still there?"), "answer 200");
    assert!(target.end().success());
}

#[test]
fn running_threads_are_not_in_a_system_call() {
    let mut target = Target::python(BUSY_THREADS);
    let process = Process::open(target.pid()).unwrap();
    let mut outside = 0;
    let begin = std::time::Instant::now();
    while outside < 100 {
        let stopped = process.stop(StopOptions::default()).unwrap();
        outside += stopped.threads().iter().filter(|thread| thread.syscall.is_none()).count();
        drop(stopped);
        assert!(begin.elapsed() < process_helper::PATIENCE, "only {outside} times in its own code");
    }
    assert_eq!(target.ask("still there?"), "answer 3");
    assert!(target.end().success());
}

#[test]
fn no_queued_signal_is_lost() {
    const SIGNALS: usize = 5000;
    let target = Target::python(
        r#"
import ctypes, signal, sys, time
# Counted in C: Python's own handlers would merge signals that come close together.
# sigtimedwait takes one at a time, as the kernel has queued them.
END = signal.SIGRTMIN + 4  # comes behind all that are waiting with a lower number
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN + 3, END])
seen = 0
handled = 0
def handler(number, frame):
    global handled
    handled += 1
signal.signal(signal.SIGUSR1, handler)
print("READY")
while True:
    try:
        if signal.sigtimedwait([signal.SIGRTMIN + 3, END], 60).si_signo == END:
            break
        seen += 1
    except InterruptedError:
        pass
print("seen", seen)
print("handled", handled > 0)
sys.stdin.read()
"#,
    );
    let process = Process::open(target.pid()).unwrap();
    let pid = target.pid();
    let sender = std::thread::spawn(move || {
        for n in 0..SIGNALS {
            let value = libc::sigval { sival_ptr: n as *mut libc::c_void };
            // SAFETY: passes integers.
            assert_eq!(unsafe { libc::sigqueue(pid, libc::SIGRTMIN() + 3, value) }, 0);
            if n % 100 == 0 {
                process_helper::send(pid, libc::SIGUSR1);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        process_helper::send(pid, libc::SIGRTMIN() + 4);
    });
    let mut stops = 0;
    while !sender.is_finished() || stops < 100 {
        process.stop(StopOptions::default()).unwrap().release();
        stops += 1;
    }
    sender.join().unwrap();
    assert_eq!(target.expect("seen"), SIGNALS.to_string());
    assert_eq!(target.expect("handled"), "True");
    assert!(target.end().success());
}

/// Real-time signals with handlers: each delivery is a stop of ours that has to hand the
/// signal back, number and value. A C program counts them in its handler.
#[test]
fn no_handled_signal_is_lost_and_values_arrive() {
    const SIGNALS: i32 = 3000;
    let directory = tempfile::tempdir().unwrap();
    let program = process_helper::compile(
        directory.path(),
        r#"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static volatile int seen; static volatile long sum;
static void handler(int n, siginfo_t *info, void *c) {
    if (info->si_code == SI_QUEUE) { seen++; sum += info->si_value.sival_int; }
}
int main(void) {
    struct sigaction a = {0};
    a.sa_sigaction = handler; a.sa_flags = SA_SIGINFO;
    sigaction(SIGRTMIN + 3, &a, NULL);
    puts("READY"); fflush(stdout);
    for (long spin = 0; seen < 3000; spin++) { if (spin % 3 == 0) usleep(50); }
    printf("sum %ld\n", sum); fflush(stdout);
    char c; while (read(0, &c, 1) > 0) {}
    return 0;
}
"#,
    );
    let target = Target::start(std::process::Command::new(program));
    target.expect("READY");
    let process = Process::open(target.pid()).unwrap();
    let pid = target.pid();
    let sender = std::thread::spawn(move || {
        for n in 0..SIGNALS {
            let value = libc::sigval { sival_ptr: n as usize as *mut libc::c_void };
            // SAFETY: passes integers.
            while unsafe { libc::sigqueue(pid, libc::SIGRTMIN() + 3, value) } != 0 {
                std::thread::yield_now();
            }
            if n % 10 == 0 {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    });
    let mut by_signal = 0;
    while !sender.is_finished() {
        let stopped = process.stop(StopOptions::default()).unwrap();
        by_signal += usize::from(stopped.threads()[0].hold == Hold::Signal(libc::SIGRTMIN() + 3));
    }
    assert!(by_signal > 0, "no stop met a signal on its way: the test shows nothing");
    assert_eq!(target.expect("sum"), (0..i64::from(SIGNALS)).sum::<i64>().to_string());
    assert!(target.end().success());
}

#[test]
fn timeouts_are_exact_under_a_hundred_stops() {
    let target = Target::python(
        r#"
import select, socket, sys, threading, time
a, b = socket.socketpair()
epoll = select.epoll(); epoll.register(a, select.EPOLLIN)
poll = select.poll(); poll.register(a, select.POLLIN)
lock = threading.Lock(); lock.acquire()
waits = {
    "sleep": lambda: time.sleep(8),
    "select": lambda: select.select([a], [], [], 8),
    "poll": lambda: poll.poll(8000),
    "epoll": lambda: epoll.poll(8),
    "lock": lambda: lock.acquire(timeout=8),
}
results = {}
def run(name, wait):
    begin = time.monotonic()
    wait()
    results[name] = time.monotonic() - begin
threads = [threading.Thread(target=run, args=item) for item in waits.items()]
for thread in threads: thread.start()
print("READY")
for thread in threads: thread.join()
for name, seconds in results.items(): print(name, seconds)
sys.stdin.read()
"#,
    );
    let process = Process::open(target.pid()).unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..100 {
        process.stop(StopOptions::default()).unwrap().release();
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    assert!(begin.elapsed().as_secs_f64() > 6.0);
    for _ in 0..5 {
        let line = target.line();
        let (name, seconds) = line.split_once(' ').unwrap();
        let seconds: f64 = seconds.parse().unwrap();
        // One that began anew at the last stop would take 14 s.
        assert!((7.99..12.0).contains(&seconds), "{name} took {seconds} s instead of 8");
    }
    assert!(target.end().success());
}
