//! `report PID`, and `PID` alone: the whole picture, and what is wrong.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text, width};
use super::page::write_report;
use super::progress::Progress;
use super::rules::RuleOptions;
use crate::attach::{Target, WholeOptions};
use crate::report::text;
use crate::snapshot::injector::InjectorReport;
use crate::snapshot::report::MemberFailure;
use crate::snapshot::{FamilyDocument, ReportDocument, Severity};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// Say what is wrong with a process: what it holds against its limits, and findings with evidence
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    #[command(flatten)]
    targets: Targets,
    /// Exit with 1 when there is a finding of this severity or above: info, warning, critical, never
    #[arg(long, value_name = "SEVERITY", default_value = "never")]
    fail_on: FailOn,
    #[command(flatten)]
    rules: RuleOptions,
    /// Connections that a server takes from all processes together, as 10.0.0.7:5432=100
    #[arg(long, value_name = "SERVER=N", value_parser = server_limit)]
    server_limit: Vec<(String, u64)>,
    /// Print the lines of the diagnosis script that is often injected into a process
    #[arg(long, conflicts_with = "json")]
    injector_format: bool,
    /// Write the report as a page of its own to this file instead of printing it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "injector_format"])]
    html: Option<PathBuf>,
    /// Whether to look for who holds what the findings name: auto (where that is quick), always, never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    holders: LookForHolders,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

/// `--holders`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LookForHolders {
    Auto,
    Always,
    Never,
}

impl LookForHolders {
    fn most_objects(self) -> Option<u64> {
        match self {
            Self::Auto => Some(WholeOptions::FEW),
            Self::Always => Some(WholeOptions::MANY),
            Self::Never => None,
        }
    }
}

/// `--fail-on`.
#[derive(Debug, Clone, Copy)]
struct FailOn(Option<Severity>);

impl FromStr for FailOn {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "never" => Ok(Self(None)),
            _ => match word.parse() {
                Ok(severity) => Ok(Self(Some(severity))),
                Err(_) => Err("one of info, warning, critical, never".to_owned()),
            },
        }
    }
}

fn server_limit(text: &str) -> Result<(String, u64), String> {
    let parts = text
        .rsplit_once('=')
        .and_then(|(server, limit)| limit.parse().ok().map(|limit| (server.to_owned(), limit)));
    parts.ok_or_else(|| "a server and a number, as 10.0.0.7:5432=100".to_owned())
}

impl Report {
    pub(super) fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let rules = self.rules.load()?;
        let mut reports = Vec::new();
        let mut failures = Vec::new();
        let mut findings = None;
        let look = |pid: i32| -> Result<_, Failure> {
            let progress = Progress::start(format!("reading process {pid}"));
            let holders = self.holders.most_objects().filter(|_| !self.injector_format);
            let with = WholeOptions { samples: !self.injector_format, source: true, holders };
            let whole = Target::open(pid)?.whole(&self.capture.options(), &catalog, with)?;
            drop(progress);
            Ok(whole)
        };
        let code = self.targets.for_each_collecting(
            |pid, several| {
                let whole = look(pid)?;
                if self.injector_format {
                    let report = InjectorReport::new(&whole);
                    if several {
                        print_text(|out| writeln!(out, "Process {pid}"))?;
                    }
                    print_text(|mut out| text::injector::write(&mut out, &report))?;
                    return Ok(Code::of_capture(&whole.capture));
                }
                let diagnosis = rules.judge(&whole);
                findings = findings.max(diagnosis.gravest());
                if let Some(path) = &self.html {
                    if several {
                        let error = "--html writes the page of one process, and there are several";
                        return Err(Failure::new(error, Code::Usage));
                    }
                    write_report(path, &whole, &diagnosis)?;
                    return Ok(Code::of_capture(&whole.capture));
                }
                let report = ReportDocument::new(&whole, diagnosis);
                let code = Code::of_capture(&report.capture);
                reports.push(report);
                Ok(code)
            },
            |pid, failure, passed_over| {
                failures.push(MemberFailure { pid, error: failure.message(), passed_over });
            },
        )?;
        if !self.injector_format && self.html.is_none() {
            self.print(reports, failures)?;
        }
        let failed = self.fail_on.0.is_some_and(|least| findings >= Some(least));
        // A capture that lacks something, or a process not seen, is graver than a finding.
        Ok(if failed { code.max(Code::Findings) } else { code })
    }

    fn print(
        &self,
        mut reports: Vec<ReportDocument>,
        failures: Vec<MemberFailure>,
    ) -> Result<(), Failure> {
        if reports.len() == 1 && failures.is_empty() {
            let Some(report) = reports.pop() else { return Ok(()) };
            if self.capture.json {
                print_json(&report, false)?;
            } else {
                print_text(|mut out| text::report::write(&mut out, &report, width()))?;
            }
            return Ok(());
        }
        let limits: BTreeMap<String, u64> = self.server_limit.iter().cloned().collect();
        let family = FamilyDocument::new(reports, failures, &limits);
        match self.capture.json {
            true => print_json(&family, false)?,
            false => print_text(|mut out| text::family::write(&mut out, &family, width()))?,
        }
        Ok(())
    }
}

/// `pyattach PID`, as the parser sees it: the word `report` is put before a number.
pub(super) fn spelled_out(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let is_pid = |argument: &std::ffi::OsString| {
        let text = argument.to_str().unwrap_or_default();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if arguments.get(1).is_some_and(is_pid) {
        arguments.insert(1, "report".into());
    }
    arguments
}
