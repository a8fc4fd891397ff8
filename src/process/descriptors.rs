//! The descriptors of a process: what each number stands for.
//!
//! A descriptor is read by the text of its link in `/proc/PID/fd`, which costs the kernel
//! microseconds and the process nothing. The listing is not of one instant; the inode of a
//! socket is not used twice within a listing's time, so a number with the same inode in two
//! listings was the same socket throughout.

use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::readlinkat;

use super::{Process, ProcessError, read_bounded};

/// Descriptors listed; the kernel's default ceiling for one process (`fs.nr_open`).
const MAX_DESCRIPTORS: usize = 1 << 20;
/// A link takes the kernel about 5 µs, so many of them are read by several threads, each of which
/// has at least so many to read.
const SHARE: usize = 1024;
const MAX_THREADS: usize = 4;

/// One descriptor of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub fd: i32,
    /// What it stands for.
    pub kind: DescriptorKind,
}

/// What a descriptor stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescriptorKind {
    /// A socket, by its inode.
    Socket(u64),
    /// An end of a pipe, by its inode.
    Pipe(u64),
    /// An object without a file: "eventpoll", "eventfd", "timerfd", …
    Anonymous(String),
    /// A file, a directory or a device.
    File,
}

impl Descriptor {
    /// The inode, if it is a socket.
    pub fn socket(&self) -> Option<u64> {
        match self.kind {
            DescriptorKind::Socket(inode) => Some(inode),
            _ => None,
        }
    }
}

impl DescriptorKind {
    /// "socket", "pipe", "file", or the kernel's name for an anonymous object.
    pub fn name(&self) -> &str {
        match self {
            Self::Socket(_) => "socket",
            Self::Pipe(_) => "pipe",
            Self::Anonymous(name) => name,
            Self::File => "file",
        }
    }

    /// From the text of the link (`sockfs_dname`, `pipefs_dname` and `anon_inodefs_dname` in the
    /// kernel).
    fn parse(link: &str) -> Self {
        let inode = |prefix: &str| link.strip_prefix(prefix)?.strip_suffix(']')?.parse().ok();
        if let Some(inode) = inode("socket:[") {
            Self::Socket(inode)
        } else if let Some(inode) = inode("pipe:[") {
            Self::Pipe(inode)
        } else if let Some(name) = link.strip_prefix("anon_inode:") {
            Self::Anonymous(name.trim_matches(['[', ']']).to_owned())
        } else {
            Self::File
        }
    }
}

/// Reads the links of these numbers; what is closed by now is left out.
fn read_links(folder: &File, numbers: &[i32]) -> Vec<Descriptor> {
    let read = |&fd: &i32| {
        let link = readlinkat(folder.as_fd(), fd.to_string().as_str()).ok()?;
        Some(Descriptor { fd, kind: DescriptorKind::parse(&link.to_string_lossy()) })
    };
    numbers.iter().filter_map(read).collect()
}

impl Process {
    /// Its descriptors in ascending order, the first million of them. Those that are closed
    /// while the listing goes on may be missing.
    ///
    /// # Errors
    /// Gone, reused, or no permission (needs the same rights as ptrace).
    pub fn descriptors(&self) -> Result<Vec<Descriptor>, ProcessError> {
        let what = super::error::LISTING;
        let path = format!("/proc/{}/fd", self.pid);
        let folder = File::open(&path).map_err(|e| self.io(what, e))?;
        let entries = std::fs::read_dir(&path).map_err(|e| self.io(what, e))?;
        let numbers =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let numbers: Vec<i32> = numbers.take(MAX_DESCRIPTORS).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let share = numbers.len().div_ceil(threads).max(SHARE);
        let mut found: Vec<Descriptor> = std::thread::scope(|scope| {
            let folder = &folder;
            let start = |part| scope.spawn(move || read_links(folder, part));
            let parts: Vec<_> = numbers.chunks(share).map(start).collect();
            parts.into_iter().filter_map(|part| part.join().ok()).flatten().collect()
        });
        found.sort_unstable_by_key(|descriptor| descriptor.fd);
        self.check()?;
        Ok(found)
    }

    /// What one descriptor stands for now; `None` when it is not open.
    pub fn descriptor(&self, fd: i32) -> Option<DescriptorKind> {
        let link = self.link(&format!("fd/{fd}"))?;
        Some(DescriptorKind::parse(&link.to_string_lossy()))
    }

    /// The flags a descriptor was opened with and has now (`O_NONBLOCK`, `O_CLOEXEC`, …).
    pub fn descriptor_flags(&self, fd: i32) -> Option<i32> {
        let text = read_bounded(&format!("/proc/{}/fdinfo/{fd}", self.pid)).ok()?;
        let text = String::from_utf8_lossy(&text);
        let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        i32::from_str_radix(octal.trim(), 8).ok()
    }

    /// Most descriptors that it may have (`RLIMIT_NOFILE`, the soft limit).
    pub fn descriptor_limit(&self) -> Option<u64> {
        self.limit("Max open files")
    }

    /// A soft limit, by the name that `/proc/PID/limits` has for it; `None` when it is unlimited
    /// or cannot be read.
    pub fn limit(&self, name: &str) -> Option<u64> {
        let text = self.read("limits").ok()?;
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    }

    /// The kernel's name of the protocol of a socket that no table lists: "TCP", "UDPv6",
    /// "UNIX-STREAM", "PACKET", … (`sockfs_xattr_get`: the attribute `system.sockprotoname`).
    pub fn socket_protocol(&self, fd: i32) -> Option<String> {
        let path = std::ffi::CString::new(format!("/proc/{}/fd/{fd}", self.pid)).ok()?;
        let mut name = [0u8; 64];
        // SAFETY: two strings that end in NUL and a buffer with its size; all live for the call.
        let length = unsafe {
            libc::getxattr(
                path.as_ptr(),
                c"system.sockprotoname".as_ptr(),
                name.as_mut_ptr().cast(),
                name.len(),
            )
        };
        let name = name.get(..usize::try_from(length).ok()?)?;
        let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
        Some(String::from_utf8_lossy(&name[..end]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn links_are_told_apart() {
        assert_eq!(DescriptorKind::parse("socket:[123]"), DescriptorKind::Socket(123));
        assert_eq!(DescriptorKind::parse("pipe:[7]"), DescriptorKind::Pipe(7));
        let anonymous = |name: &str| DescriptorKind::Anonymous(name.to_owned());
        assert_eq!(DescriptorKind::parse("anon_inode:[eventpoll]"), anonymous("eventpoll"));
        assert_eq!(DescriptorKind::parse("anon_inode:inotify"), anonymous("inotify"));
        // A file may be called anything.
        assert_eq!(DescriptorKind::parse("/tmp/socket:[123]"), DescriptorKind::File);
        assert_eq!(DescriptorKind::parse("socket:[x]"), DescriptorKind::File);
    }

    #[test]
    fn own_descriptors() {
        let ours = Process::open(std::process::id() as i32).unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = socket.as_raw_fd();
        let listed = ours.descriptors().unwrap();
        let found = listed.iter().find(|one| one.fd == fd).unwrap();
        assert!(found.socket().is_some());
        assert_eq!(ours.descriptor(fd), Some(found.kind.clone()));
        assert_eq!(ours.socket_protocol(fd).as_deref(), Some("TCP"));
        assert_eq!(ours.descriptor_flags(fd).unwrap() & libc::O_CLOEXEC, libc::O_CLOEXEC);
        assert_eq!(ours.descriptor(1 << 29), None);
    }
}
