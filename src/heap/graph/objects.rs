//! What one object refers to, and its size.

use super::build::{Builder, word};
use super::edges::field_label;
use super::label::{Kind, Label};
use super::plan::{Attributes, Plan, SizeKind, Table};
use super::size;
use crate::cpython::{DictTable, Entries, ObjectError};
use crate::heap::size::set_table;
use crate::heap::walk::TrackedObject;
use crate::memory::{Address, MemoryError};

/// Words fetched by one read.
const CHUNK: u64 = 2048;
/// The same of what lies in or beside the object.
const NEAR: u64 = 128;
/// Items of one block of a deque.
const DEQUE_BLOCK: u64 = 64;

/// What the struct of an object says about its tables.
enum Found {
    None,
    List { items: Address, length: u64 },
    Dict { keys: Address, values: Address },
    Set(Entries),
}

/// Where the attributes of an instance are.
#[derive(Default)]
struct Storage {
    dict: Option<Address>,
    values: Option<Address>,
}

impl Builder<'_, '_> {
    /// Finds the references of an object, and its size where that is not known yet.
    pub(super) fn object(
        &mut self,
        address: Address,
        plan: &Plan,
        length: u32,
        measured: &mut u64,
    ) -> Result<(), ObjectError> {
        if plan.owns_type {
            self.edges.refer(plan.class.address.get(), Label::new(Kind::Type, 0));
        }
        let (found, storage) = self.body(address, plan, length, measured)?;
        if let Some(items) = plan.items {
            let first = address.add(u64::from(items));
            self.row(first, u64::from(length), u64::from(length) <= NEAR, |place| {
                let label = Label::new(Kind::Item, place);
                if plan.inferred { label.inferred() } else { label }
            })?;
        }
        if let Some(dict) = storage.dict {
            self.edges.refer(dict.get(), Label::new(Kind::Namespace, 0));
        }
        if let Some(values) = storage.values {
            // Inline values (3.13+) follow the object.
            let is_near = plan.class.flags.inline_values();
            self.row(values, plan.values, is_near, |place| Label::new(Kind::Attribute, place))?;
        }
        match found {
            Found::List { items, length } => {
                self.row(items, length, false, |place| Label::new(Kind::Item, place))?;
            }
            Found::Dict { keys, values } => {
                let bytes = self.dict(keys, values)?;
                *measured = plan.fixed_size(length, bytes);
            }
            Found::Set(table) => self.records(&table, |edges, place, key, hash| {
                if key != 0 && hash != u64::MAX {
                    edges.refer(key, Label::new(Kind::Member, place));
                }
            })?,
            Found::None => {}
        }
        match plan.table {
            Table::Deque => {
                let (class, size_word) = (plan.class.address, u64::from(length));
                let object = TrackedObject { address, class, size_word, refcount_word: 0 };
                *measured = plan.measure(self.python, &object);
                self.deque(address, u64::from(length))
            }
            Table::Queue => {
                for (place, item) in (0..).zip(self.python.simple_queue_items(address, u64::MAX)?) {
                    self.edges.refer(item.get(), Label::new(Kind::Item, place));
                }
                Ok(())
            }
            Table::Generator => self.generator(address),
            Table::Frame => self.frame_object(address),
            Table::None | Table::Type | Table::List | Table::Dict | Table::Set => Ok(()),
        }
    }

    /// The words of the struct itself, and what it says about the rest.
    fn body(
        &mut self,
        address: Address,
        plan: &Plan,
        length: u32,
        measured: &mut u64,
    ) -> Result<(Found, Storage), ObjectError> {
        let memory = self.python.memory();
        let structs = &self.python.layout().structs;
        let mut storage = Storage::default();
        if plan.attributes == Attributes::Word {
            storage.dict = self.python.own_dict(address, &plan.class)?;
        }
        if plan.body == 0 && plan.before == 0 {
            return Ok((Found::None, storage));
        }
        let of_static_type = structs.type_object.size as usize;
        let (start, whole) = (address.sub(plan.before as u64), plan.before + plan.body);
        // A static type is smaller than one made at run time, and may be the last thing there is.
        let length_read = match self.window.bytes(memory, start, whole) {
            Err(error) if plan.table == Table::Type && error.is_fault() => of_static_type,
            _ => whole,
        };
        let bytes = self.window.bytes(memory, start, length_read)?;
        let before = bytes.get(..plan.before).unwrap_or_default();
        let body = bytes.get(plan.before..).unwrap_or_default();
        let mut end = u32::MAX;
        if plan.table == Table::Type {
            let flags = structs.type_object.flags.in_bytes(body).unwrap_or(0);
            if !crate::cpython::TypeFlags::new(flags).heap_type() {
                end = of_static_type as u32;
            }
        }
        for &offset in plan.words.iter().take_while(|&&offset| offset < end) {
            self.edges.refer(word(body, offset as usize), field_label(offset, plan.inferred));
        }
        if plan.attributes == Attributes::Managed {
            let found = self.python.managed_attributes(address, &plan.class, before, body);
            storage = Storage { dict: found.dict, values: found.values };
        }
        let found = match plan.table {
            Table::List => {
                let allocated = structs.list.allocated.in_bytes(body).unwrap_or(0);
                *measured = plan.fixed_size(length, allocated.saturating_mul(8));
                let (items, length) = self.python.list_table(address, body)?;
                Found::List { items, length }
            }
            Table::Dict => Found::Dict {
                keys: structs.dict.keys.pointer_in(body),
                values: structs.dict.values.pointer_in(body),
            },
            Table::Set => {
                let table = self.python.set_table(address, body)?;
                *measured = plan.fixed_size(length, set_table(table.count));
                Found::Set(table)
            }
            _ => {
                if plan.kind == SizeKind::Text {
                    *measured = size::text(self.python, &plan.class, body);
                }
                Found::None
            }
        };
        Ok((found, storage))
    }

    /// `count` references in a row; `near`: in or beside the object.
    fn row(
        &mut self,
        first: Address,
        count: u64,
        near: bool,
        label: impl Fn(u64) -> Label,
    ) -> Result<(), ObjectError> {
        let memory = self.python.memory();
        let mut done = 0;
        while done < count {
            let step = (count - done).min(CHUNK);
            let at = first.add(done.saturating_mul(8));
            let length = step as usize * 8;
            let words = match near {
                true => self.window.bytes(memory, at, length)?,
                false => fill(&mut self.bytes, length, |bytes| memory.read(at, bytes))?,
            };
            for (place, bytes) in words.chunks_exact(8).enumerate() {
                self.edges.refer(word(bytes, 0), label(done + place as u64));
            }
            done += step;
        }
        Ok(())
    }

    /// Records of a key and the word behind it.
    fn records(
        &mut self,
        table: &Entries,
        mut each: impl FnMut(&mut super::edges::Edges<'_>, u64, u64, u64),
    ) -> Result<(), ObjectError> {
        let memory = self.python.memory();
        let mut done = 0;
        while done < table.count {
            let step = (table.count - done).min(CHUNK);
            let at = table.first.add(done * table.stride);
            let length = (step * table.stride) as usize;
            let records = fill(&mut self.bytes, length, |bytes| memory.read(at, bytes))?;
            let key = table.key as usize;
            for (place, record) in records.chunks_exact(table.stride as usize).enumerate() {
                let place = done + place as u64;
                each(&mut self.edges, place, word(record, key), word(record, key + 8));
            }
            done += step;
        }
        Ok(())
    }

    /// The table of a dict, and its size in bytes.
    fn dict(&mut self, keys_at: Address, values: Address) -> Result<u64, ObjectError> {
        let keys = match self.last_keys {
            Some((at, keys)) if at == keys_at => keys,
            _ => {
                let keys = self.python.keys_table(keys_at)?;
                self.last_keys = Some((keys_at, keys));
                keys
            }
        };
        match self.python.table_of_keys(&keys, values)? {
            DictTable::Combined(table) => {
                self.records(&table, |edges, place, key, value| {
                    if key != 0 && value != 0 {
                        edges.refer(key, Label::new(Kind::Key, place));
                        edges.refer(value, Label::new(Kind::Value, place));
                    }
                })?;
                Ok(if keys.shared { 0 } else { keys.bytes })
            }
            DictTable::Split { keys: entries, values } => {
                let value = |place| Label::new(Kind::Value, place);
                self.row(values, entries.count, false, value)?;
                Ok(keys.capacity.saturating_mul(8))
            }
        }
    }

    /// A chain of blocks of 64 items: left link, items, right link
    /// (Modules/_collectionsmodule.c).
    fn deque(&mut self, deque: Address, length: u64) -> Result<(), ObjectError> {
        let wrong = || ObjectError::malformed("deque", deque);
        let fields = self.python.layout().structs.deque.ok_or_else(wrong)?;
        let memory = self.python.memory();
        let mut block = fields.left_block.read_pointer(memory, deque)?;
        let mut index = fields.left_index.read(memory, deque)?;
        let mut done = 0;
        while done < length {
            if block.is_null() || index >= DEQUE_BLOCK {
                return Err(wrong());
            }
            let count = (length - done).min(DEQUE_BLOCK - index);
            let first = block.add(8 + index * 8);
            self.row(first, count, false, |place| Label::new(Kind::Item, done + place))?;
            done += count;
            block = memory.read_pointer(block.add(8 + DEQUE_BLOCK * 8))?;
            index = 0;
        }
        Ok(())
    }
}

/// Has a buffer of some length filled.
fn fill(
    buffer: &mut Vec<u8>,
    length: usize,
    read: impl FnOnce(&mut [u8]) -> Result<(), MemoryError>,
) -> Result<&[u8], MemoryError> {
    buffer.resize(length, 0);
    read(buffer)?;
    Ok(buffer)
}
