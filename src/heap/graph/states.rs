//! What interpreters and threads refer to.

use super::build::{Builder, word};
use super::label::{Kind, Label};
use super::{Node, Special};
use crate::cpython::{Interpreter, ObjectError};
use crate::memory::Address;

/// Largest interpreter state scanned, in bytes.
const MAX_STATE: u64 = 1 << 20;

impl Builder<'_, '_> {
    /// The rows of all nodes that are no objects.
    pub(super) fn special_rows(&mut self, interpreters: &[Interpreter]) -> Result<(), ObjectError> {
        for node in 0..self.graph.specials.len() {
            let Some(special) = self.graph.specials.get(node).cloned() else { continue };
            if let Err(error) = self.special_edges(node, &special, interpreters) {
                self.note(&error);
            }
            self.edges.end_row();
        }
        Ok(())
    }

    fn special_edges(
        &mut self,
        node: usize,
        special: &Special,
        interpreters: &[Interpreter],
    ) -> Result<(), ObjectError> {
        match special {
            Special::Interpreter { .. } => match interpreters.get(node) {
                Some(interpreter) => self.interpreter(interpreter),
                None => Ok(()),
            },
            Special::Thread(_) => {
                let frames = self.graph.specials.iter().enumerate().skip(node + 1);
                let frames: Vec<usize> = frames
                    .take_while(|(_, special)| matches!(special, Special::Frame { .. }))
                    .map(|(frame, _)| frame)
                    .collect();
                for (place, frame) in frames.into_iter().enumerate() {
                    self.edges.link(frame as Node, Label::new(Kind::Thread, place as u64));
                }
                let size = self.python.layout().structs.thread.size;
                let Some(&state) = self.graph.special_addresses.get(node) else { return Ok(()) };
                // The frame of 3.8 to 3.10 among them.
                self.scan_state(state, size)
            }
            Special::Frame { frame, .. } => self.stack_frame(frame.address),
            Special::Root => Ok(()),
        }
    }

    fn interpreter(&mut self, interpreter: &Interpreter) -> Result<(), ObjectError> {
        let size = self.python.layout().structs.interpreter.size.min(MAX_STATE);
        // `sys.modules` first: it is what names are found by.
        let label = |place| Label::new(Kind::Interpreter, place);
        self.edges.refer(interpreter.modules.get(), label(0));
        self.edges.refer(interpreter.sysdict.get(), label(1));
        self.scan_state(interpreter.address, size)
    }

    /// Notes pointers to tracked objects in a struct of the interpreter. Many are borrowed
    /// (caches of functions and types): they explain references that no object has, and add none.
    fn scan_state(&mut self, state: Address, size: u64) -> Result<(), ObjectError> {
        let step = 4096;
        let mut done = 0;
        while done < size {
            let count = (size - done).min(step);
            let bytes = match self.python.memory().read_vec(state.add(done), count as usize) {
                Ok(bytes) => bytes,
                Err(error) if error.is_fault() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for bytes in bytes.chunks_exact(8) {
                let raw = word(bytes, 0);
                // Untracked ones may lie on a list of free objects: only what is tracked is
                // known so far.
                let place = self.edges.index.place(raw).filter(|_| raw.is_multiple_of(8));
                if let Some(place) = place.filter(|&place| self.edges.index.is_known(place)) {
                    self.in_states.push(place);
                }
            }
            done += count;
        }
        Ok(())
    }
}
