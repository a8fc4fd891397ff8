//! aiohttp's `ClientSession` and its connector (aiohttp/client.py, aiohttp/connector.py;
//! 3.8.6 and 3.14.5 were seen).

use super::{Description, attribute, count, known};
use crate::cpython::{ObjectError, Python, Result};
use crate::memory::Address;

/// Hosts of one connector that are summed over.
const MAX_HOSTS: usize = 1 << 20;

/// The session's connector, or `None` the object; other sessions may use the same one. Nothing
/// when it could not be read.
pub(super) fn connector(python: &Python<'_>, session: Address) -> Result<Option<Address>> {
    Ok(known(python.attribute(session, "_connector"))?.and_then(|at| at.found()))
}

/// A session with this connector.
pub(super) fn describe(python: &Python<'_>, connector: Option<Address>) -> Result<Description> {
    let unknown = vec![("in_use", None), ("idle", None), ("limit", None)];
    let Some(connector) = connector else { return Ok((None, unknown)) };
    if known(python.is_none(connector))? == Some(true) {
        return Ok((Some("closed"), vec![("in_use", Some(0)), ("idle", Some(0)), ("limit", None)]));
    }
    let closed = attribute(python, connector, "_closed", |at| python.boolean(at))?;
    let in_use = attribute(python, connector, "_acquired", |at| python.set_length(at))?;
    let idle = attribute(python, connector, "_conns", |at| idle_connections(python, at))?;
    // 0 means "no limit" and is shown as none.
    let limit = attribute(python, connector, "_limit", |at| python.small_integer(at))?;
    let metrics =
        vec![("in_use", count(in_use)), ("idle", count(idle)), ("limit", limit.filter(|&n| n > 0))];
    Ok((closed.map(|closed| if closed { "closed" } else { "open" }), metrics))
}

/// `_conns` maps a host's key to its idle connections: a list, in later versions a deque.
fn idle_connections(python: &Python<'_>, conns: Address) -> Result<u64> {
    let mut idle = 0u64;
    for (_, connections) in python.dict_items(conns, MAX_HOSTS)? {
        let class = python.type_of(connections)?;
        if !class.flags.list_subclass() && class.name() != "collections.deque" {
            return Err(ObjectError::malformed("idle connections", connections));
        }
        idle = idle.saturating_add(python.length(connections, "idle connections")?);
    }
    Ok(idle)
}
