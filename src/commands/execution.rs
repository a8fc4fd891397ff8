//! What all commands that have the target run code share: options, the audit log, the output.

use super::CommandResult;
use super::arguments::{Targets, duration};
use super::failure::{Code, Failure};
use super::output::print_json;
use crate::attach::Target;
use crate::inject::{self, Ending, ExecOptions, Outcome, Piece, Script};
use crate::report::escape::escape;
use crate::report::text;
use crate::report::text::HINT;
use crate::snapshot::exec::{AuditRecord, ExecDocument};
use crate::snapshot::secrets::mask_arguments;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Output that a script may have, in bytes: it lies in the target's memory until it has ended.
const ROOM: u64 = 64 << 20;

/// How code is run in a process.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Execution {
    /// Longest time until it has begun and ended; then it is taken back, or ended
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    timeout: Duration,
    /// Append a record of who ran what and when to this file, as JSON, instead of writing it to
    /// stderr
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Say which way was chosen, and how long it took
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Execution {
    /// Runs the script in each of the processes.
    pub(super) fn run(
        &self,
        targets: &Targets,
        thread: Option<i32>,
        script: &Script,
    ) -> CommandResult {
        targets.for_each(|pid, several| {
            let target = Target::open(pid)?;
            let options = ExecOptions { timeout: self.timeout, thread, room: ROOM };
            if self.dry_run {
                self.plan(&target, script, options, several)
            } else {
                self.run_in(&target, script, options, several)
            }
        })
    }

    fn plan(
        &self,
        target: &Target,
        script: &Script,
        options: ExecOptions,
        several: bool,
    ) -> CommandResult {
        let planned = inject::plan(target, script, options).map_err(failure)?;
        let document = ExecDocument {
            way: planned.way.name(),
            interrupted: planned.interrupt,
            doing: planned.doing,
            pause_ms: ms(planned.pause),
            ..document(target, script)
        };
        if self.json {
            print_json(&document, several)?;
        } else {
            let way = planned.way.to_string();
            text::exec::write_plan(&mut anstream::stderr().lock(), &document, &way)?;
        }
        Ok(Code::Fine)
    }

    fn run_in(
        &self,
        target: &Target,
        script: &Script,
        options: ExecOptions,
        several: bool,
    ) -> CommandResult {
        let audit = Audit::begin(self.audit.as_deref(), target, script)?;
        let mut kept = (Vec::new(), Vec::new());
        let terminal = io::stdout().is_terminal();
        let json = self.json;
        let answer = inject::run(target, script, options, &mut |piece| match piece {
            Piece::Output(bytes) if json => {
                kept.0.extend_from_slice(bytes);
                Ok(())
            }
            Piece::Error(bytes) if json => {
                kept.1.extend_from_slice(bytes);
                Ok(())
            }
            Piece::Output(bytes) => pass_on(&mut io::stdout().lock(), bytes, terminal),
            Piece::Error(bytes) => {
                pass_on(&mut io::stderr().lock(), bytes, io::stderr().is_terminal())
            }
        });
        let outcome = match answer {
            Ok(outcome) => outcome,
            Err(error) => {
                audit.end(&error.to_string())?;
                return Err(failure(error));
            }
        };
        let way = outcome.way.to_string();
        let document = with_outcome(document(target, script), outcome);
        audit.end(&format!("{}, {}", document.way, document.ending))?;
        if json {
            let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
            let (stdout, stderr) = (text(&kept.0), text(&kept.1));
            print_json(&ExecDocument { stdout, stderr, ..document.clone() }, several)?;
        } else {
            if let Some(result) = &document.result {
                print_json(result, several)?;
            }
            let mut err = anstream::stderr().lock();
            text::exec::write_ending(&mut err, &document)?;
            if self.verbose {
                text::exec::write_way(&mut err, &document, &way)?;
            }
        }
        Ok(code(&document))
    }
}

/// What the user should know before it is done.
pub(super) fn note(text: &str) {
    let mut err = anstream::stderr().lock();
    // Nothing is left to do when stderr is gone.
    let _ = writeln!(err, "{HINT}note:{HINT:#} {text}");
}

/// The script's own output.
fn pass_on(out: &mut dyn Write, bytes: &[u8], terminal: bool) -> io::Result<()> {
    if terminal {
        out.write_all(text::exec::for_terminal(bytes).as_bytes())?;
    } else {
        out.write_all(bytes)?;
    }
    out.flush()
}

fn code(document: &ExecDocument) -> Code {
    match (document.ending, document.detail.as_deref()) {
        ("done", _) | ("exited", Some("None" | "0")) => Code::Fine,
        ("exited" | "raised" | "not-compiled", _) => Code::Findings,
        _ => Code::Incomplete,
    }
}

fn document(target: &Target, script: &Script) -> ExecDocument {
    ExecDocument {
        schema: ExecDocument::SCHEMA,
        pyattach: crate::snapshot::VERSION,
        pid: target.process().pid(),
        python: target.layout().version.to_string(),
        script: script.name.clone(),
        way: "",
        interrupted: false,
        doing: String::new(),
        ending: "planned",
        detail: None,
        stdout: None,
        stderr: None,
        cut: false,
        result: None,
        result_error: None,
        latency_ms: None,
        pickup_ms: None,
        runtime_ms: None,
        pause_ms: 0.0,
        left_behind: Vec::new(),
    }
}

fn with_outcome(document: ExecDocument, outcome: Outcome) -> ExecDocument {
    let (ending, detail) = match outcome.ending {
        Ending::Done => ("done", None),
        Ending::Exited(code) => ("exited", Some(code)),
        Ending::Raised(text) => ("raised", Some(text)),
        Ending::NotCompiled(text) => ("not-compiled", Some(text)),
        Ending::Stopped => ("stopped", None),
        Ending::StillRunning(doing) => ("still-running", Some(doing)),
        Ending::Lost(reason) => ("lost", Some(reason)),
        Ending::TakenBack(reason) => ("taken-back", Some(reason)),
    };
    let (result, result_error) = match outcome.result {
        None => (None, None),
        Some(Ok(value)) => (Some(value), None),
        Some(Err(error)) => (None, Some(error)),
    };
    ExecDocument {
        way: outcome.way.name(),
        interrupted: outcome.interrupted,
        doing: outcome.doing,
        ending,
        detail,
        cut: outcome.cut,
        result,
        result_error,
        latency_ms: outcome.latency.map(ms),
        pickup_ms: outcome.pickup.map(ms),
        runtime_ms: outcome.runtime.map(ms),
        pause_ms: ms(outcome.pause),
        left_behind: outcome.left_behind,
        ..document
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn failure(error: inject::ExecError) -> Failure {
    let hint = error.hint();
    let code = error.trouble().into();
    Failure::new(error, code).with_hint(hint)
}

/// The record of one injection: written before anything is done, and completed after.
struct Audit {
    file: Option<File>,
    record: AuditRecord,
}

impl Audit {
    fn begin(path: Option<&Path>, target: &Target, script: &Script) -> Result<Self, Failure> {
        let identity = target.process().identity().map_err(crate::attach::AttachError::from)?;
        let uid = nix::unistd::Uid::effective();
        let user = nix::unistd::User::from_uid(uid).ok().flatten();
        let source = String::from_utf8_lossy(&script.source).into_owned();
        let record = AuditRecord {
            schema: AuditRecord::SCHEMA,
            time: jiff::Timestamp::now().to_string(),
            event: "begin",
            uid: uid.as_raw(),
            user: user.map(|user| user.name),
            sudo_user: std::env::var("SUDO_USER").ok(),
            by_pid: std::process::id(),
            pid: identity.pid,
            start_time: identity.start_time.map(|time| time.to_string()),
            cmdline: mask_arguments(&identity.cmdline),
            script: script.name.clone(),
            source: path.is_some().then_some(source),
            arguments: mask_arguments(&script.arguments),
            outcome: None,
        };
        let file = path.map(open).transpose().map_err(|error| {
            let shown = path.unwrap_or(Path::new("")).display();
            Failure::new(format!("the audit log {shown} cannot be written: {error}"), Code::Usage)
                .with_hint("nothing was run".to_owned())
        })?;
        let mut audit = Self { file, record };
        audit.write()?;
        Ok(audit)
    }

    fn end(mut self, outcome: &str) -> io::Result<()> {
        self.record.time = jiff::Timestamp::now().to_string();
        self.record.event = "end";
        self.record.source = None;
        self.record.outcome = Some(outcome.to_owned());
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let record = &self.record;
        let Some(file) = &mut self.file else {
            let who = record.user.clone().unwrap_or_else(|| record.uid.to_string());
            let line = match &record.outcome {
                None => format!(
                    "audit: {} {who} (uid {}) runs {} in process {} ({})",
                    record.time,
                    record.uid,
                    record.script,
                    record.pid,
                    record.cmdline.join(" "),
                ),
                Some(outcome) => format!("audit: {} ended: {outcome}", record.time),
            };
            return writeln!(io::stderr().lock(), "{}", escape(&line));
        };
        let mut line = Vec::new();
        crate::report::json::write(&mut line, record, true)?;
        // In one piece: several of us may write to one log.
        file.write_all(&line)
    }
}

/// Appends, never follows a link, is readable by its owner only.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    File::options().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}
