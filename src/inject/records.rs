//! What the wrapper writes into the memory file: records of a kind, a length and bytes.
//!
//! Comes from the target like everything else: lengths are bounded, unknown kinds are passed
//! over, numbers may be nonsense.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Longest record that is believed.
const LONGEST: u32 = 1 << 30;
/// Bytes taken from the file at a time.
const PIECE: usize = 256 << 10;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// The script does not compile; the compiler's message.
    Syntax(String),
    /// It begins; `time.monotonic_ns()`.
    Begun(u64),
    /// It wrote to `sys.stdout`.
    Output(Vec<u8>),
    /// It wrote to `sys.stderr`.
    Error(Vec<u8>),
    /// What it wrote from here on is left out.
    Cut,
    /// It raised; the traceback.
    Raised(String),
    /// It raised `SystemExit`; the code's `repr`.
    Exited(String),
    /// It has ended; `time.monotonic_ns()`.
    Ended(u64),
    /// The variable `result`, as JSON.
    Value(String),
    /// There is a variable `result`, but no JSON of it; why.
    NoValue(String),
    /// It has ended, but the wrapper could not say how.
    Unknown,
    /// Everything is put back.
    Finished,
}

/// Reads records as they come.
#[derive(Debug)]
pub(super) struct Reader {
    file: File,
    offset: u64,
    /// Read and not yet taken apart.
    bytes: Vec<u8>,
}

impl Reader {
    /// Records from this offset on.
    pub(super) fn new(file: File, offset: u64) -> Self {
        Self { file, offset, bytes: Vec::new() }
    }

    /// The records that have come since the last call.
    pub(super) fn read(&mut self) -> io::Result<Vec<Record>> {
        let mut piece = vec![0; PIECE];
        loop {
            let count = self.file.read_at(&mut piece, self.offset)?;
            self.bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
            self.offset += count as u64;
            if count < PIECE {
                break;
            }
        }
        let (records, used) = parse(&self.bytes);
        self.bytes.drain(..used);
        Ok(records)
    }
}

/// The whole records at the start, and how many bytes they have.
fn parse(bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some((record, length)) = bytes.get(at..).and_then(parse_one) {
        records.extend(record);
        at += length;
    }
    (records, at)
}

fn parse_one(bytes: &[u8]) -> Option<(Option<Record>, usize)> {
    let (&kind, rest) = bytes.split_first()?;
    let length = u32::from_le_bytes(*rest.first_chunk()?);
    if length > LONGEST {
        return None;
    }
    let end = 5 + length as usize;
    let data = bytes.get(5..end)?;
    let text = || String::from_utf8_lossy(data).into_owned();
    let number = || text().parse().unwrap_or(0);
    let record = match kind {
        b'S' => Record::Syntax(text()),
        b'B' => Record::Begun(number()),
        b'O' => Record::Output(data.to_vec()),
        b'E' => Record::Error(data.to_vec()),
        b'C' => Record::Cut,
        b'X' => Record::Raised(text()),
        b'Q' => Record::Exited(text()),
        b'T' => Record::Ended(number()),
        b'V' => Record::Value(text()),
        b'L' => Record::NoValue(text()),
        b'A' => Record::Unknown,
        b'F' => Record::Finished,
        _ => return Some((None, end)),
    };
    Some((Some(record), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_come_in_pieces() {
        let bytes = b"B\x02\x00\x00\x0012O\x03\0\0\0abcF\0\0\0\0O\x09";
        let (records, used) = parse(bytes);
        assert_eq!(records, [Record::Begun(12), Record::Output(b"abc".to_vec()), Record::Finished]);
        assert_eq!(used, bytes.len() - 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes: Vec<u8>) {
            let (_, used) = parse(&bytes);
            prop_assert!(used <= bytes.len());
        }
    }
}
