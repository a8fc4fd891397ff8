//! Sockets: Python's objects, the process's descriptors and the kernel's tables, joined.

use super::{CaptureInfo, ProcessInfo};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The document of `sockets --json`.
#[derive(Debug, Clone, Serialize)]
pub struct SocketsDocument {
    /// "pyattach.sockets/1"
    pub schema: &'static str,
    /// Version of pyattach.
    pub pyattach: &'static str,
    /// The process.
    pub process: ProcessInfo,
    /// How it was captured.
    pub capture: CaptureInfo,
    /// Counts over everything, whatever `--state` leaves out of the rows.
    pub summary: SocketsSummary,
    /// The rows by `--by`, when it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<SocketGroup>>,
    /// One row per socket descriptor and Python object that has it, in the order of their
    /// numbers; then the objects without a descriptor.
    pub sockets: Vec<SocketRow>,
    /// TCP connections that no descriptor of any process has any more, of addresses that this
    /// process uses. Whose they were is inferred.
    pub by_address: Vec<AddressRow>,
}

impl SocketsDocument {
    /// The schema's name and version.
    pub const SCHEMA: &'static str = "pyattach.sockets/1";
}

/// Counts over all sockets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SocketsSummary {
    /// Open descriptors by what they stand for: "socket", "pipe", "file", "eventpoll", …
    pub descriptors: BTreeMap<String, u64>,
    /// Most descriptors that the process may have.
    pub descriptor_limit: Option<u64>,
    /// Socket objects of Python, open or closed.
    pub objects: u64,
    /// Socket descriptors by state.
    pub states: BTreeMap<String, u64>,
    /// Socket descriptors with a Python socket object, or an object that is known to use them.
    pub with_owner: u64,
    /// Socket descriptors that a library owns (inferred).
    pub native: u64,
    /// Socket descriptors with no Python owner at the instant of the capture.
    pub without_owner: u64,
    /// Socket descriptors that changed while we looked: their owner is not known.
    pub unknown_owner: u64,
    /// Objects whose descriptor is not what they think: by [`SocketRow::descriptor`].
    pub objects_by_descriptor: BTreeMap<String, u64>,
    /// Rows of [`SocketsDocument::by_address`] by state.
    pub by_address: BTreeMap<String, u64>,
    /// Connections without a descriptor in the whole network namespace.
    pub without_descriptor_in_namespace: u64,
    /// Rows in the kernel's tables of the whole network namespace.
    pub kernel_rows: u64,
}

/// What became of the descriptor that an object names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DescriptorState {
    /// It is a socket of the object's family and type.
    Open,
    /// The object was closed or detached: its number is -1.
    Closed,
    /// The number now stands for something of another kind, family or type.
    Reused,
    /// Nothing has the number: closed behind the object's back.
    Gone,
    /// Several open objects name the number.
    Contested,
    /// It changed while we looked.
    Unknown,
}

impl DescriptorState {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Reused => "reused",
            Self::Gone => "gone",
            Self::Contested => "contested",
            Self::Unknown => "unknown",
        }
    }
}

/// One socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SocketRow {
    /// The descriptor's number; -1 for an object that was closed or detached, `null` when the
    /// object's number could not be read.
    pub fd: Option<i32>,
    /// What became of the descriptor.
    pub descriptor: DescriptorState,
    /// The socket object; `null` when there is none.
    pub python: Option<PythonSocket>,
    /// "AF_INET", …
    pub family: Option<String>,
    /// "SOCK_STREAM", …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// TCP's state, or "LISTEN", "CONNECTED", "UNCONNECTED"; `null` when it is not known.
    pub state: Option<String>,
    /// Its own address. `null` also for a socket without one.
    pub local: Option<String>,
    /// The peer's address, `null` also for a socket without one.
    pub peer: Option<String>,
    /// The inode of a connected Unix socket's other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_inode: Option<u64>,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted.
    pub recv_q: Option<u64>,
    /// Bytes that the peer has not acknowledged; of a listener, its backlog's limit.
    pub send_q: Option<u64>,
    /// The socket's inode.
    pub inode: Option<u64>,
    /// Who uses the socket, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<SocketOwner>,
    /// Other descriptors of the process that are the same socket (`dup()`).
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub same_socket: Vec<i32>,
    /// Flags of a descriptor without a Python owner: sockets made by Python are "cloexec".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<Cow<'static, str>>>,
}

/// A socket object of Python.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PythonSocket {
    /// Where it is.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub class: String,
}

/// Who uses a socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SocketOwner {
    /// The type of the object, or the name of a library.
    #[serde(rename = "type")]
    pub class: String,
    /// Where the object is; `null` for a library.
    pub address: Option<String>,
    /// The attribute that leads to the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<Cow<'static, str>>,
    /// The type of the transport's protocol: for TLS, of the one above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What it is for, where that is known: "self-pipe".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'static, str>>,
    /// The transport speaks TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub tls: bool,
    /// Guessed from addresses, not read.
    pub inferred: bool,
}

/// A TCP connection that no descriptor has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressRow {
    /// "AF_INET" or "AF_INET6".
    pub family: String,
    /// Mostly "TIME_WAIT".
    pub state: String,
    /// This side.
    pub local: Option<String>,
    /// The other side.
    pub peer: Option<String>,
    /// "local port": the process listens on it. "peer address": the process has other
    /// connections to it.
    pub attributed_by: Cow<'static, str>,
}

/// Rows with something in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SocketGroup {
    /// The state, the peer, or the owner's type.
    pub key: String,
    /// Rows.
    pub count: u64,
    /// Rows by state.
    pub states: BTreeMap<String, u64>,
    /// Bytes waiting to be read, over all rows but listeners.
    pub recv_q: u64,
    /// Bytes not acknowledged, over all rows but listeners.
    pub send_q: u64,
}

/// What rows are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The state.
    State,
    /// The peer: address and port of the server for connections made, the address and our own
    /// port for connections accepted, whose own ports are all different.
    Peer,
    /// The type of the owner, else of the socket object.
    Owner,
}

impl SocketRow {
    /// The state for people and for `--state`: that of the descriptor where it is not a sound
    /// one.
    pub fn state_text(&self) -> &str {
        match self.descriptor {
            DescriptorState::Closed | DescriptorState::Gone | DescriptorState::Reused => {
                self.descriptor.name()
            }
            _ => self.state.as_deref().unwrap_or("unknown"),
        }
    }

    /// The port of an Internet address, if that is what it is.
    pub(in crate::snapshot) fn port(address: Option<&str>) -> Option<&str> {
        address?.rsplit_once(':').map(|(_, port)| port)
    }

    fn is_internet(&self) -> bool {
        matches!(self.family.as_deref(), Some("AF_INET" | "AF_INET6"))
    }

    /// The group by peer. `listening`: ports on which the process listens.
    fn peer_key(&self, listening: &BTreeSet<String>) -> String {
        let none = || "(no peer)".to_owned();
        let Some(peer) = self.peer.as_deref() else {
            return self.peer_inode.map_or_else(none, |_| "(unnamed Unix socket)".to_owned());
        };
        let accepted = self.is_internet()
            && Self::port(self.local.as_deref()).is_some_and(|port| listening.contains(port));
        match (accepted, peer.rsplit_once(':'), Self::port(self.local.as_deref())) {
            (true, Some((host, _)), Some(port)) => format!("{host} to our port {port}"),
            _ => peer.to_owned(),
        }
    }

    fn owner_key(&self) -> String {
        match (&self.owner, &self.python) {
            (Some(owner), _) => {
                let protocol = owner.protocol.as_ref().map(|name| format!(" with {name}"));
                let role = owner.role.as_ref().map(|role| format!(" ({role})"));
                let (protocol, role) = (protocol.unwrap_or_default(), role.unwrap_or_default());
                format!("{}{protocol}{role}", owner.class)
            }
            (None, Some(python)) => python.class.clone(),
            (None, None) if self.descriptor == DescriptorState::Unknown => "unknown".to_owned(),
            (None, None) => "(no Python owner)".to_owned(),
        }
    }
}

/// The ports on which a process listens, from all of its rows.
pub fn listening_ports(rows: &[SocketRow]) -> BTreeSet<String> {
    let listeners = rows.iter().filter(|row| row.state.as_deref() == Some("LISTEN"));
    let listeners = listeners.filter(|row| row.is_internet());
    listeners.filter_map(|row| SocketRow::port(row.local.as_deref())).map(str::to_owned).collect()
}

/// Groups rows, the largest group first. The rows may be a part of those that `listening` was
/// made from.
pub fn group(rows: &[SocketRow], by: GroupBy, listening: &BTreeSet<String>) -> Vec<SocketGroup> {
    let mut groups: BTreeMap<String, SocketGroup> = BTreeMap::new();
    for row in rows {
        let key = match by {
            GroupBy::State => row.state_text().to_owned(),
            GroupBy::Peer => row.peer_key(listening),
            GroupBy::Owner => row.owner_key(),
        };
        let group = groups.entry(key).or_insert_with_key(|key| SocketGroup {
            key: key.clone(),
            count: 0,
            states: BTreeMap::new(),
            recv_q: 0,
            send_q: 0,
        });
        group.count += 1;
        *group.states.entry(row.state_text().to_owned()).or_default() += 1;
        if row.state.as_deref() != Some("LISTEN") {
            group.recv_q = group.recv_q.saturating_add(row.recv_q.unwrap_or(0));
            group.send_q = group.send_q.saturating_add(row.send_q.unwrap_or(0));
        }
    }
    let mut groups: Vec<SocketGroup> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}
