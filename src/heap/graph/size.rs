//! Sizes of objects that the collector does not track.

use crate::cpython::{Python, Type};

/// Bytes of a `str` (`unicode_sizeof` in Objects/unicodeobject.c), without a cached UTF-8 form:
/// from a copy of its struct.
pub(super) fn text(python: &Python<'_>, class: &Type, copy: &[u8]) -> u64 {
    let structs = &python.layout().structs;
    let get = |field: crate::layout::Field| field.in_bytes(copy).unwrap_or(0);
    let (kind, length) = (get(structs.ascii.kind), get(structs.ascii.length));
    let characters = length.saturating_add(1).saturating_mul(kind.max(1));
    let head = match (get(structs.ascii.compact) != 0, get(structs.ascii.ascii) != 0) {
        (true, true) => structs.ascii.size,
        (true, false) => structs.compact_unicode.size,
        (false, _) => class.basicsize,
    };
    head.saturating_add(characters).min(1 << 40)
}

/// Bytes of an `int`; `word` is what lies behind the type: the number of digits with a sign, or
/// from 3.12 on shifted by three bits.
pub(super) fn integer(python: &Python<'_>, class: &Type, word: u32) -> u64 {
    let digits = match python.layout().structs.long.tag {
        Some(_) => word >> 3,
        None => word,
    };
    class.basicsize.saturating_add(u64::from(digits) * 4)
}
