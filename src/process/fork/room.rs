//! How much memory the target's control group has left.
//!
//! A fork takes page tables at once, and a page for each page that the process writes while the
//! copy lives; both are charged to the process's group. A group without room for them calls
//! the out-of-memory killer, which would not spare the process.

use std::path::{Path, PathBuf};

use crate::process::{Process, read_bounded};

/// Bytes that the group and all its parents may still take; `None` when there is no limit, or
/// it cannot be read.
pub(super) fn room(process: &Process) -> Option<u64> {
    let text = String::from_utf8(process.read("cgroup").ok()?).ok()?;
    text.lines().filter_map(room_by_line).min()
}

/// A line of `/proc/PID/cgroup`: `hierarchy:controllers:path` (cgroups(7)).
fn room_by_line(line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let version_two = controllers.is_empty();
    if !version_two && !controllers.split(',').any(|name| name == "memory") {
        return None;
    }
    let (mount, names) = if version_two {
        ("/sys/fs/cgroup", ["memory.max", "memory.current", "inactive_file"])
    } else {
        let names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
        ("/sys/fs/cgroup/memory", names)
    };
    let below = Path::new(path.strip_prefix('/')?);
    let groups = below.ancestors().map(|group| PathBuf::from(mount).join(group));
    groups.filter_map(|group| room_of(&group, names)).min()
}

fn room_of(group: &Path, [limit, usage, idle]: [&str; 3]) -> Option<u64> {
    let read = |name: &str| {
        let text = read_bounded(group.join(name).to_str()?).ok()?;
        String::from_utf8(text).ok()
    };
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let stat = read("memory.stat").unwrap_or_default();
    // Files that nobody has used lately are given up before anything is killed.
    let idle = stat.lines().find_map(|line| line.strip_prefix(idle)?.trim().parse().ok());
    let used = number(usage)?.saturating_sub(idle.unwrap_or(0));
    Some(number(limit)?.saturating_sub(used))
}
