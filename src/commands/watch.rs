//! `watch PID… --every 60s --dir DIR`: captures on a schedule, for as long as one likes.
//!
//! One thread, one capture at a time: what is due while another is made is skipped, and said.
//! Everything that goes wrong with one capture is reported and does not end the watch.

mod alarms;
mod folder;
mod schedule;

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text};
use super::snapshot::{Contents, store_in};
use crate::attach::{AttachError, Target};
use crate::process::Process;
use crate::report::escape::escape;
use crate::report::text;
use crate::resources::Catalog;
use crate::snapshot::Snapshot;
use crate::snapshot::keep::Policy;
use alarms::Alarms;
use folder::Folder;
use schedule::{Schedule, Stop};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Capture on a schedule into a folder, and tell what grows as soon as it is seen
///
/// Survives restarts of the process when it is named by --name, --pidfile or as a child. Ends
/// cleanly on SIGINT and SIGTERM, and when no process is left that could come back.
#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    /// Process ids
    #[arg(value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    #[arg(required_unless_present_any = ["name", "pidfile"])]
    pids: Vec<i32>,
    /// Every Python process whose command line matches: a part of it, or a pattern with * and ?
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// The process whose id is in this file
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// Their child processes as well, and theirs
    #[arg(long)]
    children: bool,
    /// From one capture to the next
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = super::arguments::duration)]
    every: Duration,
    /// The folder for the files
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// End after so many rounds
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// What is kept: ages, each with the spacing it is thinned to; or all
    #[arg(long, value_name = "POLICY", default_value = Policy::DEFAULT)]
    keep: Policy,
    /// Bytes that the files of one process may take
    #[arg(long, value_name = "SIZE", default_value = "100M", value_parser = super::arguments::size)]
    max_size: u64,
    /// Run this (by sh -c) when something is seen to grow, with the finding as JSON on its
    /// standard input
    #[arg(long, value_name = "COMMAND")]
    on_verdict: Option<String>,
    #[command(flatten)]
    contents: Contents,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

/// Slower and slower, up to every so many-th round.
const SLOWEST: u32 = 16;
/// A capture that takes this part of the time between two is too slow.
const SLOW: f64 = 0.25;
/// So much more in swap since the last capture: the machine has no memory to spare.
const SWAPPING: u64 = 16 << 20;

/// Clocks that are kept right by small steps are not set back.
const CLOCK_STEP_MS: i64 = 1000;

/// What is known of one process.
#[derive(Debug)]
struct Watched {
    start_ticks: u64,
    /// It is looked at every so many-th round.
    pace: u32,
    /// Rounds until it is looked at.
    wait: u32,
    swap: Option<u64>,
    /// By how much the clock on the wall is ahead of that of the boot, in milliseconds.
    ahead_ms: Option<i64>,
    captures: u64,
}

/// The state of a watch.
struct Watching<'w> {
    watch: &'w Watch,
    catalog: &'w Catalog,
    folder: Folder,
    alarms: Alarms,
    known: BTreeMap<i32, Watched>,
    /// The last thing said while there was nothing to capture.
    said: Option<String>,
    gravest: Code,
}

impl Watch {
    pub(super) fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let folder = Folder::open(&self.dir)?;
        let stop = Stop::on_signals()?;
        let mut watching = Watching {
            catalog: &catalog,
            folder,
            alarms: Alarms::new(self.on_verdict.clone()),
            known: BTreeMap::new(),
            said: None,
            gravest: Code::Fine,
            watch: &self,
        };
        let mut schedule = Schedule::new(self.every);
        let mut rounds = 0;
        loop {
            let goes_on = watching.round(&stop)?;
            rounds += 1;
            if !goes_on || self.count.is_some_and(|count| rounds >= count) {
                break;
            }
            let skipped = schedule.next();
            if skipped > 0 {
                say(&format!("{skipped} rounds skipped: the captures before took too long"));
            }
            if stop.wait(schedule.left()) {
                say("ended by a signal");
                break;
            }
        }
        Ok(watching.gravest)
    }

    /// The processes to look at now. An error is a reason why there are none.
    fn pids(&self) -> Result<Vec<i32>, Failure> {
        let mut pids = self.pids.clone();
        if let Some(path) = &self.pidfile {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let path = path.display();
                Failure::new(format!("cannot read {path}: {error}"), Code::Attach)
            })?;
            let pid = text.trim().parse().ok().filter(|&pid: &i32| pid > 0);
            pids.push(pid.ok_or_else(|| {
                Failure::new(format!("{} holds no process id", path.display()), Code::Attach)
            })?);
        }
        Targets::of(pids, self.name.clone(), self.children).pids()
    }

    /// A process that ended may come back under another id.
    fn may_return(&self) -> bool {
        self.name.is_some() || self.pidfile.is_some()
    }
}

impl Watching<'_> {
    /// Captures what is due. False when there will never be anything to capture again.
    fn round(&mut self, stop: &Stop) -> Result<bool, Failure> {
        let pids = match self.watch.pids() {
            Ok(pids) => pids,
            Err(failure) => {
                self.say_once(failure.message());
                return Ok(true);
            }
        };
        let mut living = 0;
        for pid in pids {
            if stop.is_asked() {
                break;
            }
            match self.look(pid) {
                Ok(()) => living += 1,
                Err(failure) if failure.is_broken_pipe() => return Err(failure),
                Err(failure) if failure.is_gone() => self.gone(pid, &failure),
                Err(failure) if failure.is_no_python() && self.watch.children => {}
                Err(failure) => {
                    living += 1;
                    self.gravest = self.gravest.max(failure.code());
                    failure.print();
                    self.slow_down(pid);
                }
            }
        }
        if living == 0 && !self.watch.may_return() {
            say("no process is left");
            return Ok(false);
        }
        Ok(true)
    }

    /// Captures one process if it is its turn.
    fn look(&mut self, pid: i32) -> Result<(), Failure> {
        let process = Process::open(pid).map_err(AttachError::from)?;
        let start_ticks = process.start_ticks();
        drop(process);
        let explicit = self.watch.pids.contains(&pid);
        if let Some(known) = self.known.get(&pid)
            && known.start_ticks != start_ticks
        {
            self.known.remove(&pid);
            if explicit && !self.watch.may_return() {
                let error = crate::process::ProcessError::Reused { pid };
                return Err(AttachError::from(error).into());
            }
            say(&format!("process {pid} was started again"));
        }
        let known = self.known.entry(pid).or_insert_with(|| Watched {
            start_ticks,
            pace: 1,
            wait: 0,
            swap: None,
            ahead_ms: None,
            captures: 0,
        });
        if known.wait > 0 {
            known.wait -= 1;
            return Ok(());
        }
        self.capture(pid)
    }

    fn capture(&mut self, pid: i32) -> Result<(), Failure> {
        let begun = Instant::now();
        let (options, contents) = (self.watch.capture.options(), self.watch.contents);
        let target = Target::open(pid)?;
        let (full, graph) = (contents.full_command, contents.graph);
        let snapshot = target.snapshot(&options, self.catalog, full, graph)?;
        self.gravest = self.gravest.max(contents.check(&snapshot));
        let (path, size) = store_in(self.folder.path(), &snapshot)?;
        self.said = None;
        if self.watch.capture.json {
            print_json(&snapshot.summary, true)?;
        } else {
            print_text(|mut out| {
                text::snapshot::write_stored(&mut out, &snapshot.summary, &path, size)
            })?;
        }
        self.gravest = self.gravest.max(Code::of_capture(&snapshot.summary.capture));
        self.pace(pid, &snapshot, begun.elapsed());
        self.clock(pid, &snapshot);
        let files = self.folder.thin(pid, &path, &self.watch.keep, self.watch.max_size);
        self.alarms.look(&files, &snapshot.summary.same, self.watch.capture.json)
    }

    /// Tells when the clock was set back: the names of the files are no longer in order then.
    fn clock(&mut self, pid: i32, snapshot: &Snapshot) {
        let taken = &snapshot.summary.taken;
        let Some(known) = self.known.get_mut(&pid) else { return };
        let ahead = taken.since_boot_ms.map(|boot| taken.unix_ms - boot);
        let before = std::mem::replace(&mut known.ahead_ms, ahead);
        let back = before.zip(ahead).map_or(0, |(before, now)| before - now);
        if back > CLOCK_STEP_MS {
            // The two clocks are not read at the same instant.
            let seconds = (back + 500) / 1000;
            say(&format!(
                "the clock was set back by {seconds} s: names of files repeat that time, the order \
                 in them is kept by the clock of the boot"
            ));
        }
    }

    /// Slower when the machine suffers, at the pace asked for again when it does not.
    fn pace(&mut self, pid: i32, snapshot: &Snapshot, took: Duration) {
        let swap = snapshot.summary.figures.swap_bytes;
        let Some(known) = self.known.get_mut(&pid) else { return };
        known.captures += 1;
        let before = std::mem::replace(&mut known.swap, swap);
        let swapping = before.zip(swap).is_some_and(|(old, new)| new >= old + SWAPPING);
        let slow = took.as_secs_f64() > SLOW * self.watch.every.as_secs_f64();
        if swapping || slow {
            let why = if swapping { "it is being swapped out" } else { "captures take long" };
            self.slow_down(pid);
            let pace = self.known.get(&pid).map_or(1, |known| known.pace);
            say(&format!("process {pid} every {pace} rounds from now on: {why}"));
        } else if let Some(known) = self.known.get_mut(&pid) {
            known.pace = (known.pace / 2).max(1);
            known.wait = known.pace - 1;
        }
    }

    fn slow_down(&mut self, pid: i32) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.pace = (known.pace * 2).min(SLOWEST);
            known.wait = known.pace - 1;
        }
    }

    fn gone(&mut self, pid: i32, failure: &Failure) {
        match self.known.remove(&pid) {
            Some(known) => {
                let captures = known.captures;
                say(&format!("process {pid} has ended, after {captures} captures"));
            }
            None => {
                if !self.watch.may_return() {
                    self.gravest = self.gravest.max(Code::Attach);
                }
                self.say_once(failure.message());
            }
        }
    }

    /// Says the same thing once only.
    fn say_once(&mut self, text: String) {
        if self.said.as_ref() != Some(&text) {
            say(&text);
            self.said = Some(text);
        }
    }
}

/// One line on stderr.
fn say(text: &str) {
    use std::io::Write;
    // Nothing is left to do when stderr is gone.
    let _ = writeln!(anstream::stderr().lock(), "watch: {}", escape(text));
}
