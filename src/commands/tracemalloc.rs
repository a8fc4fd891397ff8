//! `tracemalloc PID start|stop|status`: record where memory is allocated.

use super::CommandResult;
use super::arguments::Targets;
use super::execution::Execution;
use crate::inject::scripts;

/// Start, stop or look at tracemalloc in the process, so that captures know where objects were made
#[derive(Debug, clap::Args)]
pub(super) struct Tracemalloc {
    /// Process id
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// Its child processes as well, and theirs
    #[arg(long)]
    children: bool,
    /// What to do
    #[arg(value_enum)]
    action: Action,
    /// With start: how many of the innermost frames to record of each allocation
    #[arg(value_name = "FRAMES", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    frames: u32,
    #[command(flatten)]
    execution: Execution,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Action {
    /// Record allocations from now on
    Start,
    /// Record no more, and forget what was recorded
    Stop,
    /// Say whether it records
    Status,
}

impl Tracemalloc {
    pub(super) fn run(self) -> CommandResult {
        let script = match self.action {
            Action::Start => {
                let cost = "from now on allocations take two to four times as long, and each living \
                            block takes about 100 bytes more per recorded frame, until \
                            `tracemalloc PID stop`";
                super::execution::note(cost);
                scripts::tracemalloc("start", self.frames)
            }
            Action::Stop => scripts::tracemalloc("stop", 1),
            Action::Status => scripts::tracemalloc("status", 1),
        };
        self.execution.run(&Targets::of(vec![self.pid], None, self.children), None, &script)
    }
}
