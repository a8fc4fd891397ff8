//! The tools we are held against: those of PyPI in an environment of the benchmark's own, and the system's gdb.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cases::Contender;
use crate::support::scratch;

const PACKAGES: [&str; 4] = ["py-spy==0.4.3", "pystack==1.7.2", "hypno==1.1.0", "pyrasite==2.0"];

/// Where each is, if it is.
pub(crate) struct Peers {
    py_spy: Option<PathBuf>,
    pystack: Option<PathBuf>,
    gdb: Option<PathBuf>,
    hypno: Option<PathBuf>,
    pyrasite: Option<PathBuf>,
}

impl Peers {
    /// The program that a contender runs; `None` for ours and for what this machine does not have.
    pub(crate) fn program(&self, contender: Contender) -> Option<&Path> {
        match contender {
            Contender::PySpy(_) => self.py_spy.as_deref(),
            Contender::Pystack(_) => self.pystack.as_deref(),
            Contender::Gdb => self.gdb.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn gdb(&self) -> Option<&Path> {
        self.gdb.as_deref()
    }

    pub(crate) fn hypno(&self) -> Option<&Path> {
        self.hypno.as_deref()
    }

    pub(crate) fn pyrasite(&self) -> Option<&Path> {
        self.pyrasite.as_deref()
    }

    /// Names of those that this machine does not have.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("py-spy", &self.py_spy),
            ("pystack", &self.pystack),
            ("gdb", &self.gdb),
            ("hypno", &self.hypno),
            ("pyrasite", &self.pyrasite),
        ];
        all.into_iter().filter(|(_, program)| program.is_none()).map(|(name, _)| name).collect()
    }
}

/// Finds the peers; installs those that come from PyPI, once.
pub(crate) fn find() -> Peers {
    let folder = scratch().join("bench-peers");
    for package in PACKAGES {
        if let Err(problem) = install(&folder, package) {
            eprintln!("{package}: {problem}");
        }
    }
    let installed = |name: &str| Some(folder.join("bin").join(name)).filter(|path| path.exists());
    let gdb = ["/usr/bin/gdb", "/usr/local/bin/gdb"].map(PathBuf::from);
    Peers {
        py_spy: installed("py-spy"),
        pystack: installed("pystack"),
        gdb: gdb.into_iter().find(|path| path.exists()),
        hypno: installed("hypno"),
        pyrasite: installed("pyrasite"),
    }
}

fn install(folder: &Path, package: &str) -> Result<(), String> {
    let done = folder.join(format!("{package}.installed"));
    if done.exists() {
        return Ok(());
    }
    let run = |program: &Path, arguments: &[&str]| -> Result<(), String> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let status =
            command.status().map_err(|problem| format!("{}: {problem}", program.display()))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} {arguments:?}: {status}", program.display()))
        }
    };
    let pip = folder.join("bin/pip");
    if !pip.exists() {
        run(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()])?;
    }
    run(&pip, &["install", "--quiet", "--disable-pip-version-check", package])?;
    std::fs::write(done, "").map_err(|problem| problem.to_string())
}
