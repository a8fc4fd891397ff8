//! The memory map of a process: `/proc/PID/maps`.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line of `/proc/PID/maps` (Documentation/filesystems/proc.rst).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// `r`
    pub readable: bool,
    /// `w`
    pub writable: bool,
    /// `x`
    pub executable: bool,
    /// `s` instead of `p`: writes are seen by other processes.
    pub shared: bool,
    /// Offset of `start` in the file.
    pub offset: u64,
    /// Device of the file, "08:01"; "00:00" for none.
    pub device: String,
    /// Inode of the file; 0 for none.
    pub inode: u64,
    /// The path as the target's mount namespace has it, or a name in brackets
    /// (`[heap]`, `[stack]`, `[vdso]`); empty for anonymous memory. Without " (deleted)".
    pub path: PathBuf,
    /// The file was removed or replaced after it was mapped.
    pub deleted: bool,
}

impl Mapping {
    /// Bytes in the mapping.
    pub fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True when `address` lies in it.
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// True for a mapping of a file (and not of anonymous memory or a kernel page).
    pub fn is_file(&self) -> bool {
        self.inode != 0
    }

    /// Parses a whole map file. Lines that do not have the kernel's form are left out: a
    /// mapping we do not know of is memory we do not read.
    pub fn parse_all(text: &[u8]) -> Vec<Self> {
        text.split(|&byte| byte == b'\n').filter_map(Self::parse).collect()
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut rest = line;
        let mut word = || -> Option<&[u8]> {
            let start = rest.iter().position(|&byte| byte != b' ')?;
            let word = &rest[start..];
            let end = word.iter().position(|&byte| byte == b' ').unwrap_or(word.len());
            rest = &word[end..];
            Some(&word[..end])
        };
        let range = std::str::from_utf8(word()?).ok()?;
        let flags = word()?;
        let offset = std::str::from_utf8(word()?).ok()?;
        let device = std::str::from_utf8(word()?).ok()?.to_owned();
        let inode = std::str::from_utf8(word()?).ok()?;
        let (start, end) = range.split_once('-')?;
        let (start, end) =
            (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        if start > end || flags.len() < 4 {
            return None;
        }
        let path: Vec<u8> = rest.iter().copied().skip_while(|&byte| byte == b' ').collect();
        let (path, deleted) = match path.strip_suffix(b" (deleted)") {
            Some(path) => (path.to_vec(), true),
            None => (path, false),
        };
        Some(Self {
            start,
            end,
            readable: flags[0] == b'r',
            writable: flags[1] == b'w',
            executable: flags[2] == b'x',
            shared: flags[3] == b's',
            offset: u64::from_str_radix(offset, 16).ok()?,
            device,
            inode: inode.parse().ok()?,
            path: PathBuf::from(std::ffi::OsString::from_vec(unescape(&path))),
            deleted,
        })
    }
}

/// The kernel writes a newline in a path as `\012` (`seq_path` in fs/seq_file.c).
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(b"\\012") {
            out.push(b'\n');
            rest = tail;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_every_kind() {
        let text =
            b"55d0-55e0 r-xp 00001000 08:01 42                     /usr/bin/my python (deleted)\n\
            7ffc-7ffd rw-p 00000000 00:00 0                          [stack]\n\
            nonsense\n\
            1000-2000 rw-s 00000000 00:01 7\n\
            3000-4000 rw-p 0 00:01 7 /a\\012b";
        let maps = Mapping::parse_all(text);
        assert_eq!(maps.len(), 4);
        assert_eq!(maps[0].path, PathBuf::from("/usr/bin/my python"));
        assert!(maps[0].deleted && maps[0].executable && !maps[0].writable);
        assert_eq!(maps[1].path, PathBuf::from("[stack]"));
        assert!(maps[2].shared && maps[2].path.as_os_str().is_empty());
        assert_eq!(maps[3].path, PathBuf::from("/a\nb"));
    }

    const LINES: &[u8] = b"55d0000-55e0000 r-xp 00001000 08:01 42 /usr/bin/my python (deleted)\n\
        7ffc-7ffd rw-p 00000000 00:00 0 [stack]\n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";

    proptest! {
        /// Whatever is cut out, repeated or overwritten: what is found is in order.
        #[test]
        fn mangled_text(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..12),
            random: Vec<u8>,
        ) {
            let mut text = LINES.to_vec();
            for (at, byte, change) in changes {
                let at = at.index(text.len());
                match change {
                    0 => text[at] = byte,
                    1 => text.truncate(at.max(1)),
                    2 => text.insert(at, byte),
                    _ => text.extend_from_within(at..),
                }
            }
            for map in Mapping::parse_all(&text).iter().chain(&Mapping::parse_all(&random)) {
                prop_assert!(map.start <= map.end && map.length() == map.end - map.start);
                prop_assert!(!map.contains(map.end));
            }
        }
    }
}
