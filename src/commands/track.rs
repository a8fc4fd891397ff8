//! `track PID module.Class` and `untrack`: where the living instances of a class were made.

use super::CommandResult;
use super::arguments::Targets;
use super::execution::Execution;
use crate::inject::scripts;

/// Keep the creation stack of each instance of a class; asked again, tell how many live from where
///
/// Wraps the class's __init__ in the live process, until `untrack`. Instances made before are
/// counted, but nobody knows where they were made.
#[derive(Debug, clap::Args)]
pub(super) struct Track {
    #[command(flatten)]
    class: Class,
    /// Frames kept of each stack
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    frames: u32,
    /// Stacks told
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: u32,
}

/// Undo `track`, and tell once more
#[derive(Debug, clap::Args)]
pub(super) struct Untrack {
    #[command(flatten)]
    class: Class,
}

#[derive(Debug, clap::Args)]
struct Class {
    /// Process id
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// The class, as module.Class
    #[arg(value_name = "CLASS")]
    class: String,
    /// Its child processes as well, and theirs
    #[arg(long)]
    children: bool,
    #[command(flatten)]
    execution: Execution,
}

impl Class {
    fn run(&self, action: &str, depth: u32, shown: u32) -> CommandResult {
        let script = scripts::track(action, &self.class, depth, shown);
        self.execution.run(&Targets::of(vec![self.pid], None, self.children), None, &script)
    }
}

impl Track {
    pub(super) fn run(self) -> CommandResult {
        if !self.class.execution.dry_run {
            super::execution::note(
                "each new instance takes some microseconds and about 1 KB more, until `untrack`",
            );
        }
        self.class.run("track", self.frames, self.top)
    }
}

impl Untrack {
    pub(super) fn run(self) -> CommandResult {
        self.class.run("untrack", 1, 10)
    }
}
