//! Third-party libraries for targets: the trees that `tests/provision.sh --libraries` made.

use std::path::PathBuf;
use std::process::Command;

use super::{Flavour, Interpreter, interpreters, scratch, store, tell};

/// A tree of libraries and the interpreter it is for.
#[derive(Debug, Clone)]
pub(crate) struct Libraries {
    /// The interpreter, with the tree on its path.
    pub(crate) interpreter: Interpreter,
    /// `3.11.7`, or `3.11.7-old` with older releases.
    pub(crate) name: String,
    folder: PathBuf,
}

impl Libraries {
    /// Has it all of these modules? (Packages only.)
    pub(crate) fn have(&self, modules: &[&str]) -> bool {
        modules.iter().all(|module| self.folder.join(module).is_dir())
    }
}

/// Every tree that is here, for the interpreters that are tested.
///
/// # Panics
/// With `PYATTACH_REQUIRE_MATRIX` set, when there is none.
pub(crate) fn libraries() -> Vec<Libraries> {
    let mut found = Vec::new();
    for interpreter in interpreters() {
        let (major, minor, patch) = interpreter.version;
        // What was built for the ordinary interpreters of pyenv and sid.
        if !matches!(interpreter.flavour, Flavour::Shared | Flavour::OtherRoot) {
            continue;
        }
        for suffix in ["", "-old"] {
            let name = format!("{major}.{minor}.{patch}{suffix}");
            let folder = store().join("libraries").join(&name);
            if folder.is_dir() {
                let interpreter = interpreter.with_site(folder.clone());
                found.push(Libraries { interpreter, name, folder });
            }
        }
    }
    if found.is_empty() {
        let excused = std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_none()
            || std::env::var_os("PYATTACH_TEST_ONLY").is_some();
        assert!(excused, "the libraries are required: tests/provision.sh --libraries");
        tell("not run: no libraries here (tests/provision.sh --libraries)");
    }
    found
}

/// The folder with uvloop for this interpreter, as the target sees it.
pub(crate) fn uvloop(interpreter: &Interpreter) -> Option<PathBuf> {
    let (major, minor, patch) = interpreter.version;
    let version = format!("{major}.{minor}.{patch}");
    let provisioned = store().join("site-uvloop").join(&version);
    if !provisioned.join("uvloop").is_dir() || interpreter.flavour == Flavour::Debug {
        return None;
    }
    if interpreter.root.is_none() {
        return Some(provisioned);
    }
    let copy = scratch().join(format!("uvloop-{version}"));
    if !copy.is_dir() {
        let part = scratch().join(format!("uvloop-{version}.{}", std::process::id()));
        let copied = Command::new("cp").arg("-r").args([&provisioned, &part]).status();
        assert!(copied.is_ok_and(|status| status.success()), "{}", part.display());
        if std::fs::rename(&part, &copy).is_err() {
            // Another test was faster.
            std::fs::remove_dir_all(&part).unwrap();
        }
    }
    Some(interpreter.inside(&copy))
}
