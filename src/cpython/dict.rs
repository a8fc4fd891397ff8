//! `dict` and `frozendict`: entries in insertion order, and lookup of a string key.
//!
//! The hash index is never decoded: entries are scanned. A dict that is being resized when the
//! target stops may have entries that are not written yet; null keys and values are passed over.

use super::sequences::word;
use super::{ObjectError, Python, Result, Type, TypeFlags};
use crate::layout::traits::DictEntries;
use crate::memory::Address;
use std::ops::ControlFlow;

/// Entries of one dict that are visited.
const MAX_ENTRIES: u64 = 1 << 28;
/// Slots of a hash index (and bytes of it) that are believed.
const MAX_SLOTS: u64 = 1 << 40;
/// Entries looked at in search of a key: a hundred times what `sys.modules` of a large program has.
const MAX_SEARCHED: u64 = 1 << 21;
/// Entries looked at for the first few items: those before them may all be deleted.
const MAX_PASSED: u64 = 1 << 16;
/// `tp_name` of `frozendict`.
const FROZEN_DICT: &[u8] = b"frozendict";
/// Bytes of a keys object before its index: 40 at most so far.
const LARGEST_HEAD: usize = 128;
/// Bases that are followed to find out what a class is laid out as.
const MAX_BASES: usize = 256;
/// Entries fetched by one read.
const CHUNK: u64 = 512;
/// Attributes that a class's shared keys can have up to 3.12 (SHARED_KEYS_MAX_SIZE,
/// Include/internal/pycore_dict.h).
const SHARED_KEYS: u64 = 30;

/// Where the entries of a keys object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) entries: Address,
    /// Entries in use or deleted.
    pub(super) count: u64,
    /// Entries there is room for.
    pub(super) capacity: u64,
    /// `{hash, key, value}` when true, else `{key, value}`.
    pub(super) hashed: bool,
    /// Bytes of the whole keys object.
    pub(super) bytes: u64,
    /// Its reference count: more than one owner means shared.
    pub(super) owners: u64,
}

impl Keys {
    fn entry_size(&self) -> u64 {
        if self.hashed { 24 } else { 16 }
    }
}

impl Python<'_> {
    /// `len(dict)`.
    pub fn dict_length(&self, dict: Address) -> Result<u64> {
        Ok(self.structs().dict.used.read(self.memory, dict)?)
    }

    /// True when instances of the class at `class` are laid out as a dict: subclasses of `dict`,
    /// and `frozendict` and its subclasses where there is such a builtin. Reads no more of the
    /// types than flags and bases: reading a type needs its dict.
    pub fn is_dict(&self, class: Address, flags: TypeFlags) -> Result<bool> {
        if flags.dict_subclass() || !self.traits().frozen_dict {
            return Ok(flags.dict_subclass());
        }
        let fields = &self.structs().type_object;
        let (mut class, mut flags) = (class, flags);
        for _ in 0..MAX_BASES {
            if !flags.heap_type() {
                let name = fields.name.read_pointer(self.memory, class)?;
                let name = self.memory.read_c_string(name, FROZEN_DICT.len() + 1)?;
                return Ok(name == FROZEN_DICT);
            }
            class = fields.base.read_pointer(self.memory, class)?;
            flags = TypeFlags::new(fields.flags.read(self.memory, class)?);
        }
        Err(ObjectError::malformed("bases of a type", class))
    }

    /// The first items of a dict in insertion order, at most `limit`; fewer when very many have
    /// been deleted before them.
    pub fn dict_items(&self, dict: Address, limit: usize) -> Result<Vec<(Address, Address)>> {
        let mut items = Vec::new();
        let most = MAX_PASSED.max(limit as u64 * 16);
        self.visit_first(dict, Some(most), &mut |key, value| {
            if items.len() >= limit {
                return Ok(ControlFlow::Break(()));
            }
            items.push((key, value));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(items)
    }

    /// The value under the string `key` (ASCII).
    pub fn dict_get(&self, dict: Address, key: &str) -> Result<Option<Address>> {
        let mut found = None;
        self.visit_dict(dict, &mut |candidate, value| {
            self.match_key(candidate, value, key, &mut found)
        })?;
        Ok(found)
    }

    pub(super) fn match_key(
        &self,
        candidate: Address,
        value: Address,
        key: &str,
        found: &mut Option<Address>,
    ) -> Result<ControlFlow<()>> {
        match self.text_is(candidate, key) {
            Ok(true) => {
                *found = Some(value);
                Ok(ControlFlow::Break(()))
            }
            Ok(false) => Ok(ControlFlow::Continue(())),
            Err(error) => error.fatal().map_or(Ok(ControlFlow::Continue(())), |e| Err(e.into())),
        }
    }

    /// Calls `visit` with each key and value. A dict with more than [`MAX_SEARCHED`] entries is
    /// an error.
    pub(super) fn visit_dict(
        &self,
        dict: Address,
        visit: &mut dyn FnMut(Address, Address) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.visit_first(dict, None, visit)
    }

    /// Calls `visit` with key and value of the first `most` entries, deleted ones included, or
    /// of all.
    fn visit_first(
        &self,
        dict: Address,
        most: Option<u64>,
        visit: &mut dyn FnMut(Address, Address) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let flags = self.flags_of(dict)?;
        if !flags.dict_subclass() && !self.is_dict(self.type_address(dict)?, flags)? {
            return Err(ObjectError::malformed("dict", dict));
        }
        let fields = &self.structs().dict;
        let keys = fields.keys.read_pointer(self.memory, dict)?;
        let mut keys = self.keys(keys)?;
        match most {
            Some(most) => keys.count = keys.count.min(most),
            None if keys.count > MAX_SEARCHED => {
                return Err(ObjectError::malformed("dict (too large to search)", dict));
            }
            None => {}
        }
        match fields.values.read_pointer(self.memory, dict)?.non_null() {
            Some(values) => self.visit_split(keys, values, visit),
            None => self.visit_keys(keys, &mut |_, key, value| match value.is_null() {
                true => Ok(ControlFlow::Continue(())),
                false => visit(key, value),
            }),
        }
    }

    /// Visits the entries of shared keys with the values of one instance.
    pub(super) fn visit_split(
        &self,
        keys: Keys,
        values: Address,
        visit: &mut dyn FnMut(Address, Address) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let fields = self.structs().dict_values.as_ref();
        let room = match fields.and_then(|fields| fields.capacity) {
            Some(capacity) => capacity.read(self.memory, values)?,
            None => keys.capacity.max(SHARED_KEYS),
        };
        if keys.count > MAX_SEARCHED {
            return Err(ObjectError::malformed("shared keys", keys.entries));
        }
        let first = values.add(fields.map_or(0, |fields| fields.values.offset));
        let values = self.pointers(first, keys.count.min(room))?;
        self.visit_keys(keys, &mut |index, key, _| match values.get(index) {
            Some(value) if !value.is_null() => visit(key, *value),
            Some(_) => Ok(ControlFlow::Continue(())),
            None => Ok(ControlFlow::Break(())),
        })
    }

    fn visit_keys(
        &self,
        keys: Keys,
        visit: &mut dyn FnMut(usize, Address, Address) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let size = keys.entry_size();
        let key_offset = if keys.hashed { 8 } else { 0 };
        let mut done = 0;
        while done < keys.count {
            let step = (keys.count - done).min(CHUNK);
            let at = keys.entries.add(done * size);
            let bytes = self.memory.read_vec(at, (step * size) as usize)?;
            for (index, entry) in bytes.chunks_exact(size as usize).enumerate() {
                let key = Address::new(word(entry, key_offset));
                let value = Address::new(word(entry, key_offset + 8));
                if key.is_null() {
                    continue;
                }
                if visit(done as usize + index, key, value)?.is_break() {
                    return Ok(());
                }
            }
            done += step;
        }
        Ok(())
    }

    /// Reads the head of a keys object (Objects/dictobject.c, Include/internal/pycore_dict.h).
    pub(super) fn keys(&self, keys: Address) -> Result<Keys> {
        let wrong = || ObjectError::malformed("dict keys", keys);
        let fields = &self.structs().dict_keys;
        if keys.is_null() || !keys.is_aligned(8) {
            return Err(wrong());
        }
        let size = fields.indices.offset.max(fields.nentries.end());
        let mut head = [0; LARGEST_HEAD];
        let head = usize::try_from(size).ok().and_then(|size| head.get_mut(..size));
        let head = head.ok_or_else(wrong)?;
        self.memory.read(keys, head)?;
        let get = |field: Option<crate::layout::Field>| {
            field.and_then(|field| field.in_bytes(head)).ok_or_else(wrong)
        };
        let count = get(Some(fields.nentries))?;
        let usable = get(Some(fields.usable))?;
        let (slots, index_bytes, hashed) = match self.traits().dict_entries {
            DictEntries::Uniform => {
                let slots = get(fields.size_slots)?;
                // `DK_IXSIZE`: the narrowest of 1, 2, 4, 8 bytes that can index the slots.
                let width = if slots <= 0xFF {
                    1
                } else if slots <= 0xFFFF {
                    2
                } else if slots <= 0xFFFF_FFFF {
                    4
                } else {
                    8
                };
                if slots > MAX_SLOTS {
                    return Err(wrong());
                }
                (slots, slots * width, true)
            }
            DictEntries::ByKind => {
                let log2_slots = get(fields.log2_size)?;
                let log2_bytes = get(fields.log2_index_bytes)?;
                if log2_slots > MAX_SLOTS.ilog2().into() || log2_bytes > 43 {
                    return Err(wrong());
                }
                (1 << log2_slots, 1 << log2_bytes, get(fields.kind)? == 0)
            }
        };
        let capacity = count.saturating_add(usable);
        if count > slots || capacity > slots || count > MAX_ENTRIES || !slots.is_power_of_two() {
            return Err(wrong());
        }
        let entry_size = if hashed { 24 } else { 16 };
        Ok(Keys {
            entries: fields.indices.at(keys).add(index_bytes),
            count,
            capacity,
            hashed,
            bytes: fields.indices.offset + index_bytes + capacity * entry_size,
            owners: word(head, 0),
        })
    }
}

/// Sizes, as `sys.getsizeof()` counts them.
impl Python<'_> {
    /// Bytes that a dict has beside the object itself: its keys, unless they are shared, and
    /// its values, where they are apart (`_PyDict_SizeOf` in Objects/dictobject.c).
    pub fn dict_table_size(&self, dict: Address) -> Result<u64> {
        let fields = &self.structs().dict;
        let keys = self.keys(fields.keys.read_pointer(self.memory, dict)?)?;
        if !fields.values.read_pointer(self.memory, dict)?.is_null() {
            return Ok(keys.capacity * 8);
        }
        Ok(if keys.owners == 1 { keys.bytes } else { 0 })
    }

    /// Bytes of the attribute values inside instances of `class`: 0 where there are none
    /// (`_PyInlineValuesSize` in Objects/dictobject.c, 3.13+).
    pub fn inline_values_size(&self, class: &Type) -> Result<u64> {
        if !class.flags.inline_values() || class.cached_keys.is_null() {
            return Ok(0);
        }
        let capacity = self.keys(class.cached_keys)?.capacity;
        Ok(capacity.next_multiple_of(8) + (capacity + 1) * 8)
    }
}
