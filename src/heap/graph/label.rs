//! What a reference is, in four bytes: its kind, and the place it was found at.
//!
//! Names are not kept: the few that are shown are read again from the objects.

/// What kind of place a reference lies in. The place is a number whose meaning depends on the
/// kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Item of a list, tuple or deque, by index.
    Item,
    /// Value in a dict, by entry.
    Value,
    /// Key in a dict, by entry.
    Key,
    /// Item of a set, by slot.
    Member,
    /// Attribute kept inside the instance, by the place of its name in the class's keys.
    Attribute,
    /// The `__dict__` of an instance, class or module.
    Namespace,
    /// A word of the object's struct, by its place in words.
    Field,
    /// The type of an instance.
    Type,
    /// Local variable of a frame, by slot.
    Local,
    /// Value on a frame's stack, by slot.
    Stack,
    /// The function that a frame executes.
    Function,
    /// The code that a frame executes.
    Code,
    /// The frame object of a frame; the generator whose frame it is.
    Frame,
    /// From the root to a thread, from a thread to its frames, innermost first.
    Thread,
    /// From the root to an interpreter, from it to its modules, and from the root to what the
    /// structs of the interpreter hold.
    Interpreter,
    /// From the root to a static type or an immortal object.
    Static,
    /// From the root to an object with more references than were found.
    HeldFromC,
}

const KINDS: [Kind; 17] = [
    Kind::Item,
    Kind::Value,
    Kind::Key,
    Kind::Member,
    Kind::Attribute,
    Kind::Namespace,
    Kind::Field,
    Kind::Type,
    Kind::Local,
    Kind::Stack,
    Kind::Function,
    Kind::Code,
    Kind::Frame,
    Kind::Thread,
    Kind::Interpreter,
    Kind::Static,
    Kind::HeldFromC,
];

const KIND_BITS: u32 = 5;
const INFERRED: u32 = 1 << KIND_BITS;
const PLACE_SHIFT: u32 = KIND_BITS + 1;
/// Places from this one on are not told apart.
pub const MAX_PLACE: u64 = (1 << (32 - PLACE_SHIFT)) - 1;

/// A kind and a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(u32);

impl Label {
    /// Where no label means anything.
    pub(super) const NONE: Self = Self(Kind::Field as u32);

    /// A label; places beyond [`MAX_PLACE`] become that.
    pub fn new(kind: Kind, place: u64) -> Self {
        Self((place.min(MAX_PLACE) as u32) << PLACE_SHIFT | kind as u32)
    }

    /// The same, found by looking for pointers in a struct that is not known.
    pub fn inferred(self) -> Self {
        Self(self.0 | INFERRED)
    }

    /// Its kind.
    pub fn kind(self) -> Kind {
        KINDS.get((self.0 & (INFERRED - 1)) as usize).copied().unwrap_or(Kind::Field)
    }

    /// Its place.
    pub fn place(self) -> u64 {
        u64::from(self.0 >> PLACE_SHIFT)
    }

    /// Found by looking for pointers.
    pub fn is_inferred(self) -> bool {
        self.0 & INFERRED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
            let label = Label::new(kind, 77_000);
            assert_eq!((label.kind(), label.place(), label.is_inferred()), (kind, 77_000, false));
            assert!(label.inferred().is_inferred());
            assert_eq!(Label::new(kind, u64::MAX).inferred().place(), MAX_PLACE);
        }
    }
}
