//! `tasks PID`: asyncio's event loops and tasks, and who waits for whom.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::failure::Code;
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::attach::Target;
use crate::report::text;
use crate::snapshot::TasksDocument;
use crate::snapshot::tasks::TaskRow;
use clap::ValueEnum;

/// Show asyncio's event loops and tasks: where each is suspended, and who waits for whom
#[derive(Debug, clap::Args)]
pub(super) struct Tasks {
    #[command(flatten)]
    targets: Targets,
    /// Show every task by itself, ended ones too
    #[arg(long)]
    all: bool,
    /// Show only tasks in this state; can be given several times [default: those not ended]
    #[arg(long, value_name = "STATE")]
    state: Vec<State>,
    /// Show only the event loop at this address, as the loops are listed
    #[arg(long = "loop", value_name = "ADDRESS", value_parser = address)]
    event_loop: Option<u64>,
    #[command(flatten)]
    capture: Capture,
}

/// A state of a task, or what a pending one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Done,
    Cancelled,
    /// Pending, and its code runs at this moment
    Running,
    /// Pending, and about to be resumed
    Ready,
    /// Pending, and waiting for a future
    Waiting,
    /// Pending, and never run
    NotStarted,
}

impl State {
    fn is_of(self, task: &TaskRow) -> bool {
        let state = task.state.as_deref();
        let activity = task.activity.as_deref();
        match self {
            Self::Pending => state == Some("pending"),
            Self::Done => state == Some("done"),
            Self::Cancelled => state == Some("cancelled"),
            Self::Running => activity == Some("running"),
            Self::Ready => activity == Some("ready"),
            Self::Waiting => activity == Some("waiting"),
            Self::NotStarted => activity == Some("not started"),
        }
    }
}

impl Tasks {
    pub(super) fn run(self) -> CommandResult {
        self.targets.for_each(|pid, several| {
            let progress = Progress::start(format!("reading the tasks of process {pid}"));
            let mut document = Target::open(pid)?.tasks(&self.capture.options())?;
            drop(progress);
            self.select(&mut document);
            if self.capture.json {
                print_json(&document, several)?;
            } else {
                print_text(|mut out| text::tasks::write(&mut out, &document, self.all))?;
            }
            Ok(Code::of_capture(&document.capture))
        })
    }

    fn select(&self, document: &mut TasksDocument) {
        let before = document.tasks.len();
        let wanted = self.event_loop.map(|address| format!("{address:#x}"));
        let is_wanted = |address: Option<&str>| wanted.is_none() || address == wanted.as_deref();
        document.loops.retain(|row| is_wanted(Some(&row.address)));
        document.tasks.retain(|task| {
            let ended = matches!(task.state.as_deref(), Some("done" | "cancelled"));
            let by_state = match self.state.is_empty() {
                true => self.all || !ended,
                false => self.state.iter().any(|state| state.is_of(task)),
            };
            by_state && is_wanted(task.event_loop.as_deref())
        });
        document.tasks_not_shown = before.saturating_sub(document.tasks.len()) as u64;
    }
}

/// "0x7f…", with or without the prefix.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|_| "an address such as 0x7f12a4c01d90".to_owned())
}
