//! One script, from the first look to the last trace of it: placed, waited for, taken back or
//! ended, cleaned up.
//!
//! The target is stopped once to place the request (some hundred microseconds), again when it was
//! not taken up for a while (the thread may have gone to wait elsewhere), and once, one thread of
//! it, to unmap memory where some was mapped.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::caller::Code;
use super::compiled::Compiled;
use super::functions::Functions;
use super::payload::Texts;
use super::placing::{deliver, look, situation};
use super::traces::Traces;
use super::{ExecError, ExecOptions, Outcome, Planned, Script};
use crate::attach::Target;
use crate::layout::Layout;
use crate::memory::Address;
use crate::process::{Held, InjectPlan, Process, StopOptions};

/// How the target is held.
const STOP: StopOptions =
    StopOptions { stop_within: Duration::from_secs(2), hard_deadline: Duration::from_secs(20) };
/// Waits between attempts at a target that is in a bad moment: the first and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(128);

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
pub(super) struct Prepared {
    pub(super) layout: Layout,
    pub(super) runtime: Address,
    pub(super) functions: Functions,
    pub(super) code: Code,
    pub(super) plan: InjectPlan,
    pub(super) texts: Texts,
    pub(super) options: ExecOptions,
    /// The target in its own PID namespace.
    pub(super) pid_inside: i32,
}

/// Finds out what would be done, and does nothing.
///
/// # Errors
/// What would keep a script from being run.
pub fn plan(target: &Target, script: &Script, options: ExecOptions) -> Result<Planned, ExecError> {
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
    script: &Script,
    options: ExecOptions,
    sink: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
) -> Result<Outcome, ExecError> {
    let asked = Instant::now();
    let prepared = Arc::new(Prepared::new(target, script, options)?);
    let mut session = Session::new(target.process(), prepared);
    let first = session.patiently(deliver)?;
    session.is_delivered();
    let outcome = session.wait(first, asked + options.timeout, sink);
    let left_behind = session.clean();
    outcome.map(|outcome| Outcome { left_behind, pause: session.pause, ..outcome })
}

impl Prepared {
    fn new(target: &Target, script: &Script, options: ExecOptions) -> Result<Self, ExecError> {
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
            texts: Texts::new(script, Compiled::of(target.layout().version.minor)),
            options,
            pid_inside: process.inner_id()?,
        })
    }
}

pub(super) struct Session<'p> {
    pub(super) process: &'p Process,
    pub(super) prepared: Arc<Prepared>,
    pub(super) traces: Traces,
    pub(super) pause: Duration,
    /// On the clock of `time.monotonic_ns()`: when the first thread was interrupted for the first
    /// time, when the target was last released, and when it was with the request in it.
    pub(super) interrupted: Option<u64>,
    released: Option<u64>,
    pub(super) delivered: Option<u64>,
}

impl<'p> Session<'p> {
    fn new(process: &'p Process, prepared: Arc<Prepared>) -> Self {
        Self {
            process,
            prepared,
            traces: Traces::default(),
            pause: Duration::ZERO,
            interrupted: None,
            released: None,
            delivered: None,
        }
    }

    /// Takes note that the target was last released with a request in it.
    pub(super) fn is_delivered(&mut self) {
        self.delivered = self.released;
    }

    /// Does something while the target is held.
    pub(super) fn held<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut Held<'_>, &Prepared, &mut Traces) -> Result<T, ExecError> + Send + 'static,
    ) -> Result<T, ExecError> {
        let prepared = Arc::clone(&self.prepared);
        // Shared, since the job may never be done: the traces must not be lost with it.
        let traces = Arc::new(Mutex::new(std::mem::take(&mut self.traces)));
        let lent = Arc::clone(&traces);
        let (answer, pause) = self.process.inject(STOP, self.prepared.plan, move |held| {
            let mut traces = lent.lock().unwrap_or_else(PoisonError::into_inner);
            job(held, &prepared, &mut traces)
        });
        self.pause += pause.total;
        if let Some(since) = pause.since {
            self.interrupted.get_or_insert(monotonic_ns(since));
            self.released = Some(monotonic_ns(since + pause.total));
        }
        self.traces = std::mem::take(&mut *traces.lock().unwrap_or_else(PoisonError::into_inner));
        answer?
    }

    /// The same, again and again when the moment is bad, within the time limit.
    fn patiently<T: Send + 'static>(
        &mut self,
        job: fn(&mut Held<'_>, &Prepared, &mut Traces) -> Result<T, ExecError>,
    ) -> Result<T, ExecError> {
        let begin = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.held(job) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let within = begin.elapsed();
            if error.is_transient() && within < self.prepared.options.timeout {
                std::thread::sleep(wait);
                wait = (wait * 2).min(LONGEST_WAIT);
                continue;
            }
            self.clean();
            return Err(match error {
                ExecError::Restless { pid, what, .. } => ExecError::Restless { pid, what, within },
                other => other,
            });
        }
    }
}

/// A moment on the clock of `time.monotonic_ns()`.
fn monotonic_ns(moment: Instant) -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let then = now.unwrap_or_default().saturating_sub(moment.elapsed());
    u64::try_from(then.as_nanos()).unwrap_or(0)
}
