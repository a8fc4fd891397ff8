//! Socket objects: the descriptor is a field of the C struct (Modules/socketmodule.h), and -1
//! after `close()` or `detach()`.

use super::{Description, known};
use crate::cpython::{ObjectError, Python, Result};
use crate::memory::Address;

pub(super) fn describe(python: &Python<'_>, socket: Address) -> Result<Description> {
    let fields = python.layout().structs.socket.as_ref();
    let field = fields.map(|fields| fields.fd);
    let fd = match field {
        Some(field) => {
            known(field.read_signed(python.memory(), socket).map_err(ObjectError::from))?
        }
        None => None,
    };
    let state = fd.map(|fd| if fd >= 0 { "open" } else { "closed" });
    Ok((state, vec![("fd", fd.filter(|&fd| fd >= 0))]))
}
