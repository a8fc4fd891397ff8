//! Frames of a thread, innermost first.
//!
//! Up to 3.10 frames are objects linked by `f_back`; from 3.11 they are records on the thread's
//! data stack or inside generators, linked by `previous`. Shims, trampolines and the base frame
//! of a thread (owner 3 and up, or no code object) are not Python frames and are left out.

use super::{Code, ObjectError, Python, Result, ThreadState};
use crate::layout::traits::{FrameChain, StackRef};
use crate::memory::Address;
use std::rc::Rc;

/// Frames of one thread that are followed.
const MAX_FRAMES: usize = 100_000;

/// A Python frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The frame record or object.
    pub address: Address,
    /// What it executes.
    pub code: Rc<Code>,
    /// Where it is, if the code has a line there.
    pub line: Option<u32>,
    /// What the generator calls itself, where a frame is found by way of one (up to 3.10).
    generator: Option<String>,
}

impl Frame {
    /// Qualified name: of the code from 3.11; before, only a generator's frame knows one.
    pub fn qualname(&self) -> Option<&str> {
        self.generator.as_deref().or(self.code.qualname.as_deref())
    }
}

/// The frames of a thread.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Why the walk ended before the outermost frame.
    pub cut: Option<ObjectError>,
}

impl Python<'_> {
    /// The frames of a thread. What cannot be read cuts the stack and is told in
    /// [`Stack::cut`]; only an error that ends the capture is an error here.
    pub fn stack(&self, thread: &ThreadState) -> Result<Stack> {
        let mut stack = Stack::default();
        let walked = self.walk_frames(thread, &mut stack.frames);
        match walked {
            Ok(()) => Ok(stack),
            Err(error) if error.fatal().is_some() => Err(error),
            Err(error) => Ok(Stack { cut: Some(error), ..stack }),
        }
    }

    fn walk_frames(&self, thread: &ThreadState, frames: &mut Vec<Frame>) -> Result<()> {
        let mut at = self.current_frame(thread)?;
        // Brent's cycle detection: a frame remembered at every power of two steps.
        let mut remembered = Address::NULL;
        for step in 0..MAX_FRAMES {
            if at.is_null() {
                return Ok(());
            }
            if at == remembered {
                return Err(ObjectError::malformed("frame chain (runs in a circle)", at));
            }
            if step.is_power_of_two() {
                remembered = at;
            }
            let (frame, previous) = match self.traits().frame_chain {
                FrameChain::HeapFrames => self.heap_frame(at)?,
                FrameChain::CFrame | FrameChain::Direct => self.interpreter_frame(at)?,
            };
            frames.extend(frame);
            at = previous;
        }
        Err(ObjectError::malformed("frame chain (too long)", at))
    }

    fn current_frame(&self, thread: &ThreadState) -> Result<Address> {
        let fields = &self.structs().thread;
        let missing = || ObjectError::malformed("thread state layout", thread.address);
        let read = |field: Option<crate::layout::Field>, at: Address| -> Result<Address> {
            Ok(field.ok_or_else(missing)?.read_pointer(self.memory, at)?)
        };
        match self.traits().frame_chain {
            FrameChain::HeapFrames => read(fields.frame, thread.address),
            FrameChain::Direct => read(fields.current_frame, thread.address),
            FrameChain::CFrame => {
                let cframe = read(fields.cframe, thread.address)?;
                let current = self.structs().c_frame.as_ref().map(|c_frame| c_frame.current_frame);
                if cframe.is_null() { Ok(Address::NULL) } else { read(current, cframe) }
            }
        }
    }

    /// One `PyFrameObject` (up to 3.10) and its caller.
    pub(super) fn heap_frame(&self, at: Address) -> Result<(Option<Frame>, Address)> {
        let fields = &self.structs().frame;
        let wrong = || ObjectError::malformed("frame object", at);
        let bytes = self.read_struct(at, fields.size)?;
        let code = self.code_at(fields.code.ok_or_else(wrong)?.pointer_in(&bytes))?;
        let last = fields.last_instruction.and_then(|field| field.in_bytes(&bytes));
        let last = last.ok_or_else(wrong)? as u32 as i32;
        let generator = fields.generator.map_or(Address::NULL, |field| field.pointer_in(&bytes));
        let generator = match generator.non_null() {
            Some(generator) => self.generator_name(generator).ok().map(|name| name.qualname),
            None => None,
        };
        let line = self.line(&code, i64::from(last));
        Ok((Some(Frame { address: at, code, line, generator }), fields.back.pointer_in(&bytes)))
    }

    /// One `_PyInterpreterFrame` (3.11+), if it is a Python frame, and its caller.
    pub(super) fn interpreter_frame(&self, at: Address) -> Result<(Option<Frame>, Address)> {
        let fields = self.structs().interpreter_frame.as_ref();
        let fields = fields.ok_or_else(|| ObjectError::malformed("frame layout", at))?;
        let bytes = self.read_struct(at, fields.size)?;
        let previous = fields.previous.pointer_in(&bytes);
        let owner = fields.owner.in_bytes(&bytes).unwrap_or(u64::MAX);
        let executable = self.untag(fields.code.pointer_in(&bytes));
        if owner >= self.traits().first_foreign_owner || executable.is_null() {
            return Ok((None, previous));
        }
        let code = match self.known_code(executable) {
            Some(code) => code,
            None if self.type_of(executable)?.name() != "builtins.code" => {
                return Ok((None, previous));
            }
            None => self.code_at(executable)?,
        };
        if code.is_shim {
            return Ok((None, previous));
        }
        let position = fields.instruction.pointer_in(&bytes).get() as i64;
        let line = self.line(&code, position);
        Ok((Some(Frame { address: at, code, line, generator: None }), previous))
    }

    /// The object behind a stack reference; null for NULL, errors and tagged integers
    /// (Include/internal/pycore_stackref.h).
    pub(super) fn untag(&self, reference: Address) -> Address {
        match self.traits().stack_ref {
            StackRef::Plain => reference,
            StackRef::Tagged if reference.get() & 3 == 3 || reference.get() <= 3 => Address::NULL,
            StackRef::Tagged => reference.without(3),
        }
    }
}
