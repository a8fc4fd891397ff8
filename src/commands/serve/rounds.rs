//! Captures on a schedule: one process after the other, never two at a time, and never more
//! often than asked, whoever asks for the pages.

use super::super::CommandResult;
use super::super::failure::{Code, Failure};
use super::board::{Board, Pages};
use super::fleet::{Fleet, Member};
use super::report::ServeDocument;
use super::say;
use super::textfile::Textfile;
use crate::attach::CaptureOptions;
use crate::report::json;
use crate::report::prometheus::{Exposition, Metrics, Picture, Watched};
use crate::resources::Catalog;
use crate::snapshot::Whole;
use crate::snapshot::findings::Diagnosis;
use crate::snapshot::rules::Rules;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A picture stands for its process for so many rounds.
const FRESH: u64 = 3;

/// What makes a round.
#[derive(Debug)]
pub(super) struct Rounds {
    fleet: Fleet,
    catalog: Catalog,
    rules: Rules,
    options: CaptureOptions,
    metrics: Metrics,
    kept: BTreeMap<i32, Kept>,
    board: Arc<Board>,
    textfile: Option<Textfile>,
    round: u64,
    /// The file could not be written, and that was said.
    unwritten: bool,
}

/// The last picture of a process.
#[derive(Debug)]
struct Kept {
    whole: Whole,
    diagnosis: Diagnosis,
    round: u64,
}

impl Rounds {
    pub(super) fn new(
        fleet: Fleet,
        catalog: Catalog,
        rules: Rules,
        options: CaptureOptions,
        types: usize,
        board: Arc<Board>,
        textfile: Option<Textfile>,
    ) -> Self {
        Self {
            fleet,
            catalog,
            rules,
            options,
            metrics: Metrics::new(types),
            kept: BTreeMap::new(),
            board,
            textfile,
            round: 0,
            unwritten: false,
        }
    }

    /// Whether the metrics are written to a file.
    pub(super) fn writes_a_file(&self) -> bool {
        self.textfile.is_some()
    }

    /// A single round, whose file stays.
    pub(super) fn once(mut self) -> CommandResult {
        if let Some(textfile) = &mut self.textfile {
            textfile.keep();
        }
        let exposition = self.round();
        if let Some(textfile) = &self.textfile {
            textfile.write(exposition.text.as_bytes())?;
        }
        let whole = self.kept.values().all(|one| one.whole.capture.is_as_good_as_asked());
        let failed = self.fleet.members().any(|member| member.error.is_some());
        Ok(if whole && !failed { Code::Fine } else { Code::Incomplete })
    }

    /// Captures everything and hangs up the pages.
    fn round(&mut self) -> Exposition {
        self.round += 1;
        for pid in self.fleet.look_around() {
            say(&format!("process {pid} is gone"));
            self.kept.remove(&pid);
            self.metrics.forget(pid);
        }
        for member in self.fleet.members_mut() {
            let pid = member.pid();
            let already_gone = member.is_gone();
            match member.capture(&self.options, &self.catalog) {
                Some(whole) => {
                    self.metrics.captured(pid, &whole);
                    let diagnosis = self.rules.judge(&whole);
                    self.kept.insert(pid, Kept { whole, diagnosis, round: self.round });
                }
                None if already_gone => {}
                None => self.metrics.failed(pid),
            }
            if member.is_gone() {
                self.kept.remove(&pid);
            }
        }
        let round = self.round;
        self.kept.retain(|_, kept| kept.round + FRESH > round);
        let kept = &self.kept;
        let seen: Vec<(&Member, bool, Option<&Kept>)> = self
            .fleet
            .members()
            .map(|member| {
                let kept = kept.get(&member.pid());
                (member, kept.is_some_and(|kept| kept.round == round), kept)
            })
            .collect();
        let watched: Vec<Watched<'_>> = seen
            .iter()
            .map(|&(member, up, kept)| {
                let picture =
                    kept.map(|kept| Picture { whole: &kept.whole, diagnosis: &kept.diagnosis });
                Watched { pid: member.pid(), up, picture }
            })
            .collect();
        // Encoding into a string fails for a faulty metric only.
        let exposition = self.metrics.encode(&watched).unwrap_or_else(|_| {
            say("the metrics could not be encoded");
            Exposition::default()
        });
        let (count, up) = (watched.len(), watched.iter().filter(|one| one.up).count());
        let mut report = Vec::new();
        let pictures = seen.iter().map(|&(member, up, kept)| {
            (member, up, kept.map(|kept| (&kept.whole, &kept.diagnosis)))
        });
        // Writing to memory cannot fail.
        let _ = json::write(&mut report, &ServeDocument::new(pictures), false);
        self.board.hang(Pages {
            openmetrics: exposition.openmetrics.clone().into(),
            text: exposition.text.clone().into(),
            report: report.into(),
            watched: count,
            up,
        });
        exposition
    }

    /// A round whose file goes where it belongs; that it cannot is said once.
    fn publish(&mut self) {
        let exposition = self.round();
        let Some(textfile) = &self.textfile else { return };
        match textfile.write(exposition.text.as_bytes()) {
            Ok(()) => self.unwritten = false,
            Err(error) if !self.unwritten => {
                Failure::new(format!("the metrics file cannot be written: {error}"), Code::Usage)
                    .print();
                self.unwritten = true;
            }
            Err(_) => {}
        }
    }
}

/// The thread in which the rounds run.
#[derive(Debug)]
pub(super) struct Schedule {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Schedule {
    /// Begins with a round at once.
    pub(super) fn start(mut rounds: Rounds, every: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new().name("captures".to_owned()).spawn(move || {
            let mut due = Instant::now();
            loop {
                let begun = Instant::now();
                rounds.publish();
                due = next(due, begun, Instant::now(), every);
                let wait = due.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends after the round that is going on.
    pub(super) fn stop(self) {
        drop(self.stop);
        // A thread that panicked has ended, which is what we want.
        let _ = self.thread.join();
    }
}

/// When the next round is due: at the next multiple of the interval, after a rest that is at
/// least as long as the round that `begun` and `ended`.
fn next(due: Instant, begun: Instant, ended: Instant, every: Duration) -> Instant {
    let earliest = ended + (ended - begun);
    let mut next = due + every;
    while next < earliest {
        next += every;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_take_too_long_are_skipped() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(next(start, start, start + second / 10, second), start + second);
        assert_eq!(next(start, start, start + second * 3 / 4, second), start + 2 * second);
        assert_eq!(next(start, start, start + 10 * second, second), start + 20 * second);
    }
}
