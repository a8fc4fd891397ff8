//! Running the contenders of one case in turn, and what each run took.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cases::{Case, Contender};
use crate::options::Options;
use crate::peers::Peers;
use crate::statistics::Series;
use crate::support::{Fixture, Interpreter};
use crate::{contenders, targets};

/// How long the target is watched with nobody attached, for the noise of the machine.
const QUIET: Duration = Duration::from_millis(100);

/// The figures of one case on one interpreter.
pub(crate) struct Outcome {
    pub(crate) python: String,
    pub(crate) case: &'static Case,
    /// Memory of the target, in bytes.
    pub(crate) target_rss: u64,
    /// The ticker's longest gap in 100 ms with nobody attached, in milliseconds.
    pub(crate) quiet_ms: Series,
    pub(crate) rows: Vec<Row>,
}

/// The figures of one contender.
pub(crate) struct Row {
    pub(crate) contender: Contender,
    /// From start to end of its process, in milliseconds; of what is bare, that alone.
    pub(crate) wall_ms: Series,
    /// The ticker's longest gap, in milliseconds; empty for what is bare.
    pub(crate) pause_ms: Series,
    /// How long it says itself that the target stood still for a fork, in milliseconds; empty for what does not fork.
    pub(crate) forked_ms: Series,
    /// Its peak resident memory in MB (1,000,000 bytes).
    pub(crate) peak_mb: Series,
}

impl Outcome {
    /// The figures of one contender, if it ran.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender.name() == name)
    }
}

impl Row {
    /// How long the target stands still.
    pub(crate) fn held_ms(&self) -> &Series {
        if self.contender.is_bare() { &self.wall_ms } else { &self.pause_ms }
    }
}

/// What one run took.
pub(crate) struct Run {
    pub(crate) wall: Duration,
    peak_bytes: u64,
    pub(crate) output: String,
}

/// Measures a case. The error is a contender that does not do its work.
pub(crate) fn measure(
    python: &Interpreter,
    case: &'static Case,
    peers: &Peers,
    options: &Options,
) -> Result<Outcome, String> {
    let mut target = targets::start(python, case.target);
    let pid = target.pid_text();
    let mut rows: Vec<Row> = case
        .contenders
        .iter()
        .filter(|&&one| {
            one == Contender::BareFork || contenders::command(one, &pid, peers, options).is_some()
        })
        .map(|&contender| Row {
            contender,
            wall_ms: Series::default(),
            pause_ms: Series::default(),
            forked_ms: Series::default(),
            peak_mb: Series::default(),
        })
        .collect();
    let mut quiet_ms = Series::default();
    let rounds = if options.quick { case.rounds.1 } else { case.rounds.0 };
    // The first round fills caches and counts for nobody.
    for round in 0..=rounds {
        for row in &mut rows {
            if row.contender == Contender::BareFork {
                let taken = target.ask("fork")["ns"].as_f64().filter(|&ns| ns > 0.0);
                row.wall_ms.push(taken.ok_or("the target did not fork")? / 1e6);
                continue;
            }
            let command = contenders::command(row.contender, &pid, peers, options);
            let Some(command) = command else { continue };
            run_one(row, command, &mut target, case, round > 0)?;
        }
        target.ask("gap reset");
        std::thread::sleep(QUIET);
        quiet_ms.push(targets::longest_gap(&mut target) as f64 / 1e6);
    }
    let target_rss = resident(&pid);
    target.end();
    Ok(Outcome { python: python.label.clone(), case, target_rss, quiet_ms, rows })
}

fn run_one(
    row: &mut Row,
    command: Command,
    target: &mut Fixture,
    case: &Case,
    counts: bool,
) -> Result<(), String> {
    let name = row.contender.name();
    target.ask("gap reset");
    // Live pictures are incomplete, which is their exit code.
    let run = run(command, if name.ends_with("live") { 5 } else { 0 })
        .map_err(|problem| format!("{}: {name}: {problem}", case.name))?;
    let gap = targets::longest_gap(target);
    if let Some(problem) = contenders::problem(row.contender, &run.output, case.target) {
        return Err(format!("{}: {name}: {problem}:\n{:.2000}", case.name, run.output));
    }
    if !counts {
        return Ok(());
    }
    if row.contender.is_bare() {
        let ns = run.output.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        row.wall_ms.push(ns.unwrap_or(f64::NAN) / 1e6);
        return Ok(());
    }
    row.wall_ms.push(run.wall.as_secs_f64() * 1e3);
    row.pause_ms.push(gap as f64 / 1e6);
    if let Some(forked) = forked(&run.output) {
        row.forked_ms.push(forked);
    }
    row.peak_mb.push(run.peak_bytes as f64 / 1e6);
    Ok(())
}

/// What pyattach notes of a fork: "paused twice: 7.13 ms to fork, …".
fn forked(output: &str) -> Option<f64> {
    let (_, rest) = output.split_once("paused twice: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Runs a command to its end. Its output is read while it runs, as a user's terminal would.
pub(crate) fn run(mut command: Command, code: libc::c_int) -> Result<Run, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begin = Instant::now();
    let mut child = command.spawn().map_err(|problem| problem.to_string())?;
    let mut errors = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        // What cannot be read is not shown.
        let _ = errors.as_mut().map(|pipe| pipe.read_to_end(&mut text));
        text
    });
    let mut output = Vec::new();
    if let Some(pipe) = &mut child.stdout {
        pipe.read_to_end(&mut output).map_err(|problem| problem.to_string())?;
    }
    let (status, peak_bytes) = wait(child.id())?;
    let wall = begin.elapsed();
    let errors = reader.join().unwrap_or_default();
    let output = String::from_utf8_lossy(&output).into_owned();
    if status != 0 && status != code << 8 {
        return Err(format!("status {status:#x}: {output}{}", String::from_utf8_lossy(&errors)));
    }
    Ok(Run { wall, peak_bytes, output })
}

/// Waits for a child; its status and its peak resident memory in bytes. (The kernel counts the pages that the child
/// shared with us before its exec as well, so that is a bound from below: we stay small.)
fn wait(pid: u32) -> Result<(libc::c_int, u64), String> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = libc::pid_t::try_from(pid).map_err(|problem| problem.to_string())?;
    // SAFETY: both pointers are to locals that live for the call; the child is waited for nowhere else.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    if waited != pid {
        return Err(std::io::Error::last_os_error().to_string());
    }
    Ok((status, u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024))
}

fn resident(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
