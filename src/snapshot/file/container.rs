//! A file of named sections, each a gzip member of its own (RFC 1952).
//!
//! Any gzip tool unpacks the whole file: the sections' texts one behind the other. What makes a
//! member a section is a subfield of its header (`PY`), which a gzip tool passes over: the
//! section's name, its compressed and its plain length and checksums. So a reader can hop from
//! section to section without unpacking, and find the next whole one behind a damaged one.
//!
//! Lengths from a file are never believed: what is unpacked is bounded before it is made.

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use flate2::{Crc, CrcWriter};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Gzip, deflate, with extra field, no time, no flags, unknown system.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
/// The subfield's name.
const SUBFIELD: [u8; 2] = *b"PY";
/// What the subfield looks like inside.
const LAYOUT: u8 = 1;
/// Longest name of a section.
const MAX_NAME: usize = 32;
/// The fixed part of the subfield: layout, length of the name, two lengths, two checksums.
const FIXED: usize = 2 + 4 * 4;
/// Bytes of a header: gzip's, length of the extra field, the subfield's name and length.
const BEFORE_SUBFIELD: usize = GZIP.len() + 2 + 4;
/// A header is never longer.
const MAX_HEADER: usize = BEFORE_SUBFIELD + FIXED + MAX_NAME;
/// Checksum and length behind the compressed bytes.
const TRAILER: u64 = 8;
/// Largest section, unpacked.
const MAX_SECTION: u32 = 512 << 20;
/// Deflate cannot do better than 1032 to 1.
const MAX_RATIO: u64 = 1032;
/// Bytes looked through for the next whole section behind damage.
const MAX_SEARCH: u64 = 4 << 30;

/// One section, packed.
pub(super) fn pack(name: &str, text: &[u8]) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::other("a section of a snapshot is too large");
    let name = name.as_bytes();
    let plain = u32::try_from(text.len()).ok().filter(|&length| length <= MAX_SECTION);
    let plain = plain.ok_or_else(too_large)?;
    let mut checked = CrcWriter::new(DeflateEncoder::new(Vec::new(), Compression::new(6)));
    checked.write_all(text)?;
    let sum = checked.crc().sum();
    let packed = checked.into_inner().finish()?;
    let length = u32::try_from(packed.len()).map_err(|_| too_large())?;

    let mut subfield = vec![LAYOUT, name.len() as u8];
    subfield.extend(name);
    for number in [length, plain, sum] {
        subfield.extend(number.to_le_bytes());
    }
    subfield.extend(crc(&subfield).to_le_bytes());

    let mut member = Vec::with_capacity(MAX_HEADER + packed.len() + TRAILER as usize);
    member.extend(GZIP);
    member.extend((subfield.len() as u16 + 4).to_le_bytes());
    member.extend(SUBFIELD);
    member.extend((subfield.len() as u16).to_le_bytes());
    member.extend(subfield);
    member.extend(packed);
    member.extend(sum.to_le_bytes());
    member.extend(plain.to_le_bytes());
    Ok(member)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Where a section is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    /// Where its compressed bytes begin.
    at: u64,
    packed: u32,
    plain: u32,
    sum: u32,
}

impl Section {
    /// Two sections with the same key have the same text.
    pub(super) fn key(&self) -> (u32, u32, u32) {
        (self.packed, self.plain, self.sum)
    }

    fn end(&self) -> u64 {
        self.at + u64::from(self.packed) + TRAILER
    }

    /// The section whose header begins with these bytes, which are at `at` of the file.
    fn parse(at: u64, bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&GZIP)?;
        let (extra, rest) = rest.split_first_chunk::<2>()?;
        let rest = rest.strip_prefix(&SUBFIELD)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        if usize::from(u16::from_le_bytes(*extra)) != length + 4 {
            return None;
        }
        let subfield = rest.get(..length)?;
        let (checked, sum_of_header) = subfield.split_last_chunk::<4>()?;
        if crc(checked) != u32::from_le_bytes(*sum_of_header) {
            return None;
        }
        let (&[layout, name_length], rest) = checked.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(name_length))?;
        let (packed, rest) = rest.split_first_chunk::<4>()?;
        let (plain, rest) = rest.split_first_chunk::<4>()?;
        let (sum, _) = rest.split_first_chunk::<4>()?;
        let (packed, plain) = (u32::from_le_bytes(*packed), u32::from_le_bytes(*plain));
        let honest = u64::from(plain) <= u64::from(packed).saturating_mul(MAX_RATIO);
        if layout != LAYOUT || name.len() > MAX_NAME || plain > MAX_SECTION || !honest {
            return None;
        }
        Some(Self {
            name: std::str::from_utf8(name).ok()?.to_owned(),
            at: at + (BEFORE_SUBFIELD + length) as u64,
            packed,
            plain,
            sum: u32::from_le_bytes(*sum),
        })
    }

    /// Its text. `Ok(None)`: it is not what its header says.
    pub(super) fn read<F: Read + Seek>(&self, file: &mut F) -> io::Result<Option<Vec<u8>>> {
        file.seek(SeekFrom::Start(self.at))?;
        let packed = file.by_ref().take(u64::from(self.packed));
        let mut text = Vec::new();
        let most = u64::from(self.plain) + 1;
        if let Err(error) = DeflateDecoder::new(packed).take(most).read_to_end(&mut text) {
            return match error.kind() {
                io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof => Ok(None),
                _ => Err(error),
            };
        }
        let whole = text.len() as u64 == u64::from(self.plain) && crc(&text) == self.sum;
        Ok(whole.then_some(text))
    }
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) sections: Vec<Section>,
    /// Ranges of the file that are no sections.
    pub(super) gaps: Vec<std::ops::Range<u64>>,
}

impl Listing {
    /// Finds the sections of a file; behind damage, by searching for the next.
    pub(super) fn of<F: Read + Seek>(file: &mut F) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut listing = Self::default();
        let mut at = 0;
        let mut head = Vec::with_capacity(MAX_HEADER);
        while at < length {
            file.seek(SeekFrom::Start(at))?;
            head.clear();
            file.by_ref().take(MAX_HEADER as u64).read_to_end(&mut head)?;
            match Section::parse(at, &head).filter(|section| section.end() <= length) {
                Some(section) => {
                    at = section.end();
                    listing.sections.push(section);
                }
                // Nothing of ours at the very beginning: not worth a search.
                None if at == 0 && !head.starts_with(&GZIP[..4]) => {
                    listing.gaps.push(0..length);
                    break;
                }
                None => {
                    let next = search(file, at + 1, length)?;
                    listing.gaps.push(at..next);
                    at = next;
                }
            }
        }
        Ok(listing)
    }
}

/// The place of the next whole header at or behind `from`, or the end.
fn search<F: Read + Seek>(file: &mut F, from: u64, length: u64) -> io::Result<u64> {
    const STEP: usize = 1 << 20;
    let mut at = from;
    let mut bytes = Vec::new();
    while at < length && at - from < MAX_SEARCH {
        file.seek(SeekFrom::Start(at))?;
        bytes.clear();
        file.by_ref().take((STEP + MAX_HEADER) as u64).read_to_end(&mut bytes)?;
        let starts = bytes.windows(GZIP.len()).take(STEP).enumerate();
        for (offset, _) in starts.filter(|(_, window)| *window == GZIP) {
            let place = at + offset as u64;
            let section = bytes.get(offset..).and_then(|bytes| Section::parse(place, bytes));
            if section.is_some_and(|section| section.end() <= length) {
                return Ok(place);
            }
        }
        at += STEP as u64;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn two() -> (Vec<u8>, usize) {
        let mut file = pack("first", b"{\"a\":1}\n").unwrap();
        let border = file.len();
        file.extend(pack("second", &b"0123456789".repeat(100)).unwrap());
        (file, border)
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        let mut file = Cursor::new(bytes);
        let listing = Listing::of(&mut file).unwrap();
        let whole = listing.sections.iter();
        whole
            .filter(|section| section.read(&mut file).unwrap().is_some())
            .map(|section| section.name.clone())
            .collect()
    }

    #[test]
    fn any_gzip_reader_unpacks_all_of_it() {
        let (file, _) = two();
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&file[..]).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("{\"a\":1}\n0123456789"));
        assert_eq!(text.len(), 8 + 1000);
        assert_eq!(names(&file), ["first", "second"]);
    }

    #[test]
    fn every_truncation_gives_what_is_whole() {
        let (file, border) = two();
        for length in 0..file.len() {
            let expected: &[&str] = if length < border { &[] } else { &["first"] };
            assert_eq!(names(&file[..length]), expected, "cut at {length}");
        }
    }

    #[test]
    fn every_flipped_bit_costs_one_section_at_most() {
        let (file, border) = two();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut bytes = file.clone();
                bytes[at] ^= 1 << bit;
                let found = names(&bytes);
                let untouched = if at < border { "second" } else { "first" };
                // Nothing of ours at the very beginning: not one of our files.
                let foreign = at < 4;
                assert!(foreign || found.iter().any(|name| name == untouched), "byte {at}");
            }
        }
    }

    #[test]
    fn lengths_are_not_believed() {
        let mut bomb = pack("bomb", &vec![b' '; 1 << 20]).unwrap();
        // The plain length, four bytes behind the packed one; with a checksum that fits.
        let start = BEFORE_SUBFIELD + 2 + 4;
        bomb[start + 4..start + 8].copy_from_slice(&5u32.to_le_bytes());
        let sum = crc(&bomb[BEFORE_SUBFIELD..start + 12]);
        bomb[start + 12..start + 16].copy_from_slice(&sum.to_le_bytes());
        let mut file = Cursor::new(&bomb);
        let listing = Listing::of(&mut file).unwrap();
        assert_eq!(listing.sections[0].plain, 5);
        assert_eq!(listing.sections[0].read(&mut file).unwrap(), None);
    }
}
