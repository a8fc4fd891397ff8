//! The command line: one file per subcommand, each gathers its options, calls and prints.
//!
//! Data goes to stdout, everything else to stderr. Exit codes are in [`failure::Code`].

mod arguments;
mod catalog;
mod catalog_files;
mod census;
mod completions;
mod demo;
mod diagnose;
mod diff;
mod doctor;
mod dump;
mod exec;
mod execution;
mod export;
mod failure;
mod gc;
mod graph;
mod layout;
mod man;
mod output;
mod page;
mod pattern;
mod progress;
mod report;
mod resources;
mod rules;
mod series;
mod serve;
mod snapshot;
mod sockets;
mod tasks;
mod tracemalloc;
mod track;
mod trend;
mod watch;
mod why;

use clap::{Parser, Subcommand};
use failure::{Code, Failure};
use std::process::ExitCode;

/// Attach to a running Python process and find what it leaks.
///
/// No restart, no change to the program, no code run inside it: interpreter state and objects
/// are read out of its memory, during a pause of milliseconds that is measured and printed.
#[derive(Debug, Parser)]
#[command(name = "pyattach", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pyattach 4711                  what is wrong with it? (the same as: report 4711)
  pyattach dump 4711             what is every thread doing?
  pyattach census 4711           what is it holding, and how many of each?
  pyattach sockets 4711          which sockets, in which state, and who owns them?
  pyattach tasks 4711            which asyncio tasks wait, where, and for what?
  pyattach resources 4711        which sockets, pools, sessions, and in which state?
  pyattach snapshot 4711 -o a.pysnap   a capture to keep and to compare
  pyattach why 4711 socket       who is holding them?
  pyattach doctor 4711           can we attach, and what will we see?

Exit codes: 0 fine, 1 findings (--fail-on), 2 wrong usage, 3 cannot attach, 4 not a known CPython,
5 the capture is incomplete or over its pause budget, 6 a damaged or foreign file.";

#[derive(Debug, Subcommand)]
enum Command {
    Report(report::Report),
    Dump(dump::Dump),
    Census(census::Census),
    Sockets(sockets::Sockets),
    Tasks(tasks::Tasks),
    Resources(resources::Resources),
    Why(why::Why),
    Graph(graph::Graph),
    Exec(exec::Exec),
    Diagnose(diagnose::Diagnose),
    Tracemalloc(tracemalloc::Tracemalloc),
    Gc(gc::Gc),
    Track(track::Track),
    Untrack(track::Untrack),
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    Serve(serve::Serve),
    Doctor(doctor::Doctor),
    Snapshot(snapshot::Store),
    Diff(diff::Diff),
    Trend(trend::Trend),
    Watch(watch::Watch),
    Export(export::Export),
    Demo(demo::Demo),
    #[command(subcommand)]
    Layout(layout::Layout),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Parses the command line, runs the command, reports its failure.
pub fn main() -> ExitCode {
    let arguments = report::spelled_out(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::Report(command) => command.run(),
        Command::Dump(command) => command.run(),
        Command::Census(command) => command.run(),
        Command::Sockets(command) => command.run(),
        Command::Tasks(command) => command.run(),
        Command::Resources(command) => command.run(),
        Command::Why(command) => command.run(),
        Command::Graph(command) => command.run(),
        Command::Exec(command) => command.run(),
        Command::Diagnose(command) => command.run(),
        Command::Tracemalloc(command) => command.run(),
        Command::Gc(command) => command.run(),
        Command::Track(command) => command.run(),
        Command::Untrack(command) => command.run(),
        Command::Catalog(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Snapshot(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Trend(command) => command.run(),
        Command::Watch(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Layout(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match result {
        Ok(code) => code.into(),
        Err(failure) if failure.is_broken_pipe() => Code::Fine.into(),
        Err(failure) => {
            failure.print();
            failure.code().into()
        }
    }
}

/// Help and version are answers (exit 0); anything else is wrong usage (exit 2).
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { Code::Usage.into() } else { Code::Fine.into() }
}

type CommandResult = Result<Code, Failure>;
