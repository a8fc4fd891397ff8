//! The threads of a process by number alone: for the tracer thread, which holds no
//! [`super::Process`] (its caller makes sure that it is still the same one).

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::read_bounded;
use super::stat::{Stat, status_field};

/// The numbers of a process's threads, in the order of their creation.
pub(super) fn task_ids(pid: i32) -> io::Result<Vec<i32>> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
}

/// How many threads the process has, those included that have ended but are not yet
/// forgotten. One system call, whatever their number (`proc_task_getattr` in fs/proc/base.c:
/// the links of the directory are two and one for each thread).
pub(super) fn task_count(pid: i32) -> Option<usize> {
    let links = std::fs::metadata(format!("/proc/{pid}/task")).ok()?.nlink();
    usize::try_from(links.checked_sub(2)?).ok()
}

/// The kernel's line on a thread; `None` when it is not there any more.
pub(super) fn task_stat(pid: i32, tid: i32) -> Option<Stat> {
    Stat::parse(&task_text(pid, tid, "stat").ok()?)
}

/// A file of a thread's directory.
pub(super) fn task_text(pid: i32, tid: i32, name: &str) -> io::Result<Vec<u8>> {
    read_bounded(&format!("/proc/{pid}/task/{tid}/{name}"))
}

/// From thread numbers as the process's own PID namespace has them to ours (`NSpid` of each
/// thread's status, innermost last).
pub(super) fn inner_ids(pid: i32) -> io::Result<BTreeMap<u64, i32>> {
    let inner = |tid: i32| {
        let status = read_bounded(&format!("/proc/{pid}/task/{tid}/status")).ok()?;
        let ids = status_field(&status, "NSpid")?;
        Some((ids.split_ascii_whitespace().next_back()?.parse().ok()?, tid))
    };
    Ok(task_ids(pid)?.into_iter().filter_map(inner).collect())
}
