//! `trend FILES|DIR`: what grows over a series of snapshots.

use super::CommandResult;
use super::failure::Code;
use super::output::{print_json, print_text};
use super::page;
use super::progress::Progress;
use super::series;
use crate::report::{junit, text};
use crate::snapshot::TrendDocument;
use crate::snapshot::file::save_bytes;
use crate::snapshot::trend::{Verdict, trend};
use std::path::PathBuf;

/// Judge a series of snapshots: what grows, how fast, and when it reaches its limit
///
/// Exit code 1 when something grows.
#[derive(Debug, clap::Args)]
pub(super) struct Trend {
    /// Snapshot files, or folders of them
    #[arg(value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,
    /// Show every series, the stable ones too, and with --json the value at each capture
    #[arg(long)]
    all: bool,
    /// The verdict from which on the exit code is 1
    #[arg(long, value_name = "VERDICT", default_value = "growing")]
    fail_on: FailOn,
    /// Also write the verdicts as JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also write what grows as SARIF to this file
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Also write an HTML page on the process that is worst off to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The verdict from which on the exit code is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    /// Only what certainly grows
    Growing,
    /// Also what seems to grow
    Suspected,
    /// Nothing
    Never,
}

impl FailOn {
    /// The code for the worst verdict.
    pub(super) fn code(self, worst: Option<Verdict>) -> Code {
        let bad = match self {
            Self::Growing => worst == Some(Verdict::Growing),
            Self::Suspected => worst <= Some(Verdict::Suspected) && worst.is_some(),
            Self::Never => false,
        };
        if bad { Code::Findings } else { Code::Fine }
    }
}

/// What grows, as SARIF.
fn sarif(document: &TrendDocument) -> serde_json::Value {
    let mut findings = Vec::new();
    for process in &document.processes {
        let host = process.host.as_deref().unwrap_or("?");
        let about = format!("process {} on {host}", process.same.pid);
        let of_series = process.series.iter().filter_map(|row| row.finding(process));
        findings.extend(of_series.map(|finding| (about.clone(), finding)));
    }
    crate::report::sarif::document(findings.iter().map(|(about, it)| (about.clone(), it)))
}

impl Trend {
    pub(super) fn run(self) -> CommandResult {
        let files = series::files(&self.files)?;
        let progress = Progress::start(format!("reading {} files", files.len()));
        let mut document = trend(&files);
        drop(progress);
        if let Some(path) = &self.html {
            page::write_trend(path, &document, &files)?;
        }
        let code = self.fail_on.code(document.worst());
        if let Some(path) = &self.junit {
            let mut text = Vec::new();
            junit::write(&mut text, &document)?;
            save_bytes(path, &text, true)?;
        }
        if let Some(path) = &self.sarif {
            save_bytes(path, sarif(&document).to_string().as_bytes(), true)?;
        }
        let unusable = document.processes.is_empty() && !document.damaged.is_empty();
        if self.json {
            if !self.all {
                document.brief();
            }
            print_json(&document, false)?;
        } else {
            print_text(|mut out| text::trend::write(&mut out, &document, self.all))?;
        }
        Ok(if unusable { Code::File } else { code })
    }
}
