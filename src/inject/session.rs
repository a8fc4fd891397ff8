//! One script, from the first look to the last trace of it: placed, waited for, taken back or
//! ended, cleaned up.
//!
//! The target is stopped once to place the request (some hundred microseconds), again when it was
//! not taken up for a while (the thread may have gone to wait elsewhere), and once, one thread of
//! it, to unmap the memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::Code;
use super::functions::Functions;
use super::payload::{MemoryFile, Setting, source, statement};
use super::records::{Reader, Record};
use super::request::Request;
use super::ring::{Busy, Ring, Ticket, Withdrawn, number, put};
use super::situation::{Decision, Situation};
use super::{Ending, ExecError, ExecOptions, Outcome, Planned, Script, Way};
use crate::attach::Target;
use crate::layout::Layout;
use crate::layout::traits::PendingCalls;
use crate::memory::Address;
use crate::process::{
    Away, Held, InjectError, InjectPlan, Process, RemoteCall, StopOptions, reached,
};

/// How the target is held.
const STOP: StopOptions =
    StopOptions { stop_within: Duration::from_secs(2), hard_deadline: Duration::from_secs(20) };
/// Waits between attempts at a target that is in a bad moment.
const BACK_OFF: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(128),
];
/// When to look again at a request that is not taken up, and the longest time between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(25);
const LONGEST_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How long a script that was asked to end may take to.
const GRACE: Duration = Duration::from_secs(2);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Waits for records: first short, since most scripts begin within a millisecond.
const SHORTEST_NAP: Duration = Duration::from_micros(15);
const LONGEST_NAP: Duration = Duration::from_millis(5);
/// `_PY_ASYNC_EXCEPTION_BIT` (3.13+).
const ASYNC_EXCEPTION_BIT: u64 = 8;
/// Refcounts from here on are those of immortal objects (3.12+), which nobody counts.
const IMMORTAL: u32 = 1 << 30;
/// `PyGILState_UNLOCKED`: what `PyGILState_Ensure` returns in a thread without the GIL.
const UNLOCKED: u64 = 1;

/// Output of the script as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Written to `sys.stdout`.
    Output(&'a [u8]),
    /// Written to `sys.stderr`.
    Error(&'a [u8]),
}

/// What is known before the target is stopped.
#[derive(Debug)]
struct Prepared {
    layout: Layout,
    runtime: Address,
    functions: Functions,
    code: Code,
    plan: InjectPlan,
    script: Script,
    options: ExecOptions,
    /// The target in its own PID namespace.
    pid_inside: i32,
}

/// What is in the target.
#[derive(Debug, Default)]
struct Traces {
    output: Option<(MemoryFile, File)>,
    source: Option<(MemoryFile, File)>,
    /// Address and length.
    page: Option<(u64, u64)>,
    placed: Option<Placed>,
    /// The class of the exception that the script was asked to end with, once.
    exception: Option<u64>,
}

/// A request that waits to be taken up.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Placed {
    Queued(Ring, Ticket),
    Requested(Request),
    Borrowed(Away),
}

/// What a look at a held target gives.
#[derive(Debug, Clone)]
struct Look {
    decision: Decision,
    doing: String,
}

/// Finds out what would be done, and does nothing.
///
/// # Errors
/// What would keep a script from being run.
pub fn plan(target: &Target, script: Script, options: ExecOptions) -> Result<Planned, ExecError> {
    let prepared = Arc::new(Prepared::new(target, script, options)?);
    let mut session = Session::new(target.process(), prepared);
    let look = session.patiently(|held, prepared, _| {
        let situation = situation(held, prepared)?;
        look(&situation, held, prepared)
    })?;
    Ok(Planned {
        way: look.decision.way,
        interrupt: look.decision.interrupt,
        doing: look.doing,
        pause: session.pause,
    })
}

/// Runs a script in the target. Its output goes to `sink` while it runs.
///
/// # Errors
/// When it was not begun, for another reason than that nobody took it up.
pub fn run(
    target: &Target,
    script: Script,
    options: ExecOptions,
    sink: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
) -> Result<Outcome, ExecError> {
    let asked = Instant::now();
    let prepared = Arc::new(Prepared::new(target, script, options)?);
    let mut session = Session::new(target.process(), prepared);
    let begin = monotonic_ns();
    let first = session.patiently(deliver)?;
    let outcome = session.wait(first, begin, asked + options.timeout, sink);
    let left_behind = session.clean();
    outcome.map(|outcome| Outcome { left_behind, pause: session.pause, ..outcome })
}

impl Prepared {
    fn new(target: &Target, script: Script, options: ExecOptions) -> Result<Self, ExecError> {
        let process = target.process();
        let maps = process.maps()?;
        let plan = InjectPlan::prepare(process, &maps)?;
        let functions = Functions::find(process, &maps, target.module())?;
        Ok(Self {
            layout: target.layout().clone(),
            runtime: target.runtime(),
            functions,
            code: Code::new(&maps, target.module()),
            plan,
            script,
            options,
            pid_inside: process.inner_id()?,
        })
    }
}

struct Session<'p> {
    process: &'p Process,
    prepared: Arc<Prepared>,
    traces: Traces,
    pause: Duration,
}

impl<'p> Session<'p> {
    fn new(process: &'p Process, prepared: Arc<Prepared>) -> Self {
        Self { process, prepared, traces: Traces::default(), pause: Duration::ZERO }
    }

    /// Does something while the target is held.
    fn held<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Held<'_>, &Prepared, &mut Traces) -> Result<T, ExecError> + Send + 'static,
    ) -> Result<T, ExecError> {
        let stopped = self.process.stop(STOP)?;
        let prepared = Arc::clone(&self.prepared);
        let mut traces = std::mem::take(&mut self.traces);
        let (answer, pause) = stopped.inject(self.prepared.plan, move |held| {
            let answer = job(held, &prepared, &mut traces);
            (answer, traces)
        });
        self.pause += pause.total;
        let (answer, traces) = answer?;
        self.traces = traces;
        answer
    }

    /// The same, again and again when the moment is bad.
    fn patiently<T: Send + 'static>(
        &mut self,
        job: fn(&mut Held<'_>, &Prepared, &mut Traces) -> Result<T, ExecError>,
    ) -> Result<T, ExecError> {
        let begin = Instant::now();
        let mut waits = BACK_OFF.into_iter();
        loop {
            let error = match self.held(job) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match waits.next() {
                Some(wait) if error.is_transient() => std::thread::sleep(wait),
                _ => {
                    self.clean();
                    return Err(match error {
                        ExecError::Restless { pid, what, .. } => {
                            ExecError::Restless { pid, what, within: begin.elapsed() }
                        }
                        other => other,
                    });
                }
            }
        }
    }

    fn wait(
        &mut self,
        first: Look,
        begin: u64,
        deadline: Instant,
        sink: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> Result<Outcome, ExecError> {
        let pid = self.process.pid();
        let broken = |source| ExecError::File { pid, source };
        let file = self.traces.output.as_ref().map(|(_, file)| file.try_clone());
        let file = file.ok_or_else(|| broken(io::ErrorKind::NotFound.into()))?;
        let mut reader = Reader::new(file.map_err(broken)?);
        let mut news = News::default();
        let mut outcome = Outcome {
            way: first.decision.way,
            interrupted: first.decision.interrupt,
            doing: first.doing.clone(),
            ending: Ending::Done,
            result: None,
            latency: None,
            runtime: None,
            pause: Duration::ZERO,
            cut: false,
            left_behind: Vec::new(),
        };
        let mut deadline = deadline;
        let mut asked_to_end = None;
        let mut between = FIRST_LOOK;
        let mut next_look = Instant::now() + between;
        let mut nap = SHORTEST_NAP;
        let mut sink_works = true;
        loop {
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
                news.take(record, begin, &mut outcome);
            }
            if news.finished {
                reached("finished");
                break;
            }
            let now = Instant::now();
            if now >= next_look {
                self.process.check()?;
                if !news.seen
                    && let Some(look) = self.look_again()?
                {
                    outcome.way = look.decision.way;
                    outcome.interrupted |= look.decision.interrupt;
                }
                between = (between * 2).min(LONGEST_BETWEEN_LOOKS);
                next_look = Instant::now() + between;
            }
            if now >= deadline {
                if !news.seen {
                    match self.take_back(&first.doing)? {
                        TakenBack::Yes(reason) => {
                            outcome.ending = Ending::TakenBack(reason);
                            return Ok(outcome);
                        }
                        TakenBack::TooLate => deadline = now + ASK_EVERY,
                    }
                } else if asked_to_end.is_none_or(|asked: Instant| asked.elapsed() < GRACE) {
                    // Again and again: the moment may be bad, or the request overwritten by a
                    // thread that was just computing the eval breaker.
                    match self.ask_to_end() {
                        Ok(()) => {}
                        Err(error) if error.is_transient() => {}
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
            Ok(look) => Ok(look),
            // The next look may find a better moment.
            Err(error) if error.is_transient() => Ok(None),
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
                remove_all(held, traces);
            }
            Ok((answer, doing))
        });
        let (answer, doing) = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_transient() => return Ok(TakenBack::TooLate),
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
            Taken::Back | Taken::Emptied => TakenBack::Yes(reason),
            Taken::TooLate => TakenBack::TooLate,
        })
    }

    /// Has the script raise an exception that ends it.
    fn ask_to_end(&mut self) -> Result<(), ExecError> {
        self.held(|held, prepared, traces| {
            let situation = situation(held, prepared)?;
            let file = traces.output.as_ref().and_then(|(_, file)| file.try_clone().ok());
            let records = file.and_then(|file| Reader::new(file).read().ok());
            if records.is_some_and(|records| !records.contains(&Record::Finished)) {
                raise_in(held, prepared, traces, &situation)?;
            }
            Ok(())
        })
    }

    /// Removes what is left in the target; what cannot be removed is the answer.
    fn clean(&mut self) -> Vec<String> {
        let traces = std::mem::take(&mut self.traces);
        let mut left = Vec::new();
        if traces.output.is_none() && traces.page.is_none() {
            return left;
        }
        let running = traces.placed.is_some() && !traces.is_over();
        let mut calls = Vec::new();
        if let Some((at, length)) = traces.page {
            if running {
                left.push(format!("{length} bytes of memory at {at:#x}"));
            } else {
                let args = [at, length, 0, 0, 0, 0];
                calls.push(RemoteCall { what: "unmap memory", number: libc::SYS_munmap, args });
            }
        }
        for (file, _) in [traces.output.as_ref(), traces.source.as_ref()].into_iter().flatten() {
            // The wrapper has closed them.
            if !is_open(self.process.pid(), file) {
                continue;
            }
            if running {
                left.push(format!("descriptor {} (a memory file)", file.fd));
            } else {
                calls.push(close(file));
            }
        }
        if !calls.is_empty() {
            match self.process.run_calls(self.prepared.plan, &calls) {
                Ok(pause) => self.pause += pause,
                Err(_) => left.extend(calls.iter().map(|call| format!("({} failed)", call.what))),
            }
        }
        if let (Some(Placed::Requested(request)), Some((file, _))) = (traces.placed, &traces.source)
        {
            let mut path = path_of(file).into_bytes();
            path.push(0);
            let zeros = vec![0; path.len()];
            self.process.replace_memory(request.path(), &path, &zeros);
        }
        reached("cleaned");
        left
    }
}

/// What became of a request that is taken back.
#[derive(Debug)]
enum TakenBack {
    /// Why nobody took it up.
    Yes(String),
    TooLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Back,
    /// There is nothing to run any more where the thread will look.
    Emptied,
    TooLate,
}

impl Traces {
    /// The wrapper has run to its end.
    fn is_over(&self) -> bool {
        let file = self.output.as_ref().and_then(|(_, file)| file.try_clone().ok());
        let records = file.and_then(|file| Reader::new(file).read().ok());
        records.is_some_and(|records| records.contains(&Record::Finished))
    }
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
    fn take(&mut self, record: Record, asked: u64, outcome: &mut Outcome) {
        if !self.seen {
            reached("begun");
        }
        self.seen = true;
        match record {
            Record::Begun(at) => {
                self.begun = Some(at);
                outcome.latency = at.checked_sub(asked).map(Duration::from_nanos);
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
            Record::Cut => outcome.cut = true,
            Record::Finished => self.finished = true,
            Record::Output(_) | Record::Error(_) => {}
        }
    }
}

fn situation(held: &Held<'_>, prepared: &Prepared) -> Result<Situation, ExecError> {
    Situation::read(held, &prepared.layout, prepared.runtime, prepared.options.thread)
}

fn look(situation: &Situation, held: &Held<'_>, prepared: &Prepared) -> Result<Look, ExecError> {
    Request::allowed(held, &prepared.layout, situation.interpreter)?;
    let requests = Request::find(&prepared.layout, situation.thread.address).is_some();
    let decision = situation.decide(held, &prepared.code, requests)?;
    Ok(Look { decision, doing: situation.doing() })
}

/// Places the request; whatever goes wrong, nothing is left of it.
fn deliver(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<Look, ExecError> {
    let situation = situation(held, prepared)?;
    let look = look(&situation, held, prepared)?;
    let placed = place(held, prepared, traces, &situation, look.decision);
    if placed.is_err() {
        remove_all(held, traces);
    }
    placed.map(|()| look)
}

/// Places it again where the thread is now, unless it has taken it up.
fn deliver_again(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<Option<Look>, ExecError> {
    let situation = situation(held, prepared)?;
    let look = look(&situation, held, prepared)?;
    let way = match traces.placed {
        Some(Placed::Queued(ring, ticket)) if ring.is_queued(held, &ticket) => {
            ring.tell(held)?;
            Way::PendingCall
        }
        Some(Placed::Requested(request)) if request.is_pending(held) => {
            request.tell(held)?;
            Way::Request
        }
        _ => return Ok(None),
    };
    if way == look.decision.way {
        if look.decision.interrupt {
            held.interrupt_call(situation.os.tid)?;
        }
        return Ok(Some(look));
    }
    if withdraw(held, prepared, traces)? != Taken::Back {
        return Ok(None);
    }
    place(held, prepared, traces, &situation, look.decision)?;
    Ok(Some(look))
}

fn place(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
    situation: &Situation,
    decision: Decision,
) -> Result<(), ExecError> {
    let pid = held.pid();
    let tid = situation.os.tid;
    match decision.way {
        Way::Request => {
            let request = Request::find(&prepared.layout, situation.thread.address)
                .ok_or(ExecError::RingUnknown { pid })?;
            if request.is_taken(held) {
                return Err(ExecError::Occupied { pid, what: "a debugger's request" });
            }
            let path = source_file(held, prepared, traces)?;
            reached("memory made");
            request.make(held, &path)?;
            traces.placed = Some(Placed::Requested(request));
        }
        Way::PendingCall => {
            let layout = &prepared.layout;
            let ring = Ring::find(held, layout, prepared.runtime, situation.interpreter)?;
            let page = page(held, prepared, traces)?;
            reached("memory made");
            let ticket = match ring.push(held, prepared.functions.run, page)? {
                Ok(ticket) => ticket,
                Err(Busy::Locked) => {
                    let what = "a thread is working on the pending calls";
                    return Err(ExecError::Restless { pid, what, within: Duration::ZERO });
                }
                Err(Busy::Full) => {
                    return Err(ExecError::Occupied { pid, what: "a full ring of pending calls" });
                }
            };
            traces.placed = Some(Placed::Queued(ring, ticket));
        }
        Way::BorrowedThread => {
            let page = page(held, prepared, traces)?;
            reached("memory made");
            let Functions { run, ensure, release, .. } = prepared.functions;
            let away = held.send_away(tid, &[(ensure, 0), (run, page), (release, UNLOCKED)])?;
            traces.placed = Some(Placed::Borrowed(away));
        }
    }
    reached("request placed");
    if decision.interrupt {
        held.interrupt_call(tid)?;
    }
    Ok(())
}

/// Takes the request back.
fn withdraw(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<Taken, ExecError> {
    let taken = match traces.placed {
        Some(Placed::Queued(ring, ticket)) => {
            match ring.withdraw(held, &ticket, prepared.functions.nothing)? {
                Ok(Withdrawn::Yes) => Taken::Back,
                Ok(Withdrawn::TooLate) => Taken::TooLate,
                Err(_) => {
                    let what = "a thread is working on the pending calls";
                    let pid = held.pid();
                    return Err(ExecError::Restless { pid, what, within: Duration::ZERO });
                }
            }
        }
        Some(Placed::Requested(request)) if request.is_pending(held) => {
            request.withdraw(held)?;
            Taken::Back
        }
        Some(Placed::Requested(_)) => Taken::TooLate,
        Some(Placed::Borrowed(away)) if held.is_in_first(&away) => {
            // It waits for the GIL and cannot be called back; but it will find an empty text.
            if let Some((at, _)) = traces.page {
                held.write(at, &[0])?;
            }
            Taken::Emptied
        }
        Some(Placed::Borrowed(_)) => Taken::TooLate,
        None => Taken::Back,
    };
    if taken == Taken::Back {
        traces.placed = None;
    }
    Ok(taken)
}

/// Unmaps and closes everything while the target is held.
fn remove_all(held: &mut Held<'_>, traces: &mut Traces) {
    // What cannot be removed now stays noted, and is tried again in the end.
    if let Some((at, length)) = traces.page
        && held.call("unmap memory", libc::SYS_munmap, [at, length, 0, 0, 0, 0]).is_ok()
    {
        traces.page = None;
    }
    for file in [&mut traces.output, &mut traces.source] {
        if let Some((found, _)) = file
            && is_open(held.pid(), found)
            && held.call("close a memory file", libc::SYS_close, close(found).args).is_ok()
        {
            *file = None;
        }
    }
}

/// The wrapper as a memory file; the path by which the target finds it.
fn source_file(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<String, ExecError> {
    let pid = held.pid();
    let output = output_file(held, prepared, traces)?;
    if traces.source.is_none() {
        traces.source = Some(memory_file(held, prepared)?);
    }
    let Some((file, ours)) = &traces.source else { return Err(ExecError::RingUnknown { pid }) };
    let text = source(&prepared.script, &setting(prepared, output, Some(*file)));
    ours.write_all_at(text.as_bytes(), 0).map_err(|source| ExecError::File { pid, source })?;
    Ok(path_of(file))
}

/// The wrapper as a statement in memory of its own; its address.
fn page(held: &mut Held<'_>, prepared: &Prepared, traces: &mut Traces) -> Result<u64, ExecError> {
    const PAGE: u64 = 4096;
    let output = output_file(held, prepared, traces)?;
    let spare = traces.source.as_ref().map(|(file, _)| *file);
    let text = statement(&source(&prepared.script, &setting(prepared, output, spare)));
    let length = (text.len() as u64).next_multiple_of(PAGE);
    let at = match traces.page {
        Some((at, room)) if room >= length => at,
        _ => {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let [protection, flags] =
                [protection, flags].map(|bits| u64::from(bits.unsigned_abs()));
            let args = [0, length, protection, flags, u64::MAX, 0];
            let at = held.call("map memory", libc::SYS_mmap, args)?.cast_unsigned();
            traces.page = Some((at, length));
            at
        }
    };
    held.write(at, &text)?;
    Ok(at)
}

fn output_file(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
) -> Result<MemoryFile, ExecError> {
    if let Some((file, _)) = &traces.output {
        return Ok(*file);
    }
    let made = memory_file(held, prepared)?;
    let file = made.0;
    traces.output = Some(made);
    Ok(file)
}

/// Has the target make a memory file, and opens it.
fn memory_file(held: &mut Held<'_>, prepared: &Prepared) -> Result<(MemoryFile, File), ExecError> {
    let pid = held.pid();
    let flags = u64::from(libc::MFD_CLOEXEC);
    let args = [prepared.functions.empty_text, flags, 0, 0, 0, 0];
    let fd = held.call("make a memory file", libc::SYS_memfd_create, args)?;
    let fd = i32::try_from(fd).map_err(|_| ExecError::RingUnknown { pid })?;
    let open = || -> io::Result<(MemoryFile, File)> {
        let file = File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}"))?;
        let inode = file.metadata()?.ino();
        Ok((MemoryFile { fd, inode }, file))
    };
    open().map_err(|source| {
        let _ = held.call("close a memory file", libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
        ExecError::File { pid, source }
    })
}

fn setting(prepared: &Prepared, output: MemoryFile, source: Option<MemoryFile>) -> Setting {
    Setting { output, source, pid: prepared.pid_inside, room: prepared.options.room }
}

fn path_of(file: &MemoryFile) -> String {
    format!("/proc/self/fd/{}", file.fd)
}

/// Whether the target still has the file open by that number.
fn is_open(pid: i32, file: &MemoryFile) -> bool {
    let found = std::fs::metadata(format!("/proc/{pid}/fd/{}", file.fd));
    found.is_ok_and(|found| found.ino() == file.inode)
}

fn close(file: &MemoryFile) -> RemoteCall {
    let args = [u64::from(file.fd.unsigned_abs()), 0, 0, 0, 0, 0];
    RemoteCall { what: "close a memory file", number: libc::SYS_close, args }
}

/// `PyThreadState_SetAsyncExc(thread, SystemExit)`, by hand.
fn raise_in(
    held: &mut Held<'_>,
    prepared: &Prepared,
    traces: &mut Traces,
    situation: &Situation,
) -> Result<(), ExecError> {
    let structs = &prepared.layout.structs;
    let thread = situation.thread.address.get();
    let field = structs.thread.async_exception;
    if let Some(class) = traces.exception {
        // Once only: at its end the wrapper is ready for one.
        if number(held, thread, field) == Some(class) {
            tell_of_exception(held, prepared, situation)?;
        }
        return Ok(());
    }
    let mut class = [0; 8];
    // One that the program has asked for comes first.
    if number(held, thread, field) != Some(0)
        || !held.read(prepared.functions.system_exit, &mut class)
    {
        return Ok(());
    }
    let class = u64::from_le_bytes(class);
    let refcount = structs.object.refcount;
    let at = class.saturating_add(refcount.offset);
    let mut count = [0; 4];
    if !held.read(at, &mut count) {
        return Ok(());
    }
    let count = u32::from_le_bytes(count);
    if count < IMMORTAL {
        held.write(at, &(count + 1).to_le_bytes())?;
    }
    put(held, thread, field, class)?;
    traces.exception = Some(class);
    tell_of_exception(held, prepared, situation)?;
    reached("asked to end");
    Ok(())
}

/// Has the thread look for the exception.
fn tell_of_exception(
    held: &mut Held<'_>,
    prepared: &Prepared,
    situation: &Situation,
) -> Result<(), InjectError> {
    let structs = &prepared.layout.structs;
    let runtime = prepared.runtime.get();
    let interpreter = situation.interpreter.get();
    let (base, ring, breaker) = match prepared.layout.traits.pending_calls {
        PendingCalls::Counted => {
            let thread = situation.thread.address.get();
            let Some(field) = structs.thread.eval_breaker else { return Ok(()) };
            let bits = number(held, thread, field).unwrap_or(0) | ASYNC_EXCEPTION_BIT;
            return put(held, thread, field, bits);
        }
        PendingCalls::Runtime => (runtime, structs.runtime.pending, structs.runtime.eval_breaker),
        PendingCalls::Interpreter | PendingCalls::MainThread => {
            (interpreter, structs.interpreter.pending, structs.interpreter.eval_breaker)
        }
    };
    if let (Some(ring), Some(flag)) = (ring, structs.pending_calls.async_exception) {
        put(held, base.saturating_add(ring.offset), flag, 1)?;
    }
    match breaker {
        Some(breaker) => put(held, base, breaker, 1),
        None => Ok(()),
    }
}

/// The clock of `time.monotonic_ns()`.
fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        let now = Duration::from(now);
        u64::try_from(now.as_nanos()).unwrap_or(0)
    })
}

fn seconds(time: Duration) -> String {
    if time.as_secs() > 0 && time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}
