//! The answers: a picture, made into a document.

use super::capture::{CaptureOptions, Picture, Reading, Subject};
use super::collect;
use super::collect::dump::{DumpOptions, OsState, OsThreads};
use super::sockets::Around;
use super::sources::Sources;
use super::{AttachError, CaptureMode, Selection, Target, describe};
use crate::resources::{Catalog, Detail, SocketFacts};
use crate::snapshot::tasks::TaskRow;
use crate::snapshot::{
    CaptureInfo, CensusDocument, Coverage, DumpDocument, NativeThreadRow, TasksDocument, ThreadRow,
    VERSION,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What `dump` shows beside the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackOptions {
    /// Local variables.
    pub locals: bool,
    /// The text of each line.
    pub source: bool,
}

impl Target {
    /// The stacks of all threads.
    pub fn dump(
        &self,
        options: &CaptureOptions,
        show: StackOptions,
    ) -> Result<DumpDocument, AttachError> {
        let begun = Instant::now();
        let locals = DumpOptions { locals: show.locals };
        let mut picture = self.picture(options, Subject::Stacks, &mut |view| {
            let stacks = collect::dump::collect(
                view.python,
                &view.runtime,
                view.interpreters,
                view.os,
                locals,
            )?;
            Ok(Reading { consistent: stacks.complete, value: stacks })
        })?;
        let stacks = std::mem::take(&mut picture.value);
        let unreadable = stacks.unreadable;
        let mut threads = stacks.into_rows();
        let names = self.kernel_names();
        let mut sources = Sources::new(&self.process);
        for thread in &mut threads {
            thread.os_name = thread.tid.and_then(|tid| names.get(&tid).cloned());
            if show.source {
                thread.frames.iter_mut().for_each(|frame| sources.annotate(frame));
            }
        }
        let native_threads = native_threads(&threads, &picture.os, &names);
        let coverage = Coverage { unreadable, ..Coverage::default() };
        let capture = capture_info(&picture, begun, coverage, Vec::new());
        let process = self.process_info()?;
        Ok(DumpDocument {
            schema: DumpDocument::SCHEMA,
            pyattach: VERSION,
            process,
            capture,
            threads,
            native_threads,
        })
    }

    /// The tracked objects by type, and the resources of the built-in catalogue among them.
    pub fn census(&self, options: &CaptureOptions) -> Result<CensusDocument, AttachError> {
        self.census_with(options, Catalog::shared_builtin())
    }

    /// The tracked objects by type, and the resources of a catalogue among them.
    pub fn census_with(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
    ) -> Result<CensusDocument, AttachError> {
        let begun = Instant::now();
        let all = &Selection::All;
        let mut kernel = Around::if_asked(self, options, catalog, all, Detail::Numbers);
        let picture = self.picture(options, Subject::Heap, &mut |view| {
            kernel.iter_mut().for_each(|around| around.picture(view.held));
            let heap = collect::census::collect(
                view.python,
                self.runtime,
                view.interpreters,
                catalog,
                kernel.as_ref().map(|around| around as &dyn SocketFacts),
            )?;
            Ok(Reading { consistent: heap.consistent, value: heap })
        })?;
        let heap = &picture.value;
        let coverage = Coverage {
            objects: Some(heap.objects.total),
            unreadable: heap.unreadable,
            broken_lists: Some(heap.broken_lists),
            collecting: Some(heap.collecting),
            ..Coverage::default()
        };
        let capture = capture_info(&picture, begun, coverage, heap.notes.clone());
        let process = self.process_info()?;
        let heap = picture.value;
        Ok(CensusDocument {
            schema: CensusDocument::SCHEMA,
            pyattach: VERSION,
            process,
            capture,
            objects: heap.objects,
            resources: heap.resources,
        })
    }

    /// Event loops and tasks, and who waits for whom.
    pub fn tasks(&self, options: &CaptureOptions) -> Result<TasksDocument, AttachError> {
        let begun = Instant::now();
        let picture = self.picture(options, Subject::Heap, &mut |view| {
            let (runtime, interpreters) = (&view.runtime, view.interpreters);
            let found = collect::tasks::collect(view.python, runtime, interpreters, view.os)?;
            Ok(Reading { consistent: found.consistent, value: found })
        })?;
        let found = &picture.value;
        let coverage = Coverage {
            objects: Some(found.objects),
            unreadable: found.unreadable,
            broken_lists: Some(found.broken_lists),
            collecting: Some(found.collecting),
            ..Coverage::default()
        };
        let capture = capture_info(&picture, begun, coverage, found.notes());
        let process = self.process_info()?;
        let found = picture.value;
        Ok(TasksDocument {
            schema: TasksDocument::SCHEMA,
            pyattach: VERSION,
            process,
            capture,
            loops: found.loops,
            totals: totals(&found.tasks),
            tasks_not_shown: 0,
            tasks: found.tasks,
            not_started: found.not_started,
            registry: found.registry,
        })
    }

    pub(super) fn process_info(&self) -> Result<crate::snapshot::ProcessInfo, AttachError> {
        Ok(describe::process_info(self, &self.process.identity()?))
    }

    pub(super) fn kernel_names(&self) -> BTreeMap<i32, String> {
        let threads = self.process.threads().unwrap_or_default();
        threads.into_iter().map(|thread| (thread.tid, thread.name)).collect()
    }
}

/// The threads that have no Python state.
pub(super) fn native_threads(
    threads: &[ThreadRow],
    os: &OsThreads,
    names: &BTreeMap<i32, String>,
) -> Vec<NativeThreadRow> {
    let python: BTreeSet<i32> = threads.iter().filter_map(|thread| thread.tid).collect();
    let native = os.states.iter().filter(|(tid, _)| !python.contains(tid));
    let row = |(&tid, state): (&i32, &OsState)| NativeThreadRow {
        tid,
        os_name: names.get(&tid).cloned(),
        syscall: state.syscall.map(|call| collect::dump::syscall_name(call.number)),
    };
    native.map(row).collect()
}

pub(super) fn totals(tasks: &[TaskRow]) -> BTreeMap<String, u64> {
    let mut totals = BTreeMap::new();
    for task in tasks {
        let state = task.state.as_deref().unwrap_or("unknown");
        *totals.entry(state.to_owned()).or_default() += 1;
    }
    totals
}

pub(super) fn capture_info<T>(
    picture: &Picture<T>,
    begun: Instant,
    coverage: Coverage,
    mut notes: Vec<String>,
) -> CaptureInfo {
    // Microseconds are as fine as anything here is measured.
    let milliseconds = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
    let paused = picture.pause.is_some();
    if picture.mode == CaptureMode::Live {
        notes.insert(
            0,
            "approximate: the process ran while it was read, so parts may be missing, counted \
             twice or of different moments"
                .to_owned(),
        );
    } else if !picture.consistent {
        notes.insert(0, "incomplete: see the coverage figures".to_owned());
    }
    notes.extend(picture.notes.iter().cloned());
    let in_kernel = picture.held.map_or(0, |(_, in_kernel)| in_kernel);
    if in_kernel > 0 {
        notes.push(format!(
            "{in_kernel} thread(s) in uninterruptible sleep could not be stopped; they were in \
             the kernel all the time"
        ));
    }
    CaptureInfo {
        mode: picture.mode.name().to_owned(),
        mode_reason: picture.reason.clone(),
        pause_ms: picture.pause.map(milliseconds),
        total_pause_ms: paused.then_some(milliseconds(picture.total_pause)),
        wall_ms: milliseconds(begun.elapsed()),
        bytes_read: picture.stats.bytes,
        reads: picture.stats.reads,
        attempts: picture.attempts,
        consistent: picture.consistent,
        coverage: Coverage {
            threads_stopped: picture.held.map(|(held, in_kernel)| held - in_kernel.min(held)),
            threads_in_kernel: picture.held.map(|(_, in_kernel)| in_kernel),
            ..coverage
        },
        notes,
    }
}
