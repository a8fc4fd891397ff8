//! Local variables of a frame: names and the objects they hold.

use super::{Frame, ObjectError, Python, Result};
use crate::layout::traits::FrameChain;
use crate::memory::Address;

const MAX_NAME: usize = 256;

/// How a local variable is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalKind {
    /// In the frame itself.
    Plain,
    /// In a cell shared with a closure.
    Cell,
}

/// A local variable that has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Its name.
    pub name: String,
    /// The object it holds.
    pub value: Address,
    /// How it is kept.
    pub kind: LocalKind,
}

impl Python<'_> {
    /// The local variables of a frame that are bound, in the order of its code's tables.
    pub fn locals(&self, frame: &Frame) -> Result<Vec<Local>> {
        let first = self.first_local(frame)?;
        let slots = self.pointers(first, frame.code.variables.len() as u64)?;
        let mut found = Vec::new();
        for (variable, slot) in frame.code.variables.iter().zip(slots) {
            let object = self.untag(slot);
            if object.is_null() {
                continue;
            }
            let (value, kind) = match self.cell_content(object) {
                // Before MAKE_CELL runs, the slot of a cell variable holds the plain argument.
                Some(content) if variable.cell => (content, LocalKind::Cell),
                _ => (object, LocalKind::Plain),
            };
            if value.is_null() {
                continue;
            }
            let name = match self.text(variable.name, MAX_NAME) {
                Err(error) if error.fatal().is_none() => format!("<name at {}>", variable.name),
                name => name?,
            };
            found.push(Local { name, value, kind });
        }
        Ok(found)
    }

    fn first_local(&self, frame: &Frame) -> Result<Address> {
        let field = match self.traits().frame_chain {
            FrameChain::HeapFrames => self.structs().frame.locals,
            FrameChain::CFrame | FrameChain::Direct => {
                self.structs().interpreter_frame.as_ref().map(|fields| fields.locals)
            }
        };
        let missing = || ObjectError::malformed("frame layout", frame.address);
        Ok(field.ok_or_else(missing)?.at(frame.address))
    }

    /// What the cell at `object` holds; `None` when it is not a cell.
    fn cell_content(&self, object: Address) -> Option<Address> {
        let class = self.type_of(object).ok()?;
        if class.name() != "builtins.cell" {
            return None;
        }
        self.structs().cell.value.read_pointer(self.memory, object).ok()
    }
}
