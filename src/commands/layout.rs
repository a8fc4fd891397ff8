//! `layout extract|check`: for those who keep the tables up to date.

use super::CommandResult;
use super::failure::{Code, Failure};
use super::output::print_text;
use crate::layout::extract::{self, ExtractError};
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
