//! The interpreter's own lists of tasks, as a check on what the heap has.

use super::Found;
use crate::attach::collect::Problem;
use crate::cpython::{FutureState, Interpreter, ObjectError, Python, Result};
use crate::layout::Field;
use crate::layout::traits::TaskRegistry;
use crate::memory::Address;
use crate::snapshot::tasks::RegistryCheck;
use rustc_hash::FxHashSet;

/// Tasks of one list.
const MAX_TASKS: usize = 10_000_000;

/// Compares both ways.
pub(super) fn check(
    python: &Python<'_>,
    interpreters: &[Interpreter],
    tasks: &[Found],
) -> std::result::Result<RegistryCheck, Problem> {
    let mut registered: FxHashSet<Address> = FxHashSet::default();
    let mut known = true;
    for interpreter in interpreters {
        match python.unless_unreadable(registered_in(python, interpreter))? {
            Some(found) => registered.extend(found),
            None => known = false,
        }
    }
    if !known {
        return Ok(RegistryCheck { tasks: None, not_in_heap: vec![], not_registered: vec![] });
    }
    let in_heap: FxHashSet<Address> = tasks.iter().map(|task| task.address).collect();
    let pending = tasks.iter().filter(|task| task.state == Some(FutureState::Pending));
    let text = |addresses: &mut dyn Iterator<Item = Address>| {
        let mut addresses: Vec<Address> = addresses.collect();
        addresses.sort_unstable();
        addresses.iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    Ok(RegistryCheck {
        tasks: Some(registered.len() as u64),
        not_in_heap: text(&mut registered.iter().copied().filter(|task| !in_heap.contains(task))),
        not_registered: text(
            &mut pending.map(|task| task.address).filter(|task| !registered.contains(task)),
        ),
    })
}

fn registered_in(python: &Python<'_>, interpreter: &Interpreter) -> Result<Vec<Address>> {
    let mut found = Vec::new();
    let sets: &[&str] = match python.layout().traits.task_registry {
        TaskRegistry::AllTasks => &["_all_tasks"],
        TaskRegistry::Scheduled | TaskRegistry::Linked => &["_scheduled_tasks", "_eager_tasks"],
    };
    for name in sets {
        if let Some(set) = python.module_global(interpreter, "asyncio.tasks", name)? {
            found.extend(set_of_tasks(python, set)?);
        }
    }
    if python.layout().traits.task_registry == TaskRegistry::Linked {
        let structs = &python.layout().structs;
        let missing = || ObjectError::malformed("task list layout", interpreter.address);
        let node = structs.task.as_ref().and_then(|task| task.node).ok_or_else(missing)?;
        let of_thread = structs.thread_extension.as_ref().and_then(|fields| fields.tasks);
        let of_thread = of_thread.ok_or_else(missing)?;
        let of_interpreter = structs.interpreter.tasks.ok_or_else(missing)?;
        walk(python, of_interpreter.at(interpreter.address), node, &mut found)?;
        for thread in python.threads(interpreter)? {
            walk(python, of_thread.at(thread.address), node, &mut found)?;
        }
    }
    Ok(found)
}

/// A set, or a weak set: the objects its `data`, a set of weak references, refers to.
fn set_of_tasks(python: &Python<'_>, set: Address) -> Result<Vec<Address>> {
    let Some(data) = python.attribute(set, "data")?.found() else {
        return Ok(python.set_items(set, MAX_TASKS)?.items);
    };
    let referent = python.layout().structs.weakref.referent;
    let mut found = Vec::new();
    for reference in python.set_items(data, MAX_TASKS)?.items {
        let task = referent.read_pointer(python.memory(), reference)?;
        if !python.is_none(task)? {
            found.push(task);
        }
    }
    Ok(found)
}

/// A circular list through the tasks (`struct llist_node`, Include/internal/pycore_llist.h):
/// next, previous.
fn walk(python: &Python<'_>, head: Address, node: Field, found: &mut Vec<Address>) -> Result<()> {
    let mut previous = head;
    let mut at = python.memory().read_pointer(head)?;
    while at != head {
        if at.is_null() || !at.is_aligned(8) || found.len() >= MAX_TASKS {
            return Err(ObjectError::malformed("list of tasks", at));
        }
        if python.memory().read_pointer(at.add(8))? != previous {
            return Err(ObjectError::malformed("list of tasks", at));
        }
        found.push(at.sub(node.offset));
        previous = at;
        at = python.memory().read_pointer(at)?;
    }
    Ok(())
}
