//! `diagnose PID`: the diagnosis script that people inject, built in and corrected.

use super::CommandResult;
use super::arguments::Targets;
use super::execution::Execution;
use crate::inject::scripts;

/// Run the built-in diagnosis script in the process
///
/// Threads, event loops, sockets, executors and aiohttp sessions, as a script inside the process
/// sees them. `report --injector-format` prints the same without running anything in the process.
#[derive(Debug, clap::Args)]
pub(super) struct Diagnose {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    execution: Execution,
}

impl Diagnose {
    pub(super) fn run(self) -> CommandResult {
        let script = scripts::diagnose(self.execution.json);
        self.execution.run(&self.targets, None, &script)
    }
}
