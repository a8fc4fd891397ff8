//! When a process must not be forked: each reason is told, `auto` does without, and the process
//! goes on.

mod fork_helper;
mod not_run;
mod process_helper;
mod support;

use std::process::Command;
use std::time::Duration;

use fork_helper::{children, fork_once, frozen, until};
use not_run::not_run;
use process_helper::{Target as Program, compile, send, states};
use pyattach::process::{ForkError, ForkPlan, Process, StopOptions};
use support::{pyattach, pyattach_json};

fn plan(program: &Program) -> Result<ForkPlan, ForkError> {
    ForkPlan::prepare(&Process::open(program.pid()).unwrap(), false)
}

/// Forks once, expecting a refusal.
fn refusal(program: &Program) -> ForkError {
    let process = Process::open(program.pid()).unwrap();
    let plan = ForkPlan::prepare(&process, false).unwrap();
    let stopped = process.stop(StopOptions::default()).unwrap();
    stopped.fork(&plan, Duration::from_secs(5)).0.unwrap_err()
}

/// Large enough that a fork would be chosen; with a filter that kills the process at clone and
/// wait4, or, with "allow", forbids nothing.
const FILTERED: &str = r#"
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
x = bytearray(b"x" * (150 << 20))
def filter(kill):
    LOAD, JUMP, RETURN = 0x20, 0x15, 0x06
    ALLOW, KILL = 0x7fff0000, 0x80000000
    code = [(LOAD, 0, 0, 0)]
    for number in kill: code += [(JUMP, 0, 1, number), (RETURN, 0, 0, KILL)]
    code += [(RETURN, 0, 0, ALLOW)]
    text = b"".join(struct.pack("HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(text)
    program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) == 0
filter([] if sys.argv[1] == "allow" else [56, 61])
print("READY", flush=True)
for line in sys.stdin: print("answer", flush=True)
"#;

#[test]
fn filtered_system_calls() {
    for kind in ["allow", "kill"] {
        let mut command = Command::new("python3");
        command.args(["-c", FILTERED, kind]);
        let mut program = Program::start(command);
        program.expect("READY");
        assert!(matches!(plan(&program), Err(ForkError::Seccomp { .. })));
        let census = pyattach_json(&["census", &program.pid().to_string()]);
        assert_eq!(census["capture"]["mode"], "copy");
        let reason = census["capture"]["mode_reason"].as_str().unwrap();
        assert!(reason.contains("seccomp filter"), "{reason}");
        // Told to, and with CAP_SYS_ADMIN, the filter is suspended meanwhile.
        let process = Process::open(program.pid()).unwrap();
        match ForkPlan::prepare(&process, true) {
            Ok(plan) => drop((0..5).map(|_| fork_once(&process, &plan)).collect::<Vec<_>>()),
            Err(error) => eprintln!("not run: suspending filters: {error}"),
        }
        assert_eq!(program.ask("still there?"), "answer");
        assert_eq!(children(program.pid()), []);
        assert!(program.end().success());
    }
}

#[test]
fn stopped_by_a_signal() {
    let mut program = Program::python("import sys\nprint('READY')\nprint(sys.stdin.readline())");
    send(program.pid(), libc::SIGSTOP);
    until("the stop", || states(program.pid()) == "T");
    assert!(matches!(refusal(&program), ForkError::JobStopped { .. }));
    let outcome = pyattach(&["census", &program.pid().to_string(), "--capture", "fork"]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(outcome.stderr.contains("is stopped by a signal"), "{outcome:?}");
    assert!(outcome.stderr.contains("--capture copy"), "{outcome:?}");
    until("it is stopped still", || states(program.pid()) == "T");
    send(program.pid(), libc::SIGCONT);
    assert_eq!(program.ask("hello"), "hello");
    assert!(program.end().success());
}

#[test]
fn in_the_middle_of_vfork() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(
        directory.path(),
        r#"
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int gate[2];
static void *reader(void *x) {
    char c;
    while (read(0, &c, 1) > 0) {
        if (c == '!') write(gate[1], &c, 1), read(0, &c, 1);
        else puts("answer"), fflush(stdout);
    }
    _exit(0);
}
int main(void) {
    pthread_t t;
    char c;
    pipe(gate);
    pthread_create(&t, 0, reader, 0);
    puts("READY"); fflush(stdout);
    if (vfork() == 0) { read(gate[0], &c, 1); _exit(0); }
    puts("over"); fflush(stdout);
    pause();
}
"#,
    );
    let mut program = Program::start(Command::new(program));
    program.expect("READY");
    until("vfork", || states(program.pid()).contains('D'));
    assert!(matches!(refusal(&program), ForkError::Vfork { .. }));
    program.say("!");
    program.expect("over");
    let process = Process::open(program.pid()).unwrap();
    fork_once(&process, &plan(&program).unwrap());
    assert_eq!(program.ask(""), "answer");
    assert!(program.end().success());
}

#[test]
fn no_libc() {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("a.s"), directory.path().join("a"));
    // write(1, "READY\n"), then read until the end of input, exit.
    let text = r#"
.globl _start
_start: mov $1,%eax; mov $1,%edi; lea text(%rip),%rsi; mov $6,%edx; syscall
again: xor %eax,%eax; xor %edi,%edi; lea room(%rip),%rsi; mov $1,%edx; syscall
test %rax,%rax; jg again; mov $60,%eax; xor %edi,%edi; syscall
.data
text: .ascii "READY\n"
room: .byte 0
"#;
    std::fs::write(&source, text).unwrap();
    let mut build = Command::new("cc");
    build.args(["-nostdlib", "-static", "-o"]).arg(&program).arg(&source);
    assert!(build.status().unwrap().success());
    let program = Program::start(Command::new(program));
    program.expect("READY");
    assert!(matches!(plan(&program), Err(ForkError::NoGadgets { .. })));
    assert!(program.end().success());
}

/// A static program has the instructions in itself.
#[test]
fn a_static_program_is_forked() {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("a.c"), directory.path().join("a"));
    let text = r#"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static void on(int n) {}
int main(void) {
    signal(SIGUSR1, on); puts("READY"); fflush(stdout);
    char c; while (read(0, &c, 1) > 0) puts("answer"), fflush(stdout);
    return 0;
}
"#;
    std::fs::write(&source, text).unwrap();
    let mut build = Command::new("cc");
    build.args(["-static", "-o"]).arg(&program).arg(&source);
    if !build.status().unwrap().success() {
        not_run("no static libc to link with");
        return;
    }
    let mut program = Program::start(Command::new(program));
    program.expect("READY");
    let process = Process::open(program.pid()).unwrap();
    fork_once(&process, &plan(&program).unwrap());
    assert_eq!(program.ask(""), "answer");
    assert!(program.end().success());
}

#[test]
fn traced_by_another() {
    let program = Program::python("import sys\nprint('READY')\nsys.stdin.read()");
    let process = Process::open(program.pid()).unwrap();
    let stopped = process.stop(StopOptions::default()).unwrap();
    let error = ForkPlan::prepare(&process, false).unwrap_err();
    assert!(error.to_string().contains("already traced by process"), "{error}");
    stopped.release();
    assert!(program.end().success());
}

/// musl's own `__restore_rt` and its loader, which is its libc; linked statically and not.
#[test]
fn musl_programs_are_forked() {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("a.c"), directory.path().join("a"));
    let text = r#"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void on(int n) {}
int main(void) {
    signal(SIGUSR1, on); puts("READY"); fflush(stdout);
    char c; struct pollfd in = {0, POLLIN, 0};
    for (;;) {
        int ready = poll(&in, 1, 60000);
        if (ready != 1) { printf("poll said %d\n", ready); return 1; }
        if (read(0, &c, 1) <= 0) return 0;
        if (c == '\n') puts("answer"), fflush(stdout);
    }
}
"#;
    std::fs::write(&source, text).unwrap();
    for linking in ["-static", "-rdynamic"] {
        let mut build = Command::new("musl-gcc");
        build.args([linking, "-o"]).arg(&program).arg(&source);
        let Ok(status) = build.status() else {
            not_run("no musl-gcc");
            return;
        };
        assert!(status.success());
        let mut program = Program::start(Command::new(&program));
        program.expect("READY");
        let process = Process::open(program.pid()).unwrap();
        for _ in 0..5 {
            fork_once(&process, &plan(&program).unwrap());
            assert_eq!(program.ask("still there?"), "answer");
        }
        assert_eq!(children(program.pid()), []);
        assert!(program.end().success());
    }
}

/// A fork is refused by the kernel: that is told, `auto` does without, the program goes on.
fn expect_refusal(program: &mut Program, errno: nix::errno::Errno, hint: &str) {
    let error = refusal(program);
    assert!(matches!(error, ForkError::Refused { errno: its, .. } if its == errno), "{error:?}");
    assert!(error.hint().unwrap().contains(hint), "{error:?}");
    let pid = program.pid().to_string();
    let outcome = pyattach(&["census", &pid, "--capture", "fork"]);
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    let census = pyattach_json(&["census", &pid]);
    assert_eq!(census["capture"]["mode"], "copy");
    let reason = census["capture"]["mode_reason"].as_str().unwrap();
    assert!(reason.contains("no fork: process"), "{reason}");
    assert_eq!(program.ask("still there?"), "answer");
    assert_eq!(children(program.pid()), []);
}

/// Two neighbours in memory, each of which the machine could give, are one to a fork, and it
/// cannot give that: the kernel says no for want of memory, as with strict overcommit.
#[test]
fn more_memory_than_there_is() {
    let setting = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap();
    if setting.trim() != "0" {
        eprintln!("not run: vm.overcommit_memory is not 0");
        return;
    }
    let mut program = Program::python(
        "import mmap, sys\nx = bytearray(b'x' * (150 << 20))\n\
         lines = [line.split() for line in open('/proc/meminfo')]\n\
         known = {words[0]: int(words[1]) for words in lines}\n\
         size = int((known['MemTotal:'] + known['SwapTotal:']) * 0.7) >> 2 << 12\n\
         kept = [mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for n in 'ab']\n\
         print('READY')\nfor line in sys.stdin: print('answer')",
    );
    expect_refusal(&mut program, nix::errno::Errno::ENOMEM, "--capture copy");
    assert!(program.end().success());
}

/// The limit of processes of one user (ulimit -u); root has none.
#[test]
fn the_users_limit_of_processes() {
    if !nix::unistd::geteuid().is_root() {
        not_run("becoming another user needs root");
        return;
    }
    // A number that nobody else has.
    let mut program = Program::python(
        "import os, resource, sys\nx = bytearray(b'x' * (150 << 20))\n\
         resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))\n\
         os.setgid(61234)\nos.setuid(61234)\n\
         print('READY')\nfor line in sys.stdin: print('answer')",
    );
    expect_refusal(&mut program, nix::errno::Errno::EAGAIN, "ulimit -u");
    assert!(program.end().success());
}

/// A cgroup of our own that holds at most as many tasks as are in it.
#[test]
fn the_limit_of_processes() {
    let group = std::path::PathBuf::from(format!(
        "/sys/fs/cgroup/pids/pyattach-test-{}",
        std::process::id()
    ));
    if std::fs::create_dir(&group).is_err() {
        eprintln!("not run: no pids controller (version 1) to write to");
        return;
    }
    let mut program = Program::python(
        "import sys\nx = bytearray(b'x' * (150 << 20))\nprint('READY')\n\
         for line in sys.stdin: print('answer')",
    );
    std::fs::write(group.join("cgroup.procs"), program.pid().to_string()).unwrap();
    std::fs::write(group.join("pids.max"), "1").unwrap();
    expect_refusal(&mut program, nix::errno::Errno::EAGAIN, "pids.max");
    assert!(program.end().success());
    until("the group can be removed", || std::fs::remove_dir(&group).is_ok());
}

/// A cgroup of our own whose limit is nearly used up: a fork there could call the
/// out-of-memory killer.
#[test]
fn the_limit_of_memory() {
    let group = std::path::PathBuf::from(format!(
        "/sys/fs/cgroup/memory/pyattach-test-{}",
        std::process::id()
    ));
    if std::fs::create_dir(&group).is_err() {
        eprintln!("not run: no memory controller (version 1) to write to");
        return;
    }
    let mut program = Program::python(
        "import sys\nprint('READY')\nfor line in sys.stdin:\n    \
         x = bytearray(b'x' * (50 << 20)) * 2\n    print('answer')",
    );
    std::fs::write(group.join("cgroup.procs"), program.pid().to_string()).unwrap();
    std::fs::write(group.join("memory.limit_in_bytes"), "300M").unwrap();
    assert_eq!(program.ask("take it"), "answer");
    let used = std::fs::read_to_string(group.join("memory.usage_in_bytes")).unwrap();
    let used: u64 = used.trim().parse().unwrap();
    let room = |mebibytes: u64| {
        let limit = used + (mebibytes << 20);
        std::fs::write(group.join("memory.limit_in_bytes"), limit.to_string()).unwrap();
    };
    let process = Process::open(program.pid()).unwrap();
    room(5);
    let error = ForkPlan::prepare(&process, true).unwrap_err();
    assert!(matches!(error, ForkError::NoRoom { .. }), "{error:?}");
    let census = pyattach_json(&["census", &program.pid().to_string()]);
    let reason = census["capture"]["mode_reason"].as_str().unwrap();
    assert!(reason.contains("memory limit of process"), "{reason}");
    // A copy could come to be as large as the process, and nobody may insist.
    room(90);
    for insist in [false, true] {
        let error = ForkPlan::prepare(&process, insist).unwrap_err();
        assert!(matches!(error, ForkError::NoRoom { .. }), "{error:?}");
    }
    room(200);
    // Two could be twice as large.
    let (child, _) = frozen(&process, &plan(&program).unwrap());
    let error = plan(&program).unwrap_err();
    assert!(matches!(error, ForkError::NoRoom { .. }), "{error:?}");
    child.finish();
    room(200);
    fork_once(&process, &plan(&program).unwrap());
    assert_eq!(program.ask("still there?"), "answer");
    assert!(program.end().success());
    until("the group can be removed", || std::fs::remove_dir(&group).is_ok());
}
