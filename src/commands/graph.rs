//! `graph PID -o FILE`: the reference graph for other programs.

use super::CommandResult;
use super::arguments::{Capture, pid};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::progress::Progress;
use crate::attach::Target;
use crate::report::heapsnapshot;
use crate::snapshot::file::save_with;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

/// Write every object and reference as a heap snapshot, for Chrome DevTools and memlab
///
/// Objects have the same ids in every file of a process, so that DevTools can compare two.
/// Resources are named by what they are, tasks, futures and threads that nothing can ever wake
/// are "detached". Open the file in the panel Memory of DevTools.
#[derive(Debug, clap::Args)]
pub(super) struct Graph {
    /// Process id
    #[arg(value_name = "PID", value_parser = pid())]
    pid: i32,
    /// The file to write instead of standard output; DevTools wants it to end in .heapsnapshot
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

/// Nodes whose file is larger than DevTools loads with ease.
const MANY: usize = 8_000_000;

impl Graph {
    pub(super) fn run(self) -> CommandResult {
        if self.output.is_none() && io::stdout().is_terminal() {
            let failure = Failure::new("a heap snapshot is not for a terminal", Code::Usage);
            return Err(failure.with_hint("give a file with -o".to_owned()));
        }
        let catalog = self.catalog.load()?;
        let progress = Progress::start(format!("reading the heap of process {}", self.pid));
        let target = Target::open(self.pid)?;
        let (heap, capture) = target.heap(&self.capture.options(), &catalog)?;
        match &self.output {
            Some(path) => save_with(path, true, |file| {
                let mut out = BufWriter::new(file);
                heapsnapshot::write(&mut out, &heap)?;
                out.flush()
            })?,
            None => {
                let mut out = BufWriter::new(io::stdout().lock());
                heapsnapshot::write(&mut out, &heap)?;
                out.flush()?;
            }
        }
        drop(progress);
        if heap.nodes.len() > MANY {
            let message = format!("{} nodes: DevTools may not load that many", heap.nodes.len());
            Failure::new(message, Code::Fine).print_as_note();
        }
        Ok(Code::of_capture(&capture))
    }
}
