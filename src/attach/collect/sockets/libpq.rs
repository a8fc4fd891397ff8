//! Where a connection of libpq leads to.
//!
//! The descriptor is in a struct of libpq whose layout every release changes, but its beginning
//! never did: the options `host`, `hostaddr` and `port` as texts (`struct pg_conn` in libpq-int.h).
//! The objects of psycopg2 and psycopg 3 have a pointer to it at a place that differs by release,
//! so each of their words is tried: what does not look like that beginning is none.

use crate::cpython::{ObjectError, Python};
use crate::memory::{Address, MemoryError};

/// Words of the object that are tried.
const MAX_WORDS: u64 = 64;
/// `pgport`, behind `pghost` and `pghostaddr`.
const PORT: u64 = 16;
/// Longest text of ports: one for each host.
const MAX_TEXT: usize = 64;

/// The ports of the server's addresses; empty when they are not found.
pub(super) fn ports(python: &Python<'_>, object: Address) -> Result<Vec<u16>, ObjectError> {
    let first = python.layout().structs.object.size;
    let size = python.type_of(object)?.basicsize.min(first + MAX_WORDS * 8);
    for at in (first..size).step_by(8) {
        if let Some(ports) = at_pointer(python, object.add(at))? {
            return Ok(ports);
        }
    }
    Ok(Vec::new())
}

fn at_pointer(python: &Python<'_>, at: Address) -> Result<Option<Vec<u16>>, ObjectError> {
    let Some(connection) = pointer(python, at)?.filter(|to| to.is_aligned(8)) else {
        return Ok(None);
    };
    let Some(text) = pointer(python, connection.add(PORT))? else { return Ok(None) };
    let text = match python.memory().read_c_string(text, MAX_TEXT) {
        Ok(text) => text,
        Err(error) => return none_of(error),
    };
    let parts = text.split(|&byte| byte == b',');
    let ports = parts.map(|part| std::str::from_utf8(part).ok()?.parse().ok());
    Ok(ports.collect::<Option<Vec<u16>>>().filter(|ports| !ports.contains(&0)))
}

fn pointer(python: &Python<'_>, at: Address) -> Result<Option<Address>, ObjectError> {
    match python.memory().read_pointer(at) {
        Ok(to) => Ok(to.non_null()),
        Err(error) => none_of(error),
    }
}

/// A word that is no pointer leads nowhere.
fn none_of<T>(error: MemoryError) -> Result<Option<T>, ObjectError> {
    if error.is_fault() { Ok(None) } else { Err(error.into()) }
}
