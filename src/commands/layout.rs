//! `layout extract|check`: for those who keep the tables up to date.

use super::CommandResult;
use super::failure::{Code, Failure};
use super::output::print_text;
use crate::layout::extract::{self, ExtractError, Identity};
use crate::layout::{Flavour, Version};
use std::path::PathBuf;

/// Extract and check the tables of struct layouts (for maintainers)
#[derive(Debug, clap::Subcommand)]
pub(super) enum Layout {
    Extract(Extract),
    Check(Check),
}

impl Layout {
    pub(super) fn run(self) -> CommandResult {
        match self {
            Self::Extract(command) => command.run(),
            Self::Check(command) => command.run(),
        }
    }
}

/// Read a build's debug information and write its layout table
#[derive(Debug, clap::Args)]
pub(super) struct Extract {
    #[command(flatten)]
    files: Files,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Compare a build's debug information with the built-in table
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    files: Files,
}

/// The files of one build.
#[derive(Debug, clap::Args)]
struct Files {
    /// The interpreter or libpython first, then extension modules, or their debug files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exact version, where the files do not tell (debug files do not)
    #[arg(long, value_name = "X.Y.Z", value_parser = version)]
    python_version: Option<Version>,
    /// A Py_DEBUG build, where the files do not tell
    #[arg(long)]
    debug_build: bool,
}

impl Files {
    fn identity(&self) -> Identity {
        let flavour = self.debug_build.then_some(Flavour::Debug);
        Identity { version: self.python_version, flavour }
    }
}

impl Extract {
    fn run(self) -> CommandResult {
        let table = extract::extract(&self.files.files, self.files.identity())?;
        let text = table.to_text();
        match &self.output {
            Some(path) => std::fs::write(path, text)?,
            None => print_text(|out| out.write_all(text.as_bytes()))?,
        }
        Ok(Code::Fine)
    }
}

impl Check {
    fn run(self) -> CommandResult {
        let differences = extract::check(&self.files.files, self.files.identity())?;
        print_text(|out| {
            for difference in &differences {
                writeln!(out, "{difference}")?;
            }
            match differences.len() {
                0 => writeln!(out, "the built-in table agrees in every field"),
                count => writeln!(out, "{count} differences"),
            }
        })?;
        Ok(if differences.is_empty() { Code::Fine } else { Code::Unknown })
    }
}

impl From<ExtractError> for Failure {
    fn from(error: ExtractError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self::new(error, Code::File).with_hint(hint)
    }
}

fn version(text: &str) -> Result<Version, String> {
    let numbers: Vec<u8> = text.split('.').map_while(|part| part.parse().ok()).collect();
    match numbers[..] {
        [major, minor, micro] => Ok(Version::release(major, minor, micro)),
        _ => Err("a version such as 3.14.10".to_owned()),
    }
}
