//! Source lines of frames, read from the target's files after it runs again.

use crate::process::Process;
use crate::snapshot::FrameRow;
use rustc_hash::FxHashMap;
use std::io::Read;
use std::path::Path;

/// Largest source file read, in bytes.
const MAX_FILE: u64 = 8 << 20;
/// Bytes of all source files together: a target can name as many files as it likes.
const MAX_ALL: u64 = 32 << 20;
/// Longest line shown, in characters.
const MAX_LINE: usize = 160;
/// Files kept open to question; a stack names few.
const MAX_FILES: usize = 4096;

/// Source files of one target, each read once.
pub(super) struct Sources<'p> {
    process: &'p Process,
    files: FxHashMap<String, Option<Source>>,
    /// Bytes that may still be read.
    left: u64,
}

/// A file as it is, and where its lines end: few of them are ever asked for.
struct Source {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<'p> Sources<'p> {
    /// Sources of `process`, found through its own root.
    pub(super) fn new(process: &'p Process) -> Self {
        Self { process, files: FxHashMap::default(), left: MAX_ALL }
    }

    /// Adds the source line to a frame, if its file can be read. Names such as `<string>` and
    /// `<frozen importlib._bootstrap>` have no file.
    pub(super) fn annotate(&mut self, frame: &mut FrameRow) {
        let Some(line) = frame.line else { return };
        let source = self.source(&frame.file);
        let text = source.and_then(|source| source.line((line as usize).checked_sub(1)?));
        frame.source = text.filter(|text| !text.is_empty());
    }

    /// The number of a line that fits: the last one up to the line `before`, or the first one.
    pub(super) fn find(
        &mut self,
        file: &str,
        before: Option<u64>,
        fits: &dyn Fn(&str) -> bool,
    ) -> Option<u64> {
        let source = self.source(file)?;
        let mut lines = source.bytes.split(|&byte| byte == b'\n').zip(1u64..);
        let fits = |line: &[u8]| std::str::from_utf8(line).is_ok_and(fits);
        match before {
            Some(before) => {
                let lines = lines.take_while(|&(_, number)| number <= before);
                lines.filter(|(line, _)| fits(line)).last().map(|(_, number)| number)
            }
            None => lines.find(|(line, _)| fits(line)).map(|(_, number)| number),
        }
    }

    fn source(&mut self, file: &str) -> Option<&Source> {
        if !file.starts_with('/') {
            return None;
        }
        if !self.files.contains_key(file) && self.files.len() < MAX_FILES {
            let source = Source::read(self.process, Path::new(file), &mut self.left);
            self.files.insert(file.to_owned(), source);
        }
        self.files.get(file).and_then(Option::as_ref)
    }
}

impl Source {
    fn read(process: &Process, path: &Path, left: &mut u64) -> Option<Self> {
        let file = process.open_in_root(path).ok()?;
        let facts = file.metadata().ok()?;
        // A path in the target may name a device or a pipe, which would hang or never end. So
        // may some that pass for files, such as /proc/kmsg: their length is 0.
        if !facts.is_file() || facts.len() == 0 {
            return None;
        }
        let most = facts.len().min(MAX_FILE).min(*left);
        let mut bytes = Vec::with_capacity(most as usize);
        file.take(most).read_to_end(&mut bytes).ok()?;
        *left = left.saturating_sub(bytes.len() as u64);
        let ends = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        let ends = ends.map(|(at, _)| at).chain([bytes.len()]).collect();
        Some(Self { bytes, ends })
    }

    /// The line of this index, without white space around it.
    fn line(&self, index: usize) -> Option<String> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before)? + 1,
            None => 0,
        };
        let text = String::from_utf8_lossy(self.bytes.get(start..end)?);
        Some(text.trim().chars().take(MAX_LINE).collect())
    }
}
