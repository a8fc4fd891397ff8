//! The document of who holds the objects that were asked for.

use super::capture::{CaptureOptions, Picture, Reading, Subject, View};
use super::collect::Problem;
use super::collect::holders::{self, Definition, Place, Question, Wanted};
use super::documents::capture_info;
use super::sources::Sources;
use super::{AttachError, Target};
use crate::heap::graph::{Graph, Statistics};
use crate::process::Process;
use crate::resources::Catalog;
use crate::snapshot::holders::{GraphInfo, HolderGroup, Owner};
use crate::snapshot::overview::OverviewDocument;
use crate::snapshot::{CaptureInfo, Coverage, VERSION, WhyDocument};
use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WhyOptions {
    /// Groups that are worked out.
    pub groups: usize,
    /// Steps of a path.
    pub depth: usize,
}

impl Target {
    /// Who holds the objects that are wanted; `selector` is how the user put it.
    pub fn why(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
        wanted: &Wanted,
        selector: &str,
        show: WhyOptions,
    ) -> Result<WhyDocument, AttachError> {
        let begun = Instant::now();
        let by_state = matches!(wanted, Wanted::Resources { state: Some(_), .. });
        let picture = self.graph_picture(options, |view| {
            let states = if by_state { socket_states(&self.process) } else { None };
            let question = Question {
                groups: show.groups,
                depth: show.depth,
                runtime: Some(self.runtime),
                socket_states: states.as_ref(),
            };
            let (python, interpreters) = (view.python, view.interpreters);
            holders::collect(python, self.runtime, interpreters, catalog, wanted, &question)
        })?;
        let (mut answer, graph, capture) = told(picture, begun);
        self.add_lines(answer.holders.groups.iter_mut().zip(&answer.places));
        Ok(WhyDocument {
            schema: WhyDocument::SCHEMA,
            pyattach: VERSION,
            process: self.process_info()?,
            capture,
            selector: selector.to_owned(),
            graph: Some(graph),
            holders: answer.holders,
            proven: answer.proven,
            hidden: answer.hidden,
        })
    }

    /// Where resources and instances accumulate, whatever they are.
    pub fn why_all(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
        show: WhyOptions,
    ) -> Result<OverviewDocument, AttachError> {
        let begun = Instant::now();
        let question =
            Question { groups: show.groups, depth: show.depth, runtime: None, socket_states: None };
        let picture = self.graph_picture(options, |view| {
            let (python, interpreters) = (view.python, view.interpreters);
            holders::everything(python, self.runtime, interpreters, catalog, &question)
        })?;
        let (mut found, graph, capture) = told(picture, begun);
        let groups = found.rows.iter_mut().map(|row| &mut row.group);
        self.add_lines(groups.zip(&found.places));
        Ok(OverviewDocument {
            schema: OverviewDocument::SCHEMA,
            pyattach: VERSION,
            process: self.process_info()?,
            capture,
            graph,
            accumulated: found.rows,
            not_shown: found.not_shown,
            proven: found.proven,
            hidden: found.hidden,
        })
    }

    /// Has `read` build the graph of a picture and ask it something.
    fn graph_picture<T>(
        &self,
        options: &CaptureOptions,
        read: impl Fn(&View<'_, '_>) -> Result<(T, GraphInfo, Graph), Problem>,
    ) -> Result<Picture<(T, GraphInfo, Statistics)>, AttachError> {
        self.picture(options, Subject::Heap, &mut |view| {
            let (value, info, Graph { statistics, .. }) = read(view)?;
            let consistent = statistics.broken_lists == 0 && !statistics.collecting;
            Ok(Reading { consistent, value: (value, info, statistics) })
        })
    }

    /// Finds the lines of owners that memory does not tell.
    fn add_lines<'g>(
        &self,
        groups: impl Iterator<Item = (&'g mut HolderGroup, &'g Option<Place>)>,
    ) {
        let mut sources = Sources::new(&self.process);
        for (group, place) in groups {
            add_line(&mut sources, place.as_ref(), group.owner.as_mut());
        }
    }
}

/// What was asked for, and what the documents tell of the graph and of the capture.
fn told<T>(
    picture: Picture<(T, GraphInfo, Statistics)>,
    begun: Instant,
) -> (T, GraphInfo, CaptureInfo) {
    let (_, info, statistics) = &picture.value;
    let capture = capture_info(&picture, begun, coverage(info, statistics), Vec::new());
    let (value, info, _) = picture.value;
    (value, info, capture)
}

fn coverage(info: &GraphInfo, statistics: &Statistics) -> Coverage {
    Coverage {
        objects: Some(info.tracked),
        unreadable: info.unreadable,
        broken_lists: Some(statistics.broken_lists),
        collecting: Some(statistics.collecting),
        ..Coverage::default()
    }
}

/// Adds the line of an owner's definition that memory does not tell.
pub(super) fn add_line(
    sources: &mut Sources<'_>,
    place: Option<&Place>,
    owner: Option<&mut Owner>,
) {
    let line = place.and_then(|place| find_line(sources, place));
    if let (Some(line), Some(owner)) = (line, owner)
        && let Some(location) = &mut owner.location
    {
        location.line = Some(line);
    }
}

/// The line of a definition in its source file.
fn find_line(sources: &mut Sources<'_>, place: &Place) -> Option<u64> {
    sources.find(&place.file, place.before, &|line| match &place.what {
        Definition::Class(name) => {
            let rest = line.trim_start().strip_prefix("class ").map(str::trim_start);
            begins(rest, name, &['(', ':', '[', ' '])
        }
        Definition::Variable(name) => begins(Some(line), name, &['=', ':', ' ', ',']),
    })
}

fn begins(line: Option<&str>, name: &str, behind: &[char]) -> bool {
    let rest = line.and_then(|line| line.strip_prefix(name));
    rest.is_some_and(|rest| rest.starts_with(behind))
}

/// The states of the TCP sockets by descriptor, in lower case; `None` where the kernel does not
/// tell.
fn socket_states(process: &Process) -> Option<BTreeMap<i64, String>> {
    let descriptors = process.descriptors().ok()?;
    let inodes: HashSet<u64> = descriptors.iter().filter_map(|one| one.socket()).collect();
    let tables = process.socket_tables(&inodes).ok()?;
    let states = descriptors.iter().filter_map(|one| {
        let row = tables.by_inode.get(&one.socket()?)?;
        Some((i64::from(one.fd), row.state.to_string().to_lowercase()))
    });
    Some(states.collect())
}
