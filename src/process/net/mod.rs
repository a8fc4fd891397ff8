//! The kernel's sockets in a process's network namespace.
//!
//! Asked of the kernel by netlink (`sock_diag`), which is about three times as fast as the text
//! of `/proc/PID/net` at 50,000 sockets, gives Unix names byte by byte and knows the peers of
//! Unix sockets and the scopes of IPv6 addresses; where that is not possible (no right to enter
//! the namespace, a kernel without the module), of `/proc/PID/net`. Both show the whole
//! namespace, so rows are found by inode. A socket that is neither bound nor connected is in no
//! table. Which process holds a socket is not known here.

mod diag;
mod inet;
mod netlink;
mod row;
mod unix;

pub use row::{Endpoint, Family, KernelSocket, SocketState, SocketType};

use std::collections::{HashMap, HashSet};

use super::{Process, ProcessError};
use row::Protocol;

/// Rows kept of one table.
const MAX_ROWS: usize = 4 << 20;

/// What the kernel's tables say.
#[derive(Debug, Default)]
pub struct SocketTables {
    /// By inode: the sockets asked for, and every Unix socket (any may be a peer).
    pub by_inode: HashMap<u64, KernelSocket>,
    /// TCP rows that belong to no open socket: TIME_WAIT, FIN_WAIT2 after `close()`, connections
    /// not accepted yet.
    pub without_inode: Vec<KernelSocket>,
    /// Rows seen, whoever's they are.
    pub rows: usize,
    /// Tables that could not be read, by name.
    pub missing: Vec<&'static str>,
}

impl Process {
    /// The rows of the sockets with these inodes, and those without an inode.
    ///
    /// # Errors
    /// Gone or reused. A table that cannot be read is named in the answer.
    pub fn socket_tables(&self, wanted: &HashSet<u64>) -> Result<SocketTables, ProcessError> {
        let mut tables = SocketTables::default();
        let socket = diag::Socket::open(self);
        for (name, protocol, family) in diag::INET {
            let asked = socket.as_ref().and_then(|socket| socket.inet(protocol, family).ok());
            let rows = asked.or_else(|| inet::parse(&self.read_net(name)?, protocol, family));
            tables.add(name, rows, wanted);
        }
        for (name, protocol, family) in inet::OTHERS {
            let rows = self.read_net(name).and_then(|text| inet::parse(&text, protocol, family));
            tables.add(name, rows, wanted);
        }
        let asked = socket.as_ref().and_then(|socket| socket.unix().ok());
        let rows = asked.or_else(|| self.read_net("unix").and_then(|text| unix::parse(&text)));
        tables.add("unix", rows, wanted);
        let rows = self.read_net("netlink").and_then(|text| netlink::parse(&text));
        tables.add("netlink", rows, wanted);
        tables.name_unix_peers(wanted);
        self.check()?;
        Ok(tables)
    }

    fn read_net(&self, name: &str) -> Option<Vec<u8>> {
        self.read(&format!("net/{name}")).ok()
    }
}

impl SocketTables {
    /// A Unix socket's peer is known by its inode; its name is in the peer's own row.
    fn name_unix_peers(&mut self, wanted: &HashSet<u64>) {
        #[allow(clippy::iter_over_hash_type, reason = "each row is changed on its own")]
        for inode in wanted {
            let peer = self.by_inode.get(inode).and_then(|row| row.peer_inode);
            let name = peer.and_then(|peer| self.by_inode.get(&peer)?.local.clone());
            if let Some(row) = self.by_inode.get_mut(inode).filter(|_| name.is_some()) {
                row.peer = name;
            }
        }
    }

    fn add(&mut self, name: &'static str, rows: Option<Vec<KernelSocket>>, wanted: &HashSet<u64>) {
        let Some(rows) = rows else {
            self.missing.push(name);
            return;
        };
        self.rows += rows.len();
        for row in rows {
            if row.inode == 0 {
                if row.protocol == Protocol::Tcp {
                    self.without_inode.push(row);
                }
            } else if row.family == Family::Unix || wanted.contains(&row.inode) {
                // A table can show a socket twice when it moves on while the table is read.
                self.by_inode.insert(row.inode, row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;

    fn inode(socket: &impl AsRawFd) -> u64 {
        let ours = Process::open(std::process::id() as i32).unwrap();
        let listed = ours.descriptors().unwrap();
        listed.iter().find(|one| one.fd == socket.as_raw_fd()).unwrap().socket().unwrap()
    }

    #[test]
    fn own_sockets_by_both_ways() {
        let ours = Process::open(std::process::id() as i32).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let (left, right) = std::os::unix::net::UnixStream::pair().unwrap();
        let wanted = [inode(&listener), inode(&client), inode(&udp), inode(&left), inode(&right)];
        let tables = ours.socket_tables(&wanted.into()).unwrap();
        assert!(!tables.missing.contains(&"tcp") && !tables.missing.contains(&"unix"));
        let row = |inode: u64| tables.by_inode.get(&inode).unwrap();
        assert_eq!(row(wanted[0]).state, SocketState::Listen);
        assert_eq!(row(wanted[1]).state, SocketState::Established);
        assert_eq!(row(wanted[1]).local, Some(Endpoint::Inet(client.local_addr().unwrap())));
        assert_eq!(row(wanted[1]).peer, Some(Endpoint::Inet(client.peer_addr().unwrap())));
        assert_eq!(row(wanted[2]).local, Some(Endpoint::Inet(udp.local_addr().unwrap())));
        assert_eq!(row(wanted[2]).kind, SocketType::Datagram);
        assert_eq!(row(wanted[3]).peer_inode, Some(wanted[4]));

        let text = ours.read_net("tcp").unwrap();
        let text = inet::parse(&text, Protocol::Tcp, Family::Inet).unwrap();
        let from_text = text.iter().find(|row| row.inode == wanted[1]).unwrap();
        assert_eq!(from_text, row(wanted[1]));
        let text = ours.read_net("udp6").unwrap();
        let text = inet::parse(&text, Protocol::Udp, Family::Inet6).unwrap();
        assert_eq!(text.iter().find(|row| row.inode == wanted[2]).unwrap(), row(wanted[2]));
    }
}
