//! `tuple`, `list`, `set`, `deque`, `SimpleQueue`: lengths and items.

use super::{ObjectError, Python, Result};
use crate::memory::Address;

/// Slots of a set's table that are believed.
const MAX_SET_SLOTS: u64 = 1 << 40;
/// Slots scanned for the first few items of a set: a set that has lost most of its items keeps
/// its table.
const MAX_SCANNED: u64 = 1 << 16;
/// Pointers fetched by one read.
const CHUNK: u64 = 4096;

/// The items of a set and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetItems {
    /// The items found, up to the limit asked for.
    pub items: Vec<Address>,
    /// `len(set)`.
    pub length: u64,
}

impl Python<'_> {
    /// Items of a tuple, at most `limit`.
    pub fn tuple_items(&self, tuple: Address, limit: u64) -> Result<Vec<Address>> {
        let length = self.length(tuple, "tuple length")?;
        self.pointers(self.structs().tuple.items.at(tuple), length.min(limit))
    }

    /// Items of a list, at most `limit`. A list that is being sorted looks empty
    /// (`list_sort_impl` in Objects/listobject.c takes its items away).
    pub fn list_items(&self, list: Address, limit: u64) -> Result<Vec<Address>> {
        let length = self.length(list, "list length")?;
        let items = self.structs().list.items.read_pointer(self.memory, list)?;
        if items.is_null() {
            return Ok(Vec::new());
        }
        self.pointers(items, length.min(limit))
    }

    /// `len()` of a tuple, list or deque.
    pub fn length(&self, object: Address, what: &'static str) -> Result<u64> {
        let size = self.variable_size(object)?;
        u64::try_from(size).map_err(|_| ObjectError::malformed(what, object))
    }

    /// `len()` of a set or frozenset.
    pub fn set_length(&self, set: Address) -> Result<u64> {
        Ok(self.structs().set.used.read(self.memory, set)?)
    }

    /// The first items of a set or frozenset, at most `limit`; fewer when the table is nearly
    /// empty (Objects/setobject.c: removed entries keep a dummy key with hash -1).
    pub fn set_items(&self, set: Address, limit: usize) -> Result<SetItems> {
        let fields = &self.structs().set;
        let length = self.set_length(set)?;
        let slots = fields.mask.read(self.memory, set)?.saturating_add(1);
        let table = fields.table.read_pointer(self.memory, set)?;
        if slots > MAX_SET_SLOTS || !slots.is_power_of_two() || length > slots {
            return Err(ObjectError::malformed("set table", set));
        }
        let mut items = Vec::new();
        let mut slot = 0;
        let scanned = slots.min(MAX_SCANNED.max(limit as u64 * 16));
        let limit = limit.min(usize::try_from(length).unwrap_or(usize::MAX));
        while slot < scanned && items.len() < limit {
            let count = (scanned - slot).min(CHUNK);
            let entries = self.memory.read_vec(table.add(slot * 16), count as usize * 16)?;
            let entries = entries.chunks_exact(16).map(|entry| (word(entry, 0), word(entry, 8)));
            let live = entries.filter(|&(key, hash)| key != 0 && hash != u64::MAX);
            let room = limit - items.len();
            items.extend(live.map(|(key, _)| Address::new(key)).take(room));
            slot += count;
        }
        Ok(SetItems { items, length })
    }

    /// Items waiting in a `_queue.SimpleQueue`, at most `limit`: a list with a start position
    /// up to 3.12, a ring buffer from 3.13 (Modules/_queuemodule.c).
    pub fn simple_queue_items(&self, queue: Address, limit: u64) -> Result<Vec<Address>> {
        let wrong = || ObjectError::malformed("SimpleQueue", queue);
        let fields = self.structs().simple_queue.as_ref().ok_or_else(wrong)?;
        if let (Some(list), Some(position)) = (fields.list, fields.position) {
            let list = list.read_pointer(self.memory, queue)?;
            let position = position.read(self.memory, queue)?;
            let length = self.length(list, "list length")?;
            let items = self.structs().list.items.read_pointer(self.memory, list)?;
            let waiting = length.checked_sub(position).ok_or_else(wrong)?;
            return self.pointers(items.add(position.saturating_mul(8)), waiting.min(limit));
        }
        let (Some(items), Some(capacity), Some(first), Some(count)) =
            (fields.items, fields.capacity, fields.get_index, fields.count)
        else {
            return Err(wrong());
        };
        let ring = items.read_pointer(self.memory, queue)?;
        let capacity = capacity.read(self.memory, queue)?;
        let first = first.read(self.memory, queue)?;
        let count = count.read(self.memory, queue)?;
        if count > capacity || first >= capacity.max(1) {
            return Err(wrong());
        }
        let taken = count.min(limit);
        let before_wrap = taken.min(capacity - first);
        let mut found = self.pointers(ring.add(first.saturating_mul(8)), before_wrap)?;
        found.extend(self.pointers(ring, taken - before_wrap)?);
        Ok(found)
    }

    /// `qsize()` of a `_queue.SimpleQueue`.
    pub fn simple_queue_length(&self, queue: Address) -> Result<u64> {
        let wrong = || ObjectError::malformed("SimpleQueue", queue);
        let fields = self.structs().simple_queue.as_ref().ok_or_else(wrong)?;
        if let Some(count) = fields.count {
            return Ok(count.read(self.memory, queue)?);
        }
        let (Some(list), Some(position)) = (fields.list, fields.position) else {
            return Err(wrong());
        };
        let length = self.length(list.read_pointer(self.memory, queue)?, "list length")?;
        length.checked_sub(position.read(self.memory, queue)?).ok_or_else(wrong)
    }

    /// `count` pointers from `start` on. Stops with a fault where the memory does, so that an
    /// absurd count costs no more than the memory there is.
    pub(super) fn pointers(&self, start: Address, count: u64) -> Result<Vec<Address>> {
        let mut found = Vec::new();
        let mut done = 0;
        while done < count {
            let step = (count - done).min(CHUNK);
            let at = start.add(done.saturating_mul(8));
            let bytes = self.memory.read_vec(at, step as usize * 8)?;
            found.extend(bytes.chunks_exact(8).map(|item| Address::new(word(item, 0))));
            done += step;
        }
        Ok(found)
    }
}

/// The little-endian word at `offset`; 0 when the slice is too short.
pub(super) fn word(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(source) = bytes.get(offset..offset + 8) {
        word.copy_from_slice(source);
    }
    u64::from_le_bytes(word)
}
