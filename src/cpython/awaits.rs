//! Where a generator, coroutine or async generator stands, and what it awaits.
//!
//! The chain of a task: its coroutine awaits a coroutine, which awaits another, down to a
//! future. Each link lies on top of the value stack of a frame that is suspended in an `await`
//! (`_PyGen_yf` in Objects/genobject.c, which is what `cr_await` answers). A coroutine that is
//! executing has its frames on a thread's stack, and no link that could be read.

use super::{Frame, ObjectError, Python, Result};
use crate::layout::traits::{AwaitSite, FrameChain, Position};
use crate::memory::Address;

/// Links of one chain that are followed; the interpreter recurses once per link.
const MAX_CHAIN: usize = 20_000;
/// Slots of one frame's value stack.
const MAX_STACK: i64 = 1 << 24;
const MAX_TYPE_NAME: usize = 64;
/// `YIELD_FROM` up to 3.10 (Include/opcode.h).
const YIELD_FROM: u8 = 72;
/// `RESUME` after a `yield from` has the argument 2, after an `await` 3 (Python/ceval.c).
const RESUME_FROM: u8 = 2;

/// How far a generator has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Made, not started.
    Created,
    /// At a `yield` or `await`.
    Suspended,
    /// On a thread's stack.
    Executing,
    /// It returned or raised; it has no frame any more.
    Finished,
}

/// Where a generator stands.
#[derive(Debug, Clone)]
pub struct Suspension {
    /// How far it has got.
    pub progress: Progress,
    /// Its frame; `None` when it has finished.
    pub frame: Option<Frame>,
    /// The object it awaits, when it is suspended in an `await` or `yield from`.
    pub awaits: Option<Address>,
}

/// A coroutine and what it awaits, link by link.
#[derive(Debug, Clone, Default)]
pub struct AwaitChain {
    /// How far the outermost coroutine has got; `None` when it is no generator of CPython's.
    pub progress: Option<Progress>,
    /// Frames of the suspended coroutines, innermost first.
    pub frames: Vec<Frame>,
    /// Where the chain ends: an awaited object that is no generator.
    pub end: Option<Address>,
    /// Why the chain ends before that.
    pub cut: Option<ObjectError>,
}

impl Python<'_> {
    /// The address of a generator's frame; `None` when it has none any more.
    pub fn generator_frame(&self, generator: Address) -> Result<Option<Address>> {
        let fields = &self.structs().generator;
        match (fields.frame, fields.iframe) {
            (Some(frame), _) => Ok(frame.read_pointer(self.memory, generator)?.non_null()),
            (None, Some(iframe)) => match self.progress(generator)? {
                Progress::Finished => Ok(None),
                _ => Ok(Some(iframe.at(generator))),
            },
            (None, None) => Err(ObjectError::malformed("generator layout", generator)),
        }
    }

    /// How far a generator has got: told by its frame state, which 3.10 keeps in the frame and
    /// earlier versions do not have.
    pub fn progress(&self, generator: Address) -> Result<Progress> {
        let fields = &self.structs().generator;
        if let Some(state) = fields.frame_state {
            return Ok(self.progress_of(state.read_signed(self.memory, generator)?));
        }
        let frame = fields.frame.map(|frame| frame.read_pointer(self.memory, generator));
        let Some(frame) = frame.transpose()?.and_then(Address::non_null) else {
            return Ok(Progress::Finished);
        };
        if let Some(state) = self.structs().frame.state {
            return Ok(self.progress_of(state.read_signed(self.memory, frame)?));
        }
        let running = fields.running.map_or(Ok(0), |field| field.read(self.memory, generator))?;
        Ok(match self.last_instruction(frame)? {
            _ if running != 0 => Progress::Executing,
            ..0 => Progress::Created,
            _ => Progress::Suspended,
        })
    }

    fn progress_of(&self, state: i64) -> Progress {
        let states = &self.traits().frame_states;
        if state == states.created {
            Progress::Created
        } else if states.suspended.contains(&state) || states.awaiting.contains(&state) {
            Progress::Suspended
        } else if state == states.executing {
            Progress::Executing
        } else {
            Progress::Finished
        }
    }

    /// Where a generator, coroutine or async generator stands.
    pub fn suspension(&self, generator: Address) -> Result<Suspension> {
        let progress = self.progress(generator)?;
        let Some(at) = self.generator_frame(generator)? else {
            return Ok(Suspension { progress, frame: None, awaits: None });
        };
        let (frame, _) = match self.traits().frame_chain {
            FrameChain::HeapFrames => self.heap_frame(at)?,
            FrameChain::CFrame | FrameChain::Direct => self.interpreter_frame(at)?,
        };
        let awaits = match progress {
            Progress::Suspended if self.is_awaiting(generator, at)? => self.top_of_stack(at)?,
            _ => None,
        };
        Ok(Suspension { progress, frame, awaits })
    }

    /// The chain that begins with the object `root`: a task's coroutine. What cannot be read
    /// cuts the chain; only an error that ends the capture is an error here.
    pub fn await_chain(&self, root: Address) -> Result<AwaitChain> {
        let mut chain = AwaitChain::default();
        match self.follow(root, &mut chain) {
            Err(error) if error.fatal().is_some() => return Err(error),
            Err(error) => chain.cut = Some(error),
            Ok(()) => {}
        }
        chain.frames.reverse();
        Ok(chain)
    }

    fn follow(&self, root: Address, chain: &mut AwaitChain) -> Result<()> {
        let mut at = root;
        for link in 0..MAX_CHAIN {
            let Some(generator) = self.generator_behind(at)? else {
                chain.end = Some(at);
                return Ok(());
            };
            let here = self.suspension(generator)?;
            if link == 0 {
                chain.progress = Some(here.progress);
            }
            chain.frames.extend(here.frame);
            match here.awaits {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
        Err(ObjectError::malformed("await chain (too long)", at))
    }

    /// The generator that an awaited object is, or steps for; `None` for anything else.
    fn generator_behind(&self, object: Address) -> Result<Option<Address>> {
        let structs = self.structs();
        let field = match self.awaitable_type(object)?.as_str() {
            "builtins.coroutine" | "builtins.generator" | "builtins.async_generator" => {
                return Ok(Some(object));
            }
            "builtins.coroutine_wrapper" => {
                structs.coroutine_wrapper.as_ref().map(|fields| fields.coroutine)
            }
            "builtins.async_generator_asend" => {
                structs.async_generator_send.as_ref().map(|fields| fields.generator)
            }
            "builtins.async_generator_athrow" => {
                structs.async_generator_throw.as_ref().map(|fields| fields.generator)
            }
            _ => None,
        };
        match field {
            Some(field) => Ok(field.read_pointer(self.memory, object)?.non_null()),
            None => Ok(None),
        }
    }

    /// The name of an awaited object's type. 3.8 never runs `PyType_Ready` on the types of the
    /// steps of async generators, so they do not pass as types; their name is all that is needed.
    fn awaitable_type(&self, object: Address) -> Result<String> {
        let checked = self.type_of(object);
        let Err(ObjectError::Malformed { .. }) = checked else {
            return checked.map(|class| class.name().to_owned());
        };
        let class = self.type_address(object)?;
        let name = self.structs().type_object.name.read_pointer(self.memory, class)?;
        match self.memory.read_c_string(name, MAX_TYPE_NAME)?.as_slice() {
            b"async_generator_asend" => Ok("builtins.async_generator_asend".to_owned()),
            b"async_generator_athrow" => Ok("builtins.async_generator_athrow".to_owned()),
            _ => checked.map(|class| class.name().to_owned()),
        }
    }

    /// True when the suspended frame at `frame` is in an `await` or `yield from`.
    fn is_awaiting(&self, generator: Address, frame: Address) -> Result<bool> {
        let wrong = || ObjectError::malformed("frame layout", frame);
        match self.traits().await_site {
            AwaitSite::YieldFrom => {
                let fields = &self.structs().frame;
                let code = fields.code.ok_or_else(wrong)?.read_pointer(self.memory, frame)?;
                let bytecode = self.structs().code.bytecode_object.ok_or_else(wrong)?;
                let bytecode = bytecode.read_pointer(self.memory, code)?;
                let last = self.last_instruction(frame)?;
                let next = match self.traits().position {
                    Position::UnitOffset => last.saturating_add(1).saturating_mul(2),
                    _ => last.saturating_add(2),
                };
                let length = self.variable_size(bytecode)?;
                if !(0..length).contains(&next) {
                    return Ok(false);
                }
                let opcode = self.structs().bytes.data.at(bytecode).offset(next);
                Ok(self.memory.read_vec(opcode, 1)? == [YIELD_FROM])
            }
            AwaitSite::Resume => {
                let fields = self.structs().interpreter_frame.as_ref().ok_or_else(wrong)?;
                // It stands at the `YIELD_VALUE`; a code unit is opcode and argument.
                let last = fields.instruction.read_pointer(self.memory, frame)?;
                let next = self.memory.read_vec(last.add(2), 2)?;
                Ok(next.get(1).is_some_and(|&argument| argument >= RESUME_FROM))
            }
            AwaitSite::FrameState => {
                let state = self.structs().generator.frame_state.ok_or_else(wrong)?;
                let state = state.read_signed(self.memory, generator)?;
                Ok(self.traits().frame_states.awaiting.contains(&state))
            }
        }
    }

    fn last_instruction(&self, frame: Address) -> Result<i64> {
        let field = self.structs().frame.last_instruction;
        let field = field.ok_or_else(|| ObjectError::malformed("frame layout", frame))?;
        Ok(field.read_signed(self.memory, frame)?)
    }

    /// The object on top of a suspended frame's value stack.
    fn top_of_stack(&self, frame: Address) -> Result<Option<Address>> {
        let wrong = || ObjectError::malformed("value stack", frame);
        let (pointer, base, depth) = match &self.structs().interpreter_frame {
            Some(fields) => {
                (fields.stack_pointer, Some(fields.locals.at(frame)), fields.stack_depth)
            }
            None => {
                let fields = &self.structs().frame;
                let base = match fields.stack_base {
                    Some(base) => Some(base.read_pointer(self.memory, frame)?),
                    None => None,
                };
                (fields.stack_pointer, base, fields.stack_depth)
            }
        };
        let end = match (pointer, base, depth) {
            (Some(pointer), ..) => pointer.read_pointer(self.memory, frame)?,
            (None, Some(base), Some(depth)) => {
                let depth = depth.read_signed(self.memory, frame)?;
                if !(1..MAX_STACK).contains(&depth) {
                    return Err(wrong());
                }
                base.offset(depth * 8)
            }
            _ => return Err(wrong()),
        };
        if end.is_null() || !end.is_aligned(8) {
            return Err(wrong());
        }
        let slot = end.sub(8 * (1 + self.traits().above_awaited));
        Ok(self.untag(self.memory.read_pointer(slot)?).non_null())
    }
}
