//! `census PID`: what the process holds, by type, and the resources.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::catalog_files::CatalogFiles;
use super::failure::Code;
use super::output::{print_json, print_text};
use super::pattern::Pattern;
use super::progress::Progress;
use crate::attach::Target;
use crate::report::text;
use crate::snapshot::census::ObjectTotals;

/// Types shown as text unless `--top` says otherwise.
const SHOWN: usize = 25;

/// Count the objects the process holds, by type, and its sockets, executors, sessions and tasks
#[derive(Debug, clap::Args)]
pub(super) struct Census {
    #[command(flatten)]
    targets: Targets,
    /// Show the N types with the most instances; 0 shows all [default: 25, with --json all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Show only types whose name matches: a part of it, or a pattern with * and ?
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// Order types by their bytes instead of their number
    #[arg(long)]
    by_size: bool,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

impl Census {
    pub(super) fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let filter = self.filter.as_deref().map(Pattern::new).transpose()?;
        let shown = self.top.unwrap_or(if self.capture.json { 0 } else { SHOWN });
        self.targets.for_each(|pid, several| {
            let progress = Progress::start(format!("reading the heap of process {pid}"));
            let mut document = Target::open(pid)?.census_with(&self.capture.options(), &catalog)?;
            drop(progress);
            select(&mut document.objects, filter.as_ref(), self.by_size, shown);
            if self.capture.json {
                print_json(&document, several)?;
            } else {
                print_text(|mut out| text::census::write(&mut out, &document))?;
            }
            Ok(Code::of_capture(&document.capture))
        })
    }
}

/// Keeps the rows asked for, in the order asked for.
fn select(objects: &mut ObjectTotals, filter: Option<&Pattern>, by_size: bool, shown: usize) {
    objects.types.retain(|row| filter.is_none_or(|filter| filter.matches(&row.name)));
    if by_size {
        objects.types.sort_by_key(|row| std::cmp::Reverse(row.shallow_bytes));
    }
    if shown > 0 {
        objects.types.truncate(shown);
    }
    objects.types_not_shown = objects.type_count.saturating_sub(objects.types.len() as u64);
}
