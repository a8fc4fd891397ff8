//! `dump PID`: what every thread is doing.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::failure::Code;
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::attach::{StackOptions, Target};
use crate::report::text;

/// Show the stack of every thread
#[derive(Debug, clap::Args)]
pub(super) struct Dump {
    #[command(flatten)]
    targets: Targets,
    /// Show local variables; values that look like secrets are masked
    #[arg(long, short)]
    locals: bool,
    /// Show the middle of very deep stacks as well
    #[arg(long)]
    all_frames: bool,
    /// Do not look up source lines
    #[arg(long)]
    no_source: bool,
    #[command(flatten)]
    capture: Capture,
}

impl Dump {
    pub(super) fn run(self) -> CommandResult {
        let options = StackOptions { locals: self.locals, source: !self.no_source };
        self.targets.for_each(|pid, several| {
            let progress = Progress::start(format!("reading the threads of process {pid}"));
            let document = Target::open(pid)?.dump(&self.capture.options(), options)?;
            drop(progress);
            if self.capture.json {
                print_json(&document, several)?;
            } else {
                print_text(|mut out| text::dump::write(&mut out, &document, self.all_frames))?;
            }
            Ok(Code::of_capture(&document.capture))
        })
    }
}
