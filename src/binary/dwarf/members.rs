//! One unit's types: definitions of structs, their members by path, sizes of types.

use super::{Member, Slice};
use gimli::constants as dw;
use gimli::{AttributeValue, DebuggingInformationEntry as Entry, UnitOffset};
use std::cell::Cell;

/// Typedefs of typedefs, structs within structs, arrays of arrays: real types nest less.
const MAX_DEPTH: usize = 32;

/// A unit and the file it belongs to.
pub(super) struct Unit<'d, 'a> {
    /// Entries that may still be looked at: types of a damaged file may contain themselves.
    budget: &'d Cell<u64>,
    dwarf: &'d gimli::Dwarf<Slice<'a>>,
    unit: &'d gimli::Unit<Slice<'a>>,
}

/// A struct or union that is defined, not only declared.
pub(super) struct Definition<'u, 'd, 'a> {
    unit: &'u Unit<'d, 'a>,
    offset: UnitOffset,
    pub(super) size: u64,
}

/// One step of a path: where a member is and what type it has.
struct Step {
    place: Member,
    type_at: Option<UnitOffset>,
}

impl<'d, 'a> Unit<'d, 'a> {
    pub(super) fn new(
        dwarf: &'d gimli::Dwarf<Slice<'a>>,
        unit: &'d gimli::Unit<Slice<'a>>,
        budget: &'d Cell<u64>,
    ) -> Self {
        Self { dwarf, unit, budget }
    }

    pub(super) fn entries(&self) -> gimli::EntriesCursor<'_, Slice<'a>> {
        self.unit.entries()
    }

    pub(super) fn name_of(&self, entry: &Entry<Slice<'a>>) -> Option<&'a [u8]> {
        let value = entry.attr_value(dw::DW_AT_name)?;
        self.dwarf.attr_string(self.unit, value).ok().map(|name| name.slice())
    }

    /// The struct that `entry` is, or is a typedef of; `None` when it is only declared here.
    pub(super) fn definition(&self, entry: &Entry<Slice<'a>>) -> Option<Definition<'_, 'd, 'a>> {
        let entry = self.peel(entry.clone())?;
        if !is_aggregate(&entry) || entry.has_attr(dw::DW_AT_declaration) {
            return None;
        }
        let size = number(&entry, dw::DW_AT_byte_size)?;
        Some(Definition { unit: self, offset: entry.offset(), size })
    }

    fn at(&self, offset: UnitOffset) -> Option<Entry<Slice<'a>>> {
        self.unit.entry(offset).ok()
    }

    /// Follows typedefs and qualifiers.
    fn peel(&self, mut entry: Entry<Slice<'a>>) -> Option<Entry<Slice<'a>>> {
        for _ in 0..MAX_DEPTH {
            match entry.tag() {
                dw::DW_TAG_typedef
                | dw::DW_TAG_const_type
                | dw::DW_TAG_volatile_type
                | dw::DW_TAG_restrict_type
                | dw::DW_TAG_atomic_type => entry = self.at(self.type_of(&entry)?)?,
                _ => return Some(entry),
            }
        }
        None
    }

    /// The type an entry refers to. A reference into another unit is followed only when it
    /// leads back here; compilers of C keep a unit's types in the unit.
    fn type_of(&self, entry: &Entry<Slice<'a>>) -> Option<UnitOffset> {
        match entry.attr_value(dw::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            AttributeValue::DebugInfoRef(offset) => offset.to_unit_offset(&self.unit.header),
            _ => None,
        }
    }

    /// The size in bytes of the type at `offset`.
    fn size_of(&self, offset: UnitOffset, depth: usize) -> Option<u64> {
        if depth > MAX_DEPTH {
            return None;
        }
        let entry = self.peel(self.at(offset)?)?;
        if let Some(size) = number(&entry, dw::DW_AT_byte_size) {
            return Some(size);
        }
        match entry.tag() {
            dw::DW_TAG_pointer_type => Some(8),
            dw::DW_TAG_array_type => {
                let element = self.size_of(self.type_of(&entry)?, depth + 1)?;
                element.checked_mul(self.elements(entry.offset())?)
            }
            _ => None,
        }
    }

    /// How many elements an array has, all its dimensions multiplied; 0 for a flexible one.
    fn elements(&self, array: UnitOffset) -> Option<u64> {
        let mut entries = self.unit.entries_at_offset(array).ok()?;
        let mut total: u64 = 1;
        let mut dimensions = 0;
        entries.next_dfs().ok()??;
        let mut next = entries.next_dfs().ok()?.is_some_and(|entry| entry.depth() == 1);
        while next {
            let entry = entries.current()?;
            if entry.tag() == dw::DW_TAG_subrange_type {
                dimensions += 1;
                let count = number(entry, dw::DW_AT_count).or_else(|| {
                    number(entry, dw::DW_AT_upper_bound).map(|last| last.wrapping_add(1))
                });
                total = total.checked_mul(count.unwrap_or(0))?;
            }
            next = dimensions <= MAX_DEPTH && entries.next_sibling().ok()?.is_some();
        }
        Some(if dimensions == 0 { 0 } else { total })
    }
}

impl Definition<'_, '_, '_> {
    /// The member at a dotted path.
    pub(super) fn member(&self, path: &str) -> Option<Member> {
        let mut at = self.offset;
        let mut base: u64 = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let step = self.unit.step(at, part.as_bytes(), 0)?;
            let offset = base.checked_add(step.place.offset)?;
            if parts.peek().is_none() {
                return Some(Member { offset, ..step.place });
            }
            let inner = self.unit.peel(self.unit.at(step.type_at?)?)?;
            if !is_aggregate(&inner) {
                return None;
            }
            (at, base) = (inner.offset(), offset);
        }
        None
    }
}

impl<'a> Unit<'_, 'a> {
    /// The member `name` of the struct or union at `at`, looking through anonymous members.
    fn step(&self, at: UnitOffset, name: &[u8], depth: usize) -> Option<Step> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut entries = self.unit.entries_at_offset(at).ok()?;
        entries.next_dfs().ok()??;
        let mut next = entries.next_dfs().ok()?.is_some_and(|entry| entry.depth() == 1);
        while next && self.budget.get() > 0 {
            self.budget.set(self.budget.get() - 1);
            let entry = entries.current()?;
            if entry.tag() == dw::DW_TAG_member {
                match self.name_of(entry) {
                    Some(found) if found == name => return self.place(entry),
                    Some(_) => {}
                    None => {
                        let base = location(entry).unwrap_or(0);
                        let inner = self
                            .type_of(entry)
                            .and_then(|offset| self.peel(self.at(offset)?))
                            .filter(is_aggregate);
                        let found =
                            inner.and_then(|inner| self.step(inner.offset(), name, depth + 1));
                        if let Some(mut step) = found {
                            step.place.offset = step.place.offset.checked_add(base)?;
                            return Some(step);
                        }
                    }
                }
            }
            next = entries.next_sibling().ok()?.is_some();
        }
        None
    }

    fn place(&self, entry: &Entry<Slice<'a>>) -> Option<Step> {
        let type_at = self.type_of(entry);
        let size = type_at.and_then(|offset| self.size_of(offset, 0)).unwrap_or(0);
        let place = match number(entry, dw::DW_AT_bit_size) {
            None => Member { offset: location(entry).unwrap_or(0), size, bits: None },
            Some(width) => bit_field(entry, size, width)?,
        };
        Some(Step { place, type_at })
    }
}

/// A bit-field's storage unit and its bits in it, on a little-endian machine.
fn bit_field(entry: &Entry<Slice<'_>>, type_size: u64, width: u64) -> Option<Member> {
    let size = number(entry, dw::DW_AT_byte_size).unwrap_or(type_size);
    if !matches!(size, 1 | 2 | 4 | 8) {
        return None;
    }
    let unit = size * 8;
    let start = match number(entry, dw::DW_AT_data_bit_offset) {
        // DWARF 4 and 5: bits from the start of the struct.
        Some(start) => start.checked_add(location(entry).unwrap_or(0).checked_mul(8)?)?,
        // DWARF 2 and 3: bits from the most significant bit of the storage unit.
        None => {
            let from_top = number(entry, dw::DW_AT_bit_offset)?;
            let first = unit.checked_sub(from_top)?.checked_sub(width)?;
            location(entry).unwrap_or(0).checked_mul(8)?.checked_add(first)?
        }
    };
    let first = start % unit;
    if first + width > unit {
        return None;
    }
    let bits = (u8::try_from(first).ok()?, u8::try_from(width).ok()?);
    Some(Member { offset: (start - first) / 8, size, bits: Some(bits) })
}

/// `DW_AT_data_member_location`: a constant, or in old files an expression of one addition.
fn location(entry: &Entry<Slice<'_>>) -> Option<u64> {
    match entry.attr_value(dw::DW_AT_data_member_location)? {
        AttributeValue::Exprloc(expression) => {
            let (&operation, operand) = expression.0.slice().split_first()?;
            if operation != dw::DW_OP_plus_uconst.0 {
                return None;
            }
            gimli::Reader::read_uleb128(&mut gimli::EndianSlice::new(operand, gimli::LittleEndian))
                .ok()
        }
        value => value.udata_value(),
    }
}

fn number(entry: &Entry<Slice<'_>>, name: gimli::DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

fn is_aggregate(entry: &Entry<Slice<'_>>) -> bool {
    matches!(entry.tag(), dw::DW_TAG_structure_type | dw::DW_TAG_union_type)
}
