//! Running our own binary, with a deadline.

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

use super::DEADLINE;

/// What one run of the binary gave.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The exit code, `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Everything on stdout; what is not UTF-8 is replaced.
    pub(crate) stdout: String,
    /// Everything on stderr; what is not UTF-8 is replaced.
    pub(crate) stderr: String,
}

/// Runs `pyattach ARGUMENTS` to its end.
///
/// # Panics
/// When it is not built, or runs longer than [`DEADLINE`].
pub(crate) fn pyattach(arguments: &[&str]) -> Outcome {
    pyattach_within(DEADLINE, arguments)
}

/// [`pyattach`] with a deadline of its own.
pub(crate) fn pyattach_within(deadline: Duration, arguments: &[&str]) -> Outcome {
    let Some(program) = option_env!("CARGO_BIN_EXE_pyattach") else {
        panic!("the package has no binary");
    };
    let mut command = Command::new(program);
    command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|problem| panic!("{program}: {problem}"));
    let pid = i32::try_from(child.id()).expect("a PID fits");
    let (send, ended) = channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(deadline) else {
        // SAFETY: a plain system call; the child was not waited for, so the PID is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        panic!("pyattach {} ran longer than {deadline:?}", arguments.join(" "));
    };
    let output = output.expect("the child can be waited for");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `pyattach ARGUMENTS --json` and parses what it prints.
///
/// # Panics
/// When it ends with another code than 0 or 1 (findings), or prints no JSON.
pub(crate) fn pyattach_json(arguments: &[&str]) -> Value {
    let mut words = arguments.to_vec();
    words.push("--json");
    let outcome = pyattach(&words);
    let line = words.join(" ");
    assert!(matches!(outcome.code, Some(0 | 1)), "pyattach {line}: {outcome:?}");
    serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|problem| panic!("pyattach {line}: {problem}: {:.500}", outcome.stdout))
}
