//! Why a snapshot file could not be read or written.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a snapshot file could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// "read", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something of that name already, and it was not to be replaced.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not one of our files at all.
    #[error("{} is not a snapshot file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// One of our files, of a format that we do not know yet.
    #[error("{} has format {found}, this version reads {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The newest we read.
        known: &'static str,
    },
    /// One of our files, without the graph of references that is asked for.
    #[error("{} has no graph of references", path.display())]
    NoGraph {
        /// The file.
        path: PathBuf,
    },
    /// One of our files, and what is asked for is not whole.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
}

impl FileError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some("make room, or give another place; nothing was left behind".to_owned())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("give a place that you may write to and read from".to_owned())
                }
                _ => None,
            },
            Self::Exists { .. } => Some("replace it with --force".to_owned()),
            Self::Foreign { .. } => {
                Some("snapshot files are made by pyattach snapshot and pyattach watch".to_owned())
            }
            Self::TooNew { .. } => Some("use the version that wrote it".to_owned()),
            Self::NoGraph { .. } => {
                Some("pyattach snapshot --graph makes files that have it".to_owned())
            }
            Self::Damaged { .. } => Some(
                "what is whole of it can be had with zcat; docs/reference/snapshot-file.md \
                 says how"
                    .to_owned(),
            ),
        }
    }

    /// The file itself is at fault, not its surroundings.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Foreign { .. } | Self::TooNew { .. } | Self::Damaged { .. })
    }
}
