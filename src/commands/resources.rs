//! `resources PID`: sockets, executors, pools, sessions, tasks, one by one.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::attach::{Selection, Target};
use crate::report::text;
use crate::resources::Catalog;

/// List the resources the process holds, one by one, with their state and numbers
#[derive(Debug, clap::Args)]
pub(super) struct Resources {
    #[command(flatten)]
    targets: Targets,
    /// Only resources of this kind (may be given several times; `catalog list` has the kinds)
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

impl Resources {
    pub(super) fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let selection = select(&catalog, self.kinds)?;
        self.targets.for_each(|pid, several| {
            let progress = Progress::start(format!("reading the heap of process {pid}"));
            let target = Target::open(pid)?;
            let document = target.resources(&self.capture.options(), &catalog, &selection)?;
            drop(progress);
            if self.capture.json {
                print_json(&document, several)?;
            } else {
                print_text(|mut out| text::resources::write(&mut out, &document))?;
            }
            Ok(if document.capture.consistent { Code::Fine } else { Code::Incomplete })
        })
    }
}

fn select(catalog: &Catalog, kinds: Vec<String>) -> Result<Selection, Failure> {
    if kinds.is_empty() {
        return Ok(Selection::All);
    }
    for kind in &kinds {
        if !catalog.entries().iter().any(|entry| entry.kind == *kind) {
            let failure = Failure::new(format!("there is no kind '{kind}'"), Code::Usage);
            return Err(failure.with_hint("pyattach catalog list shows all kinds".to_owned()));
        }
    }
    Ok(Selection::Kinds(kinds))
}
