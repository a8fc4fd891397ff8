//! For the tests of what happens when we are killed: the steps of a fork by name.
//!
//! With `PYATTACH_TEST_DIE_AT=STEP` in the environment we kill ourselves there. It can do no
//! more harm than any other SIGKILL, and that this is none is what the tests show.

use std::ffi::OsString;
use std::sync::OnceLock;

/// Called at each step.
pub fn reached(step: &str) {
    static DIE_AT: OnceLock<Option<OsString>> = OnceLock::new();
    let die_at = DIE_AT.get_or_init(|| std::env::var_os("PYATTACH_TEST_DIE_AT"));
    if die_at.as_deref().is_some_and(|name| name == step) {
        // SAFETY: sends a signal to ourselves; takes integers.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}
