//! `doctor PID`: can we attach, what was found, what would be missing and why.

use super::CommandResult;
use super::failure::Code;
use super::output::{print_json, print_text};
use crate::report::text;

/// Check whether a process can be attached to, and what each command will be able to say
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Process id
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self) -> CommandResult {
        let (document, trouble) = crate::attach::doctor::examine(self.pid);
        if self.json {
            print_json(&document, false)?;
        } else {
            print_text(|mut out| text::doctor::write(&mut out, &document))?;
        }
        Ok(trouble.map_or(Code::Fine, Code::from))
    }
}
