//! What frames refer to: those of threads, and those that stand still in generators.

use super::build::Builder;
use super::label::{Kind, Label};
use crate::cpython::ObjectError;
use crate::layout::traits::FrameChain;
use crate::memory::Address;

/// `owner` of a frame record that lies in a generator, and in a frame object
/// (Include/internal/pycore_frame.h, 3.11+).
const OWNED_BY_GENERATOR: u64 = 1;
const OWNED_BY_FRAME_OBJECT: u64 = 2;

impl Builder<'_, '_> {
    pub(super) fn generator(&mut self, generator: Address) -> Result<(), ObjectError> {
        // Up to 3.10 the frame is an object, and one of the words.
        let Some(iframe) = self.python.layout().structs.generator.iframe else { return Ok(()) };
        let structs = &self.python.layout().structs;
        let state = match structs.generator.frame_state {
            Some(field) => field.read_signed(self.python.memory(), generator)?,
            None => return Ok(()),
        };
        match state < self.python.layout().traits.frame_states.cleared {
            true => self.frame_record(iframe.at(generator)),
            false => {
                // The code outlives the rest (3.12+).
                let Some(words) = self.frame_words else { return Ok(()) };
                let code = self.python.memory().read_u64(iframe.at(generator).add(words.code))?;
                let code = self.python.stack_reference(code);
                self.edges.refer_as(code.object.get(), Label::new(Kind::Code, 0), code.counted);
                Ok(())
            }
        }
    }

    /// What a frame record owns (`_PyFrame_Traverse` in Python/frame.c).
    fn frame_record(&mut self, frame: Address) -> Result<(), ObjectError> {
        let Some(words) = self.frame_words else { return Ok(()) };
        let memory = self.python.memory();
        let kinds = [
            (words.code, Kind::Code),
            (words.function, Kind::Function),
            (words.namespace, Kind::Namespace),
            (words.object, Kind::Frame),
        ];
        for (offset, kind) in kinds {
            let reference = self.python.stack_reference(memory.read_u64(frame.add(offset))?);
            self.edges.refer_as(reference.object.get(), Label::new(kind, 0), reference.counted);
        }
        let code = self.python.stack_reference(memory.read_u64(frame.add(words.code))?).object;
        let slots = self.code_slots(code)?;
        self.frame_slots(frame.add(words.locals), slots, self.python.frame_depth(frame)?)
    }

    fn code_slots(&mut self, code: Address) -> Result<u64, ObjectError> {
        if let Some(&slots) = self.slots.get(&code) {
            return Ok(slots);
        }
        let slots = self.python.code_slots(code)?;
        self.slots.insert(code, slots);
        Ok(slots)
    }

    fn frame_slots(
        &mut self,
        first: Address,
        slots: u64,
        depth: Option<u64>,
    ) -> Result<(), ObjectError> {
        let memory = self.python.memory();
        let count = depth.unwrap_or(slots).max(slots);
        let (count, bytes) = match memory.read_vec(first, count as usize * 8) {
            Ok(bytes) => (count, bytes),
            Err(error) if error.is_fault() => (slots, memory.read_vec(first, slots as usize * 8)?),
            Err(error) => return Err(error.into()),
        };
        for (place, word) in (0..count).zip(bytes.chunks_exact(8)) {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            let reference = self.python.stack_reference(word);
            let label = match place < slots {
                true => Label::new(Kind::Local, place),
                false => Label::new(Kind::Stack, place - slots),
            };
            self.edges.refer_as(reference.object.get(), label, reference.counted);
        }
        Ok(())
    }

    pub(super) fn frame_object(&mut self, object: Address) -> Result<(), ObjectError> {
        let fields = self.python.layout().structs.frame;
        match (fields.locals, fields.code) {
            (Some(locals), Some(code)) => {
                let code = code.read_pointer(self.python.memory(), object)?;
                let slots = self.code_slots(code)?;
                let depth = self.python.frame_depth(object)?;
                self.frame_slots(locals.at(object), slots, depth)
            }
            _ => {
                let record = self.python.memory().read_pointer(object.add(fields.back.end()))?;
                match self.owner(record)? {
                    OWNED_BY_FRAME_OBJECT => self.frame_record(record),
                    _ => Ok(()),
                }
            }
        }
    }

    fn owner(&self, record: Address) -> Result<u64, ObjectError> {
        let fields = self.python.layout().structs.interpreter_frame.as_ref();
        let fields = fields.ok_or_else(|| ObjectError::malformed("frame layout", record))?;
        Ok(fields.owner.read(self.python.memory(), record)?)
    }

    /// A frame on a thread's stack.
    pub(super) fn stack_frame(&mut self, frame: Address) -> Result<(), ObjectError> {
        if self.python.layout().traits.frame_chain == FrameChain::HeapFrames {
            self.edges.refer_as(frame.get(), Label::new(Kind::Frame, 0), false);
            return Ok(());
        }
        if self.owner(frame)? == OWNED_BY_GENERATOR {
            let iframe = self.python.layout().structs.generator.iframe;
            let generator = frame.sub(iframe.map_or(0, |iframe| iframe.offset));
            self.edges.refer_as(generator.get(), Label::new(Kind::Frame, 0), false);
            return Ok(());
        }
        self.frame_record(frame)
    }
}
