//! Third-party libraries for targets: the trees that `tests/provision.sh --libraries` made.

use std::path::PathBuf;

use super::{Flavour, Interpreter, interpreters, store, tell};

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
