//! Reading a snapshot: the parts that are wanted, or what is whole of a damaged file.

use super::columns::{Columns, Counts, Names};
use super::container::{Listing, Section};
use super::error::FileError;
use super::model::{Snapshot, Summary};
use super::write::FORMAT;
use crate::snapshot::graph::{SECTION, StoredGraph};
use crate::snapshot::{Held, TypeRow, Whole};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::BufReader;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open snapshot file: its summary is read, the rest when asked for.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    file: BufReader<File>,
    sections: Vec<Section>,
    summary: Summary,
    damage: Vec<String>,
}

/// The names of a file's types, which the next file mostly shares.
#[derive(Debug, Clone, Default)]
pub struct KnownNames {
    key: Option<(u32, u32, u32)>,
    names: Arc<Names>,
    /// The same with the second class of a name told from the first.
    distinct: Arc<Vec<String>>,
}

/// The types of a file as columns.
#[derive(Debug)]
pub struct TypeTable {
    /// Their names; of two with the same name, the second has "#2" behind it. The same `Arc` as
    /// that of the file before when nothing changed.
    pub names: Arc<Vec<String>>,
    /// Instances.
    pub count: Vec<u64>,
    /// Sums of their shallow sizes; empty unless asked for.
    pub shallow_bytes: Vec<u64>,
    /// Of the instances, those in the youngest and the middle generation.
    pub young: Vec<u64>,
}

#[derive(Deserialize)]
struct First {
    #[serde(default)]
    format: String,
    #[serde(default)]
    schema: String,
}

impl SnapshotFile {
    /// Opens a file and reads its summary.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { action: "read", path: path.to_owned(), source };
        let mut file = BufReader::new(open(path)?);
        let Listing { sections, gaps } = Listing::of(&mut file).map_err(failed)?;
        if sections.is_empty() {
            let path = path.to_owned();
            return Err(match gaps.first() {
                Some(gap) if gap.end > 0 && is_gzip(&mut file) => {
                    FileError::Damaged { path, what: "nothing of it is whole".to_owned() }
                }
                _ => FileError::Foreign { path },
            });
        }
        let damage = damage(&sections, &gaps);
        let summary = Self::read_summary(path, &mut file, &sections)?;
        Ok(Self { path: path.to_owned(), file, sections, summary, damage })
    }

    /// Opens a file of which the summary is known already.
    pub fn reopen(path: &Path, summary: Summary) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { action: "read", path: path.to_owned(), source };
        let mut file = BufReader::new(open(path)?);
        let Listing { sections, gaps } = Listing::of(&mut file).map_err(failed)?;
        let damage = damage(&sections, &gaps);
        Ok(Self { path: path.to_owned(), file, sections, summary, damage })
    }

    fn read_summary(
        path: &Path,
        file: &mut BufReader<File>,
        sections: &[Section],
    ) -> Result<Summary, FileError> {
        let damaged = |what: String| FileError::Damaged { path: path.to_owned(), what };
        let failed = |source| FileError::Io { action: "read", path: path.to_owned(), source };
        let section = sections.iter().find(|section| section.name == "summary");
        let section = section.ok_or_else(|| damaged("its summary is not whole".to_owned()))?;
        let text = section.read(file).map_err(failed)?;
        let text = text.ok_or_else(|| damaged("its summary is not whole".to_owned()))?;
        let unreadable = |error: serde_json::Error| damaged(format!("its summary: {error}"));
        let first: First = serde_json::from_slice(&text).map_err(unreadable)?;
        let major = |format: &str| format.split('.').next().map(str::to_owned);
        if major(&first.format) != major(FORMAT) || first.schema != Summary::SCHEMA {
            return Err(FileError::TooNew {
                path: path.to_owned(),
                found: format!("{} of {}", first.format, first.schema),
                known: FORMAT,
            });
        }
        serde_json::from_slice(&text).map_err(unreadable)
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that needs no list.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What is wrong with the file, as far as it was read.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// The types.
    pub fn types(&mut self, known: &mut KnownNames) -> Result<Vec<TypeRow>, FileError> {
        let columns: Columns = self.columns(known)?;
        let rows = columns.rows(&known.names);
        rows.ok_or_else(|| self.damaged("types: they do not fit their names".to_owned()))
    }

    /// The types as columns, those of their sizes only if `bytes`.
    pub fn table(&mut self, known: &mut KnownNames, bytes: bool) -> Result<TypeTable, FileError> {
        let columns: Columns = match bytes {
            true => self.columns(known)?,
            false => self.columns::<Counts>(known)?.into(),
        };
        if !columns.fits(&known.names, bytes) {
            return Err(self.damaged("types: they do not fit their names".to_owned()));
        }
        let young = match columns.young.len() {
            0 => vec![0; columns.count.len()],
            _ => columns.young.iter().zip(&columns.middle).map(|(a, b)| a + b).collect(),
        };
        let names = Arc::clone(&known.distinct);
        let Columns { count, shallow_bytes, .. } = columns;
        Ok(TypeTable { names, count, shallow_bytes, young })
    }

    fn columns<C: DeserializeOwned>(&mut self, known: &mut KnownNames) -> Result<C, FileError> {
        let key = self.section("type-names")?.key();
        if known.key != Some(key) {
            let text = self.text("type-names")?;
            let names: Names = serde_json::from_slice(&text)
                .map_err(|error| self.damaged(format!("type-names: {error}")))?;
            known.distinct = Arc::new(Snapshot::distinct(&names.names));
            known.names = Arc::new(names);
            known.key = Some(key);
        }
        let text = self.text("types")?;
        serde_json::from_slice(&text).map_err(|error| self.damaged(format!("types: {error}")))
    }

    /// The rows of a section with one line for each. A section that is not there has none.
    pub fn rows<T: DeserializeOwned>(&mut self, name: &str) -> Result<Vec<T>, FileError> {
        if self.sections.iter().all(|section| section.name != name) && self.damage.is_empty() {
            return Ok(Vec::new());
        }
        let text = self.text(name)?;
        let lines = text.split(|&byte| byte == b'\n').skip(1).filter(|line| !line.is_empty());
        let rows: Result<Vec<T>, _> = lines.map(serde_json::from_slice).collect();
        rows.map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    /// Who holds what; `None` where that was not looked for, or not yet kept so.
    pub fn held(&mut self) -> Result<Option<Held>, FileError> {
        if self.sections.iter().all(|section| section.name != "holders") && self.damage.is_empty() {
            return Ok(None);
        }
        let text = self.text("holders")?;
        let held = serde_json::from_slice(&text);
        held.map(Some).map_err(|error| self.damaged(format!("holders: {error}")))
    }

    /// True when the file has the graph of references, or had it before it was damaged.
    pub fn has_graph(&self) -> bool {
        self.sections.iter().any(|section| section.name == SECTION)
    }

    /// The graph of references; `None` where the file has none.
    pub fn graph(&mut self) -> Result<Option<StoredGraph>, FileError> {
        if !self.has_graph() {
            return Ok(None);
        }
        let mut parts = BTreeMap::new();
        let names = self.sections.iter().map(|section| section.name.clone());
        let names: Vec<String> = names.filter(|name| name.starts_with(SECTION)).collect();
        for name in names {
            let text = self.text(&name)?;
            parts.insert(name, text);
        }
        let graph = StoredGraph::from_sections(&parts);
        graph.map(Some).map_err(|what| self.damaged(what.to_string()))
    }

    /// All of it but the graph of references. Rows that are not whole are left out, and [`Self::damage`] says so.
    pub fn read_all(&mut self) -> Result<Snapshot, FileError> {
        let text = self.text("rest")?;
        let mut whole: Whole = serde_json::from_slice(&text)
            .map_err(|error| self.damaged(format!("rest: {error}")))?;
        let types = self.types(&mut KnownNames::default());
        whole.objects.types = self.or_empty(types)?;
        let rows = self.rows("resources");
        whole.resources = self.or_empty(rows)?;
        let rows = self.rows("sockets");
        whole.sockets.rows = self.or_empty(rows)?;
        let rows = self.rows("tasks");
        whole.tasks.rows = self.or_empty(rows)?;
        let rows = self.rows("threads");
        whole.threads = self.or_empty(rows)?;
        if self.sections.iter().any(|section| section.name == "holders") {
            let held = self.held();
            whole.held = self.or_empty(held)?;
        }
        let rows = self.rows("findings");
        let findings = self.or_empty(rows)?;
        Ok(Snapshot { summary: self.summary.clone(), whole, findings })
    }

    fn or_empty<T: Default>(&mut self, part: Result<T, FileError>) -> Result<T, FileError> {
        match part {
            Err(FileError::Damaged { what, .. }) => {
                self.damage.push(what);
                Ok(T::default())
            }
            other => other,
        }
    }

    fn section(&self, name: &str) -> Result<&Section, FileError> {
        let section = self.sections.iter().find(|section| section.name == name);
        section.ok_or_else(|| self.damaged(format!("{name} is not whole")))
    }

    fn text(&mut self, name: &str) -> Result<Vec<u8>, FileError> {
        let section = self.section(name)?.clone();
        match section.read(&mut self.file) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(self.damaged(format!("{name} is not whole"))),
            Err(source) => Err(FileError::Io { action: "read", path: self.path.clone(), source }),
        }
    }

    fn damaged(&self, what: String) -> FileError {
        FileError::Damaged { path: self.path.clone(), what }
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    let failed = |source| FileError::Io { action: "read", path: path.to_owned(), source };
    // A pipe of that name must not make us wait for a writer.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
    let file = file.map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(FileError::Foreign { path: path.to_owned() });
    }
    Ok(file)
}

/// What is missing of a file with these sections.
fn damage(sections: &[Section], gaps: &[Range<u64>]) -> Vec<String> {
    let of_gap =
        |gap: &Range<u64>| format!("bytes {} to {} are no whole section", gap.start, gap.end);
    let mut damage: Vec<String> = gaps.iter().map(of_gap).collect();
    if sections.last().is_none_or(|section| section.name != "end") {
        damage.push("its end is missing".to_owned());
    }
    damage
}

/// The file begins as ours do.
fn is_gzip(file: &mut BufReader<File>) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let mut head = [0; 4];
    file.seek(SeekFrom::Start(0)).is_ok()
        && file.read_exact(&mut head).is_ok()
        && head == [0x1f, 0x8b, 8, 4]
}
