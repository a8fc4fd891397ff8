//! Quick looks at the running process: how many threads wait for the GIL, and whether an event
//! loop is still in the turn in which the capture found it. Nothing is stopped.
//!
//! Done only after a capture that gives a reason to look again, so a healthy process costs none.

use super::Target;
use super::capture::CACHE;
use super::collect::dump::{FUTEX, frame_row, syscall_name};
use super::collect::whole::turn;
use crate::cpython::{Gil, ObjectError, Python};
use crate::memory::{BlockCache, LiveMemory};
use crate::process::Activity;
use crate::snapshot::whole::{LoopSample, Sample};
use std::time::{Duration, Instant};

/// Looks at most.
const LOOKS: u32 = 5;
/// Between two of them. Together they take longer than the 100 ms from which on asyncio itself
/// calls a callback slow.
const EVERY: Duration = Duration::from_millis(50);
/// Threads that wait for the GIL from which on it is worth another look.
const WAITING: u64 = 1;
/// Threads asked what they do.
const MOST_THREADS: usize = 256;
/// Frames kept of a stack.
const MOST_FRAMES: usize = 200;

/// What is looked at.
pub(super) struct Subjects {
    /// The capture.
    pub(super) captured: Instant,
    /// Kernel ids of all threads with a Python state.
    pub(super) threads: Vec<i32>,
    /// Of the threads whose event loop was busy, by ident.
    pub(super) loops: Vec<(u64, i32)>,
}

impl Subjects {
    /// Looks again after the sample of the capture, as long as something goes on.
    pub(super) fn follow(&self, target: &Target, first: Sample) -> Vec<Sample> {
        let mut samples = vec![first];
        for _ in 0..LOOKS {
            let Some(last) = samples.last().filter(|last| goes_on(&samples, last)) else { break };
            let wait = if last.loops.is_empty() { EVERY / 5 } else { EVERY };
            std::thread::sleep(wait);
            match self.look(target) {
                Ok(sample) => samples.push(sample),
                // The process is gone or on its way: what was seen stands.
                Err(_) => break,
            }
        }
        samples
    }

    fn look(&self, target: &Target) -> Result<Sample, ObjectError> {
        let maps = target.process.maps().unwrap_or_default();
        let live = LiveMemory::new(&target.process);
        let memory = BlockCache::with_recent_maps(live, &maps, CACHE).by_pages();
        let python = Python::new(&memory, &target.layout);
        let at_ms = self.captured.elapsed().as_secs_f64() * 1000.0;
        let mut gils: Vec<Gil> = Vec::new();
        let mut loops = Vec::new();
        for interpreter in python.interpreters(target.runtime)? {
            gils.extend(python.gil(target.runtime, &interpreter)?);
            if self.loops.is_empty() {
                continue;
            }
            for thread in python.threads(&interpreter)? {
                let known = self.loops.iter().find(|&&(ident, _)| ident == thread.ident);
                let Some(&(_, tid)) = known else { continue };
                let stack = python.stack(&thread)?;
                let mut mark = None;
                for frame in &stack.frames {
                    mark = mark.or(turn(&python, frame)?);
                }
                if stack.frames.is_empty() {
                    continue;
                }
                loops.push(LoopSample {
                    thread: tid,
                    syscall: match target.process.activity(tid) {
                        Some(Activity::In(call)) => Some(syscall_name(call.number)),
                        _ => None,
                    },
                    turn: mark,
                    sleeps: target.process.sleeps(tid),
                    stack: stack.frames.iter().take(MOST_FRAMES).map(frame_row).collect(),
                });
            }
        }
        let asked = self.threads.iter().take(MOST_THREADS);
        let waits = |&&tid: &&i32| match target.process.activity(tid) {
            Some(Activity::In(call)) => {
                call.number == FUTEX && gils.iter().any(|gil| gil.contains(call.args[0]))
            }
            _ => false,
        };
        Ok(Sample {
            at_ms,
            threads: asked.len() as u64,
            waiting_for_gil: asked.filter(waits).count() as u64,
            loops,
        })
    }
}

/// Something is worth another look: threads wait for the GIL, or a loop is where it was at first.
fn goes_on(samples: &[Sample], last: &Sample) -> bool {
    let Some(first) = samples.first() else { return false };
    let same = |sample: &LoopSample| {
        let then = first.loops.iter().find(|then| then.thread == sample.thread);
        then.is_some_and(|then| then.is_same_turn(sample))
    };
    last.waiting_for_gil >= WAITING || last.loops.iter().any(same)
}
