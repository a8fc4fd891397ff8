//! An address in the target. Never a pointer of ours.

use std::fmt;

/// A virtual address in the target process (or in the image that stands for it).
///
/// Arithmetic wraps to "no address" instead of overflowing: a corrupted pointer plus an
/// offset must end as a fault, never as a panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Address(u64);

impl Address {
    /// The null pointer.
    pub const NULL: Self = Self(0);

    /// Wraps a raw value read from the target.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The raw value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// True for the null pointer.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// `None` for the null pointer: most structures use NULL for "absent".
    pub const fn non_null(self) -> Option<Self> {
        if self.0 == 0 { None } else { Some(self) }
    }

    /// The address `bytes` further on; saturates at the end of the address space, where every
    /// read faults.
    pub const fn add(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    /// The address `bytes` before; saturates at null.
    pub const fn sub(self, bytes: u64) -> Self {
        Self(self.0.saturating_sub(bytes))
    }

    /// The address displaced by a signed number of bytes.
    pub const fn offset(self, bytes: i64) -> Self {
        Self(self.0.saturating_add_signed(bytes))
    }

    /// True when the address is a multiple of `alignment` (a power of two).
    pub const fn is_aligned(self, alignment: u64) -> bool {
        self.0 & (alignment - 1) == 0
    }

    /// The address with the bits of `mask` cleared (tag bits of GC links and stack references).
    pub const fn without(self, mask: u64) -> Self {
        Self(self.0 & !mask)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
