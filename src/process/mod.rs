//! What the operating system says about a process. Knows nothing of Python.
//!
//! A [`Process`] stays the process it was opened for: a pidfd (or, on kernels before 5.3, the
//! start time) is asked again after every answer, so that what we say never comes from
//! another process which got the same number. Everything read from `/proc` is bounded.

mod activity;
mod descriptors;
mod error;
mod family;
mod files;
mod fork;
mod identity;
mod image;
mod inject;
mod machine;
pub mod maps;
pub mod net;
mod rights;
mod stat;
mod stop;
mod tasks;
mod usage;

pub use activity::Activity;
pub use descriptors::{Descriptor, DescriptorKind};
pub use error::ProcessError;
pub use family::{Child, python_processes};
#[doc(hidden)]
pub use fork::reached;
pub use fork::{Ending, ForkError, ForkPlan, FrozenChild};
pub use identity::{Identity, Namespaces};
pub use image::ProgramImage;
pub use inject::{Away, Doing, Held, HeldThread, InjectError, InjectPlan, RemoteCall};
pub use machine::available_memory;
pub use maps::Mapping;
pub use rights::{Rights, Verdict};
pub use stop::{Hold, Pause, StopError, StopOptions, Stopped, StoppedThread, Syscall};
pub use usage::MemoryUsage;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use stat::Stat;
use tasks::{task_ids, task_stat};

/// Most bytes taken from one `/proc` file: about 400,000 mappings, six times the kernel's
/// default limit.
const LARGEST_FILE: u64 = 64 << 20;
/// Room for a `/proc` file to begin with: a page, which is what the kernel gives at a time.
const USUAL_FILE: usize = 4096;

/// A process of this machine, held so that its number cannot come to mean another one
/// unnoticed.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    pidfd: Option<OwnedFd>,
    start_ticks: u64,
    boot_id: String,
}

/// The memory of a process that no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateMemory {
    /// What it has written and has not been swapped out, in bytes.
    pub resident_bytes: u64,
    /// What the kernel needs to describe all its memory, in bytes.
    pub page_table_bytes: u64,
}

/// A thread as the kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsThread {
    /// The thread's number.
    pub tid: i32,
    /// Its name, at most 15 bytes; chosen by the program.
    pub name: String,
    /// `R` running, `S` sleeping, `D` uninterruptible, `T` stopped, `t` traced, `Z` zombie.
    pub state: char,
}

impl Process {
    /// Opens a process by its number.
    ///
    /// # Errors
    /// No such process, a thread's number, a kernel thread, a zombie, a 32-bit program
    /// (when its executable may be read), or a `/proc` that hides it.
    pub fn open(pid: i32) -> Result<Self, ProcessError> {
        if pid <= 0 {
            return Err(ProcessError::NoSuchProcess { pid });
        }
        let pidfd = match pidfd_open(pid) {
            Ok(fd) => Some(fd),
            Err(Errno::ESRCH) => return Err(ProcessError::NoSuchProcess { pid }),
            // A thread (EINVAL, ENOENT since 6.9), an old kernel or a filter: /proc decides.
            Err(_) => None,
        };
        let status = match read_bounded(&format!("/proc/{pid}/status")) {
            Ok(text) => text,
            Err(_) if pidfd.is_some() => {
                // SAFETY: kill with signal 0 only asks whether the process exists.
                let exists = unsafe { libc::kill(pid, 0) } == 0 || Errno::last() == Errno::EPERM;
                return Err(if exists {
                    let what = "/proc hides it (hidepid)".to_owned();
                    ProcessError::Denied { pid, what }
                } else {
                    ProcessError::Gone { pid }
                });
            }
            Err(_) => return Err(ProcessError::NoSuchProcess { pid }),
        };
        match stat::status_number(&status, "Tgid", 0) {
            Some(tgid) if tgid != pid => {
                return Err(ProcessError::IsThread { tid: pid, pid: tgid });
            }
            _ => {}
        }
        let mut process = Self { pid, pidfd, start_ticks: 0, boot_id: String::new() };
        let stat = process.stat()?;
        process.start_ticks = stat.start_ticks;
        if let Ok(text) = read_bounded("/proc/sys/kernel/random/boot_id") {
            process.boot_id = String::from_utf8_lossy(&text).trim().to_owned();
        }
        if stat.is_kernel_thread() {
            return Err(ProcessError::KernelThread { pid });
        }
        if stat.has_ended() && process.living_thread().is_none() {
            return Err(ProcessError::Zombie { pid });
        }
        if process.is_32_bit() == Some(true) {
            return Err(ProcessError::ThirtyTwoBit { pid });
        }
        process.check()?;
        Ok(process)
    }

    /// The process's number, as our PID namespace has it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Start, in clock ticks since boot: together with the number and [`Self::boot_id`] it
    /// names the process for ever.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// The identifier of this boot of the machine.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Asks whether the process we opened still lives.
    ///
    /// # Errors
    /// [`ProcessError::Gone`] or [`ProcessError::Reused`].
    pub fn check(&self) -> Result<(), ProcessError> {
        let Some(pidfd) = &self.pidfd else {
            return match self.stat_unchecked() {
                Some(stat) if stat.start_ticks == self.start_ticks => Ok(()),
                Some(_) => Err(ProcessError::Reused { pid: self.pid }),
                None => Err(ProcessError::Gone { pid: self.pid }),
            };
        };
        let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd that lives for the call; no time limit to wait for.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        if ready <= 0 {
            return Ok(());
        }
        // The pidfd becomes readable when the last thread has ended.
        Err(match self.stat_unchecked() {
            Some(stat) if stat.start_ticks != self.start_ticks => {
                ProcessError::Reused { pid: self.pid }
            }
            _ => ProcessError::Gone { pid: self.pid },
        })
    }

    /// The same process, for another thread.
    fn try_clone(&self) -> Result<Self, ProcessError> {
        let pidfd = self.pidfd.as_ref().map(OwnedFd::try_clone).transpose();
        let what = "keeping a descriptor of it";
        let pidfd = pidfd.map_err(|error| ProcessError::from_io(self.pid, what, error))?;
        Ok(Self { pidfd, boot_id: self.boot_id.clone(), ..*self })
    }

    /// Its memory map.
    ///
    /// # Errors
    /// Gone, reused, or no permission (needs the same rights as ptrace).
    pub fn maps(&self) -> Result<Vec<Mapping>, ProcessError> {
        let text = self.memory_file("maps")?;
        let maps = Mapping::parse_all(&text);
        if maps.is_empty() {
            // A process that is past the point of giving up its memory has an empty map.
            self.check()?;
            return Err(ProcessError::Gone { pid: self.pid });
        }
        Ok(maps)
    }

    /// From thread numbers as the process's own PID namespace has them to ours.
    ///
    /// # Errors
    /// Gone or reused, or no permission.
    pub fn inner_thread_ids(&self) -> Result<std::collections::BTreeMap<u64, i32>, ProcessError> {
        let ids = tasks::inner_ids(self.pid)
            .map_err(|error| ProcessError::from_io(self.pid, "list its threads", error))?;
        self.check()?;
        Ok(ids)
    }

    /// Its number in its own PID namespace.
    ///
    /// # Errors
    /// Gone or reused.
    pub fn inner_id(&self) -> Result<i32, ProcessError> {
        let status = self.read("status")?;
        let ids = stat::status_field(&status, "NSpid");
        let id = ids.and_then(|ids| ids.split_ascii_whitespace().next_back()?.parse().ok());
        Ok(id.unwrap_or(self.pid))
    }

    /// Its threads, in the kernel's order (creation).
    ///
    /// # Errors
    /// Gone or reused.
    pub fn threads(&self) -> Result<Vec<OsThread>, ProcessError> {
        let tids = task_ids(self.pid).map_err(|e| self.io("listing its threads", e))?;
        let threads = tids
            .into_iter()
            .filter_map(|tid| {
                let Stat { comm, state, .. } = task_stat(self.pid, tid)?;
                Some(OsThread { tid, name: comm, state })
            })
            .collect();
        self.check()?;
        Ok(threads)
    }

    /// How much memory is its own; `None` when that cannot be read.
    pub fn private_memory(&self) -> Option<PrivateMemory> {
        let status = self.read("status").ok()?;
        let bytes = |name| stat::status_number::<u64>(&status, name, 0)?.checked_mul(1024);
        Some(PrivateMemory { resident_bytes: bytes("RssAnon")?, page_table_bytes: bytes("VmPTE")? })
    }

    /// How many file descriptors it has open.
    ///
    /// # Errors
    /// Gone, reused, or no permission.
    pub fn fd_count(&self) -> Result<usize, ProcessError> {
        let what = error::LISTING;
        let path = format!("/proc/{}/fd", self.pid);
        let entries = std::fs::read_dir(path).map_err(|e| self.io(what, e))?;
        let count = entries.filter(Result::is_ok).count();
        self.check()?;
        Ok(count)
    }

    /// A thread that still has the process's memory: the leader unless it has ended before
    /// the others (`pthread_exit` in `main`); the leader's own files are empty then.
    pub(crate) fn living_thread(&self) -> Option<i32> {
        let lives = |tid: i32| task_stat(self.pid, tid).is_some_and(|stat| !stat.has_ended());
        if lives(self.pid) {
            return Some(self.pid);
        }
        task_ids(self.pid).ok()?.into_iter().find(|&tid| lives(tid))
    }

    /// Reads a file of the process that describes its memory.
    pub(crate) fn memory_file(&self, name: &str) -> Result<Vec<u8>, ProcessError> {
        let gone = ProcessError::Gone { pid: self.pid };
        let text = match self.read(name) {
            // Empty: the leader has ended.
            Ok(text) if text.is_empty() => {
                let tid = self.living_thread().ok_or(gone)?;
                self.read(&format!("task/{tid}/{name}"))?
            }
            other => other?,
        };
        Ok(text)
    }

    /// Opens a file of the process that describes its memory.
    pub(crate) fn open_memory_file(&self, name: &str) -> Result<File, ProcessError> {
        let tid = self.living_thread().ok_or(ProcessError::Gone { pid: self.pid })?;
        let path = format!("/proc/{}/task/{tid}/{name}", self.pid);
        let file = File::open(path).map_err(|e| self.io(&format!("opening {name}"), e))?;
        self.check()?;
        Ok(file)
    }

    /// Reads `/proc/PID/NAME`, then makes sure that it was our process's.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, ProcessError> {
        let path = format!("/proc/{}/{name}", self.pid);
        let text = read_bounded(&path).map_err(|e| self.io(&format!("reading {name}"), e))?;
        self.check()?;
        Ok(text)
    }

    fn stat(&self) -> Result<Stat, ProcessError> {
        self.stat_unchecked().ok_or(ProcessError::Gone { pid: self.pid })
    }

    fn stat_unchecked(&self) -> Option<Stat> {
        Stat::parse(&read_bounded(&format!("/proc/{}/stat", self.pid)).ok()?)
    }

    fn io(&self, what: &str, error: io::Error) -> ProcessError {
        let error = ProcessError::from_io(self.pid, what, error);
        match (&error, self.check()) {
            (ProcessError::Gone { .. }, Err(precise)) => precise,
            _ => error,
        }
    }
}

/// Reads a file of `/proc`, at most [`LARGEST_FILE`] bytes of it.
///
/// These files have no length, and without room to begin with `read_to_end` asks for 32 bytes,
/// then 64, and so on: most of the system calls of a short command were these.
pub(crate) fn read_bounded(path: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(USUAL_FILE);
    File::open(path)?.take(LARGEST_FILE).read_to_end(&mut text)?;
    Ok(text)
}

fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two integers; touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
