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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tasks of one coroutine each; an edge says who waits for whom.
    fn tasks(coroutines: &[u8], waits_for: &[(usize, usize)]) -> Vec<TaskRow> {
        let address = |id: usize| format!("{:#x}", 0x1000 + id * 16);
        let row = |(id, coroutine): (usize, &u8)| TaskRow {
            address: address(id),
            class: "_asyncio.Task".to_owned(),
            name: Some(format!("Task-{id}")),
            state: Some("pending".to_owned()),
            activity: Some("waiting".to_owned()),
            coroutine: Some(format!("coroutine_{coroutine}")),
            event_loop: None,
            current: false,
            stack: Vec::new(),
            truncated: None,
            waiting_for: None,
            awaited_by: {
                let waiters = waits_for.iter().filter(|(_, awaited)| *awaited == id);
                waiters.map(|&(waiter, _)| address(waiter)).collect()
            },
            exception: None,
        };
        coroutines.iter().enumerate().map(row).collect()
    }

    fn roots(rows: &[TaskRow]) -> Vec<Vec<usize>> {
        Forest::new(rows.iter().collect(), false).roots()
    }

    #[test]
    fn equal_trees_are_joined_and_others_are_not() {
        // 0 and 1 wait for one task each, of the same coroutine; 2 waits for another one.
        let rows = tasks(&[0, 0, 0, 1, 1, 2], &[(0, 3), (1, 4), (2, 5)]);
        let forest = Forest::new(rows.iter().collect(), false);
        assert_eq!(forest.roots(), [vec![0, 1], vec![2]]);
        assert_eq!(forest.below(&[0, 1]), [[3, 4]]);
        assert_eq!(Forest::new(rows.iter().collect(), true).roots(), [[0], [1], [2]]);
    }

    #[test]
    fn a_circle_has_one_root() {
        assert_eq!(roots(&tasks(&[0, 1, 2], &[(0, 1), (1, 2), (2, 0)])), [[0]]);
        assert_eq!(roots(&tasks(&[0], &[(0, 0)])), [[0]]);
    }

    #[test]
    fn long_chains_need_no_deep_stack() {
        let edges: Vec<(usize, usize)> = (0..20_000).map(|id| (id, id + 1)).collect();
        let mut rows = tasks(&vec![0; 20_001], &[]);
        for (waiter, awaited) in edges {
            let address = rows[waiter].address.clone();
            rows[awaited].awaited_by.push(address);
        }
        assert_eq!(roots(&rows), [[0]]);
    }

    proptest! {
        #[test]
        fn every_task_is_reached(
            coroutines in prop::collection::vec(0u8..3, 1..24),
            edges in prop::collection::vec((0usize..24, 0usize..24), 0..48),
        ) {
            let rows = tasks(&coroutines, &edges);
            let forest = Forest::new(rows.iter().collect(), false);
            let mut reached = vec![false; rows.len()];
            let mut todo = forest.roots();
            while let Some(group) = todo.pop() {
                if group.iter().any(|&id| !reached[id]) {
                    group.iter().for_each(|&id| reached[id] = true);
                    todo.extend(forest.below(&group));
                }
            }
            prop_assert!(reached.iter().all(|&reached| reached));
        }
    }
}
