//! `gc PID collect|freeze|unfreeze|status`: the collector of the process.

use super::CommandResult;
use super::arguments::Targets;
use super::execution::Execution;
use crate::inject::scripts;

/// Run or look at the garbage collector of the process
#[derive(Debug, clap::Args)]
pub(super) struct Gc {
    /// Process id
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// Its child processes as well, and theirs
    #[arg(long)]
    children: bool,
    /// What to do
    #[arg(value_enum)]
    action: Action,
    #[command(flatten)]
    execution: Execution,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Action {
    /// A full collection; finalisers of the program run
    Collect,
    /// Set all objects aside that exist now, never to be collected
    Freeze,
    /// Take frozen objects back into the oldest generation
    Unfreeze,
    /// Counts, thresholds, collections so far
    Status,
}

impl Gc {
    pub(super) fn run(self) -> CommandResult {
        let script = scripts::gc(match self.action {
            Action::Collect => "collect",
            Action::Freeze => "freeze",
            Action::Unfreeze => "unfreeze",
            Action::Status => "status",
        });
        self.execution.run(&Targets::of(vec![self.pid], None, self.children), None, &script)
    }
}
