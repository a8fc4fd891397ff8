//! What is said when a process cannot be looked at: its own message, a hint and an exit code for each case, on
//! stderr alone, and never a panic.

mod not_run;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use not_run::not_run;
use pyattach::attach::{AttachError, CaptureMode, CaptureOptions, StackOptions, Target};
use pyattach::process::{Mapping, ProcessError};
use support::{
    DEADLINE, Fixture, Flavour, Interpreter, Outcome, for_each_interpreter, for_each_of,
    interpreters, pyattach, scratch, store,
};

/// A process that is killed at the end of its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Running(command.spawn().unwrap_or_else(|problem| panic!("{command:?}: {problem}")))
    }

    /// The same, and waits for a line that it writes.
    fn until(command: &mut Command, expected: &str) -> Running {
        let mut running = Running::start(command);
        let mut line = String::new();
        let stdout = running.0.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected, "{command:?}");
        running
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

/// A process group; killed when dropped.
struct Group(i32);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0)]).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A line of `/proc/PID/status`.
fn status(pid: i32, field: &str) -> String {
    let text = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn is_root() -> bool {
    status(i32::try_from(std::process::id()).unwrap(), "Uid").starts_with("0\t0")
}

/// The form of every refusal, and these texts in it.
fn assert_refused(outcome: &Outcome, code: i32, texts: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert_eq!(outcome.stdout, "", "errors are not data");
    assert!(outcome.stderr.starts_with("error: "), "{outcome:?}");
    for text in texts {
        assert!(outcome.stderr.contains(text), "no {text:?}: {outcome:?}");
    }
    assert_clean(outcome);
}

fn assert_clean(outcome: &Outcome) {
    for text in ["panicked", "BACKTRACE", "unwrap", "\u{1b}"] {
        assert!(!outcome.stderr.contains(text), "{text:?}: {outcome:?}");
        assert!(!outcome.stdout.contains(text), "{text:?}: {outcome:?}");
    }
}

/// Every command that looks at a process refuses this one: `doctor` in its document, which is its answer.
fn assert_all_refuse(pid: i32, code: i32, texts: &[&str]) {
    let pid = pid.to_string();
    for command in ["dump", "census"] {
        assert_refused(&pyattach(&[command, &pid]), code, texts);
    }
    assert_refused(&pyattach(&["dump", "--json", &pid]), code, texts);
    let doctor = pyattach(&["doctor", &pid]);
    assert_eq!(doctor.code, Some(code), "{doctor:?}");
    let told = doctor.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("not possible"), "{doctor:?}");
    assert_clean(&doctor);
    let doctor = pyattach(&["doctor", "--json", &pid]);
    let document: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    let checks = document["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|check| check["verdict"] == "fail").collect();
    assert_eq!((doctor.code, failed.len()), (Some(code), 1), "{document:#}");
    let commands = document["commands"].as_array().unwrap();
    assert!(commands.iter().all(|command| command["verdict"] == "fail"), "{document:#}");
}

fn host_python() -> Option<&'static Interpreter> {
    interpreters().iter().find(|one| one.root.is_none())
}

/// A pyenv version that is too old for the matrix.
fn old_python(version: &str) -> Option<PathBuf> {
    let home = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = home.or(std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")))?;
    Some(home.join("versions").join(version).join("bin/python")).filter(|path| path.exists())
}

#[test]
fn no_such_process() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    child.wait().unwrap();
    assert_all_refuse(
        pid,
        3,
        &[&format!("there is no process {pid}"), "hint: in a container"][..1],
    );
    assert_refused(&pyattach(&["dump", "2147483647"]), 3, &["there is no process", "\nhint: "]);
}

#[test]
fn a_thread_is_no_process() {
    let Some(python) = host_python() else { return };
    let target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", target.pid)).unwrap();
    let mut tids = tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let thread: i32 = tids.find(|&tid| tid != target.pid).unwrap();
    let message = format!("{thread} is a thread of process {}", target.pid);
    assert_all_refuse(thread, 3, &[&message]);
    let hint = format!("\nhint: use the process: {}\n", target.pid);
    assert_refused(&pyattach(&["dump", &thread.to_string()]), 3, &[&hint]);
}

#[test]
fn a_kernel_thread() {
    if !std::fs::read("/proc/2/comm").is_ok_and(|name| name == b"kthreadd\n") {
        eprintln!("not run: kernel threads are not visible here");
        return;
    }
    assert_all_refuse(2, 3, &["process 2 is a kernel thread"]);
}

#[test]
fn a_zombie() {
    let child = Running(Command::new("true").spawn().unwrap());
    wait_for("the end", || status(child.pid(), "State").starts_with('Z'));
    assert_all_refuse(child.pid(), 3, &["has ended and is a zombie", "\nhint: its parent"]);
}

#[test]
fn not_python() {
    let sleep = Running::start(Command::new("sleep").arg("600"));
    wait_for("exec", || status(sleep.pid(), "Name") == "sleep");
    assert_all_refuse(sleep.pid(), 4, &["is not a Python process", "\nhint: give the PID of"]);
}

#[test]
fn other_pythons_are_named() {
    let program = "import sys; sys.stdout.write('READY\\n'); sys.stdout.flush(); sys.stdin.read()";
    for version in ["2.7.18", "3.6.15", "3.7.16"] {
        let Some(python) = old_python(version) else {
            not_run(&format!("{version} is not here"));
            continue;
        };
        let old = Running::until(Command::new(python).args(["-c", program]), "READY");
        assert_all_refuse(old.pid(), 4, &[&format!("Python {}", &version[..3]), "is too old"]);
    }
    if store().join("sid/usr/bin/pypy3").exists() && is_root() {
        let mut command = Command::new("chroot");
        command.env("LC_ALL", "C").arg(store().join("sid")).stderr(Stdio::null());
        command.args(["/usr/bin/pypy3", "-c", program]);
        let pypy = Running::until(&mut command, "READY");
        assert_all_refuse(pypy.pid(), 4, &["runs PyPy", "not CPython", "\nhint: PyPy has"]);
    } else {
        not_run("PyPy is not here");
    }
}

#[test]
fn a_python_that_starts_or_ends() {
    for_each_of(
        |one| one.root.is_none(),
        |python| {
            // The codecs are imported before the interpreter counts as initialised.
            let folder = tempfile::tempdir_in(scratch()).unwrap();
            std::fs::create_dir(folder.path().join("encodings")).unwrap();
            let text = "import posix\nposix.write(1, b'READY\\n')\nposix.read(0, 1)\n";
            std::fs::write(folder.path().join("encodings/__init__.py"), text).unwrap();
            let mut command = python.command(&["-S", "-c", "1"]);
            command.env("PYTHONPATH", folder.path()).stderr(Stdio::null());
            let starting = Running::until(&mut command, "READY");
            assert_all_refuse(starting.pid(), 3, &["still starting", "\nhint: try again"]);

            // Globals are destroyed when the interpreter is being finalised.
            let program = "import os\nclass Last:\n def __del__(self, os=os):\n  \
                           os.write(1, b'READY\\n'); os.read(0, 1)\nlast = Last()\n";
            let ending = Running::until(&mut python.command(&["-c", program]), "READY");
            assert_all_refuse(ending.pid(), 3, &["is shutting down", "\nhint: "]);
        },
    );
}

/// Overwrites bytes of the debug offsets (3.13+) in a running process: it then claims to be another Python.
fn forge(pid: i32, offset: u64, bytes: &[u8]) {
    let maps = Mapping::parse_all(&std::fs::read(format!("/proc/{pid}/maps")).unwrap());
    let open = std::fs::OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
    let memory = open.unwrap();
    for map in maps.iter().filter(|map| map.readable && map.writable && map.is_file()) {
        let mut content = vec![0; usize::try_from(map.length()).unwrap()];
        if memory.read_exact_at(&mut content, map.start).is_err() {
            continue;
        }
        for (index, word) in content.chunks_exact(8).enumerate() {
            if word == b"xdebugpy" {
                let at = map.start + index as u64 * 8 + offset;
                memory.write_all_at(bytes, at).unwrap();
                return;
            }
        }
    }
    panic!("no debug offsets in process {pid}");
}

/// Not really newer or free-threaded: processes that say so where CPython says it.
#[test]
fn newer_and_free_threaded_pythons() {
    let with_offsets = |one: &Interpreter| one.at_least((3, 13)) && one.flavour != Flavour::Debug;
    for_each_of(with_offsets, |python| {
        let target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
        forge(target.pid, 16, &1u64.to_le_bytes());
        let texts = ["free-threaded build", "not supported", "\nhint: "];
        assert_all_refuse(target.pid, 4, &texts);
        // The cookie and then the version, as sys.hexversion has it.
        forge(target.pid, 16, &0u64.to_le_bytes());
        forge(target.pid, 8, &0x0310_00a1_u64.to_le_bytes());
        let texts =
            ["Python 3.16.0a1 is newer", "3.8 to 3.15", "\nhint: look for a newer pyattach"];
        assert_all_refuse(target.pid, 4, &texts);
    });
}

#[test]
fn a_layout_that_does_not_fit() {
    let with_offsets = |one: &Interpreter| one.at_least((3, 13)) && one.flavour != Flavour::Debug;
    for_each_of(with_offsets, |python| {
        // A version that is known, and is not that of the process.
        let target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
        let other = if python.version.1 == 13 { 0x030e_0af0_u64 } else { 0x030d_05f0 };
        forge(target.pid, 8, &other.to_le_bytes());
        assert_all_refuse(target.pid, 4, &[]);
    });
}

#[test]
fn a_program_of_32_bits() {
    // The least there is: an ELF header, a program header, and pause() for ever.
    let mut program = b"\x7fELF\x01\x01\x01".to_vec();
    program.resize(16, 0);
    for half in [2u16, 3] {
        program.extend(half.to_le_bytes());
    }
    let base = 0x0804_8000_u32;
    for word in [1, base + 84, 52, 0, 0] {
        program.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        program.extend(half.to_le_bytes());
    }
    for word in [1, 0, base, base, 93, 93, 5, 0x1000] {
        program.extend(word.to_le_bytes());
    }
    program.extend(b"\xb8\x1d\0\0\0\xcd\x80\xeb\xf7");
    let folder = tempfile::tempdir_in(scratch()).unwrap();
    let path = folder.path().join("program");
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(&path)
        .unwrap()
        .write_all(&program)
        .unwrap();
    match Command::new(&path).stdin(Stdio::null()).spawn() {
        Ok(child) => {
            let child = Running(child);
            wait_for("exec", || status(child.pid(), "Name") == "program");
            assert_all_refuse(child.pid(), 3, &["is a 32-bit program"]);
        }
        Err(problem) => eprintln!("not run: the kernel runs no 32-bit programs: {problem}"),
    }
}

/// Our binary as a user without rights.
fn as_nobody(arguments: &[&str]) -> Outcome {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    let output = command.arg(env!("CARGO_BIN_EXE_pyattach")).args(arguments).output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn no_permission() {
    let reachable = Path::new(env!("CARGO_BIN_EXE_pyattach")).ancestors().skip(1).all(|folder| {
        std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 1 != 0)
    });
    let Some(python) = host_python().filter(|_| is_root() && reachable) else {
        not_run("needs root, and a folder that others can reach");
        return;
    };
    let mut target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
    let pid = target.pid_text();
    for command in [&["dump"][..], &["census"], &["dump", "--capture", "live"]] {
        let outcome = as_nobody(&[command, &[&pid]].concat());
        assert_refused(&outcome, 3, &["permission denied for process", "\nhint: ", "SYS_PTRACE"]);
    }
    let doctor = as_nobody(&["doctor", "--json", &pid]);
    let document: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    assert_eq!(doctor.code, Some(3), "{document:#}");
    let checks = document["checks"].as_array().unwrap();
    for name in ["read memory", "stop threads"] {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["verdict"], "fail", "{check:#}");
        assert!(check["hint"].is_string(), "{check:#}");
    }
    assert!(document["python"].is_null());
    assert_eq!(target.ask("ping")["pong"], target.pid);
}

#[test]
fn another_tracer() {
    let Some(python) = host_python() else { return };
    let mut target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
    let mut command = Command::new("gdb");
    command.args(["-q", "-nx", "-p", &target.pid_text()]).stderr(Stdio::null());
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let Ok(gdb) = command.spawn() else {
        not_run("there is no gdb");
        return;
    };
    let mut gdb = Running(gdb);
    wait_for("gdb", || status(target.pid, "TracerPid") == gdb.pid().to_string());
    let named = format!("already traced by process {} (gdb)", gdb.pid());
    let hint = format!("\nhint: end or detach gdb (process {})", gdb.pid());
    for command in ["dump", "census"] {
        assert_refused(&pyattach(&[command, &target.pid_text()]), 3, &[&named, &hint]);
    }
    let doctor = pyattach(&["doctor", &target.pid_text()]);
    assert_eq!(doctor.code, Some(3), "{doctor:?}");
    assert!(
        doctor.stdout.contains(&format!("process {} (gdb) traces it", gdb.pid())),
        "{doctor:?}"
    );
    let live = pyattach(&["dump", "--capture", "live", &target.pid_text()]);
    assert!(live.stdout.contains("Thread"), "reading needs no tracing: {live:?}");
    // The end of its commands ends gdb, which lets the target go.
    drop(gdb.0.stdin.take());
    gdb.0.wait().unwrap();
    assert_eq!(target.ask("ping")["pong"], target.pid);
    assert_eq!(pyattach(&["dump", &target.pid_text()]).code, Some(0));
}

#[test]
fn a_stopped_process_is_read_and_stays_stopped() {
    for_each_interpreter(|python| {
        let mut target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
        let pid = target.pid_text();
        let signal = |name: &str| {
            assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        };
        signal("-STOP");
        wait_for("the stop", || status(target.pid, "State").starts_with('T'));
        for command in [&["dump", &pid][..], &["census", &pid], &["doctor", &pid]] {
            let outcome = pyattach(command);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            wait_for("the stop again", || status(target.pid, "State").starts_with('T'));
        }
        signal("-CONT");
        assert_eq!(target.ask("ping")["pong"], target.pid);
    });
}

#[test]
fn a_pause_that_is_too_long_is_given_up() {
    for_each_interpreter(|python| {
        let mut target = Fixture::start(python, "bench_target.py", &["--objects", "200000"]);
        let pid = target.pid_text();
        for (mode, budget) in [("stop", "1us"), ("copy", "1us"), ("stop", "5ms"), ("auto", "300us")]
        {
            let outcome = pyattach(&["census", &pid, "--capture", mode, "--max-pause", budget]);
            assert_refused(&outcome, 5, &["\nhint: "]);
            assert_eq!(status(target.pid, "TracerPid"), "0");
        }
        assert_refused(
            &pyattach(&["census", &pid, "--capture", "copy", "--max-memory", "64K"]),
            5,
            &["memory ceiling", "\nhint: allow more with --max-memory"],
        );
        assert_eq!(target.ask("ping")["pong"], target.pid);
        let outcome = pyattach(&["census", &pid, "--capture", "live", "--max-pause", "1us"]);
        assert!(outcome.stdout.contains("approximate"), "live never pauses: {outcome:?}");
    });
}

#[test]
fn a_process_that_is_killed_meanwhile() {
    let Some(python) = host_python() else { return };
    for (round, mode) in ["stop", "copy", "live", "stop", "copy", "live"].iter().enumerate() {
        for delay in [0, 3, 10, 20, 40, 80, 160] {
            let target = Fixture::start(python, "bench_target.py", &["--objects", "100000"]);
            let pid = target.pid_text();
            let command = if round < 3 { "census" } else { "dump" };
            let outcome = std::thread::scope(|scope| {
                let run = scope.spawn(|| pyattach(&[command, &pid, "--capture", mode]));
                std::thread::sleep(Duration::from_millis(delay));
                drop(target);
                run.join().unwrap()
            });
            assert_clean(&outcome);
            match outcome.code {
                Some(0 | 5) => assert!(!outcome.stdout.is_empty(), "{outcome:?}"),
                _ => assert_refused(&outcome, 3, &["process"]),
            }
        }
    }
}

/// The number and the pidfd stay; everything that was found is void.
#[test]
fn a_process_that_becomes_another_program() {
    let program = |next: &str| {
        format!(
            "import json, os, sys\nprint('READY', json.dumps({{'pid': os.getpid()}}), flush=True)\n\
             sys.stdin.readline()\nos.execvp({next})"
        )
    };
    for_each_of(
        |one| one.root.is_none(),
        |python| {
            let again = "sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)']";
            for (next, name) in [("'sleep', ['sleep', '600']", "sleep"), (again, "600)")] {
                let command = python.command(&["-c", &program(next)]);
                let mut fixture = Fixture::run("exec", command);
                let target = Target::open(fixture.pid).unwrap();
                let other = || {
                    let path = format!("/proc/{}/cmdline", fixture.pid);
                    let line = std::fs::read_to_string(path).unwrap_or_default();
                    line.contains(name) && !line.contains("readline")
                };
                assert!(!other());
                let pid = fixture.pid;
                // There is no answer: the program that would give it is gone.
                let _ = fixture.try_ask("go", Duration::from_millis(1));
                wait_for("exec", || {
                    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
                    line.is_ok_and(|line| line.contains("600") && !line.contains("readline"))
                });
                let options = StackOptions { locals: true, source: true };
                for mode in [CaptureMode::Stop, CaptureMode::Copy, CaptureMode::Live] {
                    let capture = CaptureOptions { mode, ..CaptureOptions::default() };
                    for error in [
                        target.dump(&capture, options).unwrap_err(),
                        target.census(&capture).unwrap_err(),
                    ] {
                        let replaced = ProcessError::Replaced { pid };
                        assert_eq!(error.to_string(), replaced.to_string(), "{mode} {name}");
                        assert!(matches!(error, AttachError::Process(_)) && error.hint().is_some());
                    }
                }
            }
        },
    );
}

#[test]
fn several_processes_of_which_one_fails() {
    let Some(python) = host_python() else { return };
    let (one, two) = (
        Fixture::start(python, "stacks.py", &["--only", "lock"]),
        Fixture::start(python, "stacks.py", &["--only", "sleep"]),
    );
    let sleep = Running::start(Command::new("sleep").arg("600"));
    wait_for("exec", || status(sleep.pid(), "Name") == "sleep");
    let pids = [one.pid_text(), sleep.pid().to_string(), two.pid_text()];
    for command in ["dump", "census"] {
        let outcome = pyattach(&[command, &pids[0], &pids[1], &pids[2], "--json"]);
        assert_eq!(outcome.code, Some(4), "{outcome:?}");
        assert!(outcome.stderr.contains("is not a Python process"), "{outcome:?}");
        assert_clean(&outcome);
        let documents = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
        let documents: Vec<serde_json::Value> = documents.collect();
        let told: Vec<_> = documents.iter().map(|one| one["process"]["pid"].clone()).collect();
        assert_eq!(told, [one.pid, two.pid]);
    }
}

/// A shell, two Pythons and a helper that is none.
#[test]
fn the_children_of_a_process() {
    let Some(python) = host_python() else { return };
    // One write for the line: print() makes two of it where PYTHONUNBUFFERED is set.
    let program =
        "import sys, time; sys.stdout.write('READY\\n'); sys.stdout.flush(); time.sleep(600)";
    let line = "\"$0\" -c \"$1\" & \"$0\" -c \"$1\" & sleep 600 & wait";
    let mut command = Command::new("sh");
    command.args(["-c", line]).arg(&python.executable).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut shell = Running(command.spawn().unwrap());
    let _family = Group(shell.pid());
    let stdout = BufReader::new(shell.0.stdout.take().unwrap());
    assert_eq!(stdout.lines().take(2).map(Result::unwrap).collect::<Vec<_>>(), ["READY", "READY"]);
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", shell.pid());
        let text = std::fs::read_to_string(path).unwrap();
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_for("the children", || children().len() == 3);
    let pid = shell.pid().to_string();
    let outcome = pyattach(&["dump", "--children", "--json", &pid]);
    let alone = pyattach(&["dump", &pid]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 2, "{outcome:?}");
    assert_eq!(outcome.stderr.matches("note: ").count(), 2, "{outcome:?}");
    assert_clean(&outcome);
    assert_refused(&alone, 4, &["is not a Python process"]);
}

#[test]
fn a_family_without_python() {
    let sleep = Running::start(Command::new("sleep").arg("600"));
    wait_for("exec", || status(sleep.pid(), "Name") == "sleep");
    let outcome = pyattach(&["dump", "--children", &sleep.pid().to_string()]);
    assert_refused(&outcome, 4, &["is not a Python process"]);
}
