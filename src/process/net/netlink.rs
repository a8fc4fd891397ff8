//! The text of `/proc/PID/net/netlink`.

use super::MAX_ROWS;
use super::row::{Endpoint, Family, KernelSocket, Protocol, SocketState, SocketType};

/// The rows; `None` when the text is not this table.
pub(super) fn parse(text: &[u8]) -> Option<Vec<KernelSocket>> {
    let text = std::str::from_utf8(text).ok()?;
    let (heading, lines) = text.split_once('\n')?;
    if !heading.starts_with("sk ") {
        return None;
    }
    Some(lines.lines().take(MAX_ROWS).filter_map(row).collect())
}

/// `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode` (`netlink_native_seq_show`).
fn row(line: &str) -> Option<KernelSocket> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |index: usize| words.get(index)?.parse::<u64>().ok();
    let endpoint = Endpoint::Netlink(
        u32::try_from(number(1)?).ok()?,
        // Shown as a signed number in some kernels.
        words.get(2)?.parse::<i64>().ok()? as u32,
    );
    Some(KernelSocket {
        family: Family::Netlink,
        kind: SocketType::Raw,
        protocol: Protocol::Other,
        state: SocketState::Unconnected,
        local: Some(endpoint),
        peer: None,
        recv_q: number(4),
        send_q: number(5),
        inode: number(9)?,
        peer_inode: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
             ffff8881 0   4711       00000110 12       0        0     2        0        88\n";
        let rows = parse(text.as_bytes()).unwrap();
        assert_eq!(rows[0].local.as_ref().unwrap().to_string(), "netlink 0 port 4711");
        assert_eq!((rows[0].inode, rows[0].recv_q), (88, Some(12)));
    }
}
