//! New verdicts, as they come.

use super::super::output::{print_json, print_text};
use super::{Failure, say};
use crate::report::escape::escape;
use crate::report::text::{ERROR, WARN};
use crate::snapshot::findings::{Finding, Severity};
use crate::snapshot::trend::{Verdict, trend};
use crate::snapshot::whole::SameProcess;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Captures from which on there is something to say.
const LEAST: usize = 3;
/// Files judged at a time.
const MOST: usize = 200;
/// How long a command of the user's may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What has been told already.
pub(super) struct Alarms {
    command: Option<String>,
    told: BTreeMap<(SameProcess, String), Verdict>,
}

impl Alarms {
    pub(super) fn new(command: Option<String>) -> Self {
        Self { command, told: BTreeMap::new() }
    }

    /// Judges the files of a process, and tells what is new. What only seems to grow is told
    /// once there are enough captures to be worth it.
    pub(super) fn look(
        &mut self,
        files: &[PathBuf],
        same: &SameProcess,
        json: bool,
    ) -> Result<(), Failure> {
        if files.len() < LEAST {
            return Ok(());
        }
        let document = trend(&some(files));
        let Some(process) = document.processes.iter().find(|it| it.same == *same) else {
            return Ok(());
        };
        for row in process.series.iter().filter(|row| row.verdict == Verdict::Growing) {
            let key = (same.clone(), format!("{:?} {}", row.family, row.name));
            if self.told.insert(key, row.verdict) == Some(row.verdict) {
                continue;
            }
            let Some(finding) = row.finding(process) else { continue };
            tell(&finding, json)?;
            if let Some(command) = &self.command {
                run(command, &finding);
            }
        }
        Ok(())
    }
}

/// Not more files than can be judged in a moment: evenly chosen, the last among them.
fn some(files: &[PathBuf]) -> Vec<PathBuf> {
    let step = files.len().div_ceil(MOST).max(1);
    let mut chosen: Vec<PathBuf> = files.iter().rev().step_by(step).cloned().collect();
    chosen.reverse();
    chosen
}

fn tell(finding: &Finding, json: bool) -> std::io::Result<()> {
    if json {
        return print_json(finding, true);
    }
    let style = if finding.severity == Severity::Critical { ERROR } else { WARN };
    print_text(|out| {
        let title = escape(&finding.title);
        writeln!(out, "{style}{}:{style:#} {title}", finding.severity)?;
        for sentence in &finding.evidence.sentences {
            writeln!(out, "  {}", escape(sentence))?;
        }
        Ok(())
    })
}

/// Runs the user's command with the finding on its standard input; not for ever.
fn run(command: &str, finding: &Finding) {
    let shell = Command::new("/bin/sh").args(["-c", command]).stdin(Stdio::piped()).spawn();
    let mut child = match shell {
        Ok(child) => child,
        Err(error) => return say(&format!("cannot run the command: {error}")),
    };
    if let (Some(mut stdin), Ok(text)) = (child.stdin.take(), serde_json::to_vec(finding)) {
        // A command that does not read it all is free not to. A finding fits into a pipe.
        let _ = stdin.write_all(&text);
    }
    if let Err(problem) = wait(&mut child) {
        say(&format!("the command {problem}"));
    }
}

fn wait(child: &mut Child) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("failed: {status}")),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("took longer than {} s and was killed", PATIENCE.as_secs()));
            }
            Err(error) => return Err(format!("is lost: {error}")),
        }
    }
}
