//! The folder of a watch: its files by process, thinned; and what an earlier run left behind.

use super::super::failure::{Code, Failure};
use super::super::series::is_snapshot;
use super::say;
use crate::process::{Process, ProcessError};
use crate::snapshot::file::UNFINISHED;
use crate::snapshot::keep::{Kept, Policy};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of a watch.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if need be, and sure that it can be written to.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let failure =
                Failure::new(format!("cannot write to {}: {error}", path.display()), Code::Usage);
            failure.with_hint("give a folder of your own with --dir".to_owned())
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let (prefix, suffix) = UNFINISHED;
        let trial = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(path);
        drop(trial.map_err(failed)?);
        let folder = Self(path.to_owned());
        folder.sweep();
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes what a run that was killed had begun to write.
    fn sweep(&self) {
        for path in self.paths() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let inner =
                name.strip_prefix(UNFINISHED.0).and_then(|it| it.strip_suffix(UNFINISHED.1));
            let writer = inner.and_then(|it| it.split('-').next()?.parse::<i32>().ok());
            let ended = writer.is_some_and(|pid| {
                matches!(Process::open(pid), Err(ProcessError::NoSuchProcess { .. }))
            });
            if ended && fs::remove_file(&path).is_ok() {
                say(&format!("removed {name}, which a run that was killed had not finished"));
            }
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    /// Removes the files of a process that are not to be kept, now that `newest` was written;
    /// gives those that are.
    pub(super) fn thin(
        &self,
        pid: i32,
        newest: &Path,
        policy: &Policy,
        max_bytes: u64,
    ) -> Vec<PathBuf> {
        let files = self.paths().into_iter().filter_map(|path| kept(path, pid));
        let mut files: Vec<Kept> = files.collect();
        for file in policy.superfluous(&files, newest, Some(max_bytes)) {
            match fs::remove_file(&file.path) {
                Ok(()) => files.retain(|kept| kept.path != file.path),
                Err(error) => say(&format!("cannot remove {}: {error}", file.path.display())),
            }
        }
        files.into_iter().map(|file| file.path).collect()
    }
}

/// A file that a watch of this process made: `PID-YYYYMMDDTHHMMSSZ.pysnap`.
fn kept(path: PathBuf, pid: i32) -> Option<Kept> {
    if !is_snapshot(&path) {
        return None;
    }
    let name = path.file_stem()?.to_str()?;
    let time = name.strip_prefix(&format!("{pid}-"))?;
    let time = time.split('-').next()?;
    let taken: jiff::Timestamp = time.parse().ok()?;
    let size = fs::symlink_metadata(&path).ok()?.len();
    Some(Kept { path, taken: taken.as_second(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_are_ever_removed() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::write(folder.path().join(name), "x").unwrap();
        let names = [
            "7-20231114T221320Z.pysnap",
            "7-20231114T221320Z-2.pysnap",
            "77-20200101T000000Z.pysnap",
            "7-notes.pysnap",
            "notes.txt",
        ];
        names.iter().for_each(|name| make(name));
        let watched = Folder(folder.path().to_owned());
        let newest = folder.path().join(names[1]);
        let left = watched.thin(7, &newest, &"1s".parse().unwrap(), 1);
        assert_eq!(left, [newest]);
        let there: Vec<PathBuf> = watched.paths();
        assert_eq!(there.len(), 4);
        assert!(kept(folder.path().join(names[1]), 7).is_some_and(|it| it.taken == 1_700_000_000));
    }
}
