//! What is wrong with rules or with settings of rules, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMistake {
    /// From 1; 0 where there is no file.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In words.
    pub message: String,
}

impl RuleMistake {
    /// A mistake at a byte of the file's text.
    pub(super) fn at(text: &str, byte: usize, message: impl Into<String>) -> Self {
        let mut end = byte.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = text.get(..end).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            message: message.into(),
        }
    }
}

/// Why settings of rules could not be used.
#[derive(Debug, Error)]
pub enum RuleError {
    /// The file could not be read.
    #[error("cannot read the rules {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has mistakes; all that were found.
    #[error("{}", Listed(path, mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// In the order of the file.
        mistakes: Vec<RuleMistake>,
    },
}

/// `FILE:LINE:COLUMN: message` for each mistake.
struct Listed<'a>(&'a Path, &'a [RuleMistake]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.1.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let RuleMistake { line, column, message } = mistake;
            write!(f, "{separator}{}:{line}:{column}: {message}", self.0.display())?;
        }
        Ok(())
    }
}
