//! `export FILES|DIR`: a series for other programs.

use super::CommandResult;
use super::failure::{Code, Failure};
use super::progress::Progress;
use super::series;
use crate::report::{csv, parquet};
use crate::snapshot::TrendDocument;
use crate::snapshot::file::save_with;
use crate::snapshot::trend::with_sizes;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

/// Write a series of snapshots as CSV or Parquet, one row for each capture and series, for DuckDB,
/// Spark and others
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Snapshot files, or folders of them
    #[arg(value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,
    /// What to write [default: csv, or what the name of the output says]
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,
    /// The file to write instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Comma-separated values
    Csv,
    /// Apache Parquet
    Parquet,
}

impl Export {
    pub(super) fn run(self) -> CommandResult {
        let files = series::files(&self.files)?;
        let format = self.format();
        if format == Format::Parquet && self.output.is_none() && io::stdout().is_terminal() {
            let failure = Failure::new("Parquet is not for a terminal", Code::Usage);
            return Err(failure.with_hint("give a file with -o".to_owned()));
        }
        let progress = Progress::start(format!("reading {} files", files.len()));
        let document = with_sizes(&files);
        drop(progress);
        for file in &document.damaged {
            let failure = Failure::new(format!("{}: {}", file.path, file.what), Code::File);
            failure.print_as_note();
        }
        if document.processes.is_empty() {
            return Err(Failure::new("none of the files could be read", Code::File));
        }
        match &self.output {
            Some(path) => {
                save_with(path, true, |out| format.write(BufWriter::new(out), &document))?;
            }
            None => format.write(BufWriter::new(io::stdout()), &document)?,
        }
        Ok(if document.damaged.is_empty() { Code::Fine } else { Code::File })
    }

    fn format(&self) -> Format {
        let name = self.output.as_ref().and_then(|path| path.extension());
        let of_name = match name.and_then(|name| name.to_str()) {
            Some("parquet") => Format::Parquet,
            _ => Format::Csv,
        };
        self.to.unwrap_or(of_name)
    }
}

impl Format {
    fn write(self, mut out: impl Write + Send, document: &TrendDocument) -> io::Result<()> {
        match self {
            Self::Csv => csv::write(&mut out, document).map_err(of_csv)?,
            Self::Parquet => parquet::write(&mut out, document).map_err(of_parquet)?,
        }
        out.flush()
    }
}

fn of_csv(error: ::csv::Error) -> io::Error {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("cannot write CSV: {other:?}")),
    }
}

/// What went wrong beneath, so that a closed pipe is still one.
fn of_parquet(error: ::parquet::errors::ParquetError) -> io::Error {
    match error {
        ::parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
