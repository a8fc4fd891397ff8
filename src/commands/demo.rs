//! `demo`: the whole thing on a small leaking service, started for the purpose.

use super::CommandResult;
use super::failure::{Code, Failure};
use super::output::{print_text, width};
use crate::attach::{CaptureOptions, StackOptions, Target, WholeOptions};
use crate::report::text;
use crate::resources::Catalog;
use crate::snapshot::census::TypeRow;
use crate::snapshot::rules::Rules;
use crate::snapshot::{CensusDocument, ReportDocument};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// The service, as it lies in the repository.
const SERVICE: &str = include_str!("../../python-fixtures/leaky_service.py");
/// How long the service may take to start.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Types of the census that are shown.
const TYPES: usize = 12;
/// What the names of the service's own types begin with.
const OWN: &str = "__main__.";

/// Start a small leaking service, attach to it, show what it is doing, holding and leaking
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// The Python to run the service with
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: String,
}

impl Demo {
    pub(super) fn run(self) -> CommandResult {
        let folder = tempfile::Builder::new().prefix("pyattach-demo-").tempdir()?;
        let script = folder.path().join("leaky_service.py");
        std::fs::write(&script, SERVICE)?;
        let service = Service::start(&self.python, &script)?;
        let pid = service.child.id() as i32;
        say(&format!("A service that leaks is running as process {pid}: {}", script.display()))?;

        say(&format!("\n$ pyattach dump {pid}\n"))?;
        let target = Target::open(pid)?;
        let options = CaptureOptions::default();
        let dump = target.dump(&options, StackOptions { locals: false, source: true })?;
        print_text(|mut out| text::dump::write(&mut out, &dump, false))?;

        say(&format!("\n$ pyattach census {pid} --top {TYPES}\n"))?;
        let census = target.census(&options)?;
        show(&census, |types| types.truncate(TYPES))?;

        say(&format!("\n$ pyattach census {pid} --filter '{OWN}*'\n"))?;
        show(&census, |types| types.retain(|row| row.name.starts_with(OWN)))?;

        say(&format!("\n$ pyattach report {pid}\n"))?;
        let whole = target.whole(&options, Catalog::shared_builtin(), WholeOptions::default())?;
        let report = ReportDocument::new(&whole, Rules::builtin().judge(&whole));
        print_text(|mut out| text::report::write(&mut out, &report, width()))?;

        say("\nThe service is ended now. The same commands work on any running Python: ")?;
        say("  pyattach report PID, pyattach dump PID, pyattach census PID, pyattach doctor PID")?;
        let captures = [&dump.capture, &census.capture, &report.capture];
        let whole = captures.iter().all(|capture| capture.consistent);
        Ok(if whole { Code::Fine } else { Code::Incomplete })
    }
}

/// Shows a part of the census.
fn show(census: &CensusDocument, select: impl FnOnce(&mut Vec<TypeRow>)) -> Result<(), Failure> {
    let mut census = census.clone();
    let objects = &mut census.objects;
    select(&mut objects.types);
    objects.types_not_shown = objects.type_count.saturating_sub(objects.types.len() as u64);
    Ok(print_text(|mut out| text::census::write(&mut out, &census))?)
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(print_text(|out| writeln!(out, "{line}"))?)
}

/// The running service; ended when dropped.
struct Service {
    child: Child,
}

impl Service {
    /// Starts the service and waits until it says that it leaks.
    fn start(python: &str, script: &std::path::Path) -> Result<Self, Failure> {
        let child = Command::new(python)
            .arg("-u")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                Failure::new(format!("could not start {python}: {error}"), Code::Usage)
                    .with_hint("name another one with --python".to_owned())
            })?;
        let mut service = Self { child };
        let Some(stdout) = service.child.stdout.take() else {
            return Err(Failure::new("the service has no output", Code::Usage));
        };
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let seen = lines.into_iter().any(|line| line.starts_with("READY"));
            // The receiver has given up when this fails.
            let _ = ready.send(seen);
        });
        match is_ready.recv_timeout(START_DEADLINE) {
            Ok(true) => Ok(service),
            _ => Err(Failure::new(format!("the service did not start with {python}"), Code::Usage)
                .with_hint("it needs Python 3.8 or later".to_owned())),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
