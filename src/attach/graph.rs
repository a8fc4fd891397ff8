//! The whole reference graph of a process, for other programs.

use super::capture::{CaptureOptions, Reading, Subject};
use super::collect::holders::{Holding, Identity, Labels, rows};
use super::documents::capture_info;
use super::{AttachError, Target};
use crate::heap::graph;
use crate::process::{Mapping, Process};
use crate::resources::{Catalog, Describer};
use crate::snapshot::heap::HeapRows;
use crate::snapshot::{CaptureInfo, Coverage};
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

impl Target {
    /// Every object that something alive reaches, with names.
    pub fn heap(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
    ) -> Result<(HeapRows, CaptureInfo), AttachError> {
        let begun = Instant::now();
        let identity = identity(&self.process.maps()?);
        let picture = self.picture(options, Subject::Heap, &mut |view| {
            let labels = Labels { sockets: sockets(&self.process).unwrap_or_default() };
            let graph = graph::build(view.python, view.runtime.address, view.interpreters)?;
            let describer = Describer::new(view.python, view.interpreters, catalog, None);
            let holding = Holding::new(view.python, view.interpreters, &graph, &describer);
            let runtime = view.runtime.address;
            let rows = rows(&holding, &describer, runtime, identity, &labels)?;
            let consistent = graph.statistics.broken_lists == 0 && !graph.statistics.collecting;
            Ok(Reading { consistent, value: (rows, graph.statistics) })
        })?;
        let statistics = picture.value.1;
        let coverage = Coverage {
            objects: Some(statistics.tracked),
            unreadable: statistics.unreadable,
            broken_lists: Some(statistics.broken_lists),
            collecting: Some(statistics.collecting),
            ..Coverage::default()
        };
        let capture = capture_info(&picture, begun, coverage, Vec::new());
        Ok((picture.value.0, capture))
    }
}

/// Where what never moves lies: the executable, and the end of the main thread's stack.
fn identity(maps: &[Mapping]) -> Identity {
    let low = maps.iter().filter(|mapping| mapping.inode != 0).map(|mapping| mapping.start).min();
    let stack = maps.iter().find(|mapping| mapping.path.as_os_str() == "[stack]");
    let high = stack.or(maps.last()).map(|mapping| mapping.end);
    Identity { low: low.unwrap_or(0), high: high.unwrap_or(0) }
}

/// State and addresses of the sockets, by descriptor; `None` where the kernel does not tell.
fn sockets(process: &Process) -> Option<BTreeMap<i64, String>> {
    let descriptors = process.descriptors().ok()?;
    let inodes: HashSet<u64> = descriptors.iter().filter_map(|one| one.socket()).collect();
    let tables = process.socket_tables(&inodes).ok()?;
    let texts = descriptors.iter().filter_map(|one| {
        let row = tables.by_inode.get(&one.socket()?)?;
        let mut text = row.state.to_string();
        for (before, end) in [(" ", &row.local), (" → ", &row.peer)] {
            text.extend(end.iter().map(|end| format!("{before}{end}")));
        }
        Some((i64::from(one.fd), text))
    });
    Some(texts.collect())
}
