//! `ThreadPoolExecutor` (Lib/concurrent/futures/thread.py).

use super::{Description, attribute, count};
use crate::cpython::{ObjectError, Python, Result};
use crate::memory::Address;

/// Items of a work queue that are looked at; how many a longer one holds is not known.
const MAX_QUEUED: u64 = 1 << 22;

pub(super) fn describe(python: &Python<'_>, executor: Address) -> Result<Description> {
    let number = |name: &str| attribute(python, executor, name, |at| python.small_integer(at));
    let shutdown = attribute(python, executor, "_shutdown", |at| python.boolean(at))?;
    let state = shutdown.map(|shutdown| if shutdown { "shutdown" } else { "open" });
    let created = attribute(python, executor, "_threads", |at| python.set_length(at))?;
    let idle = attribute(python, executor, "_idle_semaphore", |semaphore| {
        python.small_integer(required(python, semaphore, "_value")?)
    })?;
    let queued = attribute(python, executor, "_work_queue", |queue| queued(python, queue))?;
    let metrics = vec![
        ("limit", number("_max_workers")?),
        ("created", count(created)),
        ("idle", idle),
        ("queued", count(queued)),
    ];
    Ok((state, metrics))
}

/// Work items in the queue. `None` entries are wake-up calls for workers, not work.
fn queued(python: &Python<'_>, queue: Address) -> Result<u64> {
    if python.type_of(queue)?.name() != "_queue.SimpleQueue" {
        return Err(ObjectError::malformed("work queue", queue));
    }
    let items = python.simple_queue_items(queue, MAX_QUEUED)?;
    if items.len() as u64 == MAX_QUEUED {
        return Err(ObjectError::malformed("work queue (too long)", queue));
    }
    let mut work = 0;
    for item in items {
        work += u64::from(!python.is_none(item)?);
    }
    Ok(work)
}

fn required(python: &Python<'_>, object: Address, name: &str) -> Result<Address> {
    let found = python.attribute(object, name)?.found();
    found.ok_or_else(|| ObjectError::malformed("attribute", object))
}
