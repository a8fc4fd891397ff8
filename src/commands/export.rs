//! `export FILES|DIR`: a series for other programs.

use super::CommandResult;
use super::failure::{Code, Failure};
use super::series;
use crate::report::csv;
use crate::snapshot::trend::trend;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Write a series of snapshots as CSV, one row for each capture and series, for DuckDB and others
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Snapshot files, or folders of them
    #[arg(value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,
}

impl Export {
    pub(super) fn run(self) -> CommandResult {
        let document = trend(&series::files(&self.files)?);
        for file in &document.damaged {
            let failure = Failure::new(format!("{}: {}", file.path, file.what), Code::File);
            failure.print_as_note();
        }
        if document.processes.is_empty() {
            return Err(Failure::new("none of the files could be read", Code::File));
        }
        let mut out = BufWriter::new(io::stdout().lock());
        match csv::write(&mut out, &document) {
            Ok(()) => {}
            Err(error) => {
                return Err(match error.into_kind() {
                    ::csv::ErrorKind::Io(error) => error.into(),
                    other => Failure::new(format!("cannot write CSV: {other:?}"), Code::Usage),
                });
            }
        }
        out.flush()?;
        Ok(if document.damaged.is_empty() { Code::Fine } else { Code::File })
    }
}
