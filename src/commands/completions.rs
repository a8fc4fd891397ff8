//! `completions SHELL`: a completion script, made from the definition of the command line.

use super::CommandResult;
use super::failure::Code;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> CommandResult {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "pyattach", &mut script);
        super::output::print_text(|out| out.write_all(&script))?;
        Ok(Code::Fine)
    }
}
