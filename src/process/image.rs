//! Which program a process runs: `exec` puts another one in its place and keeps the number,
//! the start time and the pidfd.

use super::tasks::task_text;
use super::{Process, ProcessError};

/// Fields of `/proc/PID/stat` behind the command name (proc_pid_stat(5) counts from 1, and two
/// lie before): `startcode`, `endcode`, `startstack`.
const FIELDS: [usize; 3] = [23, 24, 25];

/// Where the kernel put the program's code and stack. Every `exec` places them anew, at random
/// unless that is switched off for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramImage([u64; FIELDS.len()]);

impl ProgramImage {
    fn parse(text: &[u8]) -> Option<Self> {
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let fields = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let mut image = [0; FIELDS.len()];
        for (value, index) in image.iter_mut().zip(FIELDS) {
            *value = fields.split_ascii_whitespace().nth(index)?.parse().ok()?;
        }
        // A thread that has given up its memory, or one whose addresses are not for us.
        (image[0] > 1).then_some(Self(image))
    }
}

impl Process {
    /// The program it runs now; `None` when that cannot be told.
    pub fn image(&self) -> Option<ProgramImage> {
        let tid = self.living_thread()?;
        ProgramImage::parse(&task_text(self.pid, tid, "stat").ok()?)
    }

    /// Makes sure that the process still runs the program it ran when `image` was taken.
    ///
    /// # Errors
    /// [`ProcessError::Replaced`]. What cannot be told is no error.
    pub fn check_image(&self, image: Option<ProgramImage>) -> Result<(), ProcessError> {
        match (image, self.image()) {
            (Some(then), Some(now)) if then != now => Err(ProcessError::Replaced { pid: self.pid }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Command, Stdio};

    #[test]
    fn exec_changes_it_and_nothing_else_does() {
        let mut child = Command::new("sh")
            .args(["-c", "read x; exec sleep 60"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let process = Process::open(child.id().cast_signed()).unwrap();
        let is_sleep = || process.link("exe").is_some_and(|exe| exe.ends_with("sleep"));
        // Between fork and exec the child is still us.
        let is_shell = || process.read("cmdline").is_ok_and(|line| line.starts_with(b"sh\0"));
        while !is_shell() {
            std::thread::yield_now();
        }
        let before = process.image();
        assert!(before.is_some());
        process.check_image(before).unwrap();
        drop(child.stdin.take());
        while !is_sleep() && !process.link("exe").is_some_and(|exe| exe.ends_with("coreutils")) {
            std::thread::yield_now();
        }
        let replaced = process.check_image(before).unwrap_err();
        assert!(matches!(replaced, ProcessError::Replaced { .. }), "{replaced}");
        process.check().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        process.check_image(before).unwrap();
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer(text: Vec<u8>, name in "[() a-z]{0,20}", fields in "[0-9 -]{0,200}") {
            ProgramImage::parse(&text);
            ProgramImage::parse(format!("1 ({name}) S {fields}").as_bytes());
        }
    }
}
