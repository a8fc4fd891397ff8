//! Tasks as a forest: below each task those it waits for, equal ones joined.
//!
//! Two tasks are equal when they run the same coroutine, are suspended at the same places, wait
//! for the same kind of thing, and what they wait for is equal. A task that several wait for is
//! shown in full once; one that waits for itself through others is marked.

use crate::snapshot::FrameRow;
use crate::snapshot::tasks::TaskRow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The shape of a task that is among those that wait for it.
const CYCLE: u32 = u32::MAX;

/// Tasks and the tasks each of them waits for, by position.
pub(super) struct Forest<'d> {
    pub(super) tasks: Vec<&'d TaskRow>,
    waits_for: Vec<Vec<usize>>,
    roots: Vec<usize>,
    /// Equal numbers for equal tasks.
    shapes: Vec<u32>,
}

/// What makes two tasks equal, apart from those they wait for.
#[derive(PartialEq, Eq, Hash)]
struct Own<'d> {
    coroutine: Option<&'d str>,
    state: Option<&'d str>,
    activity: Option<&'d str>,
    stack: &'d [FrameRow],
    truncated: bool,
    waiting_for: Option<&'d str>,
    exception: Option<&'d str>,
}

impl<'d> Own<'d> {
    fn of(task: &'d TaskRow) -> Self {
        Self {
            coroutine: task.coroutine.as_deref(),
            state: task.state.as_deref(),
            activity: task.activity.as_deref(),
            stack: &task.stack,
            truncated: task.truncated.is_some(),
            waiting_for: task.waiting_for.as_ref().and_then(|waiting| waiting.class.as_deref()),
            exception: task.exception.as_deref(),
        }
    }
}

impl<'d> Forest<'d> {
    /// The forest of these tasks; `apart` makes no two of them equal.
    pub(super) fn new(tasks: Vec<&'d TaskRow>, apart: bool) -> Self {
        let by_address: HashMap<&str, usize> =
            tasks.iter().enumerate().map(|(id, task)| (task.address.as_str(), id)).collect();
        let mut waits_for = vec![Vec::new(); tasks.len()];
        let mut awaited = vec![false; tasks.len()];
        for (id, task) in tasks.iter().enumerate() {
            let waiters = task.awaited_by.iter().filter_map(|at| by_address.get(at.as_str()));
            for &waiter in waiters {
                waits_for[waiter].push(id);
                awaited[id] = true;
            }
        }
        let mut forest =
            Self { roots: Vec::new(), shapes: vec![CYCLE; tasks.len()], tasks, waits_for };
        let mut visited = vec![false; forest.tasks.len()];
        let mut known = HashMap::new();
        // Those that nobody waits for first; what is left then waits in a circle.
        for only_roots in [true, false] {
            for (id, &awaited) in awaited.iter().enumerate() {
                if !visited[id] && (!only_roots || !awaited) {
                    forest.roots.push(id);
                    forest.shape_from(id, apart, &mut visited, &mut known);
                }
            }
        }
        forest
    }

    /// Numbers the shapes of a task and all below it, from the bottom up.
    fn shape_from(
        &mut self,
        root: usize,
        apart: bool,
        visited: &mut [bool],
        known: &mut HashMap<(Option<usize>, Own<'d>, Vec<u32>), u32>,
    ) {
        let mut path = vec![(root, 0)];
        visited[root] = true;
        while let Some((id, next)) = path.last_mut() {
            let id = *id;
            if let Some(&below) = self.waits_for[id].get(*next) {
                *next += 1;
                if !visited[below] {
                    visited[below] = true;
                    path.push((below, 0));
                }
                continue;
            }
            path.pop();
            let mut below: Vec<u32> =
                self.waits_for[id].iter().map(|&below| self.shapes[below]).collect();
            below.sort_unstable();
            let new = known.len() as u32;
            let key = (apart.then_some(id), Own::of(self.tasks[id]), below);
            self.shapes[id] = match known.entry(key) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => *entry.insert(new),
            };
        }
    }

    /// The tasks that nobody waits for, and one of each circle, equal ones together.
    pub(super) fn roots(&self) -> Vec<Vec<usize>> {
        self.groups(self.roots.iter().copied())
    }

    /// The tasks that any of these waits for, equal ones together.
    pub(super) fn below(&self, group: &[usize]) -> Vec<Vec<usize>> {
        let mut below: Vec<usize> =
            group.iter().flat_map(|&id| self.waits_for[id].iter().copied()).collect();
        below.sort_unstable();
        below.dedup();
        self.groups(below.into_iter())
    }

    fn groups(&self, ids: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut by_shape: HashMap<u32, usize> = HashMap::new();
        for id in ids {
            let group = *by_shape.entry(self.shapes[id]).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(id);
        }
        // What piles up is what one looks for.
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        groups
    }
}
