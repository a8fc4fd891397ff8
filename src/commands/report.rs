//! `report PID|FILE`, and `PID` alone: the whole picture, and what is wrong.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text, width};
use super::page::write_report;
use super::progress::Progress;
use super::rules::RuleOptions;
use super::series::is_snapshot;
use crate::attach::{Target, WholeOptions};
use crate::report::text;
use crate::snapshot::injector::InjectorReport;
use crate::snapshot::report::{MemberFailure, Stored};
use crate::snapshot::rules::Rules;
use crate::snapshot::{FamilyDocument, ReportDocument, Severity, SnapshotFile, Whole};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Say what is wrong with a process: what it holds against its limits, and findings with evidence
///
/// Of a snapshot file the same is said as of the process when it was captured: the rules judge what
/// is stored. How to capture and whether to look for holders have no meaning then.
#[derive(Debug, clap::Args)]
pub(super) struct Report {
    /// Process ids, and snapshot files
    #[arg(value_name = "PID|FILE", required_unless_present = "name")]
    subjects: Vec<Subject>,
    /// Every Python process whose command line matches: a part of it, or a pattern with * and ?
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// Their child processes as well, and theirs
    #[arg(long)]
    children: bool,
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

/// What a report is on.
#[derive(Debug, Clone)]
enum Subject {
    Process(i32),
    Stored(PathBuf),
}

impl FromStr for Subject {
    type Err = String;

    /// A number is a process; anything else the name of a file.
    fn from_str(word: &str) -> Result<Self, String> {
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Stored(word.into()));
        }
        match word.parse() {
            Ok(pid) if pid > 0 => Ok(Self::Process(pid)),
            _ => Err("no process id; a file of that name is ./NAME".to_owned()),
        }
    }
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
        let (mut pids, mut files) = (Vec::new(), Vec::new());
        for subject in &self.subjects {
            match subject {
                Subject::Process(pid) => pids.push(*pid),
                Subject::Stored(path) => files.push(path),
            }
        }
        let living = !pids.is_empty() || self.name.is_some();
        let mut made = Made { command: &self, rules, reports: Vec::new(), findings: None };
        let mut code = Code::Fine;
        for path in &files {
            let several = living || files.len() > 1;
            match stored(path).and_then(|(whole, stored)| made.add(&whole, Some(stored), several)) {
                Ok(found) => code = code.max(found),
                Err(failure) if failure.is_broken_pipe() || !several => return Err(failure),
                Err(failure) => {
                    failure.print();
                    code = code.max(failure.code());
                }
            }
        }
        let mut failures = Vec::new();
        if living {
            let targets = Targets::of(pids, self.name.clone(), self.children);
            let of_processes = targets.for_each_collecting(
                |pid, several| {
                    let progress = Progress::start(format!("reading process {pid}"));
                    let holders = self.holders.most_objects().filter(|_| !self.injector_format);
                    let samples = !self.injector_format;
                    let with = WholeOptions { samples, holders, ..WholeOptions::default() };
                    let whole =
                        Target::open(pid)?.whole(&self.capture.options(), &catalog, with)?;
                    drop(progress);
                    made.add(&whole, None, several || !files.is_empty())
                },
                |pid, failure, passed_over| {
                    failures.push(MemberFailure { pid, error: failure.message(), passed_over });
                },
            )?;
            code = code.max(of_processes);
        }
        let Made { reports, findings, .. } = made;
        let nothing = reports.is_empty() && failures.is_empty();
        if !self.injector_format && self.html.is_none() && !nothing {
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

/// The reports made so far.
struct Made<'r> {
    command: &'r Report,
    rules: Rules,
    reports: Vec<ReportDocument>,
    findings: Option<Severity>,
}

impl Made<'_> {
    /// Judges one capture, and prints or keeps what is to be said of it.
    fn add(
        &mut self,
        whole: &Whole,
        stored: Option<Stored>,
        several: bool,
    ) -> Result<Code, Failure> {
        let mut code = Code::of_capture(&whole.capture);
        if stored.as_ref().is_some_and(|stored| !stored.damage.is_empty()) {
            code = Code::File;
        }
        if self.command.injector_format {
            let report = InjectorReport::new(whole);
            if several {
                print_text(|out| writeln!(out, "Process {}", whole.process.pid))?;
            }
            print_text(|mut out| text::injector::write(&mut out, &report))?;
            return Ok(code);
        }
        let diagnosis = self.rules.judge(whole);
        self.findings = self.findings.max(diagnosis.gravest());
        if let Some(path) = &self.command.html {
            if several {
                let error = "--html writes the page of one process, and there are several";
                return Err(Failure::new(error, Code::Usage));
            }
            write_report(path, whole, &diagnosis)?;
            return Ok(code);
        }
        self.reports.push(ReportDocument { stored, ..ReportDocument::new(whole, diagnosis) });
        Ok(code)
    }
}

/// What is whole of a snapshot file.
fn stored(path: &Path) -> Result<(Whole, Stored), Failure> {
    let mut file = SnapshotFile::open(path)?;
    let snapshot = file.read_all()?;
    let stored = Stored {
        path: path.to_string_lossy().into_owned(),
        taken: snapshot.summary.taken,
        host: snapshot.summary.host,
        pyattach: snapshot.summary.pyattach,
        damage: file.damage().to_vec(),
    };
    Ok((snapshot.whole, stored))
}

/// `pyattach PID`, as the parser sees it: the word `report` is put before a number, and
/// before the name of a snapshot file.
pub(super) fn spelled_out(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let is_pid = |argument: &std::ffi::OsString| {
        let text = argument.to_str().unwrap_or_default();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_file = |argument: &std::ffi::OsString| is_snapshot(Path::new(argument));
    if arguments.get(1).is_some_and(|it| is_pid(it) || is_file(it)) {
        arguments.insert(1, "report".into());
    }
    arguments
}
