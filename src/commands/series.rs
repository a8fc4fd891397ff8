//! Snapshot files that are given on the command line: files, and folders full of them.

use super::failure::{Code, Failure};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders within folders that are looked into.
const DEPTH: usize = 8;

/// The files meant: those given, and the `.pysnap` files of folders, in the order of their names.
pub(super) fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in given {
        if path.is_dir() {
            let before = found.len();
            walk(path, DEPTH, &mut found)?;
            if found.len() == before {
                let path = path.display();
                let failure = Failure::new(format!("{path} has no snapshot files"), Code::Usage);
                let hint = "pyattach watch PID --dir DIR makes some".to_owned();
                return Err(failure.with_hint(hint));
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error| {
        let cause = format!("cannot read {}: {error}", folder.display());
        Failure::new(cause, Code::Usage)
    };
    let entries: Result<Vec<_>, _> = fs::read_dir(folder).map_err(unreadable)?.collect();
    let mut entries = entries.map_err(unreadable)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Of the entry itself, so that a link to a folder above does not lead in circles.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(&path, depth - 1, found)?,
            Ok(_) if is_snapshot(&path) => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

/// It has the name of a finished snapshot file.
pub(super) fn is_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pysnap")
}
