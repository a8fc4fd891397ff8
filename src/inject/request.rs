//! The request of PEP 768 (3.14+): a script's path in a thread's state, and a bit that tells the
//! thread to look.
//!
//! The path names a memory file of the target by `/proc/self/fd`: nothing is written to disk.

use super::ExecError;
use super::ring::{number, put};
use crate::layout::{Field, Layout};
use crate::memory::Address;
use crate::process::{Held, InjectError};

/// `_PY_EVAL_PLEASE_STOP_BIT`, which the debugger's request shares.
const PLEASE_STOP_BIT: u64 = 32;

/// The request in one thread's state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    thread: u64,
    eval_breaker: Field,
    pending: u64,
    path: u64,
    room: usize,
}

impl Request {
    /// Where it is; `None` before 3.14.
    pub(super) fn find(layout: &Layout, thread: Address) -> Option<Self> {
        let structs = &layout.structs;
        let within = structs.remote_debugger.as_ref()?;
        let at = structs.thread.remote_debugger?.at(thread);
        Some(Self {
            thread: thread.get(),
            eval_breaker: structs.thread.eval_breaker?,
            pending: within.pending_call.at(at).get(),
            path: within.script_path.at(at).get(),
            room: usize::try_from(within.script_path.size).ok()?,
        })
    }

    /// Whether the interpreter takes requests at all (`PYTHON_DISABLE_REMOTE_DEBUG`,
    /// `-X disable_remote_debug`).
    pub(super) fn allowed(
        held: &Held<'_>,
        layout: &Layout,
        interpreter: Address,
    ) -> Result<(), ExecError> {
        let Some(field) = layout.structs.interpreter.remote_debug else { return Ok(()) };
        match number(held, interpreter.get(), field) {
            Some(1) => Ok(()),
            _ => Err(ExecError::Disabled { pid: held.pid() }),
        }
    }

    /// Another debugger's request is waiting.
    pub(super) fn is_taken(&self, held: &Held<'_>) -> bool {
        self.state(held) != Some(0)
    }

    /// Makes the request.
    pub(super) fn make(&self, held: &mut Held<'_>, path: &str) -> Result<(), InjectError> {
        let mut text = path.as_bytes().to_vec();
        text.resize(self.room.max(text.len() + 1), 0);
        held.write(self.path, &text)?;
        held.write(self.pending, &1_u32.to_le_bytes())?;
        self.tell(held)
    }

    /// Tells the thread again to look.
    pub(super) fn tell(&self, held: &mut Held<'_>) -> Result<(), InjectError> {
        let bits = number(held, self.thread, self.eval_breaker).unwrap_or(0) | PLEASE_STOP_BIT;
        put(held, self.thread, self.eval_breaker, bits)
    }

    /// True while the thread has not taken it up.
    pub(super) fn is_pending(&self, held: &Held<'_>) -> bool {
        self.state(held) == Some(1)
    }

    /// Takes it back.
    pub(super) fn withdraw(&self, held: &mut Held<'_>) -> Result<(), InjectError> {
        held.write(self.pending, &0_u32.to_le_bytes())?;
        held.write(self.path, &vec![0; self.room])
    }

    /// Where the path is, to be cleared after it was read.
    pub(super) fn path(&self) -> u64 {
        self.path
    }

    fn state(&self, held: &Held<'_>) -> Option<u32> {
        let mut bytes = [0; 4];
        held.read(self.pending, &mut bytes).then(|| u32::from_le_bytes(bytes))
    }
}
