//! What expressions of the catalogue ask the kernel: the peer and the TCP state of a descriptor.
//!
//! A number in the heap means the socket that was listed under it only if it was the same socket
//! before and after the capture; everything else is unknown.

use super::around::Around;
use crate::attach::{CaptureOptions, Selection, Target};
use crate::process::DescriptorKind;
use crate::process::net::SocketTables;
use crate::resources::{Catalog, Detail, SocketFact, SocketFacts};

impl Around {
    /// For a capture whose resources ask the kernel; `None` when none does, or when there is no
    /// answer to be had. That the process is gone, the capture will say.
    pub(in crate::attach) fn if_asked(
        target: &Target,
        options: &CaptureOptions,
        catalog: &Catalog,
        selection: &Selection,
        detail: Detail,
    ) -> Option<Self> {
        let mut entries = catalog.entries().iter();
        let asked = entries.any(|entry| selection.includes(entry) && entry.asks_kernel(detail));
        let begun = asked.then(|| Self::begin(&target.process, options.mode).ok()).flatten()?;
        begun.for_expressions().ok()
    }

    /// What the number stood for at the capture.
    fn at_capture(&self, fd: i32) -> Result<DescriptorKind, String> {
        let then = self.before(fd).map(|one| &one.kind);
        let now = match self.after(fd) {
            Some(listed) => listed.map(|one| one.kind.clone()),
            None => self.process().descriptor(fd),
        };
        match (then, now) {
            (Some(then), Some(now)) if *then == now => Ok(now),
            (None, None) => Err(format!("descriptor {fd} is not open")),
            _ => Err(format!("descriptor {fd} was opened or closed around the capture")),
        }
    }
}

impl SocketFacts for Around {
    fn of(&self, fd: i64) -> Result<SocketFact, String> {
        let number = i32::try_from(fd).map_err(|_| format!("{fd} is no descriptor"))?;
        let DescriptorKind::Socket(inode) = self.at_capture(number)? else {
            return Err(format!("descriptor {fd} is no socket"));
        };
        let tables: &SocketTables = self
            .tables()
            .ok_or("the kernel's socket tables were not read while the process stood still")?;
        match tables.by_inode.get(&inode) {
            Some(row) => Ok(SocketFact {
                peer: row.peer.as_ref().map(ToString::to_string),
                tcp_state: row.tcp_state().map(|state| state.to_string()),
            }),
            // A socket that is neither bound nor connected is in no table.
            None if tables.missing.is_empty() => Ok(SocketFact::default()),
            None => Err(format!("the kernel shows no table of {}", tables.missing.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::CaptureMode;
    use crate::process::Process;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::sync::Arc;

    #[test]
    fn only_what_stayed_the_same_is_known() {
        let ours = Arc::new(Process::open(std::process::id() as i32).unwrap());
        for (mode, held) in [(CaptureMode::Copy, false), (CaptureMode::Stop, true)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let client = TcpStream::connect(address).unwrap();
            let file = std::fs::File::open("/dev/null").unwrap();
            let replaced = client.try_clone().unwrap();
            let mut facts = Around::begin(&ours, mode).unwrap().for_expressions().unwrap();
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            // SAFETY: two descriptors of ours; the second is `replaced`, which stays open.
            assert!(unsafe { libc::dup2(other.as_raw_fd(), replaced.as_raw_fd()) } >= 0);
            facts.picture(held);
            let fact = facts.of(i64::from(client.as_raw_fd())).unwrap();
            assert_eq!(fact.peer, Some(address.to_string()));
            assert_eq!(fact.tcp_state.as_deref(), Some("ESTABLISHED"));
            let fact = facts.of(i64::from(listener.as_raw_fd())).unwrap();
            assert_eq!((fact.peer, fact.tcp_state.as_deref()), (None, Some("LISTEN")));
            let problem = facts.of(i64::from(replaced.as_raw_fd())).unwrap_err();
            assert!(problem.contains("around the capture"), "{problem}");
            let problem = facts.of(i64::from(file.as_raw_fd())).unwrap_err();
            assert!(problem.ends_with("is no socket"), "{problem}");
            assert!(facts.of(i64::from(i32::MAX)).unwrap_err().ends_with("is not open"));
            assert!(facts.of(i64::from(i32::MAX) + 1).is_err());
        }
    }

    #[test]
    fn nothing_is_known_when_nothing_was_read() {
        let ours = Arc::new(Process::open(std::process::id() as i32).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut facts = Around::begin(&ours, CaptureMode::Auto).unwrap().for_expressions().unwrap();
        facts.picture(true);
        let problem = facts.of(i64::from(listener.as_raw_fd())).unwrap_err();
        assert!(problem.contains("were not read"), "{problem}");
    }
}
