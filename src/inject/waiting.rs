//! Waiting for a script that is placed: its output as it comes, another look when nobody takes it
//! up, and the time limit.

use std::io;
use std::time::{Duration, Instant};

use super::placing::{Look, Taken, deliver_again, situation, withdraw};
use super::records::Record;
use super::session::{Piece, Session};
use super::{Ending, ExecError, Outcome};
use crate::process::reached;

/// When to look again at a request that is not taken up, and the longest time between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(25);
const LONGEST_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How long a script that was asked to end may take to.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Waits for records: first short, since most scripts begin within a millisecond.
const SHORTEST_NAP: Duration = Duration::from_micros(15);
const LONGEST_NAP: Duration = Duration::from_millis(5);
/// Why nothing more is heard.
const CLOSED: &str = "its descriptor for output was closed";
const NOT_BEGUN: &str =
    "it was taken up and has not begun (is the thread at its recursion limit, or out of memory?)";

impl Session<'_> {
    pub(super) fn wait(
        &mut self,
        first: Look,
        deadline: Instant,
        sink: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> Result<Outcome, ExecError> {
        let pid = self.process.pid();
        let broken = |source| ExecError::File { pid, source };
        let reader = self.traces.reader();
        let mut reader = reader.ok_or_else(|| broken(io::ErrorKind::NotFound.into()))?;
        let mut news = News::default();
        let mut outcome = Outcome {
            way: first.decision.way,
            interrupted: first.decision.interrupt,
            doing: first.doing.clone(),
            ending: Ending::Done,
            result: None,
            latency: None,
            pickup: None,
            runtime: None,
            pause: Duration::ZERO,
            cut: false,
            left_behind: Vec::new(),
        };
        let mut deadline = deadline;
        let mut asked_to_end = None;
        let mut too_late = None;
        let mut between = FIRST_LOOK;
        let mut next_look = Instant::now() + between;
        let mut nap = SHORTEST_NAP;
        let mut sink_works = true;
        loop {
            let look_due = Instant::now() >= next_look;
            // Asked before the records are read, of which the last comes before the file is closed.
            let closed = look_due && !self.traces.is_open(pid);
            let records = reader.read().map_err(broken)?;
            if !records.is_empty() {
                nap = SHORTEST_NAP;
            }
            for record in records {
                let piece = match &record {
                    Record::Output(bytes) => Some(Piece::Output(bytes)),
                    Record::Error(bytes) => Some(Piece::Error(bytes)),
                    _ => None,
                };
                if let Some(piece) = piece.filter(|_| sink_works) {
                    // Nobody reads it any more; the script goes on to its end.
                    sink_works = sink(piece).is_ok();
                }
                news.take(record, (self.interrupted, self.delivered), &mut outcome);
            }
            if news.finished {
                reached("finished");
                break;
            }
            if look_due {
                self.process.check()?;
                if closed {
                    outcome.ending = Ending::Lost(CLOSED.to_owned());
                    return Ok(outcome);
                }
                if !news.seen
                    && let Some(look) = self.look_again()?
                {
                    outcome.way = look.decision.way;
                    outcome.interrupted |= look.decision.interrupt;
                }
                between = (between * 2).min(LONGEST_BETWEEN_LOOKS);
                next_look = Instant::now() + between;
            }
            let now = Instant::now();
            if now >= deadline {
                if !news.seen {
                    match self.take_back(&first.doing)? {
                        TakenBack::Yes(reason) => {
                            outcome.ending = Ending::TakenBack(reason);
                            return Ok(outcome);
                        }
                        TakenBack::Not(reason) => {
                            let since: &mut Instant = too_late.get_or_insert(now);
                            if since.elapsed() >= GRACE {
                                let reason = reason.unwrap_or_else(|| NOT_BEGUN.to_owned());
                                outcome.ending = Ending::Lost(reason);
                                return Ok(outcome);
                            }
                            deadline = now + ASK_EVERY;
                        }
                    }
                } else if asked_to_end.is_none_or(|asked: Instant| asked.elapsed() < GRACE) {
                    // Again and again: the moment may be bad, or the request overwritten by a
                    // thread that was just computing the eval breaker.
                    match self.ask_to_end() {
                        Ok(()) => {}
                        Err(error) if error.is_transient() || error.is_job_stop() => {}
                        Err(error) => self.process.check().map_err(|_| error)?,
                    }
                    asked_to_end.get_or_insert_with(Instant::now);
                    deadline = Instant::now() + ASK_EVERY;
                } else {
                    let doing =
                        self.held(|held, prepared, _| Ok(situation(held, prepared)?.doing()));
                    let doing = doing.unwrap_or_else(|error| error.to_string());
                    outcome.ending = Ending::StillRunning(doing);
                    return Ok(outcome);
                }
            }
            std::thread::sleep(nap);
            nap = (nap * 5 / 4).min(LONGEST_NAP);
        }
        if asked_to_end.is_some() && outcome.ending == Ending::Exited("None".to_owned()) {
            outcome.ending = Ending::Stopped;
        }
        Ok(outcome)
    }

    /// Looks whether the thread has gone to another place meanwhile.
    fn look_again(&mut self) -> Result<Option<Look>, ExecError> {
        match self.held(deliver_again) {
            Ok(Some(look)) => {
                self.is_delivered();
                Ok(Some(look))
            }
            Ok(None) => Ok(None),
            // The next look may find a better moment.
            Err(error) if error.is_transient() || error.is_job_stop() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn take_back(&mut self, before: &str) -> Result<TakenBack, ExecError> {
        let timeout = self.prepared.options.timeout;
        let before = before.to_owned();
        let answer = self.held(move |held, prepared, traces| {
            let doing = situation(held, prepared).map(|found| found.doing());
            let answer = withdraw(held, prepared, traces)?;
            if answer == Taken::Back {
                traces.remove_all(held);
            }
            Ok((answer, doing))
        });
        let (answer, doing) = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_transient() || error.is_job_stop() => {
                return Ok(TakenBack::Not(Some(error.to_string())));
            }
            Err(error) => return Err(error),
        };
        let which = match self.prepared.options.thread {
            None => "the main thread".to_owned(),
            Some(tid) => format!("thread {tid}"),
        };
        let reason = match doing {
            Ok(doing) if doing == before => {
                let doing = match doing.strip_prefix("is in ") {
                    Some(call) => format!("has been in {call}"),
                    None if doing.contains("with the GIL") => {
                        "has been in code that does not look for requests (a long call in C?)"
                            .to_owned()
                    }
                    None => doing,
                };
                format!("{which} {doing} for {}", seconds(timeout))
            }
            Ok(doing) => format!("{which} {doing} after {}", seconds(timeout)),
            Err(error) => error.to_string(),
        };
        Ok(match answer {
            Taken::Back => TakenBack::Yes(reason),
            Taken::TooLate => TakenBack::Not(None),
        })
    }
}

/// What became of a request that is taken back.
#[derive(Debug)]
enum TakenBack {
    /// Why nobody took it up.
    Yes(String),
    /// It has begun; or, with the reason, it could not be taken back now.
    Not(Option<String>),
}

/// What the records have told so far.
#[derive(Debug, Default)]
struct News {
    /// The wrapper runs.
    seen: bool,
    begun: Option<u64>,
    finished: bool,
}

impl News {
    fn take(
        &mut self,
        record: Record,
        (interrupted, delivered): (Option<u64>, Option<u64>),
        outcome: &mut Outcome,
    ) {
        if !self.seen {
            reached("begun");
        }
        self.seen = true;
        match record {
            Record::Begun(at) => {
                self.begun = Some(at);
                let since = |then: Option<u64>| Some(Duration::from_nanos(at.checked_sub(then?)?));
                outcome.latency = since(interrupted);
                outcome.pickup = since(delivered);
            }
            Record::Ended(at) => {
                let begun = self.begun.and_then(|begun| at.checked_sub(begun));
                outcome.runtime = begun.map(Duration::from_nanos);
            }
            Record::Syntax(text) => outcome.ending = Ending::NotCompiled(text),
            Record::Raised(text) => outcome.ending = Ending::Raised(text),
            Record::Exited(code) => outcome.ending = Ending::Exited(code),
            Record::Value(text) => {
                outcome.result =
                    Some(serde_json::from_str(&text).map_err(|error| error.to_string()));
            }
            Record::NoValue(text) => outcome.result = Some(Err(text.trim_end().to_owned())),
            Record::Unknown => {
                outcome.ending = Ending::Lost("memory or recursion ran out at its end".to_owned());
            }
            Record::Cut => outcome.cut = true,
            Record::Finished => self.finished = true,
            Record::Output(_) | Record::Error(_) => {}
        }
    }
}

fn seconds(time: Duration) -> String {
    if time.as_secs() > 0 && time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
