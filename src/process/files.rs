//! Opening the files a process has mapped, whatever became of them and whatever root the
//! process lives in.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{major, minor};

use super::{Mapping, Process};

impl Process {
    /// Opens the very file that is mapped at `mapping`.
    ///
    /// Tried in turn: the path, resolved inside the process's own root so that no link leads
    /// out of it, when device and inode agree; the kernel's own link for the mapping
    /// (`map_files`, also for deleted files; needs `CAP_SYS_ADMIN` or
    /// `CAP_CHECKPOINT_RESTORE`); the link of the executable; and the path again when only
    /// the device differs, which is how overlayfs and btrfs show their files.
    ///
    /// # Errors
    /// The mapping is not of a file, or the file cannot be reached any more.
    pub fn open_mapped_file(&self, mapping: &Mapping) -> io::Result<File> {
        if !mapping.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a mapping of a file"));
        }
        let file = self.open_mapped_file_unchecked(mapping)?;
        self.check().map_err(io::Error::other)?;
        Ok(file)
    }

    fn open_mapped_file_unchecked(&self, mapping: &Mapping) -> io::Result<File> {
        let by_path = if mapping.deleted {
            Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted"))
        } else {
            self.open_in_root(&mapping.path)
        };
        let by_path = by_path.map(|file| (matching(&file, mapping), file));
        if let Ok((Match::Exact, file)) = by_path {
            return Ok(file);
        }
        let link = format!("/proc/{}/map_files/{:x}-{:x}", self.pid, mapping.start, mapping.end);
        if let Ok(file) = File::open(link) {
            return Ok(file);
        }
        if let Ok(file) = File::open(format!("/proc/{}/exe", self.pid))
            && matching(&file, mapping) != Match::No
        {
            return Ok(file);
        }
        match by_path {
            Ok((Match::InodeOnly, file)) => Ok(file),
            Ok(_) => Err(io::Error::new(io::ErrorKind::NotFound, "the file was replaced")),
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file by the path that the process itself would use.
    ///
    /// # Errors
    /// Not found in the process's root, not permitted, or not a regular file.
    pub fn open_in_root(&self, path: &Path) -> io::Result<File> {
        let root = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(format!("/proc/{}/root", self.pid))?;
        // O_PATH first: opening has effects on a FIFO, a terminal or a device, which may lie
        // where the file was.
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let found = match openat2(&root, path, OpenHow::new().flags(flags).resolve(resolve)) {
            Ok(fd) => File::from(fd),
            // Before Linux 5.6, or filtered. A plain open would resolve links in our root, so
            // it is right only when that is the process's as well.
            Err(Errno::ENOSYS | Errno::EPERM) if self.shares_root() => {
                std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?
            }
            Err(errno) => return Err(errno.into()),
        };
        if found.metadata()?.is_file() {
            File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }

    /// True when its root directory and mounts are ours.
    pub(super) fn shares_root(&self) -> bool {
        let ours = std::fs::metadata("/proc/self/root/");
        let its = std::fs::metadata(format!("/proc/{}/root/", self.pid));
        let same =
            matches!((ours, its), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()));
        same && self.namespaces().mount == Some(true)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    Exact,
    InodeOnly,
    No,
}

fn matching(file: &File, mapping: &Mapping) -> Match {
    let Ok(meta) = file.metadata() else { return Match::No };
    if meta.ino() != mapping.inode {
        return Match::No;
    }
    let device = format!("{:02x}:{:02x}", major(meta.dev()), minor(meta.dev()));
    if device == mapping.device { Match::Exact } else { Match::InodeOnly }
}
