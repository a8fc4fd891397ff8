//! The programs that are captured, and how each is started.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Fixture, Flavour, Interpreter, scratch, store};

const COMMON: &str = include_str!("programs/common.py");

/// A program that checks itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    source: &'static str,
    needs: Needs,
    pub(crate) prey: Prey,
}

/// What it needs besides an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// The fixture of that name.
    Fixture,
    /// uvloop, for its version.
    Uvloop,
    /// The libraries, which are there for some versions.
    Gunicorn,
    /// A control group with so little memory, where we can make one.
    MemoryLimit(&'static str),
}

/// Who is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prey {
    /// The program.
    Program,
    /// The program or one of the processes below it.
    Family,
    /// One of the processes below it.
    Children,
}

macro_rules! program {
    ($name:literal, $file:literal, $needs:expr, $prey:ident) => {
        Program {
            name: $name,
            source: include_str!(concat!("programs/", $file)),
            needs: $needs,
            prey: Prey::$prey,
        }
    };
}

pub(crate) const ALL: [Program; 14] = [
    Program { name: "busy", source: "", needs: Needs::Fixture, prey: Prey::Program },
    program!("family", "family.py", Needs::Nothing, Program),
    program!("threads", "threads.py", Needs::Nothing, Program),
    program!("server", "server.py", Needs::Nothing, Program),
    program!("uvloop", "server.py", Needs::Uvloop, Program),
    program!("execs", "execs.py", Needs::Nothing, Program),
    program!("waits", "waits.py", Needs::Nothing, Program),
    program!("sorts", "sorts.py", Needs::Nothing, Program),
    program!("signals", "signals.py", Needs::Nothing, Program),
    program!("pools", "pools.py", Needs::Nothing, Family),
    program!("ends", "ends.py", Needs::Nothing, Children),
    // It needs some 80 MB, most of which it writes again and again. What it has when it comes into
    // its group is charged to the group that it comes from.
    program!("limits", "limits.py", Needs::MemoryLimit("230M"), Program),
    // A copy of all that it writes does not fit by far: no fork there, and nobody to remove the copies
    // of one that was allowed.
    program!("narrow", "limits.py", Needs::MemoryLimit("70M"), Program),
    program!("gunicorn", "gunicorn.py", Needs::Gunicorn, Children),
];

/// A program that runs, with what has to be undone at its end.
pub(crate) struct Running {
    pub(crate) fixture: Fixture,
    pub(crate) group: Option<Group>,
}

impl Program {
    /// Must every fork of it be refused?
    pub(crate) fn never_forked(&self) -> bool {
        self.name == "narrow"
    }

    /// Starts it; the error says why it cannot run here.
    pub(crate) fn start(&self, interpreter: &Interpreter) -> Result<Running, String> {
        let label = format!("{} on {interpreter}", self.name);
        if self.needs == Needs::Fixture {
            let fixture = Fixture::start(interpreter, "busy.py", &["--allocators", "1"]);
            return Ok(Running { fixture, group: None });
        }
        let source = format!("{COMMON}\n{}", self.source);
        let mut words = vec!["-c".to_owned(), source];
        match self.needs {
            Needs::Nothing if self.name == "execs" => words.push("0".to_owned()),
            Needs::Nothing | Needs::MemoryLimit(_) | Needs::Fixture => {}
            Needs::Uvloop => words.push(uvloop(interpreter).ok_or("no uvloop for it")?),
            Needs::Gunicorn => words.push(gunicorn(interpreter).ok_or("no gunicorn for it")?),
        }
        let mut command = interpreter.command(&words);
        if interpreter.root.is_none() {
            // Whatever is left there is left by somebody: a core, a file of ours.
            let folder = empty_folder(&label);
            command.current_dir(folder);
        }
        let fixture = Fixture::run(&label, command);
        let group = match self.needs {
            Needs::MemoryLimit(limit) => Group::of(fixture.pid, limit),
            _ => None,
        };
        Ok(Running { fixture, group })
    }
}

impl Running {
    /// What its end shows: files that were left, processes that were killed for want of memory.
    pub(crate) fn remains(&self, label: &str) -> Vec<String> {
        let mut found: Vec<String> = std::fs::read_dir(folder(label))
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| format!("{label}: a file is left: {}", file.file_name().to_string_lossy()))
            .collect();
        let _ = std::fs::remove_dir_all(folder(label));
        if let Some(group) = &self.group
            && group.killed(self.fixture.pid)
        {
            found.push(format!("{label}: killed for want of memory"));
        }
        found
    }
}

fn folder(label: &str) -> PathBuf {
    scratch().join(format!("harm-{}-{}", std::process::id(), label.replace([' ', '/'], "-")))
}

fn empty_folder(label: &str) -> PathBuf {
    let folder = folder(label);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// uvloop for this interpreter, as it sees it.
fn uvloop(interpreter: &Interpreter) -> Option<String> {
    let (major, minor, patch) = interpreter.version;
    let folder = store().join(format!("site-uvloop/{major}.{minor}.{patch}"));
    if !folder.join("uvloop").is_dir() || interpreter.flavour == Flavour::Debug {
        return None;
    }
    if interpreter.root.is_none() {
        return folder.to_str().map(str::to_owned);
    }
    let copy = scratch().join(format!("harm-uvloop-{}-{major}.{minor}", std::process::id()));
    if !copy.is_dir() {
        let copied = Command::new("cp").arg("-r").args([&folder, &copy]).status();
        assert!(copied.is_ok_and(|status| status.success()), "{}", copy.display());
    }
    interpreter.inside(&copy).to_str().map(str::to_owned)
}

/// What [`uvloop`] copied.
pub(crate) fn forget_copies() {
    let ours = format!("harm-uvloop-{}-", std::process::id());
    for entry in std::fs::read_dir(scratch()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&ours) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn gunicorn(interpreter: &Interpreter) -> Option<String> {
    let (major, minor, patch) = interpreter.version;
    let folder = store().join(format!("libraries/{major}.{minor}.{patch}"));
    let there = interpreter.flavour == Flavour::Shared && folder.join("gunicorn").is_dir();
    there.then(|| folder.to_str().map(str::to_owned)).flatten()
}

/// A control group of memory (version 1) of our own, in which a process has little left.
#[derive(Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    fn of(pid: i32, limit: &str) -> Option<Self> {
        let name = format!("/sys/fs/cgroup/memory/pyattach-harm-{pid}");
        let group = Self(PathBuf::from(name));
        std::fs::create_dir(&group.0).ok()?;
        std::fs::write(group.0.join("memory.limit_in_bytes"), limit).unwrap();
        std::fs::write(group.0.join("cgroup.procs"), pid.to_string()).unwrap();
        Some(group)
    }

    /// Was the program itself killed?
    fn killed(&self, pid: i32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        status.is_err() || status.is_ok_and(|text| text.contains(") Z"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty when the program has ended; it may take the kernel a moment.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
