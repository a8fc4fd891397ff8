//! The file for node_exporter's textfile collector.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The ending that the collector looks for.
const ENDING: &str = "prom";

/// A file that is replaced as a whole, so that a reader never sees a part of it.
#[derive(Debug)]
pub(super) struct Textfile {
    path: PathBuf,
    keep: bool,
}

impl Textfile {
    /// The file at `path`; removed when this is dropped, since old numbers are wrong ones.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, keep: false }
    }

    /// Leaves the file where it is.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Replaces the file. Anybody may read it, as node_exporter is another user.
    pub(super) fn write(&self, text: &[u8]) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".pyattach-")
            .suffix(".part")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(text)?;
        // The umask may have taken rights away.
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.persist(&self.path)?;
        Ok(())
    }
}

impl Drop for Textfile {
    fn drop(&mut self) {
        if !self.keep {
            // It may never have been written.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A path that the collector will read.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|ending| ending == ENDING) {
        true => Ok(path),
        false => Err(format!("node_exporter reads only files that end in .{ENDING}")),
    }
}
