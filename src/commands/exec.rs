//! `exec PID SCRIPT`: run a Python script in the process.

use super::CommandResult;
use super::arguments::Targets;
use super::execution::Execution;
use super::failure::{Code, Failure};
use crate::inject::Script;
use std::io::Read;

/// Longest script, in bytes.
const LONGEST: u64 = 4 << 20;

/// Run a Python script in the process, and bring back its output, exception and result
///
/// The script runs in the main thread, in a namespace of its own, and holds that thread up until
/// it ends. It finds its arguments in the list `argv`; what it leaves in the variable `result` is
/// printed as JSON. What it prints comes here, never to the process's own stdout. An exception
/// ends the script, not the process. See docs/guide/exec.md.
#[derive(Debug, clap::Args)]
pub(super) struct Exec {
    /// Process id
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// Its child processes as well, and theirs
    #[arg(long)]
    children: bool,
    /// The script itself instead of a file
    #[arg(short = 'c', long = "code", value_name = "CODE")]
    code: Option<String>,
    /// Run it in this thread (the kernel's number, as `dump` shows it) instead of the main thread
    #[arg(long, value_name = "TID", value_parser = clap::value_parser!(i32).range(1..))]
    thread: Option<i32>,
    #[command(flatten)]
    execution: Execution,
    /// The script's file, - for stdin; then its arguments
    #[arg(value_name = "SCRIPT", trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

impl Exec {
    pub(super) fn run(self) -> CommandResult {
        let mut rest = self.rest.into_iter();
        let (name, source) = match self.code {
            Some(code) => ("<string>".to_owned(), code.into_bytes()),
            None => match rest.next() {
                Some(path) => read(&path)?,
                None => {
                    return Err(Failure::new("no script was given", Code::Usage).with_hint(
                        "pyattach exec PID SCRIPT, pyattach exec PID -c 'print(1)', or - for stdin"
                            .to_owned(),
                    ));
                }
            },
        };
        let script = Script { name, source, arguments: rest.collect() };
        self.execution.run(&Targets::of(vec![self.pid], None, self.children), self.thread, &script)
    }
}

/// The script's name in tracebacks, in brackets since the target has no such file, and its text.
fn read(path: &str) -> Result<(String, Vec<u8>), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot read the script {path}: {error}"), Code::Usage)
    };
    let mut source = Vec::new();
    if path == "-" {
        std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut source).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(LONGEST + 1).read_to_end(&mut source).map_err(failed)?;
    }
    if source.len() as u64 > LONGEST {
        return Err(Failure::new("the script is longer than 4 MiB", Code::Usage));
    }
    let name = if path == "-" { "<stdin>".to_owned() } else { format!("<{path}>") };
    Ok((name, source))
}
