//! Taking a picture: which way, within which budget, again until it is of one instant.

use super::collect::Problem;
use super::collect::dump::{OsState, OsThreads};
use super::forked::{Advice, advise};
use super::{AttachError, CaptureMode, Target};
use crate::cpython::{Interpreter, Python, Runtime};
use crate::heap::generations::collectors;
use crate::memory::{
    BlockCache, Budgeted, CopyPlan, Limited, LiveMemory, MemoryError, MemorySource, ReadStats,
};
use crate::process::{ForkError, ForkPlan, Hold, Pause, StopOptions, Stopped, StoppedThread};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The longest pause when the user gives none: no picture is worth more of a service's time.
const DEFAULT_BUDGET: Duration = Duration::from_secs(5);
/// How long after the budget our own process is ended if it still holds the target.
const GRACE: Duration = Duration::from_secs(2);
/// How long the threads may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// Work after the pause that no heap needs: an object of a census costs half a microsecond, and
/// a gigabyte has some ten million.
const MOST_WORK: Duration = Duration::from_secs(60);
/// The same, for each GiB of the target's memory.
const MOST_WORK_PER_GIB: Duration = Duration::from_secs(60);
/// Memory that the cache over on-demand reads may hold.
pub(super) const CACHE: u64 = 1 << 30;
/// Attempts after which a fork that is refused only for the moment counts as refused.
const PATIENCE_TO_FORK: usize = 6;
/// Waits between attempts: collections take milliseconds to seconds.
const BACK_OFF: [Duration; 9] = [
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(128),
    Duration::from_millis(256),
    Duration::from_millis(512),
];

/// The last attempt of a live picture, counted from 0.
const LIVE_ATTEMPTS: usize = 2;

/// How a picture is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureOptions {
    /// Which way.
    pub mode: CaptureMode,
    /// Longest pause of the target; `None` for the built-in limit.
    pub max_pause: Option<Duration>,
    /// Memory of ours that a copy may take, in bytes; `None` for half of what is free.
    pub max_memory: Option<u64>,
    /// Processor time of ours for what was captured, once the target runs again; `None` for a
    /// limit by its size.
    pub max_analysis: Option<Duration>,
}

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Little, scattered: read it while the target is stopped.
    Stacks,
    /// Everything that is tracked: worth a copy, and worthless during a collection.
    Heap,
}

/// What a reader sees.
pub(super) struct View<'v, 'm> {
    pub(super) python: &'v Python<'m>,
    pub(super) runtime: Runtime,
    pub(super) interpreters: &'v [Interpreter],
    pub(super) os: &'v OsThreads,
    /// The target stands still: what the kernel says of it now is of this instant.
    pub(super) held: bool,
}

/// What a reader made of it.
pub(super) struct Reading<T> {
    pub(super) value: T,
    /// Nothing in it contradicts itself.
    pub(super) consistent: bool,
}

/// An answer and how it was obtained.
#[derive(Debug)]
pub(super) struct Picture<T> {
    pub(super) value: T,
    pub(super) consistent: bool,
    pub(super) mode: CaptureMode,
    pub(super) reason: Option<String>,
    /// Of the attempt that was used.
    pub(super) pause: Option<Duration>,
    /// Of all attempts.
    pub(super) total_pause: Duration,
    pub(super) stats: ReadStats,
    pub(super) attempts: u32,
    /// Threads held, and of these the ones in uninterruptible sleep.
    pub(super) held: Option<(u64, u64)>,
    pub(super) os: OsThreads,
    /// What the reader of the answer should know.
    pub(super) notes: Vec<String>,
}

impl<T> Picture<T> {
    /// The answer, and how it was obtained.
    pub(super) fn split(self) -> (T, Picture<()>) {
        let picture = Picture {
            value: (),
            consistent: self.consistent,
            mode: self.mode,
            reason: self.reason,
            pause: self.pause,
            total_pause: self.total_pause,
            stats: self.stats,
            attempts: self.attempts,
            held: self.held,
            os: self.os,
            notes: self.notes,
        };
        (self.value, picture)
    }
}

/// One attempt.
pub(super) struct Attempt<T> {
    pub(super) reading: Option<Reading<T>>,
    pub(super) pause: Option<Pause>,
    pub(super) stats: ReadStats,
    pub(super) os: OsThreads,
    pub(super) in_kernel: u64,
    /// Why there was no fork.
    pub(super) refusal: Option<ForkError>,
    /// The limit of our own work was reached: another attempt would do no better.
    pub(super) cut: bool,
    pub(super) notes: Vec<String>,
}

/// What an analysis made of a picture.
pub(super) struct Analysis<T> {
    pub(super) reading: Option<Reading<T>>,
    /// It ended before its work was done.
    pub(super) cut: bool,
}

impl Target {
    /// Takes a picture and has `read` make something of it, until what it made is consistent
    /// or patience ends; then the last one is the answer, and says so.
    pub(super) fn picture<T>(
        &self,
        options: &CaptureOptions,
        subject: Subject,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Picture<T>, AttachError> {
        self.picture_after(options, subject, Instant::now(), read)
    }

    /// The same, not before an instant: the time until then serves to prepare.
    pub(super) fn picture_after<T>(
        &self,
        options: &CaptureOptions,
        subject: Subject,
        earliest: Instant,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Picture<T>, AttachError> {
        let budget = options.max_pause.unwrap_or(DEFAULT_BUDGET);
        let work = options.max_analysis.unwrap_or_else(|| self.most_work());
        let mut way = Way::choose(self, options, subject)?;
        let mut total_pause = Duration::ZERO;
        let mut stats = ReadStats::default();
        let mut attempt = 0;
        std::thread::sleep(earliest.saturating_duration_since(Instant::now()));
        loop {
            let last = attempt >= BACK_OFF.len();
            let outcome = match &mut way.kind {
                Kind::Live => self.live(work, attempt >= LIVE_ATTEMPTS, read),
                Kind::Stop => self.stopped(budget, subject, last, read),
                Kind::Copy { ceiling, plan } => {
                    let planned = match plan.take() {
                        Some(plan) => plan,
                        None => CopyPlan::prepare(&self.process, &self.process.maps()?, *ceiling)?,
                    };
                    self.copied((budget, work), planned, plan, last, read)
                }
                Kind::Fork { plan } => self.forked((budget, work), plan, subject, last, read),
            };
            // Whatever was read, it was of another program.
            self.check()?;
            let done = match outcome {
                Ok(done) => done,
                Err(error) => {
                    self.process.check()?;
                    return Err(self.over_budget(error, budget));
                }
            };
            total_pause += done.pause.map_or(Duration::ZERO, |pause| pause.total);
            if let Some(refusal) = done.refusal {
                if !refusal.is_transient() || attempt >= PATIENCE_TO_FORK {
                    if way.reason.is_none() || !refusal.is_refusal() {
                        return Err(self.over_budget(refusal.into(), budget));
                    }
                    way = Way::without_fork(self, options, Some(&refusal))?;
                }
                std::thread::sleep(BACK_OFF.get(attempt).copied().unwrap_or_default());
                attempt += 1;
                continue;
            }
            stats.reads += done.stats.reads;
            stats.bytes += done.stats.bytes;
            let consistent = done.reading.as_ref().is_some_and(|reading| reading.consistent);
            // A live picture is never of one instant; trying for ever makes it no better.
            let enough =
                consistent || last || done.cut || (way.is_live() && attempt >= LIVE_ATTEMPTS);
            if let Some(reading) = done.reading.filter(|_| enough) {
                return Ok(Picture {
                    value: reading.value,
                    consistent: consistent && !way.is_live(),
                    mode: way.mode(),
                    reason: way.reason,
                    pause: done.pause.map(|pause| pause.total),
                    total_pause,
                    stats,
                    attempts: attempt as u32 + 1,
                    held: done.pause.map(|pause| (pause.threads as u64, done.in_kernel)),
                    os: done.os,
                    notes: done.notes,
                });
            }
            if let Some(&wait) = BACK_OFF.get(attempt) {
                std::thread::sleep(wait);
            }
            attempt += 1;
        }
    }

    fn over_budget(&self, error: AttachError, budget: Duration) -> AttachError {
        match error {
            AttachError::Memory(MemoryError::OverBudget)
            | AttachError::Fork(ForkError::Late { .. }) => {
                AttachError::OverBudget { pid: self.process.pid(), budget }
            }
            other => other,
        }
    }

    /// Reads the running process.
    fn live<T>(
        &self,
        work: Duration,
        last: bool,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Attempt<T>, AttachError> {
        let maps = self.process.maps()?;
        let memory = BlockCache::with_recent_maps(LiveMemory::new(&self.process), &maps, CACHE);
        let os = self.os_threads(&[], &self.inner_ids());
        let Analysis { reading, cut } = self.analyse(&memory, &os, work, last, read)?;
        self.process.check()?;
        let stats = memory.stats();
        let notes = cut.then(|| cut_note(work)).into_iter().collect();
        Ok(Attempt { reading, pause: None, stats, os, in_kernel: 0, refusal: None, cut, notes })
    }

    /// Reads the process while it stands still.
    fn stopped<T>(
        &self,
        budget: Duration,
        subject: Subject,
        last: bool,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Attempt<T>, AttachError> {
        let inner = self.inner_ids();
        let maps = self.process.maps()?;
        let memory = BlockCache::with_recent_maps(LiveMemory::new(&self.process), &maps, CACHE);
        let memory = if subject == Subject::Stacks { memory.by_pages() } else { memory };
        let stopped = self.stop(budget)?;
        let os = self.os_threads(stopped.threads(), &inner);
        let reading = if subject == Subject::Heap && !last && self.is_collecting(&memory)? {
            None
        } else {
            let until = Instant::now() + budget.saturating_sub(stopped.elapsed());
            let bounded = Budgeted::new(&memory, until);
            unless_broken(self.read(&bounded, &os, true, read), last)?
        };
        let in_kernel = in_kernel(&stopped);
        let pause = Some(stopped.release());
        Ok(Attempt {
            reading,
            pause,
            stats: memory.stats(),
            os,
            in_kernel,
            refusal: None,
            cut: false,
            notes: Vec::new(),
        })
    }

    /// Copies the process while it stands still, and reads the copy. A plan that was not needed
    /// is handed back.
    fn copied<T>(
        &self,
        (budget, work): (Duration, Duration),
        plan: CopyPlan,
        unused: &mut Option<CopyPlan>,
        last: bool,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Attempt<T>, AttachError> {
        let inner = self.inner_ids();
        let stopped = self.stop(budget)?;
        let in_kernel = in_kernel(&stopped);
        let os = self.os_threads(stopped.threads(), &inner);
        let live = LiveMemory::new(&self.process);
        if !last && self.is_collecting(&live)? {
            let pause = Some(stopped.release());
            *unused = Some(plan);
            return Ok(Attempt {
                reading: None,
                pause,
                stats: live.stats(),
                os,
                in_kernel,
                refusal: None,
                cut: false,
                notes: Vec::new(),
            });
        }
        let until = Instant::now() + budget.saturating_sub(stopped.elapsed());
        let copy = plan.copy(&self.process, until);
        let pause = Some(stopped.release());
        let copy = copy?;
        let Analysis { reading, cut } = self.analyse(&copy, &os, work, last, read)?;
        let stats = copy.stats();
        let notes = cut.then(|| cut_note(work)).into_iter().collect();
        Ok(Attempt { reading, pause, stats, os, in_kernel, refusal: None, cut, notes })
    }

    /// Reads a picture while the target runs, for at most so much work.
    pub(super) fn analyse<T>(
        &self,
        memory: &dyn MemorySource,
        os: &OsThreads,
        work: Duration,
        last: bool,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Analysis<T>, AttachError> {
        let limited = Limited::new(memory, work);
        let reading = self.read(&limited, os, false, read);
        let cut = limited.is_spent();
        let mut reading = match unless_broken(reading, last || cut) {
            Err(AttachError::State(_)) if cut => return Err(AttachError::Unfinished { work }),
            reading => reading?,
        };
        if let Some(reading) = &mut reading {
            reading.consistent &= !cut;
        }
        Ok(Analysis { reading, cut })
    }

    /// The limit of our work when the user gives none.
    fn most_work(&self) -> Duration {
        let bytes = self.process.private_memory().map_or(0, |memory| memory.resident_bytes);
        let gibibytes = u32::try_from(bytes >> 30).unwrap_or(u32::MAX);
        MOST_WORK.saturating_add(MOST_WORK_PER_GIB.saturating_mul(gibibytes))
    }

    pub(super) fn stop(&self, budget: Duration) -> Result<Stopped<'_>, AttachError> {
        let options =
            StopOptions { stop_within: STOP_WITHIN.min(budget), hard_deadline: budget + GRACE };
        Ok(self.process.stop(options)?)
    }

    pub(super) fn read<T>(
        &self,
        memory: &dyn MemorySource,
        os: &OsThreads,
        held: bool,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Reading<T>, AttachError> {
        let python = Python::new(memory, &self.layout);
        let runtime = python.runtime(self.runtime)?;
        let interpreters = python.interpreters(self.runtime)?;
        Ok(read(&View { python: &python, runtime, interpreters: &interpreters, os, held })?)
    }

    /// True while any collector is at work, or may be: the interpreters are being changed.
    pub(super) fn is_collecting(&self, memory: &dyn MemorySource) -> Result<bool, AttachError> {
        let python = Python::new(memory, &self.layout);
        let interpreters = python.interpreters(self.runtime);
        let states = interpreters.and_then(|all| collectors(&python, self.runtime, &all));
        match states {
            Ok(states) => Ok(states.iter().any(|(_, state)| state.collecting)),
            Err(error) => error.fatal().map_or(Ok(true), |error| Err(error.into())),
        }
    }

    /// From thread ids as the target's pid namespace has them to ours; empty when they are the
    /// same.
    pub(super) fn inner_ids(&self) -> BTreeMap<u64, i32> {
        if self.process.namespaces().pid != Some(false) {
            return BTreeMap::new();
        }
        self.process.inner_thread_ids().unwrap_or_default()
    }

    pub(super) fn os_threads(
        &self,
        stopped: &[StoppedThread],
        inner: &BTreeMap<u64, i32>,
    ) -> OsThreads {
        let state = |thread: &StoppedThread| OsState {
            syscall: thread.syscall,
            job_stopped: matches!(thread.hold, Hold::GroupStop(_)),
            known: true,
        };
        let mut states: BTreeMap<i32, OsState> =
            stopped.iter().map(|thread| (thread.tid, state(thread))).collect();
        if stopped.is_empty() {
            let threads = self.process.threads().unwrap_or_default();
            states.extend(threads.iter().map(|thread| (thread.tid, OsState::default())));
        }
        let by_inner_id = match inner.is_empty() {
            true => states.keys().map(|&tid| (tid as u64, tid)).collect(),
            false => inner.clone(),
        };
        OsThreads { states, by_inner_id, main: self.process.pid() }
    }
}

/// The way a picture is taken, once decided.
struct Way {
    kind: Kind,
    /// Why, when the user left the choice to us.
    reason: Option<String>,
}

enum Kind {
    Live,
    Stop,
    Copy { ceiling: u64, plan: Option<CopyPlan> },
    Fork { plan: ForkPlan },
}

impl Way {
    fn choose(
        target: &Target,
        options: &CaptureOptions,
        subject: Subject,
    ) -> Result<Self, AttachError> {
        let asked = |kind| Ok(Self { kind, reason: None });
        let chosen = |kind, reason: String| Ok(Self { kind, reason: Some(reason) });
        match options.mode {
            CaptureMode::Live => asked(Kind::Live),
            CaptureMode::Stop => asked(Kind::Stop),
            CaptureMode::Copy => asked(Self::copy(target, options)?),
            CaptureMode::Fork => {
                asked(Kind::Fork { plan: ForkPlan::prepare(&target.process, true)? })
            }
            CaptureMode::Auto if subject == Subject::Stacks => {
                chosen(Kind::Stop, "stacks are read faster than memory is copied".to_owned())
            }
            CaptureMode::Auto => match advise(&target.process) {
                Advice::Fork(plan, reason) => chosen(Kind::Fork { plan }, reason),
                Advice::Refused(refusal) => Self::without_fork(target, options, Some(&refusal)),
                Advice::TooSmall => Self::without_fork(target, options, None),
            },
        }
    }

    /// What is left when no fork is worth it, or possible.
    fn without_fork(
        target: &Target,
        options: &CaptureOptions,
        refusal: Option<&ForkError>,
    ) -> Result<Self, AttachError> {
        let but = refusal.map(|error| format!("; no fork: {error}")).unwrap_or_default();
        let (kind, reason) = match Self::copy(target, options) {
            Ok(plan) => (plan, "copying pauses the process less than walking".to_owned()),
            Err(AttachError::Memory(MemoryError::Ceiling { ceiling })) => (
                Kind::Stop,
                format!("a copy would take more than {} MiB of our memory", ceiling >> 20),
            ),
            Err(error) => return Err(error),
        };
        Ok(Self { kind, reason: Some(reason + &but) })
    }

    fn copy(target: &Target, options: &CaptureOptions) -> Result<Kind, AttachError> {
        let ceiling = options.max_memory.unwrap_or_else(half_of_free_memory);
        let plan = CopyPlan::prepare(&target.process, &target.process.maps()?, ceiling)?;
        Ok(Kind::Copy { ceiling, plan: Some(plan) })
    }

    fn is_live(&self) -> bool {
        matches!(self.kind, Kind::Live)
    }

    fn mode(&self) -> CaptureMode {
        match self.kind {
            Kind::Live => CaptureMode::Live,
            Kind::Stop => CaptureMode::Stop,
            Kind::Copy { .. } => CaptureMode::Copy,
            Kind::Fork { .. } => CaptureMode::Fork,
        }
    }
}

/// What was read, or nothing when the structures that everything hangs on were being changed at
/// that moment (a thread's state on its way into the list): there is another attempt for that.
pub(super) fn unless_broken<T>(
    read: Result<Reading<T>, AttachError>,
    last: bool,
) -> Result<Option<Reading<T>>, AttachError> {
    match read {
        Err(AttachError::State(_)) if !last => Ok(None),
        read => read.map(Some),
    }
}

/// What the reader of an answer that was cut should know.
pub(super) fn cut_note(work: Duration) -> String {
    format!(
        "the analysis was ended after {work:?} of work: what was not reached by then is counted as \
         unreadable (--max-analysis)"
    )
}

pub(super) fn in_kernel(stopped: &Stopped<'_>) -> u64 {
    stopped.threads().iter().filter(|thread| thread.hold == Hold::InKernel).count() as u64
}

/// Half of the memory that is free, as the kernel estimates it; at least 256 MiB.
fn half_of_free_memory() -> u64 {
    const LEAST: u64 = 256 << 20;
    crate::process::available_memory().map_or(LEAST, |free| (free / 2).max(LEAST))
}
