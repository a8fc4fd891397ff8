//! `str` and `bytes`.

use super::{ObjectError, Python, Result};
use crate::memory::Address;
use std::fmt::Write;

impl Python<'_> {
    /// A `str` (or an instance of a subclass), at most `limit` characters of it.
    ///
    /// Lone surrogates, which Python allows and Rust does not, become their escape (`\udc80`).
    /// Layout: Include/cpython/unicodeobject.h.
    pub fn text(&self, object: Address, limit: usize) -> Result<String> {
        if !self.flags_of(object)?.unicode_subclass() {
            return Err(ObjectError::malformed("str", object));
        }
        self.text_unchecked(object, limit).map(|(text, _)| text)
    }

    /// As [`Python::text`], without looking at the type; also says how many characters there
    /// are in all.
    pub(super) fn text_unchecked(&self, object: Address, limit: usize) -> Result<(String, u64)> {
        let ascii = &self.structs().ascii;
        let compact = &self.structs().compact_unicode;
        let head = self.read_struct(object, ascii.size)?;
        let get = |field: crate::layout::Field| field.in_bytes(&head).unwrap_or(0);
        let width = get(ascii.kind) as usize;
        if !matches!(width, 1 | 2 | 4) {
            return Err(ObjectError::malformed("str kind", object));
        }
        let data = match (get(ascii.compact) != 0, get(ascii.ascii) != 0) {
            (true, true) => object.add(ascii.size),
            (true, false) => object.add(compact.size),
            // Subclasses keep their characters elsewhere, behind a pointer after the head.
            (false, _) => self.memory.read_pointer(object.add(compact.size))?,
        };
        let length = get(ascii.length);
        let taken = usize::try_from(length).unwrap_or(usize::MAX).min(limit);
        let bytes = self.memory.read_vec(data, taken * width)?;
        Ok((decode(&bytes, width), length))
    }

    /// `len()` of a `str`.
    pub fn text_length(&self, object: Address) -> Result<u64> {
        Ok(self.structs().ascii.length.read(self.memory, object)?)
    }

    /// A `bytes` object, at most `limit` bytes of it.
    pub fn bytes(&self, object: Address, limit: usize) -> Result<Vec<u8>> {
        let length = u64::try_from(self.variable_size(object)?)
            .map_err(|_| ObjectError::malformed("bytes length", object))?;
        let taken = usize::try_from(length).unwrap_or(usize::MAX).min(limit);
        Ok(self.memory.read_vec(self.structs().bytes.data.at(object), taken)?)
    }

    /// True when the `str` at `object` is exactly `expected` (ASCII). Compares the length first.
    pub fn text_is(&self, object: Address, expected: &str) -> Result<bool> {
        let length = self.structs().ascii.length.read(self.memory, object)?;
        if length != expected.len() as u64 {
            return Ok(false);
        }
        Ok(self.text(object, expected.len())? == expected)
    }
}

/// Code units of `width` bytes as text.
fn decode(bytes: &[u8], width: usize) -> String {
    let mut text = String::with_capacity(bytes.len() / width);
    for unit in bytes.chunks_exact(width) {
        let mut code = [0; 4];
        code[..width].copy_from_slice(unit);
        let code = u32::from_le_bytes(code);
        match char::from_u32(code) {
            Some(character) => text.push(character),
            None if (0xD800..0xE000).contains(&code) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{code:04x}");
            }
            None => text.push(char::REPLACEMENT_CHARACTER),
        }
    }
    text
}
