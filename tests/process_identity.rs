//! What is said about a process is true of that process and of no other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

mod not_run;
mod process_helper;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use not_run::not_run;
use process_helper::{Target, states, wait_for};
use pyattach::process::{Process, ProcessError, Verdict};

const ECHO: &str = r#"
import sys, threading
threading.Thread(target=threading.Event().wait, daemon=True, name="other").start()
print("READY")
for line in sys.stdin: print("answer")
"#;

#[test]
fn identity() {
    let target = Target::python(ECHO);
    wait_for("both threads to wait", || states(target.pid()) == "SS");
    let process = Process::open(target.pid()).unwrap();
    let identity = process.identity().unwrap();
    assert_eq!(identity.pid, target.pid());
    assert_eq!(identity.namespaced_pid, Some(target.pid()));
    assert_eq!(identity.ppid, i32::try_from(std::process::id()).unwrap());
    let age = jiff::Timestamp::now().duration_since(identity.start_time.unwrap());
    assert!((-2.0..60.0).contains(&age.as_secs_f64()), "{age:?}");
    assert_eq!(identity.cmdline[1..], ["-u", "-c", ECHO]);
    let exe = identity.exe.unwrap();
    assert!(exe.is_file() && exe.to_string_lossy().contains("python"), "{exe:?}");
    assert_eq!(identity.cwd.unwrap(), std::env::current_dir().unwrap());
    assert_eq!(identity.uid, std::fs::metadata("/proc/self").unwrap().uid());
    assert!(identity.rss_bytes.unwrap() > 1 << 20);
    assert_eq!(identity.os_threads, 2);
    let fds = std::fs::read_dir(format!("/proc/{}/fd", target.pid())).unwrap().count();
    assert_eq!(identity.fds, Some(fds));
    assert_eq!((identity.state, identity.tracer_pid), ('S', 0));
    assert_eq!(identity.namespaces, process.namespaces());
    assert_eq!(identity.namespaces.pid, Some(true));
    assert_eq!(identity.namespaces.user, Some(true));
    assert_eq!(process.boot_id().len(), 36);
    assert!(process.start_ticks() > 0);
    let threads = process.threads().unwrap();
    assert_eq!(threads.len(), 2);
    assert_eq!(threads[0].tid, target.pid());
    assert!(threads.iter().all(|thread| thread.state == 'S'));
}

#[test]
fn odd_names_and_arguments() {
    let mut command = Command::new("python3");
    command.args(["-c", "print('READY', flush=True); open('/proc/self/comm','w').write(') R (1'); print('named', flush=True); input()"]);
    use std::os::unix::ffi::OsStrExt;
    command.arg(std::ffi::OsStr::from_bytes(b"\xff\x1b[31m")).arg("").arg("a b");
    let target = Target::start(command);
    target.expect("named");
    wait_for("it to wait", || states(target.pid()) == "S");
    let process = Process::open(target.pid()).unwrap();
    assert_eq!(process.threads().unwrap()[0].name, ") R (1");
    let identity = process.identity().unwrap();
    // Control characters are the report's business, not ours.
    assert_eq!(identity.cmdline[3..], ["\u{fffd}\u{1b}[31m", "", "a b"]);
    assert_eq!(identity.state, 'S');
}

#[test]
fn what_cannot_be_opened_says_why() {
    let none = Process::open(i32::MAX).unwrap_err();
    assert!(matches!(none, ProcessError::NoSuchProcess { pid: i32::MAX }), "{none:?}");
    assert!(matches!(Process::open(0).unwrap_err(), ProcessError::NoSuchProcess { .. }));
    assert!(matches!(Process::open(-1).unwrap_err(), ProcessError::NoSuchProcess { .. }));

    let target = Target::python(ECHO);
    let thread = Process::open(target.pid()).unwrap().threads().unwrap()[1].tid;
    match Process::open(thread).unwrap_err() {
        ProcessError::IsThread { tid, pid } => assert_eq!((tid, pid), (thread, target.pid())),
        other => panic!("{other:?}"),
    }

    // Not waited for by its parent.
    let parent = Target::python(
        "import os, sys\nn = os.fork()\nif n == 0: os._exit(0)\nprint('READY'); print(n)\nsys.stdin.read()",
    );
    let zombie: i32 = parent.line().parse().unwrap();
    wait_for("the zombie", || process_helper::states(zombie) == "Z");
    let error = Process::open(zombie).unwrap_err();
    assert!(matches!(error, ProcessError::Zombie { pid } if pid == zombie), "{error:?}");

    // 2 is kthreadd where we see the machine's own processes.
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n") {
        let error = Process::open(2).unwrap_err();
        assert!(matches!(error, ProcessError::KernelThread { pid: 2 }), "{error:?}");
    }
}

#[test]
fn a_process_that_ends_is_gone_and_not_another_one() {
    let target = Target::python(ECHO);
    let process = Process::open(target.pid()).unwrap();
    process.check().unwrap();
    assert!(target.end().success());
    let gone = |error: ProcessError| {
        assert!(
            matches!(error, ProcessError::Gone { .. } | ProcessError::Reused { .. }),
            "{error:?}"
        );
    };
    gone(process.check().unwrap_err());
    gone(process.identity().unwrap_err());
    gone(process.maps().unwrap_err());
    gone(process.threads().unwrap_err());
    gone(process.fd_count().unwrap_err());
    gone(process.rights().unwrap_err());
    gone(process.children(true).unwrap_err());
}

/// The number of an ended process given to another one, as the kernel would in time.
#[test]
fn a_reused_number_is_caught() {
    let target = Target::python(ECHO);
    let pid = target.pid();
    let process = Process::open(pid).unwrap();
    assert!(target.end().success());
    // Root may choose the next number (or the kernel would have to come around).
    // A test beside this one may have it for a while.
    let begin = std::time::Instant::now();
    while begin.elapsed() < process_helper::PATIENCE {
        if std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).is_err() {
            not_run("choosing a process's number needs root");
            return;
        }
        let mut command = Command::new("cat");
        command.arg("-");
        let other = Target::start(command);
        if other.pid() == pid {
            for error in [
                process.check().unwrap_err(),
                process.maps().unwrap_err(),
                process.identity().unwrap_err(),
            ] {
                assert!(matches!(error, ProcessError::Reused { .. }), "{error:?}");
            }
            assert!(process.stop(pyattach::process::StopOptions::default()).is_err());
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the number {pid} did not come again");
}

#[test]
fn families() {
    let parent = Target::python(
        r#"
import subprocess, sys
code = "import subprocess, sys; c = subprocess.Popen(['cat']); print(c.pid, flush=True); sys.stdin.read(); c.kill()"
child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
grandchild = child.stdout.readline().strip()
print("READY")
print(child.pid, grandchild)
sys.stdin.read()
child.stdin.close(); child.wait()
"#,
    );
    let pids: Vec<i32> = parent.line().split(' ').map(|pid| pid.parse().unwrap()).collect();
    let process = Process::open(parent.pid()).unwrap();
    assert_eq!(process.children(false).unwrap(), pids[..1]);
    let mut sorted = pids.clone();
    sorted.sort_unstable();
    assert_eq!(process.children(true).unwrap(), sorted);
    assert!(parent.end().success());
}

#[test]
fn our_rights() {
    let target = Target::python(ECHO);
    let process = Process::open(target.pid()).unwrap();
    let rights = process.rights().unwrap();
    // A child of ours: yama allows it as well.
    assert_eq!((rights.seize, rights.read_memory), (Verdict::Works, Verdict::Works));
    assert_eq!(rights.tracer, None);
    assert_eq!((rights.same_user, rights.same_user_namespace), (Some(true), Some(true)));
    assert!(rights.same_root);
    // Seizing for the question left nothing attached.
    wait_for("the release", || process.rights().unwrap().tracer.is_none());
    assert!(!process_helper::states(target.pid()).contains(['t', 'T']));
}

/// As another user: run where the tests run as root.
#[test]
fn a_refusal_says_what_was_refused() {
    let target = Target::python(ECHO);
    let us = std::env::current_exe().unwrap();
    if std::env::var("PYATTACH_TEST_PID").is_err() {
        use std::os::unix::process::CommandExt;
        // SAFETY: no arguments; cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            not_run("becoming another user needs root");
            return;
        }
        let copy = tempfile::tempdir_in("/tmp").unwrap();
        let program = copy.path().join("test");
        std::fs::copy(us, &program).unwrap();
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(copy.path(), readable).unwrap();
        let output = Command::new(program)
            .args(["--exact", "denied_inside", "--nocapture"])
            .env("PYATTACH_TEST_PID", target.pid().to_string())
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("DENIED AS IT SHOULD BE"), "{text}");
    }
}

/// Not a test of its own: started by the one above.
#[test]
fn denied_inside() {
    let Ok(pid) = std::env::var("PYATTACH_TEST_PID") else { return };
    let process = Process::open(pid.parse().unwrap()).unwrap();
    let identity = process.identity().unwrap();
    assert_eq!((identity.exe, identity.fds, identity.uid), (None, None, 0));
    assert_eq!(identity.os_threads, 2);
    let rights = process.rights().unwrap();
    assert_ne!(rights.seize, Verdict::Works);
    assert_ne!(rights.read_memory, Verdict::Works);
    assert_eq!((rights.same_user, rights.cap_sys_ptrace), (Some(false), false));
    let maps = process.maps().unwrap_err();
    assert!(matches!(maps, ProcessError::Denied { .. }), "{maps:?}");
    let stop = process.stop(pyattach::process::StopOptions::default()).unwrap_err();
    assert!(stop.to_string().contains("permission denied"), "{stop}");
    assert!(stop.hint().unwrap().contains("CAP_SYS_PTRACE"));
    use pyattach::memory::{Address, LiveMemory, MemoryError, MemorySource};
    let read = LiveMemory::new(&process).read_u8(Address::new(4096)).unwrap_err();
    assert_eq!(read, MemoryError::Denied);
    println!("DENIED AS IT SHOULD BE");
}

#[test]
fn mapped_files_are_the_very_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mapped file");
    std::fs::write(&path, b"the old content").unwrap();
    let target = Target::python(&format!(
        "import mmap, sys\nf = open({path:?}, 'rb')\nm = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\nf.close()\nprint('READY')\nsys.stdin.read()"
    ));
    let process = Process::open(target.pid()).unwrap();
    let find = || {
        let maps = process.maps().unwrap();
        maps.into_iter().find(|map| map.path.ends_with("mapped file")).unwrap()
    };
    let content = || {
        let mut text = String::new();
        process.open_mapped_file(&find())?.read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    };
    assert_eq!(content().unwrap(), "the old content");

    // Every mapped file, and the executable among them.
    let mut files = 0;
    for map in process.maps().unwrap().iter().filter(|map| map.is_file()) {
        let file = process.open_mapped_file(map).unwrap();
        assert_eq!(file.metadata().unwrap().ino(), map.inode, "{map:?}");
        files += 1;
    }
    assert!(files > 5);

    // Replaced: the new file must never be taken for the mapped one.
    let new = directory.path().join("new");
    std::fs::write(&new, b"the new content").unwrap();
    std::fs::rename(&new, &path).unwrap();
    assert!(find().deleted);
    let privileged = process.rights().unwrap().cap_sys_admin;
    match content() {
        Ok(text) => assert_eq!(text, "the old content"),
        Err(error) => assert!(!privileged, "{error}"),
    }
}

/// A target in a root of its own: links there mean what they mean there.
#[test]
fn paths_are_resolved_in_the_target_s_root() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/inside"), "inside").unwrap();
    std::os::unix::fs::symlink("/etc/inside", root.path().join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../../../../etc/inside", root.path().join("up")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.path().join("outside")).unwrap();
    let target = {
        let source = format!(
            "import os, sys\ntry:\n os.chroot({:?}); os.chdir('/')\nexcept PermissionError:\n print('READY'); print('refused'); sys.exit()\nprint('READY'); print('inside')\nsys.stdin.read()",
            root.path()
        );
        Target::python(&source)
    };
    if target.line() == "refused" {
        not_run("chroot needs root");
        return;
    }
    let process = Process::open(target.pid()).unwrap();
    for name in ["/etc/inside", "/absolute", "/up"] {
        let mut text = String::new();
        let path = std::path::Path::new(name);
        process.open_in_root(path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside", "{name}");
    }
    assert!(process.open_in_root("/outside".as_ref()).is_err());
    assert!(process.open_in_root("/etc".as_ref()).is_err());
    assert!(!process.rights().unwrap().same_root);
}
