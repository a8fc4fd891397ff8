//! `catalog list|check|try`: what counts as a resource, and one's own entries.

use super::CommandResult;
use super::arguments::Capture;
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::attach::{Selection, Target};
use crate::report::text;
use crate::resources::catalog::{Catalog, Entry, Named};
use crate::snapshot::catalog::{EntryRow, ExpressionRow};
use std::path::PathBuf;

/// Show the catalogue of resources, check and try entries of your own
#[derive(Debug, clap::Subcommand)]
pub(super) enum CatalogCommand {
    List(List),
    Check(Check),
    Try(Try),
}

impl CatalogCommand {
    pub(super) fn run(self) -> CommandResult {
        match self {
            Self::List(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Try(command) => command.run(),
        }
    }
}

/// List the entries: what is recognised, by which type
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    catalog: CatalogFiles,
    /// Print JSON, with every expression
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let rows: Vec<EntryRow> = catalog.entries().iter().map(entry_row).collect();
        if self.json {
            print_json(&rows, false)?;
        } else {
            print_text(|mut out| text::catalog::write_list(&mut out, &rows))?;
        }
        Ok(Code::Fine)
    }
}

/// Check catalogue files: every mistake with its line and column
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Check {
    fn run(self) -> CommandResult {
        let mut gravest = Code::Fine;
        for path in &self.files {
            let mut catalog = Catalog::default();
            match catalog.add_file(path) {
                Ok(()) => {
                    let count = catalog.entries().len();
                    let noun = if count == 1 { "entry" } else { "entries" };
                    print_text(|out| writeln!(out, "{}: {count} {noun}", path.display()))?;
                }
                Err(error) => {
                    Failure::from(error).print();
                    gravest = Code::File;
                }
            }
        }
        Ok(gravest)
    }
}

/// Try one entry on a process: every expression with its value, or why it has none
#[derive(Debug, clap::Args)]
pub(super) struct Try {
    /// Process id
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// The entry's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

impl Try {
    fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let Some(entry) = catalog.entry(&self.id) else {
            let failure = Failure::new(format!("there is no entry '{}'", self.id), Code::Usage);
            return Err(failure.with_hint("pyattach catalog list shows all ids".to_owned()));
        };
        let progress = Progress::start(format!("reading the heap of process {}", self.pid));
        let target = Target::open(self.pid)?;
        let selection = Selection::Entry(self.id.clone());
        let document = target.resources(&self.capture.options(), &catalog, &selection)?;
        drop(progress);
        if self.capture.json {
            print_json(&document, false)?;
        } else {
            let entry = entry_row(entry);
            print_text(|mut out| text::catalog::write_try(&mut out, &entry, &document))?;
        }
        Ok(if document.capture.consistent { Code::Fine } else { Code::Incomplete })
    }
}

fn entry_row(entry: &Entry) -> EntryRow {
    let row = |named: &Named| ExpressionRow { name: named.name.clone(), text: named.text.clone() };
    let rows = |named: &[Named]| named.iter().map(row).collect();
    let limit = |prefix: &str, named: &Option<Named>| {
        let named = named.as_ref()?;
        Some(ExpressionRow { name: format!("{prefix}{}", named.name), text: named.text.clone() })
    };
    EntryRow {
        id: entry.id.clone(),
        kind: entry.kind.clone(),
        about: entry.about.clone(),
        types: entry.types.clone(),
        module: entry.module.clone(),
        since: entry.since.clone(),
        until: entry.until.clone(),
        source: entry.source.clone(),
        state: rows(&entry.state),
        metrics: rows(&entry.metrics),
        show: rows(&entry.show),
        links: rows(&entry.links),
        limits: [
            limit("", &entry.limits.warn),
            limit("", &entry.limits.critical),
            limit("total ", &entry.total_limits.warn),
            limit("total ", &entry.total_limits.critical),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}
