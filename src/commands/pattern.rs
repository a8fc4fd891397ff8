//! Patterns on the command line: a part of a name, or a glob over the whole of it. Case does
//! not matter.

use super::failure::{Code, Failure};
use globset::{GlobBuilder, GlobMatcher};

/// A part of a name, or a pattern with `*`, `?`, `[]` or `{}`.
#[derive(Debug)]
pub(super) enum Pattern {
    Part(String),
    Glob(GlobMatcher),
}

impl Pattern {
    /// Understands `text`; a malformed glob is wrong usage.
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Part(text.to_lowercase()));
        }
        let glob = GlobBuilder::new(text).case_insensitive(true).build();
        let glob = glob.map_err(|error| Failure::new(error, Code::Usage))?;
        Ok(Self::Glob(glob.compile_matcher()))
    }

    /// Whether `name` is meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Part(part) => name.to_lowercase().contains(part),
            Self::Glob(glob) => glob.is_match(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_globs() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
        assert!(matches("conn", "app.Connection") && !matches("pool", "app.Connection"));
        assert!(matches("app.*", "app.Connection") && !matches("*.Conn", "app.Connection"));
        assert!(Pattern::new("[").is_err());
    }
}
