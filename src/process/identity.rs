//! Who a process is: the facts that head every result.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use nix::unistd::{SysconfVar, Uid, User, sysconf};

use super::stat::{status_field, status_number};
use super::{Process, ProcessError, read_bounded};

/// The facts about a process. `None`: could not be read (most need the right to ptrace).
#[derive(Debug, Clone)]
pub struct Identity {
    /// Number, as our PID namespace has it.
    pub pid: i32,
    /// Number in its own, innermost, PID namespace.
    pub namespaced_pid: Option<i32>,
    /// Parent; 0 when the parent is outside our PID namespace.
    pub ppid: i32,
    /// When it started, to the clock tick (10 ms) within the boot, whose own time the kernel
    /// gives in whole seconds.
    pub start_time: Option<Timestamp>,
    /// Arguments; bytes that are not UTF-8 are replaced.
    pub cmdline: Vec<String>,
    /// The executable's path in its own mount namespace, without " (deleted)".
    pub exe: Option<PathBuf>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Effective user.
    pub uid: u32,
    /// The name our user database has for it.
    pub user: Option<String>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Threads.
    pub os_threads: usize,
    /// Open file descriptors.
    pub fds: Option<usize>,
    /// The kernel's state letter of the main thread.
    pub state: char,
    /// Its tracer; 0 for none.
    pub tracer_pid: i32,
    /// Seccomp mode: 0 off, 1 strict, 2 filter.
    pub seccomp: Option<u8>,
    /// Which namespaces it shares with us.
    pub namespaces: Namespaces,
}

/// For each kind of namespace whether it is the same as ours; `None`: could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces {
    /// Process numbers.
    pub pid: Option<bool>,
    /// Mounts.
    pub mount: Option<bool>,
    /// Network.
    pub network: Option<bool>,
    /// Users.
    pub user: Option<bool>,
}

impl Process {
    /// Collects the facts about the process.
    ///
    /// # Errors
    /// Gone or reused; what is only not permitted is `None` in the answer.
    pub fn identity(&self) -> Result<Identity, ProcessError> {
        let stat = self.stat()?;
        let status = self.read("status")?;
        let uid = status_number(&status, "Uid", 1).unwrap_or(u32::MAX);
        let remote = self.remote();
        let identity = Identity {
            pid: self.pid,
            namespaced_pid: status_field(&status, "NSpid")
                .and_then(|pids| pids.split_ascii_whitespace().next_back()?.parse().ok()),
            ppid: stat.ppid,
            start_time: start_time(self.start_ticks),
            cmdline: self.cmdline()?,
            exe: remote
                .as_ref()
                .and_then(|it| it.exe().ok())
                .map(|exe| without_deleted(exe.into())),
            cwd: remote.and_then(|it| it.cwd().ok()).map(PathBuf::from),
            uid,
            user: User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name),
            rss_bytes: status_number::<u64>(&status, "VmRSS", 0)
                .and_then(|kilobytes| kilobytes.checked_mul(1024)),
            os_threads: status_number(&status, "Threads", 0).unwrap_or(0),
            fds: self.fd_count().ok(),
            state: stat.state,
            tracer_pid: status_number(&status, "TracerPid", 0).unwrap_or(0),
            seccomp: status_number(&status, "Seccomp", 0),
            namespaces: self.namespaces(),
        };
        self.check()?;
        Ok(identity)
    }

    /// Which namespaces the process shares with us.
    pub fn namespaces(&self) -> Namespaces {
        let same = |kind: &str| {
            let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
            Some(self.link(&format!("ns/{kind}"))? == ours)
        };
        Namespaces {
            pid: same("pid"),
            mount: same("mnt"),
            network: same("net"),
            user: same("user"),
        }
    }

    /// The number and command name of its tracer, if it has one.
    pub(crate) fn tracer(&self) -> Result<Option<(i32, String)>, ProcessError> {
        Ok(tracer_of(&self.read("status")?))
    }

    /// Whether the program is a 32-bit one (the class byte of its ELF file).
    pub(crate) fn is_32_bit(&self) -> Option<bool> {
        use std::io::Read;
        let mut header = [0; 5];
        let path = format!("/proc/{}/exe", self.pid);
        std::fs::File::open(path).ok()?.read_exact(&mut header).ok()?;
        match header {
            [0x7f, b'E', b'L', b'F', class] => Some(class == 1),
            _ => None,
        }
    }

    /// The arguments. Not from `remoteprocess`, which leaves out empty ones and refuses all
    /// when one is not UTF-8 (0.5.5).
    fn cmdline(&self) -> Result<Vec<String>, ProcessError> {
        let text = self.read("cmdline")?;
        let text = text.strip_suffix(b"\0").unwrap_or(&text);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let words = text.split(|&byte| byte == 0);
        Ok(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    fn remote(&self) -> Option<remoteprocess::Process> {
        remoteprocess::Process::new(self.pid).ok()
    }

    /// The text of a link in the process's directory.
    pub(super) fn link(&self, name: &str) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/{name}", self.pid)).ok()
    }
}

/// The tracer that a `status` file names, and its command name.
pub(super) fn tracer_of(status: &[u8]) -> Option<(i32, String)> {
    match status_number::<i32>(status, "TracerPid", 0) {
        None | Some(0) => None,
        Some(tracer) => Some((tracer, command_name(tracer))),
    }
}

/// The command name of any process; "?" when it cannot be read.
fn command_name(pid: i32) -> String {
    read_bounded(&format!("/proc/{pid}/comm"))
        .map_or_else(|_| "?".to_owned(), |text| String::from_utf8_lossy(&text).trim().to_owned())
}

fn without_deleted(path: PathBuf) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(kept) => PathBuf::from(std::ffi::OsString::from_vec(kept.to_vec())),
        None => path,
    }
}

/// Ticks since boot as a time of day.
fn start_time(ticks: u64) -> Option<Timestamp> {
    let text = read_bounded("/proc/stat").ok()?;
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"btime "))?;
    let boot: i64 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let millis = ticks.checked_mul(1000)?.checked_div(per_second)?;
    let since_boot = SignedDuration::from_millis(i64::try_from(millis).ok()?);
    Timestamp::from_second(boot).ok()?.checked_add(since_boot).ok()
}
