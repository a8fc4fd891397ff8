//! Walking one list of tracked objects.
//!
//! A GC head (`PyGC_Head`) lies 16 bytes before its object and holds the next and the previous
//! head; flag bits are in the low two bits of both (Include/internal/pycore_gc.h). Outside a
//! collection each back link names the head we came from, which is checked at every step: a
//! walk that passes cannot run in circles and has lost nothing. During a collection the back
//! links hold counts; then a circle is found by meeting again a head met before, so that no
//! walk is longer than a few times the memory there is.

use crate::cpython::Python;
use crate::memory::{Address, MemoryError};

/// Flag bits of `_gc_next` and `_gc_prev`.
const FLAGS: u64 = 3;
/// Bytes of a GC head.
pub const GC_HEAD: u64 = 16;
/// Bytes read per object: head, reference count, type, `ob_size`.
const WINDOW: usize = 40;

/// A tracked object, with the words that are read along with its GC head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackedObject {
    /// The object (not its GC head).
    pub address: Address,
    /// Its type; not checked yet.
    pub class: Address,
    /// The word behind the type: `ob_size` of objects with a variable part, anything else
    /// otherwise.
    pub size_word: u64,
    /// The word with the reference count, as it is.
    pub refcount_word: u64,
}

/// Where and why a walk ended before it came back to the list's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// The GC head that does not fit.
    pub at: Address,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Calls `visit` for each object of the list at `head`. `collecting` says that back links are
/// not to be trusted. `Ok(Some(_))` says where the list broke.
pub fn walk(
    python: &Python<'_>,
    head: Address,
    collecting: bool,
    mut visit: impl FnMut(TrackedObject),
) -> Result<Option<Break>, MemoryError> {
    let memory = python.memory();
    let structs = &python.layout().structs;
    let type_at = GC_HEAD as usize + structs.object.ob_type.offset as usize;
    let size_at = GC_HEAD as usize + structs.var_object.ob_size.offset as usize;
    let broken = |at, reason| Ok(Some(Break { at, reason }));
    let mut bytes = [0u8; WINDOW];
    let word = |bytes: &[u8; WINDOW], at: usize| match bytes.get(at..at + 8) {
        Some(word) => u64::from_le_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]),
        None => 0,
    };

    let mut previous = head;
    let mut at = match memory.read_pointer(head) {
        Ok(next) => next.without(FLAGS),
        Err(error) if error.is_fault() => return broken(head, "the list's head is not readable"),
        Err(error) => return Err(error),
    };
    // Brent's cycle detection: a head remembered at every power of two steps.
    let (mut remembered, mut steps, mut next_mark) = (Address::NULL, 0u64, 1u64);
    loop {
        if at == remembered {
            return broken(at, "the list runs in a circle");
        }
        if steps == next_mark {
            remembered = at;
            next_mark = next_mark.saturating_mul(2);
        }
        steps += 1;
        if at == head {
            return Ok(None);
        }
        // Heads are 8-aligned; 3.13.5 aligns the list heads inside its own state to 4 only.
        if at.is_null() || !at.is_aligned(8) {
            return broken(at, "a link is null or unaligned");
        }
        if let Err(error) = read_window(memory, at, &mut bytes) {
            return if error.is_fault() { broken(at, "a link leads nowhere") } else { Err(error) };
        }
        if !collecting && Address::new(word(&bytes, 8)).without(FLAGS) != previous {
            return broken(at, "a back link does not match");
        }
        visit(TrackedObject {
            address: at.add(GC_HEAD),
            class: Address::new(word(&bytes, type_at)),
            size_word: word(&bytes, size_at),
            refcount_word: word(&bytes, GC_HEAD as usize),
        });
        previous = at;
        at = Address::new(word(&bytes, 0)).without(FLAGS);
    }
}

/// An object without a variable part may be the last thing before a hole: then the last word
/// stays zero.
fn read_window(
    memory: &dyn crate::memory::MemorySource,
    at: Address,
    bytes: &mut [u8; WINDOW],
) -> Result<(), MemoryError> {
    match memory.read(at, bytes) {
        Err(error) if error.is_fault() => {
            bytes[WINDOW - 8..].fill(0);
            memory.read(at, &mut bytes[..WINDOW - 8])
        }
        other => other,
    }
}
