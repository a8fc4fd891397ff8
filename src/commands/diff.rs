//! `diff OLD NEW`: what is different between two snapshots.

use super::CommandResult;
use super::failure::Code;
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::report::text;
use crate::snapshot::diff::diff;
use std::path::PathBuf;

/// Rows shown as text unless `--top` says otherwise.
const SHOWN: usize = 40;
/// Rows of each list of the graphs' differences.
const GRAPH_ROWS: usize = 20;

/// Compare two snapshots: what grew, shrank, appeared, was replaced, and what stayed
#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// The older snapshot
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer one
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Also compare the graphs of references: which paths lead to more, which objects are large
    #[arg(long)]
    graph: bool,
    /// Show the first N differences; 0 shows all [default: 40, with --json all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self) -> CommandResult {
        let rows = self.top.map_or(GRAPH_ROWS, |top| if top == 0 { usize::MAX } else { top });
        let progress = Progress::start("reading the files".to_owned());
        let mut document = diff(&self.old, &self.new, self.graph.then_some(rows))?;
        drop(progress);
        let shown = self.top.unwrap_or(if self.json { 0 } else { SHOWN });
        if shown > 0 && document.rows.len() > shown {
            document.not_shown = (document.rows.len() - shown) as u64;
            document.rows.truncate(shown);
        }
        if self.json {
            print_json(&document, false)?;
        } else {
            print_text(|mut out| text::diff::write(&mut out, &document))?;
        }
        Ok(Code::Fine)
    }
}
