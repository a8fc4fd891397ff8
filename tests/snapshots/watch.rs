//! The watch, and everything that may happen to it.

use super::not_run::not_run;
use super::support::{DEADLINE, Fixture, Interpreter, for_each_of, scratch};
use pyattach::snapshot::SnapshotFile;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A watch that runs; killed when dropped.
struct Watch {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// Waits for something that must come.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: never");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Watch {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyattach"));
        command.arg("watch").args(arguments);
        Self::run(command)
    }

    /// The same within a mount namespace of its own, in which `script` has mounted something.
    fn in_namespace(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
        command.arg(format!("{script}\nexec \"$@\"")).args(["sh", env!("CARGO_BIN_EXE_pyattach")]);
        command.arg("watch").args(arguments);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        // SAFETY: prctl is a plain system call and async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let mut child = command.spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let read = |stream| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut said = said.lock().unwrap();
                    said.push_str(&line);
                    said.push('\n');
                }
            })
        };
        let readers = streams.into_iter().map(read).collect();
        Self { child, said, readers }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn wait_to_say(&self, text: &str) {
        let what = format!("to say {text:?}");
        wait_for(&what, || self.said().contains(text).then_some(()));
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a plain system call on a child that was not waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = wait_for("its end", || self.child.try_wait().unwrap());
        // What it said last may still be on its way.
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        (status.code(), self.said())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir_in(scratch()).unwrap()
}

/// The finished files of a folder; every one of them must be whole.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pysnap"));
    paths.sort();
    for path in &paths {
        // Thinning may have taken it in the meantime.
        let Ok(mut file) = SnapshotFile::open(path) else {
            assert!(!path.exists(), "{} is damaged", path.display());
            continue;
        };
        file.read_all().unwrap();
        assert!(file.damage().is_empty(), "{}: {:?}", path.display(), file.damage());
    }
    paths
}

fn wait_for_files(folder: &Path, count: usize) -> Vec<PathBuf> {
    wait_for("files", || Some(files(folder)).filter(|files| files.len() >= count))
}

fn on_one(check: impl Fn(&Interpreter) + Sync) {
    for_each_of(|one| one.label == "3.12.1", check);
}

fn is_root() -> bool {
    // SAFETY: geteuid cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn restarts_are_survived_and_told() {
    on_one(|interpreter| {
        let dir = folder();
        let pidfile = dir.path().join("pid");
        let name = |what: &Path| what.to_str().unwrap().to_owned();
        let tell = |pid: &str| {
            let new = dir.path().join("pid.new");
            fs::write(&new, pid).unwrap();
            fs::rename(&new, &pidfile).unwrap();
        };
        let first = Fixture::start(interpreter, "series.py", &[]);
        tell(&first.pid_text());
        let out = dir.path().join("out");
        let watch =
            Watch::start(&["--pidfile", &name(&pidfile), "--every", "100ms", "--dir", &name(&out)]);
        wait_for_files(&out, 2);
        let text = format!("process {} has ended", first.pid);
        drop(first);
        watch.wait_to_say(&text);
        let second = Fixture::start(interpreter, "series.py", &[]);
        tell(&second.pid_text());
        let of_second = format!("{}-", second.pid);
        wait_for("files of the second", || {
            let all = files(&out);
            let named = |path: &&PathBuf| {
                path.file_name().unwrap().to_str().unwrap().starts_with(&of_second)
            };
            all.iter().any(|path| named(&path)).then_some(())
        });
        watch.signal(libc::SIGTERM);
        let (code, said) = watch.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("ended by a signal"), "{said}");
    });
}

#[test]
fn a_stopped_process_stays_stopped_and_is_captured() {
    on_one(|interpreter| {
        let dir = folder();
        let mut target = Fixture::start(interpreter, "series.py", &[]);
        let path = dir.path().to_str().unwrap();
        let watch = Watch::start(&[&target.pid_text(), "--every", "100ms", "--dir", path]);
        wait_for_files(dir.path(), 1);
        // SAFETY: plain system calls; the target is a child that was not waited for.
        unsafe { libc::kill(target.pid, libc::SIGSTOP) };
        let before = files(dir.path()).len();
        wait_for_files(dir.path(), before + 3);
        wait_for("the stopped state", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", target.pid)).unwrap();
            stat.rsplit(')').next().unwrap().trim_start().starts_with('T').then_some(())
        });
        // SAFETY: as above.
        unsafe { libc::kill(target.pid, libc::SIGCONT) };
        let before = files(dir.path()).len();
        wait_for_files(dir.path(), before + 1);
        target.ask("step");
        watch.signal(libc::SIGINT);
        assert_eq!(watch.end().0, Some(0));
    });
}

#[test]
fn the_end_of_the_process_is_the_end() {
    on_one(|interpreter| {
        let dir = folder();
        let target = Fixture::start(interpreter, "series.py", &[]);
        let path = dir.path().to_str().unwrap();
        let watch = Watch::start(&[&target.pid_text(), "--every", "100ms", "--dir", path]);
        wait_for_files(dir.path(), 1);
        drop(target);
        let (code, said) = watch.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("has ended, after") && said.contains("no process is left"), "{said}");
    });
}

#[test]
fn a_clock_that_is_set_back_costs_nothing() {
    on_one(|interpreter| {
        let dir = folder();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (library, offset, out) = (at("wall_clock.so"), at("offset"), at("out"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/wall_clock.c");
        let cc = ["-shared", "-fPIC", "-o", &library, source, "-ldl"];
        assert!(Command::new("cc").args(cc).status().unwrap().success());
        fs::write(&offset, "0").unwrap();
        let target = Fixture::start(interpreter, "series.py", &[]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyattach"));
        command.args(["watch", &target.pid_text(), "--every", "100ms", "--dir", &out]);
        command.env("LD_PRELOAD", &library).env("WALL_CLOCK", &offset);
        let watch = Watch::run(command);
        let out = Path::new(&out);
        let before = wait_for_files(out, 3);
        fs::write(dir.path().join("new"), "-90000").unwrap();
        fs::rename(dir.path().join("new"), &offset).unwrap();
        watch.wait_to_say("the clock was set back by 90000 s");
        // By their names, those of now are a day older than those of before.
        let after = wait_for_files(out, before.len() + 8);
        assert!(before.iter().all(|path| after.contains(path)), "{before:?}\n{after:?}");
        watch.signal(libc::SIGTERM);
        let (code, said) = watch.end();
        assert_eq!(code, Some(0), "{said}");
        let trend = super::series::json(&["trend", out.to_str().unwrap(), "--json", "--all"]);
        let process = &trend["processes"][0];
        assert_eq!(process["captures"], files(out).len());
        let times: Vec<i64> =
            process["times"].as_array().unwrap().iter().map(|it| it.as_i64().unwrap()).collect();
        let falls = times.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(falls, 1, "{times:?}");
        assert!(process["hours"].as_f64().unwrap() < 1.0, "{process:#}");
    });
}

#[test]
fn children_are_watched_with_their_parent() {
    on_one(|interpreter| {
        let dir = folder();
        let path = dir.path().to_str().unwrap();
        let target = Fixture::start(interpreter, "report_service.py", &["--children", "2"]);
        let pid = target.pid_text();
        let watch = Watch::start(&[&pid, "--children", "--every", "100ms", "--dir", path]);
        let of_process = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            name.split('-').next().unwrap().to_owned()
        };
        wait_for("files of all three", || {
            let pids: std::collections::BTreeSet<String> =
                files(dir.path()).iter().map(of_process).collect();
            (pids.len() == 3 && pids.contains(&pid)).then_some(())
        });
        drop(target);
        let (_, said) = watch.end();
        assert!(said.contains("no process is left"), "{said}");
    });
}

#[test]
fn a_full_disk_is_reported_and_costs_no_file() {
    if !is_root() {
        not_run("mounting needs root");
        return;
    }
    on_one(|interpreter| {
        let dir = folder();
        let target = Fixture::start(interpreter, "series.py", &[]);
        let path = dir.path().to_str().unwrap();
        let script = format!("mount -t tmpfs -o size=64k tmpfs '{path}'");
        let pid = target.pid_text();
        let arguments = [pid.as_str(), "--every", "50ms", "--dir", path, "--keep", "all"];
        let watch = Watch::in_namespace(&script, &arguments);
        watch.wait_to_say("No space left");
        let inside = PathBuf::from(format!("/proc/{}/root{path}", watch.child.id()));
        let whole = files(&inside).len();
        assert!(whole > 0, "{}", watch.said());
        // Once there is room again, it goes on.
        for path in files(&inside) {
            fs::remove_file(path).unwrap();
        }
        wait_for_files(&inside, 1);
        let left = || fs::read_dir(&inside).unwrap().flatten().map(|entry| entry.path());
        wait_for("no unfinished file", || {
            left().all(|path| path.extension().is_some_and(|it| it == "pysnap")).then_some(())
        });
        watch.signal(libc::SIGTERM);
        let (code, said) = watch.end();
        assert_eq!(code, Some(2), "{said}");
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    if !is_root() {
        not_run("mounting needs root");
        return;
    }
    on_one(|interpreter| {
        let dir = folder();
        let target = Fixture::start(interpreter, "series.py", &[]);
        let path = dir.path().to_str().unwrap();
        let script = format!("mount -t tmpfs -o ro tmpfs '{path}'");
        let watch = Watch::in_namespace(&script, &[&target.pid_text(), "--dir", path]);
        let (code, said) = watch.end();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("Read-only file system") && said.contains("hint:"), "{said}");
    });
}

#[test]
fn our_own_death_leaves_whole_files_only() {
    on_one(|interpreter| {
        let dir = folder();
        let mut target = Fixture::start(interpreter, "series.py", &[]);
        let path = dir.path().to_str().unwrap();
        let pid = target.pid_text();
        for round in 0..8u64 {
            let before = files(dir.path()).len();
            let watch = Watch::start(&[&pid, "--every", "1ms", "--dir", path, "--keep", "all"]);
            wait_for_files(dir.path(), before + 1);
            std::thread::sleep(Duration::from_millis(round * 7));
            watch.signal(libc::SIGKILL);
            assert_eq!(watch.end().0, None);
            files(dir.path());
        }
        // A writer that is gone for certain: ids are given again only much later.
        let gone = Command::new("true").spawn().unwrap();
        let left = dir.path().join(format!(".pysnap-{}-x.part", gone.id()));
        gone.wait_with_output().unwrap();
        fs::write(&left, "half").unwrap();
        let whole = files(dir.path()).len();
        let watch = Watch::start(&[&pid, "--dir", path, "--keep", "all", "--count", "1"]);
        let (code, said) = watch.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("had not finished") && !left.exists(), "{said}");
        assert_eq!(files(dir.path()).len(), whole + 1);
        target.ask("step");
    });
}

#[test]
fn a_leak_is_told_once_and_given_to_the_command() {
    on_one(|interpreter| {
        let dir = folder();
        let mut target = Fixture::start(interpreter, "series.py", &[]);
        let out = dir.path().join("out");
        let told = dir.path().join("told");
        let command = format!("cat >> '{0}'; echo >> '{0}'", told.display());
        let (pid, path) = (target.pid_text(), out.to_str().unwrap());
        let watch =
            Watch::start(&[&pid, "--every", "50ms", "--dir", path, "--on-verdict", &command]);
        let mut seen = 0;
        wait_for("a verdict", || {
            let now = fs::read_dir(&out).map_or(0, Iterator::count);
            if now > seen {
                seen = now;
                target.ask("step");
            }
            let text = fs::read_to_string(&told).unwrap_or_default();
            text.contains("open files").then_some(())
        });
        watch.signal(libc::SIGTERM);
        let (_, said) = watch.end();
        assert!(said.contains("open files keep growing"), "{said}");
        let text = fs::read_to_string(&told).unwrap();
        let findings: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |title: &str| {
            findings.iter().filter(|it| it["title"].as_str().unwrap().starts_with(title)).count()
        };
        assert_eq!(of("open files keep"), 1, "{text}");
    });
}
