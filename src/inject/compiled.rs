//! The wrapper as the interpreters' own bytecode, so that no target compiles it before a script
//! begins.
//!
//! Made by `scripts/compile.py`, in the form of Python's own cache files: 16 bytes of header that
//! begin with the magic number of the bytecode (Lib/importlib/_bootstrap_external.py), then a
//! marshalled code object. The statement that runs in the target ([`super::payload`]) compares the
//! magic number with the interpreter's, as `import` does; a series without files here, or a build
//! with bytecode of its own, compiles the sources instead.

/// Bytes of a cache file before its code.
const HEADER: usize = 16;

/// The two halves of the wrapper for one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compiled {
    /// `importlib.util.MAGIC_NUMBER` of the interpreters that it is for.
    pub(super) magic: [u8; 4],
    /// What runs before the script, marshalled.
    pub(super) core: &'static [u8],
    /// What runs when it prints, and behind it.
    pub(super) rest: &'static [u8],
}

macro_rules! files {
    ($($minor:literal),*) => {
        &[$((
            $minor,
            include_bytes!(concat!("scripts/compiled/wrapper-3.", $minor, ".pyc")),
            include_bytes!(concat!("scripts/compiled/wrapper_rest-3.", $minor, ".pyc")),
        )),*]
    };
}

/// By minor version of Python 3.
const FILES: &[(u8, &[u8], &[u8])] = files!(8, 9, 10, 11, 12, 13, 14, 15);

impl Compiled {
    /// The wrapper for Python 3.`minor`.
    pub(super) fn of(minor: u8) -> Option<Self> {
        let &(_, core, rest) = FILES.iter().find(|&&(of, ..)| of == minor)?;
        let magic = *core.first_chunk()?;
        let same = rest.first_chunk() == Some(&magic);
        let (core, rest) = (core.get(HEADER..)?, rest.get(HEADER..)?);
        same.then_some(Self { magic, core, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_series_is_compiled() {
        for minor in 8..=15 {
            let compiled = Compiled::of(minor).unwrap();
            // The second half of a magic number, for files that were read as text.
            assert_eq!(compiled.magic[2..], *b"\r\n", "3.{minor}");
        }
        assert_eq!(Compiled::of(16), None);
    }
}
