//! One capture of everything.

use super::capture::{CaptureOptions, Reading, Subject};
use super::collect::holders::{Extent, Kept};
use super::collect::whole::{self, Setting};
use super::documents::{capture_info, native_threads, totals};
use super::samples::Subjects;
use super::sockets::{Around, LEAST_AGE, join, note};
use super::sources::Sources;
use super::why::add_line;
use super::{AttachError, Target};
use crate::process::Process;
use crate::resources::Catalog;
use crate::snapshot::graph::StoredGraph;
use crate::snapshot::whole::{
    ChildRow, LoopSample, ResourceLimits, SameProcess, Sample, Sockets, Tasks, Whole,
};
use crate::snapshot::{Coverage, Held, ThreadRow};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// What a whole capture takes in beside the process at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeOptions {
    /// Look again when a loop seems blocked or threads wait for the GIL: up to a quarter of a
    /// second, in which the process runs.
    pub samples: bool,
    /// The text of the lines that threads are at.
    pub source: bool,
    /// Tracked objects up to which it is looked for who holds resources and tasks; `None` for
    /// not at all. Never looked for while the process stands still for it.
    pub holders: Option<u64>,
    /// Of what that is looked for.
    pub extent: Extent,
}

impl WholeOptions {
    /// Objects whose references take about a tenth of a second to read.
    pub const FEW: u64 = 200_000;
    /// Objects whose references take a few seconds to read.
    pub const MANY: u64 = 4_000_000;
}

impl Default for WholeOptions {
    fn default() -> Self {
        Self { samples: true, source: true, holders: Some(Self::MANY), extent: Extent::Resources }
    }
}

impl Target {
    /// Everything that one capture gives.
    pub fn whole(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
        with: WholeOptions,
    ) -> Result<Whole, AttachError> {
        let begun = Instant::now();
        let taken = jiff::Timestamp::now();
        let mut around = Around::begin(&self.process, options.mode)?.for_expressions()?;
        let earliest = Instant::now() + LEAST_AGE;
        // What is not of one instant anyhow, while the descriptors become old enough.
        let process = self.process_info()?;
        let limits = ResourceLimits {
            descriptors: self.process.descriptor_limit(),
            processes: self.process.limit("Max processes"),
            address_space: self.process.limit("Max address space"),
        };
        let children = self.process.own_children().ok().map(|children| {
            let row = |child: crate::process::Child| ChildRow {
                pid: child.pid,
                name: child.name,
                zombie: child.zombie,
            };
            children.into_iter().map(row).collect()
        });
        let mut captured = begun;
        let picture = self.picture_after(options, Subject::Heap, earliest, &mut |view| {
            captured = Instant::now();
            around.picture(view.held);
            let setting = Setting {
                runtime: &view.runtime,
                interpreters: view.interpreters,
                os: view.os,
                catalog,
                descriptors: around.descriptors(),
                maps: around.maps(),
                holders: with.holders.filter(|_| !view.held),
                extent: with.extent,
                kernel: &around,
            };
            let found = whole::collect(view.python, &setting)?;
            around.pictured();
            Ok(Reading { consistent: found.consistent, value: found })
        })?;
        let (listing, tables) = around.finish()?;
        let (found, picture) = picture.split();
        let mut notes = found.notes;
        notes.extend(note(&tables));
        let joined = join(self, &found.sockets, &listing, &tables);
        let coverage = Coverage {
            objects: Some(found.objects.total),
            unreadable: found.unreadable,
            broken_lists: Some(found.broken_lists),
            collecting: Some(found.collecting),
            ..Coverage::default()
        };
        let mut threads = found.stacks.into_rows();
        let names = self.kernel_names();
        for thread in &mut threads {
            thread.os_name = thread.tid.and_then(|tid| names.get(&tid).cloned());
        }
        let mut loops = found.tasks.loops;
        let samples = match with.samples {
            true => {
                let (first, busy) = first_sample(&threads, &loops, &found.turns);
                let tids = threads.iter().filter_map(|thread| thread.tid).collect();
                Subjects { captured, threads: tids, loops: busy }.follow(self, first)
            }
            false => Vec::new(),
        };
        if with.source {
            let mut sources = Sources::new(&self.process);
            let of_threads = threads.iter_mut().flat_map(|thread| &mut thread.frames);
            let of_loops = loops.iter_mut().flat_map(|row| &mut row.stack);
            of_threads.chain(of_loops).for_each(|frame| sources.annotate(frame));
        }
        let (held, graph) = match found.kept {
            Some(kept) => with_lines(&self.process, kept),
            None => (None, None),
        };
        let native_threads = native_threads(&threads, &picture.os, &names);
        Ok(Whole {
            taken: taken.to_string(),
            process,
            same: SameProcess {
                pid: self.process.pid(),
                start_ticks: self.process.start_ticks(),
                boot_id: self.process.boot_id().to_owned(),
            },
            capture: capture_info(&picture, begun, coverage, notes),
            objects: found.objects,
            collectors: found.collectors,
            kinds: found.kinds,
            resources: found.resources,
            used: found.used,
            held,
            graph,
            sockets: Sockets {
                summary: joined.summary,
                rows: joined.rows,
                by_address: joined.by_address,
            },
            tasks: Tasks {
                loops,
                totals: totals(&found.tasks.tasks),
                rows: found.tasks.tasks,
                not_started: found.tasks.not_started,
                registry: found.tasks.registry,
            },
            threads,
            workers: found.workers,
            native_threads,
            samples,
            limits,
            children,
        })
    }
}

/// Looks up the lines of owners that memory does not tell.
fn with_lines(process: &Process, kept: Kept) -> (Option<Held>, Option<Arc<StoredGraph>>) {
    let mut sources = Sources::new(process);
    let mut held = kept.held;
    for (group, place) in held.groups.iter_mut().zip(&kept.places) {
        add_line(&mut sources, place.as_ref(), group.owner.as_mut());
    }
    let graph = kept.graph.map(|(mut graph, places)| {
        for (owner, place) in graph.owners.iter_mut().zip(&places) {
            add_line(&mut sources, place.as_ref(), owner.owner.as_mut());
        }
        Arc::new(graph)
    });
    (Some(held), graph)
}

/// The capture itself as a sample, and the threads whose loops were busy: ident and kernel's id.
fn first_sample(
    threads: &[ThreadRow],
    loops: &[crate::snapshot::tasks::LoopRow],
    turns: &BTreeMap<u64, String>,
) -> (Sample, Vec<(u64, i32)>) {
    let waiting = |thread: &&ThreadRow| thread.state.as_deref() == Some("waiting for the GIL");
    let mut busy = Vec::new();
    let mut samples = Vec::new();
    for row in loops.iter().filter(|row| row.state.as_deref() == Some("busy")) {
        let Some(tid) = row.thread else { continue };
        let Some(thread) = threads.iter().find(|thread| thread.tid == Some(tid)) else { continue };
        let ident = thread.ident.strip_prefix("0x").unwrap_or(&thread.ident);
        let Ok(ident) = u64::from_str_radix(ident, 16) else { continue };
        busy.push((ident, tid));
        samples.push(LoopSample {
            thread: tid,
            syscall: thread.syscall.clone(),
            turn: turns.get(&ident).cloned(),
            sleeps: None,
            stack: row.stack.clone(),
        });
    }
    let sample = Sample {
        at_ms: 0.0,
        threads: threads.len() as u64,
        waiting_for_gil: threads.iter().filter(waiting).count() as u64,
        loops: samples,
    };
    (sample, busy)
}
