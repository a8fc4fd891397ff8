//! Where the references of an object lie: the tables behind containers and the storage of
//! attributes, for readers that want every reference and not its meaning.
//!
//! What `tp_traverse` of the type would visit, as places to read instead of objects: the reader
//! of a whole heap brings its own buffers. Nothing here looks at types; the caller has.

use super::{Code, ObjectError, Python, Result, Type};
use crate::layout::traits::{FrameChain, ManagedDict, StackRef};
use crate::layout::{Field, Layout};
use crate::memory::Address;

/// Entries of one table that are believed.
const MAX_ENTRIES: u64 = 1 << 32;

/// Equal records in a row, each with a key and a value (or a key alone).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries {
    /// The first record.
    pub first: Address,
    /// How many, unused ones included.
    pub count: u64,
    /// Bytes from one to the next.
    pub stride: u64,
    /// Where in a record the key is; the value of a dict's entry follows it.
    pub key: u64,
}

/// The table of a keys object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysTable {
    /// The entries.
    pub entries: Entries,
    /// How many there is room for.
    pub capacity: u64,
    /// Bytes of the whole.
    pub bytes: u64,
    /// More than one dict has it.
    pub shared: bool,
}

/// What a dict refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DictTable {
    /// Keys and values in one table.
    Combined(Entries),
    /// Values of its own under the keys of its class.
    Split {
        /// The shared keys.
        keys: Entries,
        /// The first value.
        values: Address,
    },
}

/// Where an instance keeps its attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttributeStorage {
    /// Its dict object.
    pub dict: Option<Address>,
    /// The first of the values named by the shared keys of its class.
    pub values: Option<Address>,
}

/// A reference on the stack of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackReference {
    /// The object, or null.
    pub object: Address,
    /// The frame owns it: it counts in the object's reference count.
    pub counted: bool,
}

/// Where the references of a frame record (3.11+) lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameWords {
    /// The code object.
    pub code: u64,
    /// The function.
    pub function: u64,
    /// The mapping of names of a class body or module, or null.
    pub namespace: u64,
    /// The frame object made for it, or null.
    pub object: u64,
    /// The first local variable.
    pub locals: u64,
}

impl FrameWords {
    /// In the order of `_PyInterpreterFrame` (Include/internal/pycore_frame.h): function,
    /// globals, builtins, namespace, frame object; the code comes first of all from 3.12, and
    /// between the last two in 3.11. Globals and builtins are borrowed from the function.
    pub fn of(layout: &Layout) -> Option<Self> {
        let fields = layout.structs.interpreter_frame.as_ref()?;
        let code = fields.code.offset;
        let (function, object) = match code {
            0 => (fields.previous.end(), fields.previous.end() + 32),
            _ => (0, fields.code.end()),
        };
        let namespace = function + 24;
        Some(Self { code, function, namespace, object, locals: fields.locals.offset })
    }
}

impl Python<'_> {
    /// The table of a keys object.
    pub fn keys_table(&self, keys: Address) -> Result<KeysTable> {
        let keys = self.keys(keys)?;
        let entries = Entries {
            first: keys.entries,
            count: keys.count,
            stride: if keys.hashed { 24 } else { 16 },
            key: if keys.hashed { 8 } else { 0 },
        };
        Ok(KeysTable {
            entries,
            capacity: keys.capacity,
            bytes: keys.bytes,
            shared: keys.owners != 1,
        })
    }

    /// The table of a dict.
    pub fn dict_table(&self, dict: Address) -> Result<DictTable> {
        let fields = &self.structs().dict;
        let keys = self.keys_table(fields.keys.read_pointer(self.memory, dict)?)?;
        self.table_of_keys(&keys, fields.values.read_pointer(self.memory, dict)?)
    }

    /// The table of a dict with these keys and `ma_values`.
    pub fn table_of_keys(&self, keys: &KeysTable, values: Address) -> Result<DictTable> {
        let KeysTable { entries: mut keys, capacity: room, .. } = *keys;
        let Some(values) = values.non_null() else {
            return Ok(DictTable::Combined(keys));
        };
        let Some(layout) = self.structs().dict_values.as_ref() else {
            keys.count = keys.count.min(room);
            return Ok(DictTable::Split { keys, values });
        };
        if let Some(capacity) = layout.capacity {
            keys.count = keys.count.min(capacity.read(self.memory, values)?);
        }
        Ok(DictTable::Split { keys, values: layout.values.at(values) })
    }

    /// Where the items of a list are, and how many: from a copy of its struct.
    pub fn list_table(&self, list: Address, copy: &[u8]) -> Result<(Address, u64)> {
        let items = self.structs().list.items.pointer_in(copy);
        let length = self.structs().var_object.ob_size.in_bytes(copy).unwrap_or(0);
        if (length as i64) < 0 {
            return Err(ObjectError::malformed("list length", list));
        }
        Ok((items, if items.is_null() { 0 } else { length.min(MAX_ENTRIES) }))
    }

    /// The slots of a set, from a copy of its struct; unused ones have no key or the hash -1
    /// behind it.
    pub fn set_table(&self, set: Address, copy: &[u8]) -> Result<Entries> {
        let fields = &self.structs().set;
        let count = fields.mask.in_bytes(copy).unwrap_or(u64::MAX).saturating_add(1);
        if count > MAX_ENTRIES || !count.is_power_of_two() {
            return Err(ObjectError::malformed("set table", set));
        }
        Ok(Entries { first: fields.table.pointer_in(copy), count, stride: 16, key: 0 })
    }

    /// Where an instance keeps its attributes, of a class with the flag for managed dicts:
    /// `before` are the 32 bytes before the object, `copy` is one of it with what lies behind
    /// `tp_basicsize`. Where a dict was made for the values inside of it (3.13+), that is the
    /// one that has them.
    pub fn managed_attributes(
        &self,
        object: Address,
        class: &Type,
        before: &[u8],
        copy: &[u8],
    ) -> AttributeStorage {
        let layout = self.structs().dict_values.as_ref();
        let first = |values: Address| values.add(layout.map_or(0, |fields| fields.values.offset));
        let pointer = |at: usize| {
            let word = before.get(at..at + 8).and_then(|word| word.try_into().ok());
            Address::new(word.map_or(0, u64::from_le_bytes))
        };
        let word = pointer(8);
        let plain = AttributeStorage { dict: word.non_null(), values: None };
        match self.traits().managed_dict {
            ManagedDict::None => AttributeStorage::default(),
            ManagedDict::TwoWords => {
                AttributeStorage { values: pointer(0).non_null().map(first), ..plain }
            }
            ManagedDict::TaggedWord if word.get() & 1 == 1 => {
                AttributeStorage { dict: None, values: Some(first(word.add(1))) }
            }
            ManagedDict::TaggedWord => plain,
            ManagedDict::InlineValues if word.is_null() && class.flags.inline_values() => {
                let inline = copy.get(class.basicsize as usize..).unwrap_or_default();
                let valid = layout.and_then(|fields| fields.valid);
                let valid = valid.is_none_or(|valid| valid.in_bytes(inline) == Some(1));
                let values = valid.then(|| first(object.add(class.basicsize)));
                AttributeStorage { values, ..plain }
            }
            ManagedDict::InlineValues => plain,
        }
    }

    /// The dict of an instance that has a place for it by itself, if there is one.
    pub fn own_dict(&self, object: Address, class: &Type) -> Result<Option<Address>> {
        Ok(match self.storage(object, class)? {
            super::attributes::Storage::Dict(dict) => Some(dict),
            _ => None,
        })
    }

    /// Decodes a slot of a frame.
    pub fn stack_reference(&self, word: u64) -> StackReference {
        let object = self.untag(Address::new(word));
        let tagged = self.traits().stack_ref == StackRef::Tagged;
        StackReference { object, counted: !tagged || word & 3 == 0 }
    }

    /// How many local variables, cells included, frames of the code at `code` have.
    pub fn code_slots(&self, code: Address) -> Result<u64> {
        const MOST: u64 = 1 << 16;
        let fields = &self.structs().code;
        let count = |field: Field| field.read(self.memory, code);
        let slots = match fields.nlocalsplus {
            Some(field) => count(field)?,
            None => {
                let mut slots = count(fields.nlocals)?;
                for field in [fields.cellvars, fields.freevars].into_iter().flatten() {
                    let names = field.read_pointer(self.memory, code)?;
                    slots = slots.saturating_add(self.length(names, "names of a code object")?);
                }
                slots
            }
        };
        if slots > MOST { Err(ObjectError::malformed("code object", code)) } else { Ok(slots) }
    }

    /// How many slots of a frame that stands still hold something, local variables included;
    /// `None` where the frame does not say, because it is executing.
    pub fn frame_depth(&self, frame: Address) -> Result<Option<u64>> {
        const MOST: u64 = 1 << 20;
        let structs = self.structs();
        let depth = match self.traits().frame_chain {
            FrameChain::HeapFrames => {
                let fields = &structs.frame;
                let locals = fields.locals.map(|field| field.at(frame));
                match (fields.stack_pointer, fields.stack_base, fields.stack_depth, locals) {
                    (Some(pointer), _, _, Some(locals)) => {
                        let end = pointer.read_pointer(self.memory, frame)?;
                        end.get().checked_sub(locals.get()).map(|bytes| bytes / 8)
                    }
                    (None, Some(base), Some(depth), Some(locals)) => {
                        let base = base.read_pointer(self.memory, frame)?;
                        let depth = depth.read_signed(self.memory, frame)?;
                        let before = base.get().checked_sub(locals.get()).map(|bytes| bytes / 8);
                        before.zip(u64::try_from(depth).ok()).map(|(a, b)| a.saturating_add(b))
                    }
                    _ => None,
                }
            }
            FrameChain::CFrame | FrameChain::Direct => {
                let Some(fields) = &structs.interpreter_frame else { return Ok(None) };
                match (fields.stack_pointer, fields.stack_depth) {
                    (Some(pointer), _) => {
                        let end = pointer.read_pointer(self.memory, frame)?;
                        let locals = fields.locals.at(frame);
                        end.get().checked_sub(locals.get()).map(|bytes| bytes / 8)
                    }
                    (None, Some(depth)) => {
                        u64::try_from(depth.read_signed(self.memory, frame)?).ok()
                    }
                    _ => None,
                }
            }
        };
        Ok(depth.filter(|&depth| depth <= MOST))
    }

    /// The name of a local variable by its slot.
    pub fn slot_name(&self, code: &Code, slot: usize) -> Option<String> {
        const MAX_NAME: usize = 256;
        let variable = code.variables.get(slot)?;
        self.text(variable.name, MAX_NAME).ok()
    }

    /// The name of the variable in a closure by its place.
    pub fn closure_name(&self, code: &Code, cells: u64, place: usize) -> Option<String> {
        // The variables of the closure come last among those of the code.
        let cells = usize::try_from(cells).ok()?;
        self.slot_name(code, code.variables.len().checked_sub(cells)?.checked_add(place)?)
    }
}
