//! Parents and children.
//!
//! Not by `remoteprocess`, whose walk up the parents (0.5.5) does not end when numbers that
//! were read one after the other form a circle.

use std::collections::HashMap;

use super::stat::Stat;
use super::{Mapping, Process, ProcessError, read_bounded};

/// Processes that run Python, by the look of the files they map, and whose command line (the
/// arguments joined by blanks) `matches`; in ascending order, without ourselves. Those we may
/// not look into are judged by their command line alone.
pub fn python_processes(matches: impl Fn(&str) -> bool) -> Vec<i32> {
    let ours = std::process::id() as i32;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<i32> = pids.filter(|&pid| pid != ours && is_match(pid, &matches)).collect();
    found.sort_unstable();
    found
}

fn is_match(pid: i32, matches: &impl Fn(&str) -> bool) -> bool {
    let Ok(arguments) = read_bounded(&format!("/proc/{pid}/cmdline")) else { return false };
    let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
    let line = line.trim_end();
    if line.is_empty() || !matches(line) {
        return false;
    }
    match read_bounded(&format!("/proc/{pid}/maps")) {
        Ok(text) if !text.is_empty() => Mapping::parse_all(&text).iter().any(|map| {
            let name = map.path.file_name().map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| name.contains("python"))
        }),
        _ => line.contains("python"),
    }
}

/// A child process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its number.
    pub pid: i32,
    /// The kernel's name of it.
    pub name: String,
    /// It has ended, and nobody has asked how.
    pub zombie: bool,
}

/// Calls `each` with the number and the line of every process.
fn each_process(mut each: impl FnMut(i32, Stat)) -> std::io::Result<()> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = read_bounded(&format!("/proc/{pid}/stat"));
        if let Some(stat) = stat.ok().and_then(|text| Stat::parse(&text)) {
            each(pid, stat);
        }
    }
    Ok(())
}

impl Process {
    /// Its own children, zombies included, in ascending order.
    ///
    /// # Errors
    /// Gone, reused, or `/proc` cannot be listed.
    pub fn own_children(&self) -> Result<Vec<Child>, ProcessError> {
        let mut found = Vec::new();
        let listed = each_process(|pid, stat| {
            if stat.ppid == self.pid {
                found.push(Child { pid, zombie: stat.has_ended(), name: stat.comm });
            }
        });
        listed.map_err(|e| self.io("listing /proc", e))?;
        found.sort_unstable_by_key(|child| child.pid);
        self.check()?;
        Ok(found)
    }

    /// The numbers of its children, or of all its descendants, in ascending order.
    ///
    /// A picture taken while processes come and go: open each one and expect some to be gone.
    ///
    /// # Errors
    /// Gone, reused, or `/proc` cannot be listed.
    pub fn children(&self, recursive: bool) -> Result<Vec<i32>, ProcessError> {
        let mut by_parent: HashMap<i32, Vec<i32>> = HashMap::new();
        each_process(|pid, stat| by_parent.entry(stat.ppid).or_default().push(pid))
            .map_err(|e| self.io("listing /proc", e))?;
        // Taking each parent's list out makes the walk end even if the numbers, read one
        // after the other, form a circle.
        let mut found = by_parent.remove(&self.pid).unwrap_or_default();
        let mut next = 0;
        while let Some(&pid) = found.get(next).filter(|_| recursive) {
            found.extend(by_parent.remove(&pid).unwrap_or_default());
            next += 1;
        }
        found.sort_unstable();
        self.check()?;
        Ok(found)
    }
}
