//! Threads and tasks that are at the same place, together.

use crate::snapshot::FrameRow;
use crate::snapshot::whole::Whole;
use std::collections::BTreeMap;

/// Groups shown.
const GROUPS: usize = 100;
/// Names listed of a group, and frames of a stack.
const NAMES: usize = 8;
const FRAMES: usize = 60;

/// All threads or all tasks.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    pub(super) total: usize,
    pub(super) shown: Vec<Group>,
    pub(super) hidden: usize,
}

/// Some that are at the same place.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) count: usize,
    pub(super) what: String,
    pub(super) state: String,
    /// The innermost place.
    pub(super) at: String,
    pub(super) names: String,
    pub(super) frames: Vec<Place>,
    pub(super) frames_hidden: usize,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) function: String,
    pub(super) file: String,
    pub(super) source: String,
}

type Key = (String, String, Vec<Place>, usize);

/// The threads by stack and state.
pub(super) fn threads(whole: &Whole) -> Groups {
    let python = whole.threads.iter().map(|thread| {
        let outermost = thread.frames.last().map(name);
        let what = outermost.unwrap_or_else(|| "(no Python frames)".to_owned());
        let mut state = thread.state.clone().unwrap_or_else(|| "unknown".to_owned());
        if let Some(syscall) = &thread.syscall {
            state = format!("{state}: {syscall}");
        }
        let name = thread.name.clone().or_else(|| thread.os_name.clone());
        let label = name.unwrap_or_else(|| thread.ident.clone());
        (key(what, state, &thread.frames), label)
    });
    let native = whole.native_threads.iter().map(|thread| {
        let state = thread.syscall.as_ref().map(|call| format!("in system call: {call}"));
        let what = "(a thread without Python)".to_owned();
        let label = thread.os_name.clone().unwrap_or_else(|| thread.tid.to_string());
        ((what, state.unwrap_or_else(|| "unknown".to_owned()), Vec::new(), 0), label)
    });
    group(python.chain(native))
}

/// The tasks that have not ended, by coroutine, state and stack.
pub(super) fn tasks(whole: &Whole) -> Groups {
    let open = whole
        .tasks
        .rows
        .iter()
        .filter(|task| !matches!(task.state.as_deref(), Some("done" | "cancelled")));
    group(open.map(|task| {
        let what = task.coroutine.clone().unwrap_or_else(|| task.class.clone());
        let state = task.activity.clone().or_else(|| task.state.clone());
        let label = task.name.clone().unwrap_or_else(|| task.address.clone());
        (key(what, state.unwrap_or_else(|| "unknown".to_owned()), &task.stack), label)
    }))
}

fn key(what: String, state: String, frames: &[FrameRow]) -> Key {
    let shown = frames.iter().take(FRAMES).map(|frame| Place {
        function: name(frame),
        file: match frame.line {
            Some(line) => format!("{}:{line}", frame.file),
            None => frame.file.clone(),
        },
        source: frame.source.clone().unwrap_or_default(),
    });
    (what, state, shown.collect(), frames.len().saturating_sub(FRAMES))
}

fn name(frame: &FrameRow) -> String {
    frame.qualname.as_ref().unwrap_or(&frame.function).clone()
}

fn group(all: impl Iterator<Item = (Key, String)>) -> Groups {
    let mut found: BTreeMap<Key, Vec<String>> = BTreeMap::new();
    let mut total = 0;
    for (key, label) in all {
        total += 1;
        found.entry(key).or_default().push(label);
    }
    let mut groups: Vec<Group> = found
        .into_iter()
        .map(|((what, state, frames, frames_hidden), labels)| {
            let count = labels.len();
            let mut names = labels.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
            if count > NAMES {
                names += &format!(" and {} more", count - NAMES);
            }
            let at = frames.first().map(|place| format!("{} in {}", place.file, place.function));
            Group { count, what, state, at: at.unwrap_or_default(), names, frames, frames_hidden }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    let hidden = groups.len().saturating_sub(GROUPS);
    groups.truncate(GROUPS);
    Groups { total, shown: groups, hidden }
}
