//! Discovery, resolving and validation against live interpreters of every version here.

mod not_run;

use not_run::not_run;
use pyattach::layout::discover::{DiscoverError, Target, discover};
use pyattach::layout::resolve::{ResolveError, resolve, resolve_first};
use pyattach::layout::{Flavour, Layout, Version};
use pyattach::memory::{Address, MemoryError, MemorySource, ReadStats};
use pyattach::process::Mapping;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
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
            // Paths in the map file are as seen from our root: those of a process in a chroot
            // are real paths here, those in another mount namespace are not.
            let inside = self.root.join(mapping.path.strip_prefix("/").unwrap_or(&mapping.path));
            [mapping.path.clone(), inside]
                .into_iter()
                .filter_map(|path| File::open(path).ok())
                .find(|file| file.metadata().is_ok_and(|found| found.ino() == mapping.inode))
                .ok_or_else(|| std::io::ErrorKind::NotFound.into())
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
    /// Run with the loader, the libraries and the standard library of this root, without
    /// entering it.
    libraries: Option<PathBuf>,
}

impl Interpreter {
    fn command(&self, program: &str) -> Command {
        let mut command = match (&self.root, &self.libraries) {
            (None, None) => Command::new(&self.program),
            (None, Some(libraries)) => {
                let mut command = Command::new(libraries.join("lib64/ld-linux-x86-64.so.2"));
                command.arg("--library-path").arg(libraries.join("usr/lib/x86_64-linux-gnu"));
                command.arg(&self.program).env("PYTHONHOME", libraries.join("usr"));
                // -I would leave PYTHONHOME out.
                command.args(["-s", "-S", "-c", program]);
                return command;
            }
            (Some(root), _) => {
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
        let output =
            self.command("import sys; print(sys.version.split()[0].rstrip('+'))").output().unwrap();
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
            all.push(Interpreter {
                name,
                program: root.join("bin/python3"),
                root: None,
                libraries: None,
            });
        }
    }
    if Path::new("/usr/bin/python3").exists() {
        let program = PathBuf::from("/usr/bin/python3");
        all.push(Interpreter {
            name: "distribution".to_owned(),
            program,
            root: None,
            libraries: None,
        });
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
                    libraries: None,
                });
            }
        }
    }
    // The Py_DEBUG builds that come with the debug files.
    for (series, libraries) in [("3.11", None), ("3.13", Some("sid")), ("3.15", Some("sid"))] {
        let program = store().join(format!("debug/{series}/usr/bin/python{series}d"));
        let home = match libraries {
            None => PathBuf::from("/"),
            Some(root) => store().join(root),
        };
        // They need the standard library of their series.
        if program.exists() && home.join(format!("usr/lib/python{series}/os.py")).exists() {
            let libraries = libraries.map(|_| home);
            all.push(Interpreter { name: format!("{series}d"), program, root: None, libraries });
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
        println!("{}: {} in {:?}", interpreter.name, layout.version, started.elapsed());
        assert_eq!(layout.version.to_string(), interpreter.version(), "{}", interpreter.name);
        let debug = interpreter.program.to_string_lossy().ends_with('d');
        assert_eq!(layout.flavour == Flavour::Debug, debug, "{}", interpreter.name);
        assert!(layout.origin.checks.len() >= 6, "{:?}", layout.origin);
    }
}

/// Interpreters with a shared libpython in a pyenv folder, by series.
fn pyenv_version(series: &str) -> Option<PathBuf> {
    folder(&pyenv()).into_iter().find(|root| {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_prefix(series).is_some_and(|rest| rest.starts_with('.'))
    })
}

fn refusal(python: &Python) -> DiscoverError {
    python.with(|target| match discover(target) {
        Err(error) => error,
        Ok(runtimes) => panic!("found {runtimes:?}"),
    })
}

#[test]
fn other_programs_are_refused_by_name() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo READY; read line"]);
    let error = refusal(&Python::start(shell));
    assert!(matches!(error, DiscoverError::NotPython { .. }), "{error:?}");
    assert!(error.is_unsupported() && error.hint().is_some());

    for (series, program) in [("2.7", "python2.7"), ("3.6", "python3.6"), ("3.7", "python3.7")] {
        let Some(root) = pyenv_version(series) else {
            not_run(&format!("{series} is not here"));
            continue;
        };
        let mut command = Command::new(root.join("bin").join(program));
        let program = "import sys; print('READY'); sys.stdout.flush(); sys.stdin.read()";
        command.args(["-c", program]);
        match refusal(&Python::start(command)) {
            DiscoverError::TooOld { version } => {
                assert!(version.starts_with(series), "{version} for {series}");
            }
            other => panic!("{series}: {other:?}"),
        }
    }
    let sid = store().join("sid");
    if sid.join("usr/bin/pypy3").exists() {
        let mut command = Command::new("chroot");
        command.env("LC_ALL", "C").arg(sid).args(["/usr/bin/pypy3", "-c", PROGRAM]);
        let error = refusal(&Python::start(command));
        assert!(matches!(error, DiscoverError::PyPy { .. }), "{error:?}");
    }
}

/// A folder that is removed at the end.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_python_that_is_starting_or_ending_is_refused_for_now() {
    for interpreter in interpreters() {
        if interpreter.root.is_some() || interpreter.libraries.is_some() {
            continue; // the folder with the codecs is outside
        }
        // The codecs are imported before the interpreter counts as initialised.
        let folder = scratch();
        let package = folder.path().join("encodings");
        std::fs::create_dir(&package).unwrap();
        let text = "import posix\nposix.write(1, b'READY\\n')\nposix.read(0, 1)\n";
        std::fs::write(package.join("__init__.py"), text).unwrap();
        let mut command = Command::new(&interpreter.program);
        command.env("PYTHONPATH", folder.path()).args(["-S", "-c", "1"]).stderr(Stdio::null());
        let python = Python::start(command);
        let error = python.with(|target| resolve(target, &discover(target).unwrap()[0]));
        let error = error.unwrap_err();
        assert!(matches!(error, ResolveError::Starting { .. }), "{}: {error:?}", interpreter.name);
        assert!(!error.is_unsupported() && error.hint().is_some(), "only for now");

        // Globals are destroyed when the interpreter is being finalised.
        let program = "import os\nclass Last:\n def __del__(self, os=os):\n  \
                       os.write(1, b'READY\\n'); os.read(0, 1)\nlast = Last()\n";
        let python = Python::start(interpreter.command(program));
        let error = python.with(|target| resolve(target, &discover(target).unwrap()[0]));
        let error = error.unwrap_err();
        let name = &interpreter.name;
        assert!(matches!(error, ResolveError::ShuttingDown { .. }), "{name}: {error:?}");
    }
}

/// A pyenv interpreter that uses a changed copy of its libpython.
fn with_copied_library(
    series: &str,
    folder: &Path,
    change: impl FnOnce(&mut Vec<u8>),
) -> Option<(Python, PathBuf)> {
    let root = pyenv_version(series)?;
    let name = format!("libpython{series}.so.1.0");
    let mut bytes = std::fs::read(root.join("lib").join(&name)).ok()?;
    change(&mut bytes);
    let copy = folder.join(name);
    std::fs::write(&copy, bytes).unwrap();
    let mut command = Command::new(root.join(format!("bin/python{series}")));
    command.env("LD_PRELOAD", &copy).args(["-I", "-S", "-c", PROGRAM]);
    let python = Python::start(command);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", python.child.id())).unwrap();
    assert!(maps.contains(copy.to_str().unwrap()), "the copy is used");
    Some((python, copy))
}

#[test]
fn a_deleted_libpython_is_read_from_memory() {
    for series in ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"] {
        let folder = scratch();
        let Some((python, copy)) = with_copied_library(series, folder.path(), |_| ()) else {
            not_run(&format!("{series} is not here"));
            continue;
        };
        std::fs::remove_file(copy).unwrap();
        python.with(|target| {
            let runtimes = discover(target).unwrap();
            let library: Vec<_> =
                runtimes.iter().filter(|runtime| runtime.module.first().deleted).collect();
            assert_eq!(library.len(), 1, "{series}: {runtimes:?}");
            assert!(library[0].build_id.is_some() && library[0].size != 0);
            let (_, layout) = resolve_first(target, &runtimes).unwrap();
            assert_eq!(layout.version.series(), series);
            let checks = layout.origin.checks.join("\n");
            assert!(checks.contains("this very build"), "{checks}");
        });
    }
}

#[test]
fn an_unknown_build_is_read_by_its_own_debug_information() {
    for series in ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"] {
        let folder = scratch();
        let unknown = |bytes: &mut Vec<u8>| {
            let note = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
            let at = bytes.windows(note.len()).position(|window| window == note).unwrap();
            bytes[at + note.len()] ^= 0xFF;
        };
        let Some((python, _)) = with_copied_library(series, folder.path(), unknown) else {
            not_run(&format!("{series} is not here"));
            continue;
        };
        python.with(|target| {
            let runtimes = discover(target).unwrap();
            let (_, layout) = resolve_first(target, &runtimes).unwrap();
            let sources = layout.origin.sources.join("\n");
            assert!(sources.contains("debug information in"), "{series}: {sources}");
            assert_eq!(layout.origin.table, None);
            // What extension modules define is still there.
            assert!(layout.structs.task.is_some() && layout.structs.socket.is_some());
        });
    }
}

#[test]
fn a_separate_debug_file_is_found_by_build_id() {
    let (root, debug) = (store().join("sid"), store().join("debug/3.13"));
    if !root.join("usr/bin/python3.13").exists() || !debug.exists() {
        println!("not run: no debug files of 3.13 here");
        return;
    }
    let program = PathBuf::from("/usr/bin/python3.13");
    let python =
        Interpreter { name: "3.13".to_owned(), program, root: Some(root), libraries: None }.start();
    python.with(|target| {
        let target = Target { root: &debug, ..*target };
        let layout = resolve(&target, &discover(&target).unwrap()[0]).unwrap();
        let sources = layout.origin.sources.join("\n");
        assert!(sources.contains("debug information in"), "{sources}");
        // Without the table of 3.13.0 nothing had to be corrected.
        assert!(!sources.contains("generations"), "{sources}");
        assert_eq!(layout.structs.gc.generations.offset, 20);
        assert_eq!(layout.structs.thread.size, 312);
    });
}

#[test]
fn two_libpythons_in_one_process() {
    let (Some(first), Some(second)) = (pyenv_version("3.11"), pyenv_version("3.12")) else {
        not_run("3.11 and 3.12 are not here");
        return;
    };
    let other = second.join("lib/libpython3.12.so.1.0");
    let mut command = Command::new(first.join("bin/python3.11"));
    let program = format!("import ctypes; ctypes.CDLL({other:?}); {PROGRAM}");
    command.args(["-I", "-S", "-c", &program]);
    let python = Python::start(command);
    python.with(|target| {
        let mut runtimes = discover(target).unwrap();
        assert_eq!(runtimes.len(), 2);
        for _ in 0..2 {
            let (runtime, layout) = resolve_first(target, &runtimes).unwrap();
            assert_eq!((layout.version.minor, runtime.version.minor), (11, 11));
            runtimes.reverse();
        }
    });
}

#[test]
fn an_embedded_interpreter_is_found() {
    let Some(root) = pyenv_version("3.12") else {
        not_run("3.12 is not here");
        return;
    };
    let folder = scratch();
    let (source, program) = (folder.path().join("host.c"), folder.path().join("host"));
    let text = "void Py_Initialize(void); int PyRun_SimpleString(const char *);\n\
                int main(void) { Py_Initialize(); return PyRun_SimpleString(\
                \"import sys; print('READY', flush=True); sys.stdin.read()\"); }\n";
    std::fs::write(&source, text).unwrap();
    let library = root.join("lib");
    let status = Command::new("cc")
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .arg(format!("-L{}", library.display()))
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .arg("-lpython3.12")
        .status()
        .unwrap();
    assert!(status.success());
    let mut command = Command::new(&program);
    command.env("PYTHONHOME", &root);
    let layout = Python::start(command).layout();
    assert_eq!(layout.version.minor, 12);
}

#[test]
fn a_busy_process_validates() {
    for interpreter in interpreters() {
        // Threads come and go, objects are made, collected and frozen, without a pause.
        let program = "import gc, threading, sys\n\
            def work():\n \
             for _ in range(50): [{} for _ in range(20)]\n\
            print('READY', flush=True)\n\
            while True:\n \
             thread = threading.Thread(target=work); thread.start()\n \
             [[] for _ in range(1000)]; gc.collect(); thread.join()\n";
        let python = Python::start(interpreter.command(program));
        for round in 0..40 {
            let result = python.with(|target| resolve(target, &discover(target).unwrap()[0]));
            if let Err(error) = result {
                panic!("{} round {round}: {error:?}", interpreter.name);
            }
        }
    }
}

#[test]
fn several_interpreters_validate() {
    for interpreter in interpreters() {
        let module = ["_interpreters", "_xxsubinterpreters"].into_iter().find(|module| {
            let mut probe = interpreter.command(&format!("import {module}"));
            probe.stderr(Stdio::null()).status().unwrap().success()
        });
        let Some(module) = module else {
            println!("not run: {} has no module for it", interpreter.name);
            continue;
        };
        let program = format!(
            "import sys, {module} as module\nids = [module.create() for _ in range(3)]\n{PROGRAM}"
        );
        let layout = Python::start(interpreter.command(&program)).layout();
        let checks = layout.origin.checks.join("\n");
        assert!(checks.contains("ends at the main one (4)"), "{}: {checks}", interpreter.name);
    }
}

/// A program that looks like a Python from outside: `runtime` is C for the start of a runtime.
fn impostor(runtime: &str, strip: bool) -> (Python, tempfile::TempDir) {
    let folder = scratch();
    let (source, program) = (folder.path().join("host.c"), folder.path().join("host"));
    let text = format!(
        "#include <stdio.h>\nstruct head {{ char cookie[8]; unsigned long words[200]; }};\n\
         {runtime};\nint main(void) {{ puts(\"READY\"); fflush(stdout); return getchar(); }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let mut command = Command::new("cc");
    command.arg("-rdynamic").arg(&source).arg("-o").arg(&program);
    if strip {
        command.arg("-s");
    }
    assert!(command.status().unwrap().success());
    (Python::start(Command::new(&program)), folder)
}

#[test]
fn unsupported_builds_are_told_apart() {
    let exported = "struct head _PyRuntime =";
    let (python, _folder) =
        impostor(&format!("{exported} {{ \"xdebugpy\", {{ 0x031000a3, 0 }} }}"), false);
    match refusal(&python) {
        DiscoverError::TooNew { version } => assert_eq!(version, "3.16.0a3"),
        other => panic!("{other:?}"),
    }
    let (python, _folder) =
        impostor(&format!("{exported} {{ \"xdebugpy\", {{ 0x030e02f0, 1 }} }}"), false);
    let error = refusal(&python);
    assert!(matches!(error, DiscoverError::FreeThreaded { .. }), "{error:?}");
    assert!(error.hint().is_some() && error.is_unsupported());

    let (python, _folder) = impostor(&format!("{exported} {{ \"nothing!\" }}"), false);
    let error = refusal(&python);
    assert!(matches!(error, DiscoverError::UnknownVersion { .. }), "{error:?}");

    let traced = "unsigned long Py_Version = 0x030b07f0; void _Py_AddToAllObjects(void) {}\n";
    let (python, _folder) = impostor(&format!("{traced} {exported} {{ \"\" }}"), false);
    let error = refusal(&python);
    assert!(matches!(error, DiscoverError::TraceRefs { .. }), "{error:?}");
}

#[test]
fn a_runtime_without_a_symbol_is_found() {
    // Values that no build has: found, and then refused for what they are.
    let head = "{ \"xdebugpy\", { 0x030e02f0, 0 } }";
    for (declaration, found_by) in [
        ("static struct head hidden __attribute__((section(\".PyRuntime\"), used)) =", "section"),
        ("static struct head hidden __attribute__((used)) =", "cookie"),
        ("struct head _PyRuntime __attribute__((visibility(\"hidden\"))) =", "symbol"),
    ] {
        let (python, _folder) = impostor(&format!("{declaration} {head}"), found_by != "symbol");
        python.with(|target| {
            let runtimes = discover(target).unwrap();
            assert_eq!(runtimes.len(), 1);
            assert!(runtimes[0].found_by.contains(found_by), "{:?}", runtimes[0]);
            assert_eq!(runtimes[0].version.to_string(), "3.14.2");
            let error = resolve(target, &runtimes[0]).unwrap_err();
            assert!(matches!(error, ResolveError::DebugOffsets(_)), "{error:?}");
            assert!(error.is_unsupported());
        });
    }
}

#[test]
fn a_32_bit_program_is_refused() {
    let python = Python::start({
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo READY; read line"]);
        shell
    });
    python.with(|target| {
        let folder = scratch();
        let path = folder.path().join("small");
        let mut header = std::fs::read("/proc/self/exe").unwrap()[..4096].to_vec();
        header[4] = 1;
        std::fs::write(&path, header).unwrap();
        let open = |_: &Mapping| File::open(&path);
        let error = discover(&Target { open: &open, ..*target }).unwrap_err();
        assert!(matches!(error, DiscoverError::Bits32 { .. }), "{error:?}");
    });
}

/// The memory of a process with other words at some places.
struct Damaged<'a> {
    memory: &'a dyn MemorySource,
    seed: u64,
}

impl MemorySource for Damaged<'_> {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.memory.read(address, buffer)?;
        // One word in sixteen is changed: the same ones at every read.
        let hash = ((address.get() / 8) ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let byte = buffer.get_mut((hash as usize >> 4) % 8);
        if let Some(byte) = byte.filter(|_| hash.is_multiple_of(16)) {
            *byte ^= (hash >> 8) as u8 | 1;
        }
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

#[test]
fn damaged_memory_is_an_error_within_bounds() {
    for interpreter in interpreters() {
        let python = interpreter.start();
        python.with(|target| {
            let runtimes = discover(target).unwrap();
            let mut refused = 0;
            for seed in 0..12 {
                let memory = Damaged { memory: target.memory, seed };
                let target = Target { memory: &memory, ..*target };
                let started = std::time::Instant::now();
                refused += u32::from(resolve(&target, &runtimes[0]).is_err());
                assert!(started.elapsed().as_secs() < 60, "{}", interpreter.name);
            }
            // Most seeds hit something that matters.
            assert!(refused > 4, "{}: {refused}", interpreter.name);
        });
    }
}

#[test]
fn the_layout_of_another_series_is_refused() {
    for interpreter in interpreters() {
        let python = interpreter.start();
        python.with(|target| {
            let mut runtime = discover(target).unwrap().remove(0);
            let own = runtime.version;
            // Not the series' own build: nothing says at once which table is right.
            runtime.build_id = None;
            for minor in (8..=15).filter(|minor| *minor != own.minor) {
                runtime.version = Version { minor, ..own };
                runtime.exact = false;
                let result = resolve(target, &runtime);
                let name = &interpreter.name;
                assert!(result.is_err(), "{name} as 3.{minor}: {:?}", result.unwrap().origin);
            }
        });
    }
}
