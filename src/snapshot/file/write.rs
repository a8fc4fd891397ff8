//! Writing a snapshot: whole or not at all.

use super::columns;
use super::container::pack;
use super::error::FileError;
use super::model::Snapshot;
use crate::snapshot::Whole;
use serde::Serialize;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Name of the newest format; its first line says so.
pub(super) const FORMAT: &str = "1.1";
/// How the names of files begin and end that are not finished.
pub const UNFINISHED: (&str, &str) = (".pysnap-", ".part");

/// The first keys of the file's first line.
#[derive(Serialize)]
struct First<'a> {
    section: &'static str,
    format: &'static str,
    #[serde(flatten)]
    summary: &'a super::model::Summary,
}

#[derive(Serialize)]
struct Body<'a, T> {
    section: &'static str,
    #[serde(flatten)]
    body: &'a T,
}

impl Snapshot {
    /// The bytes of its file.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let (names, columns) = columns::of(&self.whole.objects.types);
        let mut file = Vec::new();
        let first = First { section: "summary", format: FORMAT, summary: &self.summary };
        file.extend(pack("summary", &line(&first)?)?);
        let body = Body { section: "type-names", body: &names };
        file.extend(pack("type-names", &line(&body)?)?);
        file.extend(pack("types", &line(&Body { section: "types", body: &columns })?)?);
        file.extend(lines("resources", &self.whole.resources)?);
        file.extend(lines("sockets", &self.whole.sockets.rows)?);
        file.extend(lines("tasks", &self.whole.tasks.rows)?);
        file.extend(lines("threads", &self.whole.threads)?);
        file.extend(lines("findings", &self.findings)?);
        if let Some(held) = &self.whole.held {
            let body = Body { section: "holders", body: held };
            file.extend(pack("holders", &line(&body)?)?);
        }
        file.extend(pack("rest", &line(&Body { section: "rest", body: &self.rest() })?)?);
        if let Some(graph) = &self.whole.graph {
            for (name, bytes) in graph.sections()? {
                file.extend(pack(name, &bytes)?);
            }
        }
        file.extend(pack("end", b"{\"section\":\"end\"}\n")?);
        Ok(file)
    }

    /// What is in no other section.
    fn rest(&self) -> Whole {
        let mut rest = self.whole.clone();
        rest.objects.types = Vec::new();
        rest.resources = Vec::new();
        rest.sockets.rows = Vec::new();
        rest.tasks.rows = Vec::new();
        rest.threads = Vec::new();
        rest.held = None;
        rest
    }

    /// Writes the file, readable by its owner only. It appears under its name when it is whole
    /// and on the disk, or not at all. A link of that name is replaced, never followed.
    pub fn save(&self, path: &Path, replace: bool) -> Result<u64, FileError> {
        let bytes = self.to_bytes().map_err(|source| failed(path, source))?;
        save_bytes(path, &bytes, replace)?;
        Ok(bytes.len() as u64)
    }
}

/// The same for any bytes.
pub fn save_bytes(path: &Path, bytes: &[u8], replace: bool) -> Result<(), FileError> {
    save_with(path, replace, |file| file.write_all(bytes))
}

/// The same for what `write` writes.
pub fn save_with(
    path: &Path,
    replace: bool,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let mut file = tempfile::Builder::new()
        // Whose it is, for whoever finds it when we were killed.
        .prefix(&format!("{}{}-", UNFINISHED.0, std::process::id()))
        .suffix(UNFINISHED.1)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .map_err(|source| failed(path, plain(source)))?;
    write(file.as_file_mut()).map_err(|source| failed(path, source))?;
    file.as_file().sync_all().map_err(|source| failed(path, source))?;
    let kept = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    match kept {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(FileError::Exists { path: path.to_owned() });
        }
        Err(error) => return Err(failed(path, error.error)),
    }
    // The name is on the disk only when the folder is. Some file systems cannot be asked.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// tempfile wraps an error together with the name it had made up, which tells nobody anything.
fn plain(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.source()?.downcast_ref::<io::Error>()) {
        Some(source) => source.raw_os_error().map_or(error, io::Error::from_raw_os_error),
        None => error,
    }
}

fn failed(path: &Path, source: io::Error) -> FileError {
    FileError::Io { action: "write", path: PathBuf::from(path), source }
}

fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// A section with a line for each row; its first line says what the others are.
fn lines<T: Serialize>(name: &str, rows: &[T]) -> io::Result<Vec<u8>> {
    let mut text = format!("{{\"section\":\"{name}\",\"rows\":{}}}\n", rows.len()).into_bytes();
    for row in rows {
        text.extend(line(row)?);
    }
    pack(name, &text)
}
