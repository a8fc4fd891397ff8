//! The kernel's sockets by netlink (sock_diag(7), include/uapi/linux/{inet,unix}_diag.h).
//!
//! A netlink socket belongs to the namespace it was made in, so for a process in another one a
//! thread of ours enters that namespace, makes the socket there, and ends; no other thread of
//! ours ever leaves its own.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::MAX_ROWS;
use super::inet::kind;
use super::row::{Endpoint, Family, KernelSocket, Protocol, SocketState, SocketType, address};
use crate::process::Process;

/// The tables asked for, by the name of the file with the same content.
pub(super) const INET: [(&str, Protocol, Family); 4] = [
    ("tcp", Protocol::Tcp, Family::Inet),
    ("tcp6", Protocol::Tcp, Family::Inet6),
    ("udp", Protocol::Udp, Family::Inet),
    ("udp6", Protocol::Udp, Family::Inet6),
];

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x301;
/// Bytes of a message's head.
const HEAD: usize = 16;
/// Bytes of `inet_diag_msg` and `unix_diag_msg`.
const INET_MESSAGE: usize = 72;
const UNIX_MESSAGE: usize = 16;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN`
const UNIX_SHOW: u32 = 0x15;
/// `UNIX_DIAG_NAME`, `UNIX_DIAG_PEER`, `UNIX_DIAG_RQLEN`
const NAME: u16 = 0;
const PEER: u16 = 2;
const QUEUES: u16 = 4;
/// The kernel fills what it is offered, up to 32 KiB at a time.
const BUFFER: usize = 1 << 17;
/// The kernel answers while it is asked; a wait means that something is wrong.
const PATIENCE_SECONDS: i64 = 2;

/// A socket of ours in the process's network namespace.
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Makes one; `None` when the namespace cannot be entered or there is no netlink.
    pub(super) fn open(process: &Process) -> Option<Self> {
        if process.namespaces().network == Some(true) {
            return Self::here().ok().map(Self);
        }
        let namespace = File::open(format!("/proc/{}/ns/net", process.pid())).ok()?;
        process.check().ok()?;
        let made = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Self::here()
        });
        made.join().ok()?.ok().map(Self)
    }

    fn here() -> Result<OwnedFd, Errno> {
        let made = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        setsockopt(&made, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE_SECONDS))?;
        Ok(made)
    }

    /// The sockets of a protocol and family.
    pub(super) fn inet(
        &self,
        protocol: Protocol,
        family: Family,
    ) -> Result<Vec<KernelSocket>, Errno> {
        // inet_diag_req_v2: family, protocol, extensions, padding, states, and an empty id.
        let mut request = [0; 56];
        request[0] = if family == Family::Inet { 2 } else { 10 };
        request[1] = if protocol == Protocol::Tcp { 6 } else { 17 };
        request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        self.ask(&request, |message| inet_row(message, protocol))
    }

    /// The Unix sockets, with the names of the peers.
    pub(super) fn unix(&self) -> Result<Vec<KernelSocket>, Errno> {
        // unix_diag_req: family, protocol, padding, states, inode, what to show, cookie.
        let mut request = [0; 24];
        request[0] = 1;
        request[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        request[12..16].copy_from_slice(&UNIX_SHOW.to_ne_bytes());
        self.ask(&request, unix_row)
    }

    /// Sends a request and reads messages until the last one.
    fn ask(
        &self,
        request: &[u8],
        row: impl Fn(&[u8]) -> Option<KernelSocket>,
    ) -> Result<Vec<KernelSocket>, Errno> {
        let mut message = Vec::with_capacity(HEAD + request.len());
        message.extend(((HEAD + request.len()) as u32).to_ne_bytes());
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(DUMP.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(request);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty())?;
        let mut rows = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let mut rest = buffer.get(..length).ok_or(Errno::EBADMSG)?;
            if rest.is_empty() {
                return Err(Errno::EBADMSG);
            }
            while !rest.is_empty() {
                let length = u32_at(rest, 0).ok_or(Errno::EBADMSG)? as usize;
                let body = rest.get(HEAD..length).ok_or(Errno::EBADMSG)?;
                match u16_at(rest, 4).ok_or(Errno::EBADMSG)? {
                    NLMSG_DONE => {
                        let code = u32_at(body, 0).unwrap_or(0) as i32;
                        return if code < 0 { Err(Errno::from_raw(-code)) } else { Ok(rows) };
                    }
                    NLMSG_ERROR => {
                        let code = u32_at(body, 0).unwrap_or(0) as i32;
                        return Err(Errno::from_raw(code.saturating_neg()));
                    }
                    SOCK_DIAG_BY_FAMILY if rows.len() < MAX_ROWS => rows.extend(row(body)),
                    _ => {}
                }
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// `struct inet_diag_msg`.
fn inet_row(message: &[u8], protocol: Protocol) -> Option<KernelSocket> {
    if message.len() < INET_MESSAGE {
        return None;
    }
    let family = Family::from_number(i64::from(*message.first()?));
    let state = SocketState::from_number(*message.get(1)?, protocol);
    let port = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let ip = |at: usize| Some(address(family, message.get(at..at + 16)?.try_into().ok()?));
    let (local, peer) = ((ip(8)?, port(4)?), (ip(24)?, port(6)?));
    let interface = u32_at(message, 40)?;
    let end = |(address, port): (std::net::IpAddr, u16)| {
        // The interface a socket is bound to is the scope of its link-local addresses.
        let link_local = matches!(address, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
        Endpoint::inet(address, port, if link_local { interface } else { 0 }, false)
    };
    let row = KernelSocket {
        family,
        kind: kind(protocol),
        protocol,
        state,
        local: Some(end(local)),
        peer: (!Endpoint::is_unspecified(peer.0, peer.1)).then(|| end(peer)),
        recv_q: u32_at(message, 56).map(u64::from),
        send_q: u32_at(message, 60).map(u64::from),
        inode: u64::from(u32_at(message, 68)?),
        peer_inode: None,
    };
    Some(row.without_ends())
}

/// `struct unix_diag_msg` and its attributes.
fn unix_row(message: &[u8]) -> Option<KernelSocket> {
    let kind = SocketType::from_number(i64::from(*message.get(1)?));
    let mut row = KernelSocket {
        family: Family::Unix,
        kind,
        protocol: Protocol::Other,
        state: SocketState::from_number(*message.get(2)?, Protocol::Other),
        local: None,
        peer: None,
        recv_q: None,
        send_q: None,
        inode: u64::from(u32_at(message, 4)?),
        peer_inode: None,
    };
    let mut rest = message.get(UNIX_MESSAGE..)?;
    while let (Some(length), Some(name)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(4..length) else { break };
        match name {
            NAME => row.local = (!value.is_empty()).then(|| Endpoint::Unix(path(value))),
            PEER => row.peer_inode = u32_at(value, 0).map(u64::from),
            QUEUES => {
                row.recv_q = u32_at(value, 0).map(u64::from);
                row.send_q = u32_at(value, 4).map(u64::from);
            }
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // A datagram socket with a peer stays in the state of one without.
    if row.peer_inode.is_some() && row.state == SocketState::Unconnected {
        row.state = SocketState::Connected;
    }
    Some(row)
}

/// Paths end with the zero byte that C needs; in abstract names every byte counts.
fn path(name: &[u8]) -> Vec<u8> {
    match name.first() {
        Some(0) | None => name.to_vec(),
        Some(_) => name.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
