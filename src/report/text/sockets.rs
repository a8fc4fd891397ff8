//! Sockets, one by one or in groups, as text.

use super::style::{BOLD, DIM, WARN};
use super::units::{bytes, number};
use super::{header, table};
use crate::report::escape::escape;
use crate::snapshot::sockets::{
    AddressRow, DescriptorState, SocketGroup, SocketRow, SocketsDocument, SocketsSummary,
};
use comfy_table::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes the sockets, at most `shown` of the rows or groups; 0 writes all.
pub fn write(out: &mut impl Write, document: &SocketsDocument, shown: usize) -> io::Result<()> {
    header::write(out, &document.process, &document.capture)?;
    let limit = if shown == 0 { usize::MAX } else { shown };
    let total = match &document.groups {
        Some(groups) => {
            write_groups(out, groups.get(..limit).unwrap_or(groups))?;
            groups.len()
        }
        None => {
            let rows = &document.sockets;
            write_rows(out, rows.get(..limit).unwrap_or(rows))?;
            rows.len()
        }
    };
    if total > limit {
        let more = number((total - limit) as u64);
        writeln!(out, "{DIM}… and {more} more (--top N, --state STATE, --by …){DIM:#}")?;
    }
    write_by_address(out, &document.by_address)?;
    writeln!(out)?;
    write_summary(out, &document.summary)
}

fn write_groups(out: &mut impl Write, groups: &[SocketGroup]) -> io::Result<()> {
    let mut rows = table::plain(&["COUNT", "KEY", "STATES", "RECV-Q", "SEND-Q"], &[0, 3, 4]);
    for group in groups {
        rows.add_row(vec![
            Cell::new(number(group.count)),
            Cell::new(escape(&group.key)),
            Cell::new(counts(&group.states)),
            Cell::new(bytes(group.recv_q)),
            Cell::new(bytes(group.send_q)),
        ]);
    }
    table::write(out, &rows)
}

fn write_rows(out: &mut impl Write, sockets: &[SocketRow]) -> io::Result<()> {
    let mut rows = table::plain(
        &["FD", "KIND", "STATE", "LOCAL", "PEER", "RECV-Q", "SEND-Q", "OWNER"],
        &[0, 5, 6],
    );
    let optional = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), number);
    for row in sockets {
        let peer = row.peer.clone().or_else(|| row.peer_inode.map(|inode| format!("#{inode}")));
        let address =
            |text: &Option<String>| text.as_deref().map_or("-".into(), escape).to_string();
        rows.add_row(vec![
            Cell::new(row.fd.map_or_else(|| "?".to_owned(), |fd| fd.to_string())),
            Cell::new(escape(&kind(row))),
            Cell::new(state(row)),
            Cell::new(address(&row.local)),
            Cell::new(address(&peer)),
            Cell::new(optional(row.recv_q)),
            Cell::new(optional(row.send_q)),
            Cell::new(escape(&owner(row))),
        ]);
    }
    table::write(out, &rows)
}

/// "tcp", "tcp6", "unix stream", … for the usual ones.
fn kind(row: &SocketRow) -> String {
    match (row.family.as_deref(), row.kind.as_deref()) {
        (Some("AF_INET"), Some("SOCK_STREAM")) => "tcp".to_owned(),
        (Some("AF_INET6"), Some("SOCK_STREAM")) => "tcp6".to_owned(),
        (Some("AF_INET"), Some("SOCK_DGRAM")) => "udp".to_owned(),
        (Some("AF_INET6"), Some("SOCK_DGRAM")) => "udp6".to_owned(),
        (family, kind) => {
            let short = |name: Option<&str>, prefix| {
                let name = name.unwrap_or("?");
                name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
            };
            format!("{} {}", short(family, "AF_"), short(kind, "SOCK_"))
        }
    }
}

fn state(row: &SocketRow) -> String {
    match row.descriptor {
        DescriptorState::Contested => format!("{} (contested)", row.state_text()),
        _ => row.state_text().to_owned(),
    }
}

fn owner(row: &SocketRow) -> String {
    let mut parts = Vec::new();
    if let Some(owner) = &row.owner {
        parts.push(owner.class.clone());
        parts.extend(owner.attribute.as_ref().map(|attribute| format!(".{attribute}")));
        parts.extend(owner.address.as_ref().map(|address| format!(" at {address}")));
        parts.extend(owner.role.as_ref().map(|role| format!(" ({role})")));
        parts.extend(owner.tls.then(|| " (TLS)".to_owned()));
        parts.extend(owner.protocol.as_ref().map(|name| format!(" with {name}")));
        parts.extend(owner.inferred.then(|| " (inferred)".to_owned()));
    } else if let Some(python) = &row.python {
        parts.push(format!("{} at {}", python.class, python.address));
    } else if row.descriptor == DescriptorState::Unknown {
        parts.push("unknown: it changed while we looked".to_owned());
    } else {
        parts.push("no Python owner".to_owned());
        parts.extend(row.flags.as_ref().map(|flags| format!(" [{}]", flags.join(" "))));
    }
    if !row.same_socket.is_empty() {
        let others: Vec<String> = row.same_socket.iter().map(ToString::to_string).collect();
        parts.push(format!(", same socket as {}", others.join(", ")));
    }
    parts.concat()
}

fn write_by_address(out: &mut impl Write, rows: &[AddressRow]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut groups: BTreeMap<(&str, &str, String), u64> = BTreeMap::new();
    for row in rows {
        let (local, peer) = (row.local.as_deref(), row.peer.as_deref());
        let end = if row.attributed_by == "local port" { local } else { peer };
        let end = end.unwrap_or("?").to_owned();
        *groups.entry((&row.state, row.attributed_by.as_ref(), end)).or_default() += 1;
    }
    writeln!(
        out,
        "\nWithout a descriptor, attributed by address (another process may have had them):"
    )?;
    let mut rows = table::plain(&["COUNT", "STATE", "BY", "ADDRESS"], &[0]);
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    for ((state, by, end), count) in groups.iter().take(MOST_ADDRESSES) {
        rows.add_row(vec![
            Cell::new(number(*count)),
            Cell::new(state),
            Cell::new(by),
            Cell::new(escape(end)),
        ]);
    }
    table::write(out, &rows)
}

/// Addresses of connections without descriptors that are shown.
const MOST_ADDRESSES: usize = 20;

fn write_summary(out: &mut impl Write, summary: &SocketsSummary) -> io::Result<()> {
    let sockets = summary.descriptors.get("socket").copied().unwrap_or(0);
    let all: u64 = summary.descriptors.values().sum();
    write!(out, "{BOLD}{} sockets{BOLD:#} of {} descriptors", number(sockets), number(all))?;
    if let Some(limit) = summary.descriptor_limit {
        write!(out, ", of which there may be {}", number(limit))?;
    }
    writeln!(out)?;
    if !summary.states.is_empty() {
        writeln!(out, "states: {}", counts(&summary.states))?;
    }
    writeln!(out, "descriptors: {}", counts(&summary.descriptors))?;
    write!(out, "owners: {} in Python", number(summary.with_owner))?;
    if summary.native > 0 {
        write!(out, ", {} in a library (inferred)", number(summary.native))?;
    }
    writeln!(out, ", {} with none", number(summary.without_owner))?;
    write!(out, "socket objects: {}", number(summary.objects))?;
    if !summary.objects_by_descriptor.is_empty() {
        write!(out, " ({})", counts(&summary.objects_by_descriptor))?;
    }
    writeln!(out)?;
    let close_wait = summary.states.get("CLOSE_WAIT").copied().unwrap_or(0);
    if close_wait > 0 {
        let close_wait = number(close_wait);
        writeln!(
            out,
            "{WARN}{close_wait} in CLOSE_WAIT: closed by the peer, still open here{WARN:#}"
        )?;
    }
    Ok(())
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let parts = counts.iter().map(|(name, count)| format!("{} {}", number(**count), escape(name)));
    parts.collect::<Vec<_>>().join(", ")
}
