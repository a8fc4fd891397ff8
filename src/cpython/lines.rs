//! From a position in the bytecode to a source line: the three encodings of CPython.
//!
//! Pure functions over the table's bytes; malformed tables end the walk, they never panic.

use crate::layout::traits::LineTable;

/// The line of the instruction at byte offset `position`, or `None` where the code has none
/// (or the table ends before it).
pub fn line_of(encoding: LineTable, table: &[u8], first_line: i64, position: i64) -> Option<u32> {
    let line = match encoding {
        LineTable::Lnotab => Some(lnotab(table, first_line, position)),
        LineTable::Pep626 => pep626(table, first_line, position),
        LineTable::Locations => locations(table, first_line, position),
    };
    line.and_then(|line| u32::try_from(line).ok())
}

/// Pairs of unsigned address and signed line increments (`PyCode_Addr2Line`, Objects/codeobject.c
/// of 3.9).
fn lnotab(table: &[u8], first_line: i64, position: i64) -> i64 {
    let (mut line, mut address) = (first_line, 0i64);
    for pair in table.chunks_exact(2) {
        address += i64::from(pair[0]);
        if address > position {
            break;
        }
        line += i64::from(pair[1] as i8);
    }
    line
}

/// Pairs of range length and signed line increment; -128 is a range without a line
/// (Objects/lnotab_notes.txt of 3.10).
fn pep626(table: &[u8], first_line: i64, position: i64) -> Option<i64> {
    if position < 0 {
        return Some(first_line);
    }
    let (mut line, mut end) = (first_line, 0i64);
    for pair in table.chunks_exact(2) {
        let delta = pair[1] as i8;
        if delta != -128 {
            line += i64::from(delta);
        }
        end += i64::from(pair[0]);
        if position < end {
            return (delta != -128).then_some(line);
        }
    }
    None
}

/// Entries of a first byte (code and length in code units) and what the code calls for
/// (InternalDocs/code_objects.md, before 3.13 Objects/locations.md).
fn locations(table: &[u8], first_line: i64, position: i64) -> Option<i64> {
    if position < 0 {
        return Some(first_line);
    }
    let mut bytes = table.iter().copied().peekable();
    let (mut line, mut end) = (first_line, 0i64);
    while let Some(first) = bytes.next() {
        let code = (first >> 3) & 15;
        let mut has_line = true;
        match code {
            15 => has_line = false,
            14 => {
                line = line.saturating_add(signed_varint(&mut bytes));
                for _ in 0..3 {
                    varint(&mut bytes);
                }
            }
            13 => line = line.saturating_add(signed_varint(&mut bytes)),
            10..=12 => {
                line += i64::from(code - 10);
                bytes.nth(1);
            }
            _ => {
                bytes.next();
            }
        }
        end += (i64::from(first & 7) + 1) * 2;
        if position < end {
            return has_line.then_some(line);
        }
    }
    None
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    let mut value = 0u64;
    for shift in (0..60).step_by(6) {
        let Some(byte) = bytes.next() else { break };
        value |= u64::from(byte & 63) << shift;
        if byte & 64 == 0 {
            break;
        }
    }
    value
}

fn signed_varint(bytes: &mut impl Iterator<Item = u8>) -> i64 {
    let value = varint(bytes);
    let magnitude = (value >> 1) as i64;
    if value & 1 == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lnotab_counts_back_as_well() {
        // dis of 3.9: line 10 at 0, line 12 at 6, line 11 at 10.
        let table = [6, 2, 4, 0xFF];
        let line = |position| line_of(LineTable::Lnotab, &table, 10, position);
        assert_eq!(
            [line(-1), line(0), line(6), line(9), line(10)].map(Option::unwrap),
            [10, 10, 12, 12, 11]
        );
    }

    #[test]
    fn pep626_has_ranges_without_a_line() {
        let table = [4, 0, 2, 0x80, 4, 1];
        let line = |position| line_of(LineTable::Pep626, &table, 7, position);
        assert_eq!([line(2), line(4), line(6), line(20)], [Some(7), None, Some(8), None]);
    }

    #[test]
    fn location_entries_of_every_form() {
        let table = [
            0x80 | 1,
            0x00, // short form, 2 units, same line
            0x80 | (11 << 3),
            0x01,
            0x02, // one line on, 1 unit
            0x80 | (13 << 3),
            0x07, // no columns, delta -3, 1 unit
            0x80 | (14 << 3),
            0x0A,
            0x00,
            0x01,
            0x01,             // long form, delta +5
            0x80 | (15 << 3), // no location
        ];
        let line = |position| line_of(LineTable::Locations, &table, 100, position);
        assert_eq!(
            [line(0), line(2), line(4), line(6), line(8), line(10)],
            [Some(100), Some(100), Some(101), Some(98), Some(103), None]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end(table: Vec<u8>, first in -10i64..10_000, position in -4i64..100_000) {
            for encoding in [LineTable::Lnotab, LineTable::Pep626, LineTable::Locations] {
                line_of(encoding, &table, first, position);
            }
        }
    }
}
