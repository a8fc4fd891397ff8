//! Numbers as few bits: each bit is written by how likely it was, and what is likely is learned on
//! the way, so that writer and reader know the same at each bit.
//!
//! An adaptive binary range coder, as those of LZMA and the PAQ programs. A bit is told by its
//! context, any number of 64 bits: equal contexts learn together. Names are not coded here: they
//! are lines of a text of their own, which the file's compression is better at.
//!
//! Writing and reading are one interface, so that a model of the data is written once: what is
//! passed is written by a [`Writer`] and passed over by a [`Reader`], what is returned is the same
//! in both.

use super::sections::ColumnError;

/// Contexts are counted in a table of two to this; those that share a place learn together.
const TABLE: u32 = 20;
/// How many bits a context remembers, about.
const MEMORY: u32 = 24;
/// No bit is less likely than so many of 65,536, so that none is free ([`MOST_BITS`]).
const LEAST: u32 = 256;
/// A byte never says more bits than this: 8 of log2(65536 / (65536 - LEAST)).
pub(super) const MOST_BITS: u64 = 8 * 178;
/// Bits of a number whose context are those above them.
const MODELLED: u32 = 12;

/// Codes what it is given, or gives what it reads.
pub(super) trait Coder {
    /// A bit.
    fn bit(&mut self, context: u64, bit: bool) -> Result<bool, ColumnError>;

    /// A name.
    fn text(&mut self, text: &str) -> Result<String, ColumnError>;

    /// A number: how many bits it has, and these.
    fn number(&mut self, context: u64, number: u64) -> Result<u64, ColumnError> {
        let width = 64 - number.leading_zeros();
        let mut bits = 0;
        while bits < 64 && self.bit(mix(context, bits.into()), bits < width)? {
            bits += 1;
        }
        let mut value = u64::from(bits > 0);
        for below in (0..bits.saturating_sub(1)).rev() {
            let known = bits - 1 - below;
            let above = if known < MODELLED { value } else { u64::from(below) << 32 };
            let context = mix(context, above << 8 | u64::from(bits) << 1 | 1 << 63);
            let bit = self.bit(context, number >> below & 1 == 1)?;
            value = value << 1 | u64::from(bit);
        }
        Ok(value)
    }

    /// A number below zero or not.
    fn signed(&mut self, context: u64, number: i64) -> Result<i64, ColumnError> {
        let zigzag = (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned();
        let zigzag = self.number(context, zigzag)?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }
}

/// A context within another.
pub(super) fn mix(context: u64, part: u64) -> u64 {
    (context.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What is known of each context: how likely a one is, in the upper 22 bits, and how many bits were
/// seen. Even chances are zero, so that a new table is untouched memory.
struct Chances(Vec<u32>);

const EVEN: u32 = 1 << 31;

impl Chances {
    fn new() -> Self {
        Self(vec![0; 1 << TABLE])
    }

    fn slot(&mut self, context: u64) -> &mut u32 {
        // As many as the bits of the index can say.
        let at = (mix(context, 0) >> (64 - TABLE)) as usize;
        &mut self.0[at]
    }

    /// How likely a one is, of 65,536; never none and never all.
    fn one(slot: u32) -> u32 {
        ((slot ^ EVEN) >> 16).clamp(LEAST, 0x10000 - LEAST)
    }

    fn learn(slot: &mut u32, bit: bool) {
        let state = *slot ^ EVEN;
        let (chance, seen) = (state >> 10, state & 0x3ff);
        let goal = if bit { (1 << 22) - 1 } else { 0 };
        let step = (i64::from(goal) - i64::from(chance)) * 2 / i64::from(2 * seen + 3);
        let chance = (i64::from(chance) + step) as u32;
        *slot = (chance << 10 | (seen + 1).min(MEMORY)) ^ EVEN;
    }
}

/// The part of all numbers that is left, and where it is divided.
struct Interval {
    low: u32,
    high: u32,
}

impl Interval {
    const ALL: Self = Self { low: 0, high: u32::MAX };

    fn middle(&self, one: u32) -> u32 {
        self.low + ((u64::from(self.high - self.low) * u64::from(one)) >> 16) as u32
    }

    fn keep(&mut self, middle: u32, bit: bool) {
        match bit {
            true => self.high = middle,
            false => self.low = middle + 1,
        }
    }

    /// A byte that is decided, if there is one.
    fn decided(&mut self) -> Option<u8> {
        let byte = (self.high >> 24) as u8;
        (byte == (self.low >> 24) as u8).then(|| {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            byte
        })
    }
}

/// Writes.
pub(super) struct Writer {
    chances: Chances,
    interval: Interval,
    bits: Vec<u8>,
    texts: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        let (bits, texts) = (Vec::new(), Vec::new());
        Self { chances: Chances::new(), interval: Interval::ALL, bits, texts }
    }

    /// The numbers, and the names.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.bits.extend(self.interval.high.to_be_bytes());
        (self.bits, self.texts)
    }
}

impl Coder for Writer {
    fn bit(&mut self, context: u64, bit: bool) -> Result<bool, ColumnError> {
        let slot = self.chances.slot(context);
        let middle = self.interval.middle(Chances::one(*slot));
        Chances::learn(slot, bit);
        self.interval.keep(middle, bit);
        while let Some(byte) = self.interval.decided() {
            self.bits.push(byte);
        }
        Ok(bit)
    }

    fn text(&mut self, text: &str) -> Result<String, ColumnError> {
        for byte in text.bytes() {
            match byte {
                b'\n' => self.texts.extend(b"\\n"),
                b'\\' => self.texts.extend(b"\\\\"),
                _ => self.texts.push(byte),
            }
        }
        self.texts.push(b'\n');
        Ok(text.to_owned())
    }
}

/// Reads.
pub(super) struct Reader<'r> {
    chances: Chances,
    interval: Interval,
    value: u32,
    bits: &'r [u8],
    /// More was read than there is.
    beyond: bool,
    texts: &'r [u8],
}

impl<'r> Reader<'r> {
    pub(super) fn new(bits: &'r [u8], texts: &'r [u8]) -> Self {
        let (chances, interval) = (Chances::new(), Interval::ALL);
        let mut reader = Self { chances, interval, value: 0, bits, beyond: false, texts };
        (0..4).for_each(|_| reader.shift());
        reader
    }

    fn shift(&mut self) {
        let byte = match self.bits.split_first() {
            Some((&byte, rest)) => {
                self.bits = rest;
                byte
            }
            None => {
                self.beyond = true;
                0
            }
        };
        self.value = self.value << 8 | u32::from(byte);
    }

    /// True when everything was read, and no more than that.
    pub(super) fn is_at_end(&self) -> bool {
        self.bits.is_empty() && !self.beyond && self.texts.is_empty()
    }
}

impl Coder for Reader<'_> {
    fn bit(&mut self, context: u64, _: bool) -> Result<bool, ColumnError> {
        if self.beyond {
            return Err(ColumnError::Misfit("graph.nodes"));
        }
        let slot = self.chances.slot(context);
        let middle = self.interval.middle(Chances::one(*slot));
        let bit = self.value <= middle;
        Chances::learn(slot, bit);
        self.interval.keep(middle, bit);
        while self.interval.decided().is_some() {
            self.shift();
        }
        Ok(bit)
    }

    fn text(&mut self, _: &str) -> Result<String, ColumnError> {
        let misfit = ColumnError::Misfit("graph.names");
        let end = self.texts.iter().position(|&byte| byte == b'\n');
        let Some((line, rest)) = end.and_then(|end| self.texts.split_at_checked(end)) else {
            return Err(misfit);
        };
        self.texts = rest.get(1..).unwrap_or_default();
        let mut text = Vec::with_capacity(line.len());
        let mut bytes = line.iter();
        while let Some(&byte) = bytes.next() {
            text.push(match byte {
                b'\\' if bytes.next() == Some(&b'n') => b'\n',
                byte => byte,
            });
        }
        String::from_utf8(text).map_err(|_| misfit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Coder, Reader, Writer};

    fn code(coder: &mut impl Coder, given: &[(u64, u64)]) -> Vec<u64> {
        given.iter().map(|&(context, number)| coder.number(context, number).unwrap()).collect()
    }

    #[test]
    fn numbers_and_names_come_back_and_the_likely_ones_cost_nothing() {
        let mut given: Vec<(u64, u64)> = (0..64).map(|bits| (bits % 3, u64::MAX >> bits)).collect();
        given.extend((0..64).flat_map(|bits| [(9, 1 << bits), (9, (1 << bits) - 1)]));
        given.extend((0..5000).map(|at| (7, at * 0x9e37_79b9 % 1000)));
        let mut writer = Writer::new();
        assert_eq!(code(&mut writer, &given), given.iter().map(|one| one.1).collect::<Vec<_>>());
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(writer.signed(1, number), Ok(number));
        }
        let names = ["", "a\nb", "\\", "\\n", "用户"];
        names.iter().for_each(|name| drop(writer.text(name)));
        let (bits, texts) = writer.finish();
        let mut reader = Reader::new(&bits, &texts);
        let blank: Vec<(u64, u64)> = given.iter().map(|one| (one.0, 0)).collect();
        assert_eq!(code(&mut reader, &blank), given.iter().map(|one| one.1).collect::<Vec<_>>());
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(reader.signed(1, 0), Ok(number));
        }
        for name in names {
            assert_eq!(reader.text("").as_deref(), Ok(name));
        }
        assert!(reader.is_at_end());
        assert!(reader.text("").is_err());

        let mut writer = Writer::new();
        code(&mut writer, &[(1, 5); 100_000]);
        let (bits, _) = writer.finish();
        assert!(bits.len() < 500, "{}", bits.len());
        // Whoever asks for more than there is, is told so.
        let mut reader = Reader::new(&bits, b"");
        let left = (0..u64::MAX).find(|&context| reader.bit(context, false).is_err());
        assert!(left.is_some());
    }
}
