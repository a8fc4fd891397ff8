//! The exact version of an interpreter and how it was built.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// A CPython version, ordered as `sys.hexversion` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3 in 3.11.7.
    pub major: u8,
    /// 11 in 3.11.7.
    pub minor: u8,
    /// 7 in 3.11.7.
    pub micro: u8,
    /// 0xA alpha, 0xB beta, 0xC release candidate, 0xF final.
    pub level: u8,
    /// 1 in 3.15.0rc1; 0 for a final release.
    pub serial: u8,
}

impl Version {
    /// From `PY_VERSION_HEX` (Include/patchlevel.h).
    pub const fn from_hex(hex: u32) -> Self {
        let [major, minor, micro, last] = hex.to_be_bytes();
        Self { major, minor, micro, level: last >> 4, serial: last & 0xF }
    }

    /// A final release.
    pub const fn release(major: u8, minor: u8, micro: u8) -> Self {
        Self { major, minor, micro, level: 0xF, serial: 0 }
    }

    /// "3.11".
    pub fn series(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// False for alphas, betas and release candidates, whose layout may be any.
    pub const fn is_final(&self) -> bool {
        self.level == 0xF
    }

    /// True for this series or a later one.
    pub const fn at_least(&self, major: u8, minor: u8) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        match self.level {
            0xA => write!(f, "a{}", self.serial),
            0xB => write!(f, "b{}", self.serial),
            0xC => write!(f, "rc{}", self.serial),
            _ => Ok(()),
        }
    }
}

/// The version at the start of `text`: "3.9.18", "3.13.0rc1", "3.9.18+" (a checkout).
fn parse(text: &[u8]) -> Option<Version> {
    let mut rest = text;
    let mut dotted = [0; 3];
    for (index, part) in dotted.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        (*part, rest) = number(rest)?;
    }
    let [major, minor, micro] = dotted;
    let (level, tail) = match rest {
        [b'a', tail @ ..] => (0xA, tail),
        [b'b', tail @ ..] => (0xB, tail),
        [b'r', b'c', tail @ ..] => (0xC, tail),
        _ => (0xF, rest),
    };
    let (serial, rest) = if level == 0xF { (0, tail) } else { number(tail)? };
    matches!(rest, [] | [b'+']).then_some(Version { major, minor, micro, level, serial })
}

fn number(text: &[u8]) -> Option<(u8, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.as_bytes()).ok_or_else(|| format!("{text} is not a version like 3.14.10"))
    }
}

/// The version of Python among constants: the string `PY_VERSION`, as `Py_GetVersion` prints
/// it. Linkers merge a string with the end of a longer one (seen: an installation prefix that
/// ends in "/3.9.18"), so the end of a path counts too, when nothing stands alone.
/// `series` restricts the answer where it is known; without it the answer must be unambiguous.
pub(super) fn version_among(constants: &[u8], series: Option<(u8, u8)>) -> Option<Version> {
    let mut alone = Vec::new();
    let mut endings = Vec::new();
    for text in constants.split(|&byte| byte == 0) {
        if text.len() < 5 || !text.last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'+') {
            continue;
        }
        let start = text
            .iter()
            .rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+')))
            .map_or(0, |last| last + 1);
        let Some(version) = text.get(start..).and_then(parse) else { continue };
        let wanted = match series {
            Some(series) => (version.major, version.minor) == series,
            None => version.major == 3 && version.minor >= 3,
        };
        let list = if start == 0 { &mut alone } else { &mut endings };
        if wanted && !list.contains(&version) {
            list.push(version);
        }
    }
    let list = if alone.is_empty() { endings } else { alone };
    match list[..] {
        [version] => Some(version),
        _ => None,
    }
}

/// The series in a file name: (3, 9) in `libpython3.9.so.1.0`, `python3.9d`, `python3.7m`.
pub(super) fn series_in_name(name: &str) -> Option<(u8, u8)> {
    let (_, rest) = name.split_once("python")?;
    let (major, rest) = rest.split_once('.')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    Some((major.parse().ok()?, rest.get(..digits)?.parse().ok()?))
}

/// The letters behind the series in a file name: "d" in `python3.14d`, "td" in
/// `libpython3.14td.so.1.0`, "" in `python3.9`.
pub(super) fn abi_flags_in_name(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once("python")?;
    let (_, rest) = rest.split_once('.')?;
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
    rest.get(..letters)
}

/// Build options that move fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// The ordinary build.
    Gil,
    /// `Py_DEBUG` with the GIL.
    Debug,
    /// `--disable-gil`: recognised, not supported yet.
    FreeThreaded,
}

impl Flavour {
    /// The word used in table names and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gil => "gil",
            Self::Debug => "debug",
            Self::FreeThreaded => "free-threaded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_text() {
        assert_eq!("3.9.18".parse(), Ok(Version::release(3, 9, 18)));
        assert_eq!("3.9.18+".parse(), Ok(Version::release(3, 9, 18)));
        let candidate: Version = "3.15.0rc2".parse().unwrap();
        assert_eq!(candidate, Version::from_hex(0x030F_00C2));
        assert_eq!(candidate.to_string(), "3.15.0rc2");
        for text in ["", "3", "3.9", "3.9.", "3.9.x", "3.9.1x", "3.9.999", "3.9.1rc"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_among_constants() {
        let constants = b"\x003.9\x003.9.18\0lib3.9.1\x00/opt/3.9.7\x002.7.1\x003.10.13\x00";
        let (nine, ten) = (Version::release(3, 9, 18), Version::release(3, 10, 13));
        assert_eq!(version_among(constants, Some((3, 9))), Some(nine));
        assert_eq!(version_among(constants, Some((3, 10))), Some(ten));
        assert_eq!(version_among(constants, None), None);
        assert_eq!(version_among(b"/opt/versions/3.9.18\0", None), Some(nine));
        assert_eq!(version_among(b"", None), None);
    }

    #[test]
    fn names() {
        for (name, series, flags) in [
            ("libpython3.9.so.1.0", Some((3, 9)), Some("")),
            ("python3.14d", Some((3, 14)), Some("d")),
            ("libpython3.13t.so.1.0", Some((3, 13)), Some("t")),
            ("libpython3.7m.so.1.0", Some((3, 7)), Some("m")),
            ("python2.7", Some((2, 7)), Some("")),
            ("python3", None, None),
            ("bash", None, None),
        ] {
            assert_eq!(series_in_name(name), series, "{name}");
            assert_eq!(abi_flags_in_name(name), flags, "{name}");
        }
    }
}
