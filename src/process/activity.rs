//! What a thread does at this moment, without stopping it.

use super::stat::status_number;
use super::tasks::task_text;
use super::{Process, Syscall};

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It runs, or is ready to.
    Running,
    /// It waits in a system call.
    In(Syscall),
    /// It waits in the kernel for something else: a page, an interrupt's end.
    Elsewhere,
}

impl Activity {
    /// From `/proc/PID/task/TID/syscall` (proc_pid_syscall in fs/proc/base.c).
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next()?;
        if first == "running" {
            return Some(Self::Running);
        }
        let number: i64 = first.parse().ok()?;
        let Ok(number) = u64::try_from(number) else { return Some(Self::Elsewhere) };
        let mut args = [0; 6];
        for argument in &mut args {
            *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self::In(Syscall { number, args }))
    }
}

impl Process {
    /// What a thread does at this moment; `None` when it is gone, or the kernel does not say.
    pub fn activity(&self, tid: i32) -> Option<Activity> {
        let text = task_text(self.pid, tid, "syscall").ok()?;
        Activity::parse(std::str::from_utf8(&text).ok()?)
    }

    /// How often a thread has given up the processor to wait for something.
    pub fn sleeps(&self, tid: i32) -> Option<u64> {
        status_number(&task_text(self.pid, tid, "status").ok()?, "voluntary_ctxt_switches", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        assert_eq!(Activity::parse("running\n"), Some(Activity::Running));
        assert_eq!(Activity::parse("-1 0x7ffc 0x7f00\n"), Some(Activity::Elsewhere));
        let line = "202 0x7f01 0x189 0x0 0x0 0x0 0xffffffff 0x7ffc 0x7f00\n";
        let args = [0x7f01, 0x189, 0, 0, 0, 0xffff_ffff];
        assert_eq!(Activity::parse(line), Some(Activity::In(Syscall { number: 202, args })));
        for broken in ["", "x", "202", "202 0x1", "202 1 2 3 4 5 6", "202 0xzz 0 0 0 0 0"] {
            assert_eq!(Activity::parse(broken), None, "{broken}");
        }
    }
}
