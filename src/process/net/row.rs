//! One socket as the kernel's tables show it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A socket of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSocket {
    /// Address family.
    pub family: Family,
    /// Stream, datagram, …
    pub kind: SocketType,
    pub(super) protocol: Protocol,
    /// Where it stands.
    pub state: SocketState,
    /// Its own address; `None` when it has no name (Unix).
    pub local: Option<Endpoint>,
    /// The other end's; `None` when it is not connected.
    pub peer: Option<Endpoint>,
    /// Bytes not read by the program; of a listener, connections not accepted.
    pub recv_q: Option<u64>,
    /// Bytes not acknowledged by the peer; of a listener, the most that may wait to be accepted.
    pub send_q: Option<u64>,
    /// Its inode; 0 when no open socket is behind the row.
    pub inode: u64,
    /// The inode of a connected Unix socket's other end.
    pub peer_inode: Option<u64>,
}

impl KernelSocket {
    /// Its state, if it is TCP's.
    pub fn tcp_state(&self) -> Option<SocketState> {
        (self.protocol == Protocol::Tcp).then_some(self.state)
    }

    /// The end of a stream takes a place in TCP's queues as if it were a byte. Counts bytes only:
    /// of what was received, once the peer has closed; of what was sent, until it has
    /// acknowledged that we have.
    pub(super) fn without_ends(mut self) -> Self {
        use SocketState::{CloseWait, Closing, FinWait1, LastAck};
        let less = |queue: Option<u64>| queue.map(|bytes| bytes.saturating_sub(1));
        if matches!(self.state, CloseWait | LastAck | Closing) {
            self.recv_q = less(self.recv_q);
        }
        if matches!(self.state, FinWait1 | LastAck | Closing) {
            self.send_q = less(self.send_q);
        }
        self
    }
}

/// Protocols that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Other,
}

/// An address family, by the name Python has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `AF_UNIX`
    Unix,
    /// `AF_INET`
    Inet,
    /// `AF_INET6`
    Inet6,
    /// `AF_NETLINK`
    Netlink,
    /// Any other, by its number.
    Other(i64),
}

impl Family {
    /// From the number (`include/linux/socket.h`).
    pub fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Unix,
            2 => Self::Inet,
            10 => Self::Inet6,
            16 => Self::Netlink,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unix => "AF_UNIX",
            Self::Inet => "AF_INET",
            Self::Inet6 => "AF_INET6",
            Self::Netlink => "AF_NETLINK",
            Self::Other(17) => "AF_PACKET",
            Self::Other(29) => "AF_CAN",
            Self::Other(31) => "AF_BLUETOOTH",
            Self::Other(38) => "AF_ALG",
            Self::Other(40) => "AF_VSOCK",
            Self::Other(number) => return write!(f, "{number}"),
        })
    }
}

/// A socket's type, by the name Python has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// `SOCK_STREAM`
    Stream,
    /// `SOCK_DGRAM`
    Datagram,
    /// `SOCK_RAW`
    Raw,
    /// `SOCK_SEQPACKET`
    Sequenced,
    /// Any other, by its number.
    Other(i64),
}

impl SocketType {
    /// From the number (`include/linux/net.h`), with or without the flags that `socket(2)` takes.
    pub fn from_number(number: i64) -> Self {
        match number & 0xF {
            1 => Self::Stream,
            2 => Self::Datagram,
            3 => Self::Raw,
            5 => Self::Sequenced,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "SOCK_STREAM",
            Self::Datagram => "SOCK_DGRAM",
            Self::Raw => "SOCK_RAW",
            Self::Sequenced => "SOCK_SEQPACKET",
            Self::Other(number) => return write!(f, "{number}"),
        })
    }
}

/// Where a socket stands. TCP's states by the kernel's names; those of other protocols reduced to
/// what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketState {
    /// Connected at both ends.
    Established,
    /// Connecting.
    SynSent,
    /// Being connected to.
    SynRecv,
    /// Closed here, not yet acknowledged.
    FinWait1,
    /// Closed here; the peer is not done.
    FinWait2,
    /// Closed at both ends; kept for late packets.
    TimeWait,
    /// Not connected, or no longer.
    Close,
    /// Closed by the peer; not yet here.
    CloseWait,
    /// Closed by the peer, then here; not yet acknowledged.
    LastAck,
    /// Waiting for connections.
    Listen,
    /// Closed at both ends at the same time.
    Closing,
    /// A datagram, Unix or other socket with a peer.
    Connected,
    /// One without.
    Unconnected,
    /// A number that the kernel did not have when this was written.
    Other(u8),
}

impl SocketState {
    /// From the kernel's number (`include/net/tcp_states.h`). Other protocols use TCP's
    /// ESTABLISHED, CLOSE and LISTEN.
    pub(super) fn from_number(number: u8, protocol: Protocol) -> Self {
        match (number, protocol) {
            (1, Protocol::Tcp) => Self::Established,
            (7 | 13, Protocol::Tcp) => Self::Close,
            (1, _) => Self::Connected,
            (7, _) => Self::Unconnected,
            (2, _) => Self::SynSent,
            (3 | 12, _) => Self::SynRecv,
            (4, _) => Self::FinWait1,
            (5, _) => Self::FinWait2,
            (6, _) => Self::TimeWait,
            (8, _) => Self::CloseWait,
            (9, _) => Self::LastAck,
            (10, _) => Self::Listen,
            (11, _) => Self::Closing,
            _ => Self::Other(number),
        }
    }
}

impl fmt::Display for SocketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::Connected => "CONNECTED",
            Self::Unconnected => "UNCONNECTED",
            Self::Other(number) => return write!(f, "STATE_{number}"),
        })
    }
}

/// An address of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// IPv4 or IPv6; the scope is the interface's number.
    Inet(SocketAddr),
    /// A raw socket's: address and protocol number.
    Raw(IpAddr, u16),
    /// A path, or an abstract name, which begins with a zero byte.
    Unix(Vec<u8>),
    /// Netlink: protocol and port.
    Netlink(u32, u32),
}

impl Endpoint {
    /// From the parts that every table has. `raw`: the port is a protocol number.
    pub(super) fn inet(address: IpAddr, port: u16, scope: u32, raw: bool) -> Self {
        match address {
            _ if raw => Self::Raw(address, port),
            IpAddr::V6(address) => Self::Inet(SocketAddrV6::new(address, port, 0, scope).into()),
            IpAddr::V4(_) => Self::Inet(SocketAddr::new(address, port)),
        }
    }

    /// True for the address that means "any" or "none" with port 0.
    pub(super) fn is_unspecified(address: IpAddr, port: u16) -> bool {
        port == 0 && address.is_unspecified()
    }
}

impl fmt::Display for Endpoint {
    /// `127.0.0.1:80`, `[fe80::1%2]:80`, `/run/x.sock`, `@abstract` with every byte that is not
    /// printable as `\x00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Raw(IpAddr::V4(address), protocol) => write!(f, "{address} protocol {protocol}"),
            Self::Raw(IpAddr::V6(address), protocol) => {
                write!(f, "[{address}] protocol {protocol}")
            }
            Self::Netlink(protocol, port) => write!(f, "netlink {protocol} port {port}"),
            Self::Unix(name) => {
                let (mark, name) = match name.split_first() {
                    Some((0, name)) => ("@", name),
                    _ => ("", name.as_slice()),
                };
                f.write_str(mark)?;
                for piece in name.utf8_chunks() {
                    for character in piece.valid().chars() {
                        match character {
                            '\\' => f.write_str("\\\\")?,
                            // A path may begin with the sign that marks abstract names.
                            _ if character.is_control() => {
                                write!(f, "\\x{:02x}", u32::from(character))?;
                            }
                            _ => write!(f, "{character}")?,
                        }
                    }
                    for byte in piece.invalid() {
                        write!(f, "\\x{byte:02x}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// An address from the bytes in network order; `family` decides how many count.
pub(super) fn address(family: Family, bytes: [u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = bytes;
    match family {
        Family::Inet => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let mapped = address(Family::Inet6, v6("::ffff:127.0.0.1"));
        assert_eq!(Endpoint::inet(mapped, 80, 0, false).to_string(), "[::ffff:127.0.0.1]:80");
        let local = address(Family::Inet6, v6("fe80::1"));
        assert_eq!(Endpoint::inet(local, 80, 2, false).to_string(), "[fe80::1%2]:80");
        let unix = |name: &[u8]| Endpoint::Unix(name.to_vec()).to_string();
        assert_eq!(unix(b"/run/x.sock"), "/run/x.sock");
        assert_eq!(unix(b"\0a\0b\xff\n"), "@a\\x00b\\xff\\x0a");
        assert_eq!(unix("/tmp/Überwachung".as_bytes()), "/tmp/Überwachung");
    }
}
