//! `int`, `bool`, `float`.

use super::{ObjectError, Python, Result};
use crate::memory::Address;

/// Digits of an int that are read; 30 bits each.
const MAX_DIGITS: u64 = 64;
const DIGIT_BITS: u32 = 30;

/// The value of an `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integer {
    /// It fits.
    Small(i128),
    /// It does not; this many bits, and the sign.
    Large {
        /// Number of significant bits.
        bits: u64,
        /// Below zero.
        negative: bool,
    },
}

impl Integer {
    /// The value when it fits an `i64`.
    pub fn as_i64(self) -> Option<i64> {
        match self {
            Self::Small(value) => i64::try_from(value).ok(),
            Self::Large { .. } => None,
        }
    }
}

impl Python<'_> {
    /// The value of an `int`, a `bool` or an instance of a subclass
    /// (Include/cpython/longintrepr.h).
    pub fn integer(&self, object: Address) -> Result<Integer> {
        if !self.flags_of(object)?.long_subclass() {
            return Err(ObjectError::malformed("int", object));
        }
        let long = &self.structs().long;
        let (count, negative) = match long.tag {
            // lv_tag: digits in the bits from 3 on, sign in the lowest two (0 +, 1 zero, 2 -).
            Some(tag) => {
                let tag = tag.read(self.memory, object)?;
                (if tag & 3 == 1 { 0 } else { tag >> 3 }, tag & 3 == 2)
            }
            None => {
                let size = self.variable_size(object)?;
                (size.unsigned_abs(), size < 0)
            }
        };
        if count > MAX_DIGITS {
            return Ok(Integer::Large { bits: count.saturating_mul(DIGIT_BITS.into()), negative });
        }
        let bytes = self.memory.read_vec(long.digits.at(object), count as usize * 4)?;
        let digits = bytes.chunks_exact(4).map(|digit| {
            u32::from_le_bytes([digit[0], digit[1], digit[2], digit[3]]) & ((1 << DIGIT_BITS) - 1)
        });
        let digits: Vec<u32> = digits.collect();
        let bits = significant_bits(&digits);
        if bits > 126 {
            return Ok(Integer::Large { bits, negative });
        }
        let magnitude = digits
            .iter()
            .rev()
            .fold(0i128, |value, &digit| (value << DIGIT_BITS) | i128::from(digit));
        Ok(Integer::Small(if negative { -magnitude } else { magnitude }))
    }

    /// The value of an `int` that must fit an `i64`.
    pub fn small_integer(&self, object: Address) -> Result<i64> {
        let value = self.integer(object)?.as_i64();
        value.ok_or_else(|| ObjectError::malformed("int of 64 bits", object))
    }

    /// The truth of a `bool`.
    pub fn boolean(&self, object: Address) -> Result<bool> {
        Ok(self.small_integer(object)? != 0)
    }

    /// The value of a `float`.
    pub fn float(&self, object: Address) -> Result<f64> {
        let bits = self.memory.read_u64(self.structs().float.value.at(object))?;
        Ok(f64::from_bits(bits))
    }
}

fn significant_bits(digits: &[u32]) -> u64 {
    match digits.iter().rposition(|&digit| digit != 0) {
        Some(top) => {
            top as u64 * u64::from(DIGIT_BITS) + u64::from(32 - digits[top].leading_zeros())
        }
        None => 0,
    }
}
