//! The text of `/proc/PID/net/unix`: the fallback.
//!
//! A path may contain a newline, so a line of this file may be forged by whoever binds one; the
//! first row of an inode counts. Peers are not in it.

use super::MAX_ROWS;
use super::row::{Endpoint, Family, KernelSocket, Protocol, SocketState, SocketType};
use std::collections::HashSet;

/// `__SO_ACCEPTCON`: it listens.
const LISTENING: u64 = 1 << 16;

/// The rows; `None` when the text is not this table.
pub(super) fn parse(text: &[u8]) -> Option<Vec<KernelSocket>> {
    let mut lines = text.split(|&byte| byte == b'\n');
    if !lines.next()?.starts_with(b"Num") {
        return None;
    }
    let mut seen = HashSet::new();
    let rows = lines.take(MAX_ROWS).filter_map(row).filter(|row| seen.insert(row.inode));
    Some(rows.collect())
}

/// `Num: RefCount Protocol Flags Type St Inode Path` (`unix_seq_show` in net/unix/af_unix.c).
fn row(line: &[u8]) -> Option<KernelSocket> {
    let mut rest = line;
    let mut number = |radix: u32| {
        let (word, behind) = first_word(rest)?;
        rest = behind;
        u64::from_str_radix(std::str::from_utf8(word).ok()?.trim_end_matches(':'), radix).ok()
    };
    let _ = (number(16)?, number(16)?, number(16)?);
    let (flags, kind, state, inode) = (number(16)?, number(16)?, number(16)?, number(10)?);
    let name = rest.strip_prefix(b" ").unwrap_or(rest);
    let state = match state {
        _ if flags & LISTENING != 0 => SocketState::Listen,
        // SS_CONNECTING and SS_CONNECTED
        2 | 3 => SocketState::Connected,
        _ => SocketState::Unconnected,
    };
    Some(KernelSocket {
        family: Family::Unix,
        kind: SocketType::from_number(i64::try_from(kind).ok()?),
        protocol: Protocol::Other,
        state,
        local: (!name.is_empty()).then(|| Endpoint::Unix(real_name(name))),
        peer: None,
        recv_q: None,
        send_q: None,
        inode,
        peer_inode: None,
    })
}

fn first_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The table shows the zero byte of an abstract name as `@`.
fn real_name(shown: &[u8]) -> Vec<u8> {
    let mut name = shown.to_vec();
    if let Some(first) = name.first_mut().filter(|first| **first == b'@') {
        *first = 0;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = "Num       RefCount Protocol Flags    Type St Inode Path\n\
        ffff8881: 00000002 00000000 00010000 0001 01    22 /run/with space.sock\n\
        ffff8882: 00000003 00000000 00000000 0002 03 123456\n\
        ffff8883: 00000002 00000000 00000000 0005 01    77 @abstract\n";

    #[test]
    fn lines_of_the_table() {
        let rows = parse(TABLE.as_bytes()).unwrap();
        let texts: Vec<String> = rows
            .iter()
            .map(|row| {
                let local = row.local.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{} {} {} {local}", row.inode, row.kind, row.state)
            })
            .collect();
        assert_eq!(
            texts,
            [
                "22 SOCK_STREAM LISTEN /run/with space.sock",
                "123456 SOCK_DGRAM CONNECTED ",
                "77 SOCK_SEQPACKET UNCONNECTED @abstract",
            ]
        );
        assert!(parse(b"nothing").is_none());
    }

    proptest! {
        #[test]
        fn any_damage_is_survived(at in 0..TABLE.len(), byte: u8) {
            let mut text = TABLE.as_bytes().to_vec();
            text[at] = byte;
            let _ = parse(&text);
        }
    }
}
