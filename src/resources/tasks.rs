//! asyncio tasks: a state in the C struct (`TaskObj`, Modules/_asynciomodule.c), or the
//! attribute `_state` of the Python implementation (Lib/asyncio/tasks.py), which a pending task
//! has from its class only.

use super::{Description, attribute, known};
use crate::cpython::{ObjectError, Python, Result};
use crate::memory::Address;

const MAX_STATE: usize = 16;

pub(super) fn describe(python: &Python<'_>, task: Address) -> Result<Description> {
    let class = python.type_of(task)?;
    let state = if python.is_subtype(&class, "_asyncio.Task") {
        let field = python.layout().structs.task.as_ref().map(|fields| fields.state);
        match field {
            Some(field) => known(field.read(python.memory(), task).map_err(ObjectError::from))?
                .and_then(|state| match state as u32 {
                    0 => Some("pending"),
                    1 => Some("cancelled"),
                    2 => Some("done"),
                    _ => None,
                }),
            None => None,
        }
    } else {
        let own = attribute(python, task, "_state", Ok)?;
        let inherited = || known(python.class_attribute(&class, "_state"));
        let state = match own {
            Some(state) => Some(state),
            None => inherited()?.and_then(|attribute| attribute.found()),
        };
        let text = match state {
            Some(state) => known(python.text(state, MAX_STATE))?,
            None => None,
        };
        text.and_then(|state| match state.as_str() {
            "PENDING" => Some("pending"),
            "CANCELLED" => Some("cancelled"),
            "FINISHED" => Some("done"),
            _ => None,
        })
    };
    Ok((state, Vec::new()))
}
