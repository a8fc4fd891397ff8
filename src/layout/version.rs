//! The exact version of an interpreter and how it was built.

use serde::Serialize;
use std::fmt;

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
