//! Discovery, resolving and validation against live interpreters of every version here.

use pyattach::binary::Module;
use pyattach::layout::Flavour;
use pyattach::layout::discover::{DiscoverError, Target, discover};
use pyattach::layout::resolve::resolve;
use pyattach::layout::Layout;
use pyattach::memory::{Address, MemoryError, MemorySource, ReadStats};
use pyattach::process::Mapping;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The memory of a process through `/proc/PID/mem`.
struct ProcMem(File);

impl MemorySource for ProcMem {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.0
            .read_exact_at(buffer, address.get())
            .map_err(|_| MemoryError::Fault { address, length: buffer.len() })
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

/// A child that is killed at the end of its test.
struct Python {
    child: Child,
    root: PathBuf,
}

const PROGRAM: &str = "import sys; print('READY', flush=True); sys.stdin.read()";

impl Python {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "READY\n", "{command:?}");
        let root = PathBuf::from(format!("/proc/{}/root", child.id()));
        Self { child, root }
    }

    fn with<T>(&self, look: impl FnOnce(&Target<'_>) -> T) -> T {
        let pid = self.child.id();
        let maps = Mapping::parse_all(&std::fs::read(format!("/proc/{pid}/maps")).unwrap());
        let memory = ProcMem(File::open(format!("/proc/{pid}/mem")).unwrap());
        let open = |mapping: &Mapping| {
            File::open(self.root.join(mapping.path.strip_prefix("/").unwrap_or(&mapping.path)))
        };
        look(&Target { maps: &maps, memory: &memory, open: &open, root: &self.root })
    }

    fn layout(&self) -> Layout {
        self.with(|target| {
            let runtimes = discover(target).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!(runtimes.len(), 1);
            resolve(target, &runtimes[0])
                .unwrap_or_else(|error| panic!("{:?}: {error:?}", runtimes[0]))
        })
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A way to start an interpreter.
struct Interpreter {
    name: String,
    program: PathBuf,
    root: Option<PathBuf>,
}

impl Interpreter {
    fn command(&self, program: &str) -> Command {
        let mut command = match &self.root {
            None => Command::new(&self.program),
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(&self.program);
                command
            }
        };
        command.args(["-I", "-S", "-c", program]);
        command
    }

    fn start(&self) -> Python {
        Python::start(self.command(PROGRAM))
    }

    fn version(&self) -> String {
        let output = self
            .command("import sys; print(sys.version.split()[0].rstrip('+'))")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn store() -> PathBuf {
    match std::env::var_os("PYATTACH_INTERPRETERS") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interpreters"),
    }
}

fn pyenv() -> PathBuf {
    Path::new(&std::env::var("HOME").unwrap_or_default()).join(".pyenv/versions")
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries
}

/// Every interpreter of a supported version on this machine.
fn interpreters() -> Vec<Interpreter> {
    let mut all = Vec::new();
    for root in folder(&pyenv()) {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let minor = name.strip_prefix("3.").and_then(|rest| rest.split('.').next()?.parse().ok());
        if minor.is_some_and(|minor: u32| minor >= 8) {
            all.push(Interpreter { name, program: root.join("bin/python3"), root: None });
        }
    }
    if Path::new("/usr/bin/python3").exists() {
        let program = PathBuf::from("/usr/bin/python3");
        all.push(Interpreter { name: "distribution".to_owned(), program, root: None });
    }
    for (root, programs) in [
        ("sid", &["python3.13", "python3.14", "python3.14d", "python3.15"][..]),
        ("trixie", &["python3.13"]),
        ("bullseye", &["python3.9"]),
    ] {
        let root = store().join(root);
        for program in programs {
            let path = Path::new("/usr/bin").join(program);
            if root.join(path.strip_prefix("/").unwrap()).exists() {
                all.push(Interpreter {
                    name: format!("{program} in {}", root.display()),
                    program: path,
                    root: Some(root.clone()),
                });
            }
        }
    }
    assert!(!all.is_empty(), "there is no Python on this machine");
    all
}

#[test]
fn every_interpreter_resolves_and_validates() {
    for interpreter in interpreters() {
        let python = interpreter.start();
        let started = std::time::Instant::now();
        let layout = python.layout();
        println!("{}: {} {} {:?}\n   {:?}", interpreter.name, layout.version, layout.flavour.name(), started.elapsed(), layout.origin);
        assert_eq!(layout.version.to_string(), interpreter.version(), "{}", interpreter.name);
        let debug = interpreter.program.to_string_lossy().ends_with('d');
        assert_eq!(layout.flavour == Flavour::Debug, debug, "{}", interpreter.name);
        assert!(layout.origin.checks.len() >= 6, "{:?}", layout.origin);
    }
}
