//! Reading a frozen copy that the target was made to fork: when it pays, and doing it.

use super::capture::{Analysis, Attempt, CACHE, Reading, Subject, View, cut_note, in_kernel};
use super::collect::Problem;
use super::{AttachError, Target};
use crate::memory::{ForkedMemory, LiveMemory, MemoryError, MemorySource};
use crate::process::{Ending, ForkError, ForkPlan, Pause, Process, ProcessError};
use std::time::Duration;

/// Private memory from which on a fork is chosen. Measured on two busy processors (medians of 9,
/// fork with the removal of the copy against copy): 8 MiB 6 against 11 ms, 40 MiB 6 against 35,
/// 98 MiB 13 against 70, 308 MiB 34 against 180, 988 MiB 79 against 669. Below this size both
/// are some milliseconds, and a copy has no side effects.
const PAYS_FROM: u64 = 32 << 20;
/// What the kernel needs at least to copy one page of page tables (512 pages of memory).
const PER_TABLE: Duration = Duration::from_micros(25);
const PAGE: u64 = 4096;
/// Pages that one page of page tables describes.
const PAGES_PER_TABLE: u64 = 512;

/// What to do about a heap when the choice is ours.
pub(super) enum Advice {
    /// Fork, for this reason.
    Fork(ForkPlan, String),
    /// It would pay, but cannot be done.
    Refused(ForkError),
    /// It would not pay.
    TooSmall,
}

/// Whether to fork a process.
pub(super) fn advise(process: &Process) -> Advice {
    let Some(bytes) = process.private_memory().map(|memory| memory.resident_bytes) else {
        return Advice::TooSmall;
    };
    if bytes < PAYS_FROM {
        return Advice::TooSmall;
    }
    match ForkPlan::prepare(process, false) {
        Ok(plan) => {
            let reason = format!(
                "with {} MiB of memory, a fork pauses the process less than a copy",
                bytes >> 20
            );
            Advice::Fork(plan, reason)
        }
        Err(refusal) => Advice::Refused(refusal),
    }
}

impl Target {
    /// Has the process fork while it stands still, and reads the copy.
    pub(super) fn forked<T>(
        &self,
        (budget, work): (Duration, Duration),
        plan: &ForkPlan,
        subject: Subject,
        last: bool,
        read: &mut dyn FnMut(&View<'_, '_>) -> Result<Reading<T>, Problem>,
    ) -> Result<Attempt<T>, AttachError> {
        if self.shortest_fork() > budget {
            return Err(ForkError::Late { pid: self.process.pid() }.into());
        }
        let inner = self.inner_ids();
        let stopped = self.stop(budget)?;
        let in_kernel = in_kernel(&stopped);
        let os = self.os_threads(stopped.threads(), &inner);
        let attempt = |pause: Pause| Attempt {
            reading: None,
            pause: Some(pause),
            stats: Default::default(),
            os: Default::default(),
            in_kernel,
            refusal: None,
            cut: false,
            notes: Vec::new(),
        };
        let live = LiveMemory::new(&self.process);
        if subject == Subject::Heap && !last && self.is_collecting(&live)? {
            let pause = stopped.release();
            return Ok(Attempt { os, stats: live.stats(), ..attempt(pause) });
        }
        let left = budget.saturating_sub(stopped.elapsed());
        let (child, pause) = stopped.fork(plan, left);
        let child = match child {
            Ok(child) => child,
            Err(error) => return Ok(Attempt { refusal: Some(error), ..attempt(pause) }),
        };
        let reading = ForkedMemory::new(child.process(), CACHE)
            .map_err(AttachError::from)
            .and_then(|memory| {
                let analysis = self.analyse(&memory, &os, work, last, read)?;
                Ok((analysis, memory.stats()))
            });
        // What went wrong with the copy must not be told of the process.
        let lost = child.process().check().is_err();
        let ending = child.finish();
        self.process.check()?;
        match reading {
            Ok((Analysis { reading, cut }, stats)) => {
                let mut notes = notes(&pause, &ending);
                notes.extend(cut.then(|| cut_note(work)));
                let pause = Pause { total: pause.total + ending.pause, ..pause };
                Ok(Attempt { reading, stats, os, cut, notes, ..attempt(pause) })
            }
            Err(error) if lost || is_about_the_copy(&error) => {
                let refusal = Some(ForkError::Lost { pid: self.process.pid() });
                Ok(Attempt { refusal, ..attempt(pause) })
            }
            Err(error) => Err(error),
        }
    }

    /// The time that a fork takes at least, by the page tables that it copies.
    fn shortest_fork(&self) -> Duration {
        let Some(memory) = self.process.private_memory() else { return Duration::ZERO };
        let by_pages = memory.resident_bytes / PAGE / PAGES_PER_TABLE;
        let tables = by_pages.min(memory.page_table_bytes / PAGE);
        PER_TABLE.saturating_mul(u32::try_from(tables).unwrap_or(u32::MAX))
    }
}

fn is_about_the_copy(error: &AttachError) -> bool {
    matches!(
        error,
        AttachError::Memory(MemoryError::ProcessGone)
            | AttachError::Process(ProcessError::Gone { .. })
    )
}

fn notes(pause: &Pause, ending: &Ending) -> Vec<String> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let mut notes = vec![format!(
        "paused twice: {:.2} ms to fork, {:.2} ms (one thread) to remove the copy",
        milliseconds(pause.total),
        milliseconds(ending.pause)
    )];
    let earlier = ending.reaped.saturating_sub(1);
    if ending.left == 0 && earlier > 0 {
        notes.push(format!("removed {earlier} dead copies that earlier runs had left behind"));
    }
    if ending.left > 0 {
        notes.push(format!(
            "{} dead copies are still listed as children of the process; the next capture with \
             --capture fork removes them",
            ending.left
        ));
    }
    notes
}
