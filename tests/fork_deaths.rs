//! Our binary is killed at every step of a fork and at random moments: the target goes on, its
//! own checks find no harm, and a later run removes what was left.

mod fork_helper;
mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use fork_helper::{STEPS, children, fork_census, until};
use pyattach::attach::Target;
use support::{Fixture, Interpreter, for_each_interpreter, for_each_of};

const RANDOM_KILLS: u64 = 40;

fn start(pid: i32, die_at: Option<&str>) -> Child {
    let program = env!("CARGO_BIN_EXE_pyattach");
    let mut command = Command::new(program);
    command.args(["census", &pid.to_string(), "--capture", "fork"]);
    if let Some(step) = die_at {
        command.env("PYATTACH_TEST_DIE_AT", step);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A busy target and one in which every thread waits for a relative time.
#[test]
fn a_target_survives_our_death_at_every_step() {
    for_each_interpreter(|interpreter| {
        let mut busy = Fixture::start(interpreter, "busy.py", &["--allocators", "1"]);
        let mut calm = Fixture::start(interpreter, "census.py", &[]);
        let before = busy.ask("check");
        let mut not_reached = Vec::new();
        for step in STEPS {
            for pid in [busy.pid, calm.pid] {
                let status = start(pid, Some(step)).wait().unwrap();
                if status.signal() != Some(libc::SIGKILL) {
                    not_reached.push((step, pid == busy.pid));
                }
            }
        }
        // A busy target may be in the middle of a collection in all attempts.
        assert!(not_reached.iter().all(|&(_, busy)| busy), "{not_reached:?}");
        assert!(not_reached.len() < STEPS.len() / 2, "{not_reached:?}");
        for fixture in [&busy, &calm] {
            until("the copies' ends", || children(fixture.pid).iter().all(|&(_, s)| s == 'Z'));
        }
        assert!(!children(calm.pid).is_empty(), "the steps leave something to remove");
        let census = fork_census(&Target::open(calm.pid).unwrap());
        let notes = census.capture.notes.join("\n");
        assert!(notes.contains("dead copies that earlier runs had left behind"), "{notes}");
        fork_census(&Target::open(busy.pid).unwrap());
        for fixture in [&busy, &calm] {
            assert_eq!(children(fixture.pid), []);
        }
        check(&mut busy, &before);
        calm.ask("census");
        calm.end();
        busy.end();
    });
}

#[test]
fn a_target_survives_our_death_at_random_moments() {
    // At each step, every interpreter was tried above.
    let some = |python: &Interpreter| [8, 11, 13, 15].contains(&python.version.1);
    for_each_of(some, |interpreter| {
        let mut busy = Fixture::start(interpreter, "busy.py", &["--allocators", "1"]);
        let before = busy.ask("check");
        // How long a run takes here and now.
        let begin = std::time::Instant::now();
        start(busy.pid, None).wait().unwrap();
        let mut run = begin.elapsed();
        let mut killed = 0;
        for round in 0..RANDOM_KILLS * 4 {
            let mut child = start(busy.pid, None);
            let part = (round * 7919 % 1000) as f64 / 1000.0;
            std::thread::sleep(run.mul_f64(part));
            child.kill().unwrap();
            if child.wait().unwrap().signal() == Some(libc::SIGKILL) {
                killed += 1;
            } else {
                run = run.mul_f64(0.9);
            }
            if killed == RANDOM_KILLS {
                break;
            }
        }
        assert_eq!(killed, RANDOM_KILLS);
        // The last copy dies a moment after us, and only the dead are removed.
        until("the copies' ends", || children(busy.pid).iter().all(|&(_, state)| state == 'Z'));
        fork_census(&Target::open(busy.pid).unwrap());
        assert_eq!(children(busy.pid), []);
        check(&mut busy, &before);
        busy.end();
    });
}

/// Fills every register that the compiler leaves to us, the red zone below the stack pointer and
/// the direction flag, spins, and compares.
const SPIN: &str = r#"
.globl spin
spin: push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
mov $0x1122334455667788,%rax
.irp n,8,16,64,120,128
mov %rax,-\n(%rsp)
.endr
.irp r,rbp,rbx,rcx,r8,r9,r10,r11,r12,r13,r14,r15
lea 7(%rax),%\r
.endr
.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
VMOV (32*\n)(%rdi),REG(\n)
.endr
std
1: dec %rdx
jnz 1b
.irp n,8,16,64,120,128
cmp %rax,-\n(%rsp)
jne 2f
.endr
add $7,%rax
.irp r,rbp,rbx,rcx,r8,r9,r10,r11,r12,r13,r14,r15
cmp %rax,%\r
jne 2f
.endr
pushf; pop %rax; test $0x400,%eax; jz 2f
cld
.irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
VMOV REG(\n),(32*\n)(%rsi)
.endr
xor %eax,%eax; jmp 3f
2: cld; mov $1,%eax
3: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret
.section .note.GNU-stack,"",@progbits
"#;

const SPINNER: &str = r#"
import ctypes, json, os, select, sys
spin = ctypes.CDLL(sys.argv[1]).spin
spin.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long]
given, got = ctypes.create_string_buffer(bytes(range(256)) * 2), ctypes.create_string_buffer(513)
print("READY " + json.dumps({"pid": os.getpid()}), flush=True)
wrong = rounds = 0
while True:
    if spin(given, got, 30000000): wrong += 1
    if got.raw[: WIDTH] != given.raw[: WIDTH] or got.raw[480 : 480 + WIDTH] != given.raw[480 : 480 + WIDTH]: wrong += 1
    rounds += 1
    if select.select([0], [], [], 0)[0]:
        if not sys.stdin.readline(): break
        print(json.dumps({"wrong": wrong, "rounds": rounds}), flush=True)
"#;

/// A thread in code of its own, with every register in use.
#[test]
fn no_register_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("spin.so");
    let avx = std::is_x86_feature_detected!("avx");
    let (vmov, prefix, width) = if avx { ("vmovdqu", "ymm", 32) } else { ("movdqu", "xmm", 16) };
    let mut source = SPIN.replace("VMOV", vmov);
    source = source.replace(r"REG(\n)", &format!(r"%{prefix}\n"));
    let text = directory.path().join("spin.s");
    std::fs::write(&text, source).unwrap();
    let mut build = Command::new("cc");
    build.args(["-shared", "-o"]).arg(&library).arg(&text);
    assert!(build.status().unwrap().success());
    let mut command = Command::new("python3");
    command.arg("-c").arg(SPINNER.replace("WIDTH", &width.to_string())).arg(&library);
    let mut spinner = Fixture::run("spinner", command);
    let mut killed = 0;
    for step in STEPS {
        for _ in 0..3 {
            let status = start(spinner.pid, Some(step)).wait().unwrap();
            killed += u32::from(status.signal() == Some(libc::SIGKILL));
        }
        let answer = spinner.ask("");
        assert_eq!(answer["wrong"], 0, "{step}: {answer}");
    }
    assert!(killed > 40, "{killed} kills");
    fork_census(&Target::open(spinner.pid).unwrap());
    assert_eq!(children(spinner.pid), []);
    let answer = spinner.ask("");
    assert_eq!(answer["wrong"], 0, "{answer}");
    assert!(answer["rounds"].as_u64() > Some(20), "{answer}");
    spinner.end();
}

/// The target's own findings: none, everything moved on, nothing more is open.
fn check(busy: &mut Fixture, before: &serde_json::Value) {
    let after = busy.ask("check");
    assert_eq!(after["harm"], serde_json::json!([]), "{after}");
    for kind in ["nanosleep", "poll"] {
        assert_eq!(after["interrupted"][kind], 0, "{after}");
    }
    assert_eq!(after["descriptors"], before["descriptors"]);
    assert_eq!(after["threads"], before["threads"]);
    assert_eq!(after["counters"]["pauses_seen"], 0);
    let count = |check: &serde_json::Value, name: &str| check["counters"][name].as_u64().unwrap();
    for name in before["counters"].as_object().unwrap().keys().filter(|&n| n != "pauses_seen") {
        assert!(count(&after, name) > count(before, name), "{name} stands still: {after}");
    }
    assert!(count(&after, "signals_sent") - count(&after, "signals_seen") <= 1, "{after}");
}
