//! `man [COMMAND]`: the manual page, made from the definition of the command line.

use super::CommandResult;
use super::failure::{Code, Failure};
use clap::CommandFactory;

/// Print the manual page, of the whole tool or of one command
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The command
    command: Option<String>,
}

impl Man {
    pub(super) fn run(self) -> CommandResult {
        let mut cli = super::Cli::command();
        cli.build();
        let command = match &self.command {
            None => cli,
            Some(name) => {
                let found = cli.find_subcommand(name).cloned();
                found.ok_or_else(|| {
                    Failure::new(format!("there is no command '{name}'"), Code::Usage)
                })?
            }
        };
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        super::output::print_text(|out| out.write_all(&page))?;
        Ok(Code::Fine)
    }
}
