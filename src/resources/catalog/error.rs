//! What is wrong with a catalogue file, and where.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// One mistake in a catalogue file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In words.
    pub message: String,
}

impl Mistake {
    /// A mistake at a byte of the file's text.
    pub(super) fn at(text: &str, byte: usize, message: impl Into<String>) -> Self {
        let mut end = byte.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message: message.into(),
        }
    }
}

/// Why a catalogue could not be loaded.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The file could not be read.
    #[error("cannot read the catalogue {}", .path.display())]
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
        mistakes: Vec<Mistake>,
    },
}

/// `FILE:LINE:COLUMN: message` for each mistake.
struct Listed<'a>(&'a Path, &'a [Mistake]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.1.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let Mistake { line, column, message } = mistake;
            write!(f, "{separator}{}:{line}:{column}: {message}", self.0.display())?;
        }
        Ok(())
    }
}
