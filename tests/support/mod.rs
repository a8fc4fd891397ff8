//! The harness of the integration tests: real interpreters, programs running in them, and our binary against those.
//!
//! It relies on `tests/provision.sh` for what the machine does not have, and on `python-fixtures/` for what runs in the
//! targets. What the fixtures answer is described in `tests/README.md`. Asserting is left to the tests.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "every test binary uses another part of the harness, and a harness fails by panicking"
)]

mod fixture;
pub(crate) mod image;
mod interpreters;
mod libraries;
mod matrix;
pub(crate) mod picture;
mod program;
mod servers;

pub(crate) use fixture::Fixture;
pub(crate) use interpreters::{Flavour, Interpreter, interpreters, store};
pub(crate) use libraries::{Libraries, libraries, uvloop};
pub(crate) use matrix::{for_each_interpreter, for_each_of};
pub(crate) use program::{Outcome, pyattach, pyattach_json, pyattach_within};
pub(crate) use servers::{Postgres, Redis};

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// How long anything may take that normally takes well under a second; long, because machines are slow and shared.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// The folder of the fixture programs.
pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python-fixtures")
}

/// A folder for files of tests, which targets in another root see as `/tmp`: translate paths by [`Interpreter::inside`].
pub(crate) fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// A line on stderr that is seen: what `eprintln!` writes is kept back for tests that pass.
fn tell(text: &str) {
    // Nobody is there to be told that it failed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
