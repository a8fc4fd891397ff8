//! Running a script inside a busy process, beside the tools that do the same: how long until its first line, and how many
//! targets each of them hurts.
//!
//! The target (`exec_busy.py`) has every thread busy with something that a careless injection breaks, and finds harm
//! itself; one that has ended or stands still is replaced by a new one.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::options::Options;
use crate::peers::Peers;
use crate::statistics::{Series, number};
use crate::support::{Fixture, Interpreter, scratch};

/// The word for the command line.
pub(crate) const NAME: &str = "exec";
/// Injections, and injections with `--quick`.
pub(crate) const ROUNDS: (usize, usize) = (300, 20);
/// Longest run of a tool, and longest silence of a target.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so many hurt targets a tool is believed to hurt.
const ENOUGH: usize = 10;

/// Who runs the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Ours,
    Gdb,
    Hypno,
    Pyrasite,
}

const TOOLS: [Tool; 4] = [Tool::Ours, Tool::Gdb, Tool::Hypno, Tool::Pyrasite];

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "pyattach exec",
            Self::Gdb => "gdb recipe",
            Self::Hypno => "hypno 1.1.0",
            Self::Pyrasite => "pyrasite 2.0",
        }
    }

    /// The command that has the text run in the process; the file is for pyrasite, which takes no text.
    fn command(
        self,
        pid: i32,
        text: &str,
        file: &Path,
        peers: &Peers,
        options: &Options,
    ) -> Option<Command> {
        let pid = pid.to_string();
        let mut command = match self {
            Self::Ours => {
                let mut command = Command::new(&options.binary);
                command.args(["exec", &pid, "--timeout", "15s", "-c", text]);
                command
            }
            Self::Gdb => {
                let run = format!("call (int)PyRun_SimpleString(\"{text}\")");
                let mut command = Command::new(peers.gdb()?);
                command.args(["-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", &pid]);
                command.args(["-ex", "set $gil = (int)PyGILState_Ensure()", "-ex", &run]);
                command.args(["-ex", "call (void)PyGILState_Release($gil)", "-ex", "detach"]);
                command
            }
            Self::Hypno => {
                let mut command = Command::new(peers.hypno()?);
                command.args([&pid, text]);
                command
            }
            Self::Pyrasite => {
                std::fs::write(file, text).ok()?;
                let mut command = Command::new(peers.pyrasite()?);
                command.arg(&pid).arg(file);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(command)
    }
}

/// The figures on one interpreter.
pub(crate) struct Outcome {
    python: String,
    rows: Vec<Row>,
}

struct Row {
    tool: Tool,
    injections: usize,
    /// The script did not run.
    not_run: usize,
    ended: usize,
    hung: usize,
    wrong: usize,
    /// From the start of the tool to the script's first line, in milliseconds.
    first_line_ms: Series,
    /// From the start of the tool to its end, in milliseconds.
    wall_ms: Series,
}

impl Row {
    fn harmed(&self) -> usize {
        self.ended + self.hung + self.wrong
    }
}

/// What became of a target.
enum Health {
    Fine,
    Ended,
    Hung,
    Wrong,
}

/// All tools, each on targets of its own.
pub(crate) fn measure(
    python: &Interpreter,
    peers: &Peers,
    options: &Options,
) -> Result<Outcome, String> {
    let rounds = if options.quick { ROUNDS.1 } else { ROUNDS.0 };
    let mut rows = Vec::new();
    for tool in TOOLS {
        let mut row = Row {
            tool,
            injections: 0,
            not_run: 0,
            ended: 0,
            hung: 0,
            wrong: 0,
            first_line_ms: Series::default(),
            wall_ms: Series::default(),
        };
        let mut target = Target::start(python);
        for _ in 0..rounds {
            let ran = inject(tool, &target, python, peers, options)?;
            let Some((wall, first_line)) = ran else { break };
            row.injections += 1;
            row.wall_ms.push(wall);
            match first_line {
                Some(first_line) => row.first_line_ms.push(first_line),
                None => row.not_run += 1,
            }
            let hurt = match target.health() {
                Health::Fine => continue,
                Health::Ended => &mut row.ended,
                Health::Hung => &mut row.hung,
                Health::Wrong => &mut row.wrong,
            };
            *hurt += 1;
            if row.harmed() == ENOUGH {
                break;
            }
            target = Target::start(python);
        }
        if row.injections > 0 {
            rows.push(row);
        }
    }
    Ok(Outcome { python: python.label.clone(), rows })
}

/// Has the tool run the script; wall time and the time of the first line; `None` when the tool is not here.
fn inject(
    tool: Tool,
    target: &Target,
    python: &Interpreter,
    peers: &Peers,
    options: &Options,
) -> Result<Option<(f64, Option<f64>)>, String> {
    let said = scratch().join(format!("bench-exec-{}", target.fixture.pid));
    let _ = std::fs::remove_file(&said);
    let inside = python.inside(&said);
    let text = format!(
        "import time; now = time.monotonic_ns(); open('{}', 'w').write(str(now))",
        inside.display()
    );
    let file = said.with_extension("py");
    let Some(mut command) = tool.command(target.fixture.pid, &text, &file, peers, options) else {
        return Ok(None);
    };
    let begin = monotonic_ns();
    let started = Instant::now();
    let mut child = command.spawn().map_err(|problem| problem.to_string())?;
    while child.try_wait().map_err(|problem| problem.to_string())?.is_none() {
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let wall = started.elapsed().as_secs_f64() * 1e3;
    let first_line = std::fs::read_to_string(&said).ok().and_then(|text| text.parse::<u64>().ok());
    for file in [said, file] {
        let _ = std::fs::remove_file(file);
    }
    Ok(Some((wall, first_line.map(|at| at.saturating_sub(begin) as f64 / 1e6))))
}

/// A busy program.
struct Target {
    fixture: Fixture,
    /// What its main thread had done at the last look.
    done: u64,
}

impl Target {
    fn start(python: &Interpreter) -> Self {
        Self { fixture: Fixture::start(python, "exec_busy.py", &[]), done: 0 }
    }

    /// Asks it, until its main thread has gone on.
    fn health(&mut self) -> Health {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            // The harness panics about a target that does not come back.
            let answer = catch_unwind(AssertUnwindSafe(|| self.fixture.try_ask("check", PATIENCE)));
            let Ok(Ok(answer)) = answer else { break };
            if answer["harm"] != Value::Array(Vec::new()) {
                return Health::Wrong;
            }
            let done = answer["counters"]["main"].as_u64().unwrap_or(0);
            if done > self.done {
                self.done = done;
                return Health::Fine;
            }
        }
        if self.fixture.is_alive() { Health::Hung } else { Health::Ended }
    }
}

/// The clock of `time.monotonic_ns()`.
fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| u64::try_from(Duration::from(now).as_nanos()).unwrap_or(0))
}

/// The tables.
pub(crate) fn figures(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "**A script in a busy program**, CPython {}\n\n\
             | tool | injections | not run | target ended | hung | wrong results | harmed | first line after, ms | wall, ms |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|",
            outcome.python,
        );
        for row in &outcome.rows {
            let harmed = row.harmed();
            let share = number(100.0 * harmed as f64 / row.injections as f64);
            let share = if harmed == 0 { "0".to_owned() } else { share };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {share} % | {} | {} |",
                row.tool.name(),
                row.injections,
                row.not_run,
                row.ended,
                row.hung,
                row.wrong,
                row.first_line_ms.shown(),
                row.wall_ms.shown(),
            );
        }
        text.push('\n');
    }
    text
}
