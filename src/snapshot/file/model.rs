//! What a snapshot file holds: one capture of one process, and what names both for ever.

use super::super::whole::{CollectorRow, ResourceLimits, SameProcess};
use super::super::{CaptureInfo, Finding, FrameRow, ProcessInfo, ResourceSummary, Whole};
use super::super::{TypeRow, VERSION};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One capture.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The file's first line.
    pub summary: Summary,
    /// The capture.
    pub whole: Whole,
    /// What the rules found in it when it was taken.
    pub findings: Vec<Finding>,
}

/// Everything that needs no list: the first line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// "pyattach.snapshot/1"
    pub schema: String,
    /// Version of pyattach.
    pub pyattach: String,
    /// When it was taken.
    pub taken: Moment,
    /// The machine's name.
    pub host: Option<String>,
    /// What makes sure that another capture is of the same process.
    pub same: SameProcess,
    /// The process, its command line redacted unless asked for.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Figures of the operating system.
    pub figures: Figures,
    /// Limits that the kernel sets.
    pub limits: ResourceLimits,
    /// The garbage collectors.
    pub collectors: Vec<CollectorRow>,
    /// Tracked objects.
    pub objects: ObjectFigures,
    /// The resources by kind.
    pub resources: BTreeMap<String, ResourceSummary>,
    /// asyncio tasks by state.
    pub tasks: BTreeMap<String, u64>,
    /// Unfinished tasks by the place where they wait, the most first.
    pub waiting: Vec<Place>,
    /// Threads by the place where they are, the most first.
    pub threads: Vec<Place>,
}

/// How many are at one place of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The coroutine of tasks; the outermost function of threads.
    pub what: String,
    /// The innermost line: "app.py:12 in fetch".
    pub at: Option<String>,
    /// How many.
    pub count: u64,
}

/// An instant, by the clock on the wall and by one that is never set back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339, UTC.
    pub at: String,
    /// Milliseconds since 1970.
    pub unix_ms: i64,
    /// Milliseconds since the machine was booted, suspended time included.
    pub since_boot_ms: Option<i64>,
}

/// Figures of the operating system. `None`: could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Resident memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// Its share of it, where pages are shared with other processes, in bytes.
    pub pss_bytes: Option<u64>,
    /// Swapped out, in bytes.
    pub swap_bytes: Option<u64>,
    /// Threads, as the kernel counts them.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub fds: Option<u64>,
    /// Open descriptors by kind: "socket", "pipe", "file", "eventpoll", …
    pub fds_by_kind: BTreeMap<String, u64>,
}

/// Tracked objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectFigures {
    /// Objects on all lists of all interpreters.
    pub total: u64,
    /// Of these, in the permanent generation.
    pub permanent: u64,
    /// Sum of all shallow sizes.
    pub shallow_bytes: u64,
    /// Types met.
    pub type_count: u64,
}

/// What of a capture is not in [`Whole`]: what only the machine that took it knows.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// Milliseconds since 1970.
    pub unix_ms: i64,
    /// Milliseconds since the machine was booted.
    pub since_boot_ms: Option<i64>,
    /// The machine's name.
    pub host: Option<String>,
    /// Proportional share of resident memory, in bytes.
    pub pss_bytes: Option<u64>,
    /// Swapped out, in bytes.
    pub swap_bytes: Option<u64>,
}

/// Places named in a summary.
pub const MAX_PLACES: usize = 50;

impl Summary {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.snapshot/1";

    /// The summary of a capture.
    fn of(whole: &Whole, around: &Circumstances) -> Self {
        let types = &whole.objects;
        let descriptors = &whole.sockets.summary.descriptors;
        let unfinished =
            whole.tasks.rows.iter().filter(|task| is_unfinished(task.state.as_deref()));
        let waiting = unfinished.map(|task| {
            (task.coroutine.clone().unwrap_or_else(|| task.class.clone()), innermost(&task.stack))
        });
        let threads = whole.threads.iter().map(|thread| {
            let outermost = thread.frames.last();
            let what = outermost.map(|frame| frame.qualname.as_ref().unwrap_or(&frame.function));
            (what.cloned().unwrap_or_else(|| "(no frames)".to_owned()), innermost(&thread.frames))
        });
        Self {
            schema: Self::SCHEMA.to_owned(),
            pyattach: VERSION.to_owned(),
            taken: Moment {
                at: whole.taken.clone(),
                unix_ms: around.unix_ms,
                since_boot_ms: around.since_boot_ms,
            },
            host: around.host.clone(),
            same: whole.same.clone(),
            process: whole.process.clone(),
            capture: whole.capture.clone(),
            figures: Figures {
                rss_bytes: whole.process.rss_bytes,
                pss_bytes: around.pss_bytes,
                swap_bytes: around.swap_bytes,
                threads: whole.process.os_threads,
                fds: whole.process.fds,
                fds_by_kind: descriptors.clone(),
            },
            limits: whole.limits.clone(),
            collectors: whole.collectors.clone(),
            objects: ObjectFigures {
                total: types.total,
                permanent: types.permanent,
                shallow_bytes: types.shallow_bytes,
                type_count: types.type_count,
            },
            resources: whole.kinds.clone(),
            tasks: whole.tasks.totals.clone(),
            waiting: places(waiting),
            threads: places(threads),
        }
    }
}

/// True for tasks that are still to do something.
fn is_unfinished(state: Option<&str>) -> bool {
    !matches!(state, Some("done" | "cancelled"))
}

fn innermost(frames: &[FrameRow]) -> Option<String> {
    let frame = frames.first()?;
    let line = frame.line.map(|line| format!(":{line}")).unwrap_or_default();
    Some(format!("{}{line} in {}", frame.file, frame.function))
}

fn places(all: impl Iterator<Item = (String, Option<String>)>) -> Vec<Place> {
    let mut counts: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    for place in all {
        *counts.entry(place).or_default() += 1;
    }
    let mut places: Vec<Place> =
        counts.into_iter().map(|((what, at), count)| Place { what, at, count }).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.count));
    places.truncate(MAX_PLACES);
    places
}

impl Snapshot {
    /// A capture to be stored. `full_command` keeps the arguments of the command line.
    pub fn new(
        mut whole: Whole,
        findings: Vec<Finding>,
        around: &Circumstances,
        full_command: bool,
    ) -> Self {
        if !full_command {
            whole.process.cmdline = redacted(&whole.process.cmdline);
        }
        sort(&mut whole.objects.types);
        Self { summary: Summary::of(&whole, around), whole, findings }
    }

    /// Sorted names; the second class of a name has "#2" behind it.
    pub(super) fn distinct(names: &[String]) -> Vec<String> {
        let mut last = "";
        let mut times = 1;
        names
            .iter()
            .map(|name| {
                times = if name == last { times + 1 } else { 1 };
                last = name;
                if times == 1 { name.clone() } else { format!("{name}#{times}") }
            })
            .collect()
    }
}

/// By name, those of one name by address: the order of a file.
pub(super) fn sort(types: &mut [TypeRow]) {
    types.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
}

/// The command line without what may be anybody's business: the program's name, and the script
/// or module. Every other argument is a mask.
fn redacted(command: &[String]) -> Vec<String> {
    let mut words = command.iter();
    let base = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = words.next().map(base).into_iter().collect();
    let mut named = false;
    let mut module = false;
    for word in words {
        let is_name = !named && (module || !word.starts_with('-'));
        // What follows -c is a program, what follows other options may be their value.
        named |= is_name || word == "-c";
        module = word == "-m";
        let shown = is_name || (!named && module);
        kept.push(if shown { base(word) } else { "***".to_owned() });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_keeps_its_program_and_script_only() {
        let cases: [(&[&str], &[&str]); 4] = [
            (
                &["/usr/bin/python3", "/srv/app.py", "--db", "x"],
                &["python3", "app.py", "***", "***"],
            ),
            (&["python", "-m", "shop.web", "secret"], &["python", "-m", "shop.web", "***"]),
            (&["python", "-c", "print(1)"], &["python", "***", "***"]),
            (&["python", "-u", "x.py"], &["python", "***", "x.py"]),
        ];
        for (line, expected) in cases {
            let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(redacted(&line), expected);
        }
    }
}
