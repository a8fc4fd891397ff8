//! Source lines of frames, read from the target's files after it runs again.

use crate::process::Process;
use crate::snapshot::FrameRow;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
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
    files: HashMap<String, Option<Vec<String>>>,
    /// Bytes that may still be read.
    left: u64,
}

impl<'p> Sources<'p> {
    /// Sources of `process`, found through its own root.
    pub(super) fn new(process: &'p Process) -> Self {
        Self { process, files: HashMap::new(), left: MAX_ALL }
    }

    /// Adds the source line to a frame, if its file can be read. Names such as `<string>` and
    /// `<frozen importlib._bootstrap>` have no file.
    pub(super) fn annotate(&mut self, frame: &mut FrameRow) {
        let Some(line) = frame.line else { return };
        if !frame.file.starts_with('/') {
            return;
        }
        if !self.files.contains_key(&frame.file) && self.files.len() < MAX_FILES {
            let lines = read_lines(self.process, Path::new(&frame.file), &mut self.left);
            self.files.insert(frame.file.clone(), lines);
        }
        let lines = self.files.get(&frame.file).and_then(Option::as_ref);
        let text = lines.and_then(|lines| lines.get((line as usize).checked_sub(1)?));
        frame.source = text.filter(|text| !text.is_empty()).cloned();
    }
}

fn read_lines(process: &Process, path: &Path, left: &mut u64) -> Option<Vec<String>> {
    let file = process.open_in_root(path).ok()?;
    // A path in the target may name a device or a pipe, which would hang or never end. So may
    // some that pass for files, such as /proc/kmsg: their length is 0.
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return None;
    }
    let mut lines = Vec::new();
    let most = metadata.len().min(MAX_FILE).min(*left);
    let mut reader = BufReader::new(file.take(most));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).ok()? > 0 {
        *left = left.saturating_sub(line.len() as u64);
        let text = String::from_utf8_lossy(&line);
        lines.push(text.trim().chars().take(MAX_LINE).collect());
        line.clear();
    }
    Some(lines)
}
