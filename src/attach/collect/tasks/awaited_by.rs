//! Which tasks wait for which.
//!
//! A task waits for one future. Is that a task, it waits for that task; is it a future that
//! `gather`, `shield`, `wait` or a `TaskGroup` made, it waits for the tasks whose callbacks
//! fill that future. From 3.14 each C future knows its waiters, and that is the answer, as it
//! is for `asyncio.capture_call_graph()`; it does not know those that are Python's own
//! (`future_awaited_by_add` in Modules/_asynciomodule.c passes over them).

use super::Found;
use crate::attach::collect::Problem;
use crate::cpython::{FutureState, Python};
use crate::memory::Address;
use rustc_hash::{FxHashMap, FxHashSet};

/// Futures passed through from one task to those that wait for it.
const MAX_PASSED: usize = 10_000;

/// For each task, in the order given, the positions of the tasks that wait for it.
pub(super) fn of(python: &Python<'_>, tasks: &[Found]) -> Result<Vec<Vec<usize>>, Problem> {
    let ids: FxHashMap<Address, usize> =
        tasks.iter().enumerate().map(|(id, task)| (task.address, id)).collect();
    let mut waiters: FxHashMap<Address, Vec<usize>> = FxHashMap::default();
    for (id, task) in tasks.iter().enumerate() {
        if let Some(future) = task.task.as_ref().and_then(|task| task.waits_for)
            && task.state == Some(FutureState::Pending)
        {
            waiters.entry(future).or_default().push(id);
        }
    }
    let mut found = Vec::with_capacity(tasks.len());
    for task in tasks {
        found.push(match task.state {
            Some(FutureState::Pending) => waiting_for(python, task.address, &ids, &waiters)?,
            _ => Vec::new(),
        });
    }
    Ok(found)
}

fn waiting_for(
    python: &Python<'_>,
    task: Address,
    ids: &FxHashMap<Address, usize>,
    waiters: &FxHashMap<Address, Vec<usize>>,
) -> Result<Vec<usize>, Problem> {
    let mut found: Vec<usize> = Vec::new();
    let mut seen: FxHashSet<Address> = FxHashSet::default();
    let mut todo = vec![task];
    while let Some(future) = todo.pop() {
        if seen.len() >= MAX_PASSED || !seen.insert(future) {
            continue;
        }
        let known = python.unless_unreadable(python.future_awaited_by(future))?.flatten();
        found.extend(waiters.get(&future).into_iter().flatten());
        match known {
            Some(known) => {
                for waiter in known {
                    match ids.get(&waiter) {
                        Some(&id) => found.push(id),
                        None => todo.push(waiter),
                    }
                }
            }
            None => {
                let forwarded = python.unless_unreadable(python.forwarded_to(future))?;
                todo.extend(forwarded.into_iter().flatten());
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
