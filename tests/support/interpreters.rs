//! The interpreters of the test matrix: which there should be, which there are, and how each is started.
//!
//! An interpreter of another root runs in a mount namespace of its own, so nothing stays mounted when it ends, and by
//! `exec` only, so the child we hold is Python itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{fixtures, scratch, tell};

/// How an interpreter was built and where it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// pyenv's: a shared libpython, with DWARF inside.
    Shared,
    /// The distribution's: static and stripped.
    Distribution,
    /// Debian sid's, in a root of its own: static and stripped.
    OtherRoot,
    /// Debian sid's `Py_DEBUG` build, in the same root.
    Debug,
}

/// One row of the matrix that this machine has.
#[derive(Debug, Clone)]
pub(crate) struct Interpreter {
    /// What the row is called in messages, such as `3.8.18` or `sid 3.14.10 debug`.
    pub(crate) label: String,
    /// The exact version.
    pub(crate) version: (u8, u8, u8),
    /// How it was built.
    pub(crate) flavour: Flavour,
    /// The executable, as seen inside its root.
    pub(crate) executable: PathBuf,
    /// Its root, if it is not ours.
    pub(crate) root: Option<PathBuf>,
    /// The folder with aiohttp for it, as we see it.
    site: Option<PathBuf>,
    /// Where it keeps compiled modules, below [`scratch`]; nowhere when there is no name.
    cache: Option<String>,
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// Where the folders of ours are inside another root.
const FIXTURES_INSIDE: &str = "/fixtures";
const SITE_INSIDE: &str = "/site";
const SCRATCH_INSIDE: &str = "/tmp";

/// Arguments: root, fixtures, site (or empty), scratch, then the command line.
const ENTER_ROOT: &str = r#"
set -e
root=$1 fixtures=$2 site=$3 scratch=$4
shift 4
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$fixtures" "$root/fixtures"
if [ -n "$site" ]; then mount --bind "$site" "$root/site"; fi
mount --bind "$scratch" "$root/tmp"
exec chroot "$root" "$@"
"#;

impl Interpreter {
    /// Does this row's version reach `series`, such as `(3, 12)`?
    pub(crate) fn at_least(&self, series: (u8, u8)) -> bool {
        (self.version.0, self.version.1) >= series
    }

    /// Is aiohttp provisioned for it?
    pub(crate) fn has_aiohttp(&self) -> bool {
        self.site.is_some()
    }

    /// The same with another folder of libraries on its path.
    pub(crate) fn with_site(&self, folder: PathBuf) -> Interpreter {
        // Large libraries take seconds to compile: once is enough.
        let cache = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        Interpreter { site: Some(folder), cache, ..self.clone() }
    }

    /// Where the target sees a file of ours in `python-fixtures` or [`scratch`].
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        if self.root.is_none() {
            return path.to_owned();
        }
        let folders = [(fixtures(), FIXTURES_INSIDE), (scratch(), SCRATCH_INSIDE)];
        for (ours, theirs) in folders {
            if let Ok(rest) = path.strip_prefix(&ours) {
                return Path::new(theirs).join(rest);
            }
        }
        panic!("{} is not visible in the root of {self}", path.display());
    }

    /// A command that runs this interpreter with the given arguments, in a clean environment and with no stdin.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = match &self.root {
            None => Command::new(&self.executable),
            Some(root) => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER_ROOT, "sh"]);
                command.arg(root).arg(fixtures());
                command.arg(self.site.as_deref().unwrap_or(Path::new("")));
                command.arg(scratch()).arg(&self.executable);
                command
            }
        };
        command.args(arguments).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C.UTF-8").env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(site) = &self.site {
            let seen = if self.root.is_some() { Path::new(SITE_INSIDE) } else { site };
            command.env("PYTHONPATH", seen);
        }
        if let Some(name) = &self.cache {
            let folder = scratch().join("compiled").join(name);
            command.env_remove("PYTHONDONTWRITEBYTECODE");
            command.env("PYTHONPYCACHEPREFIX", self.inside(&folder));
        }
        if self.flavour == Flavour::Debug {
            // Py_DEBUG loads extension modules of ordinary builds, and multidict's then crashes it.
            for package in ["AIOHTTP", "MULTIDICT", "YARL", "FROZENLIST", "PROPCACHE"] {
                command.env(format!("{package}_NO_EXTENSIONS"), "1");
            }
        }
        command.stdin(Stdio::null());
        command
    }
}

/// A row of the matrix, whether this machine has it or not.
enum Row {
    Pyenv(&'static str),
    System,
    Sid(&'static str, Flavour),
}

const MATRIX: [Row; 11] = [
    Row::Pyenv("3.8.18"),
    Row::Pyenv("3.9.18"),
    Row::Pyenv("3.10.13"),
    Row::Pyenv("3.11.7"),
    Row::Pyenv("3.12.1"),
    Row::Pyenv("3.13.0"),
    Row::System,
    Row::Sid("python3.13", Flavour::OtherRoot),
    Row::Sid("python3.14", Flavour::OtherRoot),
    Row::Sid("python3.15", Flavour::OtherRoot),
    Row::Sid("python3.14d", Flavour::Debug),
];

impl Row {
    fn label(&self) -> String {
        match self {
            Row::Pyenv(version) => (*version).to_owned(),
            Row::System => "the distribution's python3".to_owned(),
            Row::Sid(name, _) => format!("sid {name}"),
        }
    }

    fn find(&self) -> Result<Interpreter, String> {
        let (flavour, executable, root) = match self {
            Row::Pyenv(version) => {
                let executable = pyenv_versions().join(version).join("bin/python3");
                (Flavour::Shared, executable, None)
            }
            Row::System => (Flavour::Distribution, PathBuf::from("/usr/bin/python3"), None),
            Row::Sid(name, flavour) => {
                (*flavour, Path::new("/usr/bin").join(name), Some(store().join("sid")))
            }
        };
        let seen = match &root {
            None => executable.clone(),
            Some(root) => root.join(executable.strip_prefix("/").unwrap_or(&executable)),
        };
        if !seen.exists() {
            return Err(match root {
                None => format!("no {}", seen.display()),
                Some(_) => format!("no {}: run tests/provision.sh", seen.display()),
            });
        }
        // SAFETY: geteuid has no arguments and cannot fail.
        if root.is_some() && unsafe { libc::geteuid() } != 0 {
            return Err("entering another root needs root".to_owned());
        }
        let mut found = Interpreter {
            label: self.label(),
            version: (0, 0, 0),
            flavour,
            executable,
            root,
            site: None,
            cache: None,
        };
        let version = ask_version(&found)?;
        let text = format!("{}.{}.{}", version.0, version.1, version.2);
        found.version = version;
        found.label = match flavour {
            Flavour::Shared => text.clone(),
            Flavour::Distribution => format!("distribution {text}"),
            Flavour::OtherRoot => format!("sid {text}"),
            Flavour::Debug => format!("sid {text} debug"),
        };
        let site = store().join("site").join(&text);
        found.site = site.is_dir().then_some(site);
        Ok(found)
    }
}

fn pyenv_versions() -> PathBuf {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv"));
    root.or(home).unwrap_or_default().join("versions")
}

/// Where `tests/provision.sh` puts things.
pub(crate) fn store() -> PathBuf {
    let chosen = std::env::var_os("PYATTACH_INTERPRETERS").map(PathBuf::from);
    let chosen = chosen.unwrap_or_else(|| PathBuf::from("target/interpreters"));
    Path::new(env!("CARGO_MANIFEST_DIR")).join(chosen)
}

fn ask_version(interpreter: &Interpreter) -> Result<(u8, u8, u8), String> {
    let script = "import sys; print(*sys.version_info[:3])";
    let output = interpreter.command(&["-I", "-S", "-c", script]).output();
    let output = output.map_err(|problem| format!("it does not start: {problem}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u8> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [major, minor, patch] => Ok((major, minor, patch)),
        _ => Err(format!("it does not run: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Every interpreter of the matrix that this machine has, found once.
///
/// `PYATTACH_TEST_ONLY` (a part of a label) keeps the matching rows only, for development.
///
/// # Panics
/// When there is none at all, and, with `PYATTACH_REQUIRE_MATRIX` set, when one is missing.
pub(crate) fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Result<Vec<Interpreter>, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for row in &MATRIX {
            match row.find() {
                Ok(interpreter) => found.push(interpreter),
                Err(reason) => missing.push(format!("not run: {}: {reason}", row.label())),
            }
        }
        if !missing.is_empty() {
            if std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_some() {
                return Err(format!("the whole matrix is required\n{}", missing.join("\n")));
            }
            tell(&missing.join("\n"));
        }
        if let Ok(only) = std::env::var("PYATTACH_TEST_ONLY") {
            found.retain(|interpreter| interpreter.label.contains(&only));
        }
        if found.is_empty() {
            return Err("there is no Python to test with".to_owned());
        }
        Ok(found)
    });
    match found {
        Ok(found) => found,
        Err(problem) => panic!("{problem}"),
    }
}
