//! The text of `/proc/PID/net/tcp` and its like.
//!
//! One line per socket: addresses as hexadecimal words in the machine's byte order
//! (`get_tcp4_sock` in net/ipv4/tcp_ipv4.c, `inet6_csk…` likewise; raw sockets have their protocol
//! number in place of the port).

use std::net::IpAddr;

use super::MAX_ROWS;
use super::row::{Endpoint, Family, KernelSocket, Protocol, SocketState, SocketType, address};

/// Tables that are only read as text.
pub(super) const OTHERS: [(&str, Protocol, Family); 4] = [
    ("raw", Protocol::Other, Family::Inet),
    ("raw6", Protocol::Other, Family::Inet6),
    ("icmp", Protocol::Other, Family::Inet),
    ("icmp6", Protocol::Other, Family::Inet6),
];

/// The rows of a table; `None` when it does not begin as such a table does. Lines that are not
/// as they should be are passed over.
pub(super) fn parse(text: &[u8], protocol: Protocol, family: Family) -> Option<Vec<KernelSocket>> {
    let text = std::str::from_utf8(text).ok()?;
    let (heading, lines) = text.split_once('\n')?;
    if !heading.trim_start().starts_with("sl") {
        return None;
    }
    Some(lines.lines().take(MAX_ROWS).filter_map(|line| row(line, protocol, family)).collect())
}

fn row(line: &str, protocol: Protocol, family: Family) -> Option<KernelSocket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = end(words.next()?, family)?;
    let peer = end(words.next()?, family)?;
    let number = u8::from_str_radix(words.next()?, 16).ok()?;
    let (sending, receiving) = words.next()?.split_once(':')?;
    let queue = |text: &str| u64::from_str_radix(text, 16).ok();
    let inode = words.nth(4)?.parse().ok()?;
    let state = SocketState::from_number(number, protocol);
    let raw = protocol == Protocol::Other;
    let connected = !Endpoint::is_unspecified(peer.0, peer.1);
    let row = KernelSocket {
        family,
        kind: kind(protocol),
        protocol,
        state,
        local: Some(Endpoint::inet(local.0, local.1, 0, raw)),
        peer: connected.then(|| Endpoint::inet(peer.0, peer.1, 0, raw)),
        recv_q: queue(receiving),
        // The text has no limit of the backlog; the 0 there is none.
        send_q: queue(sending).filter(|_| state != SocketState::Listen),
        inode,
        peer_inode: None,
    };
    Some(row.without_ends())
}

/// The type of the sockets of a table. Those in `icmp` are datagram sockets, those in `raw` raw
/// ones; both have no ports.
pub(super) fn kind(protocol: Protocol) -> SocketType {
    match protocol {
        Protocol::Tcp => SocketType::Stream,
        Protocol::Udp => SocketType::Datagram,
        Protocol::Other => SocketType::Raw,
    }
}

/// `0100007F:0050`
fn end(text: &str, family: Family) -> Option<(IpAddr, u16)> {
    let (digits, port) = text.split_once(':')?;
    let words = if family == Family::Inet { 1 } else { 4 };
    if digits.len() != words * 8 || !digits.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (word, target) in bytes.chunks_exact_mut(4).take(words).enumerate() {
        let word = u32::from_str_radix(digits.get(word * 8..word * 8 + 8)?, 16).ok()?;
        target.copy_from_slice(&word.to_ne_bytes());
    }
    Some((address(family, bytes), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C350 08 00000003:00000009 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n";

    #[test]
    fn a_line_of_tcp6() {
        let rows = parse(TCP6.as_bytes(), Protocol::Tcp, Family::Inet6).unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!(row.local.as_ref().unwrap().to_string(), "[::ffff:127.0.0.1]:8080");
        assert_eq!(row.peer.as_ref().unwrap().to_string(), "[::ffff:127.0.0.1]:50000");
        assert_eq!(row.state, SocketState::CloseWait);
        // The peer's end of the stream is no byte to read.
        assert_eq!((row.recv_q, row.send_q, row.inode), (Some(8), Some(3), 4711));
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert!(parse(b"", Protocol::Tcp, Family::Inet).is_none());
        assert!(parse(b"no such thing\n", Protocol::Tcp, Family::Inet).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let text = format!("  sl\n{text}");
            let _ = parse(text.as_bytes(), Protocol::Tcp, Family::Inet6);
        }

        #[test]
        fn any_damage_is_survived(at in 0..TCP6.len(), byte: u8) {
            let mut text = TCP6.as_bytes().to_vec();
            text[at] = byte;
            let _ = parse(&text, Protocol::Tcp, Family::Inet6);
        }
    }
}
