//! Objects, descriptors and kernel rows of one process, joined.

use crate::attach::collect::sockets::{
    Library, NativeConnections, Owner, SocketHeap, SocketObject,
};
use crate::memory::{LiveMemory, MemorySource};
use crate::process::net::{Endpoint, Family, KernelSocket, SocketState, SocketTables, SocketType};
use crate::process::{Descriptor, Process};
use crate::snapshot::sockets::{
    AddressRow, DescriptorState, PythonSocket, SocketOwner, SocketRow, SocketsSummary,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Where libpq connects to: PostgreSQL's port and PgBouncer's, and the name of the Unix socket.
const POSTGRES: (&[u16], &[u8]) = (&[5432, 6432], b"/.s.PGSQL.");
const MYSQL: (&[u16], &[u8]) = (&[3306], b"mysql");

/// The descriptors right after the capture, and which of them changed around it.
#[derive(Debug, Default)]
pub(in crate::attach) struct Listing {
    descriptors: Vec<Descriptor>,
    /// Numbers that were not the same thing before.
    changed: BTreeSet<i32>,
}

impl Listing {
    /// From the listings before and after, both in ascending order.
    pub(super) fn new(before: &[Descriptor], after: Vec<Descriptor>) -> Self {
        let mut changed = BTreeSet::new();
        let (mut left, mut right) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let next = [left.peek().map(|one| one.fd), right.peek().map(|one| one.fd)];
            let Some(fd) = next.into_iter().flatten().min() else { break };
            let one = left.next_if(|one| one.fd == fd);
            let other = right.next_if(|one| one.fd == fd);
            if one != other {
                changed.insert(fd);
            }
        }
        Self { descriptors: after, changed }
    }

    /// The later listing.
    pub(super) fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn get(&self, fd: i32) -> Option<&Descriptor> {
        let index = self.descriptors.binary_search_by_key(&fd, |one| one.fd).ok()?;
        self.descriptors.get(index)
    }
}

/// Everything that is joined, and the ways to ask again.
pub(in crate::attach) struct Join<'j> {
    pub(super) process: &'j Process,
    /// The running process.
    pub(super) memory: &'j LiveMemory,
    /// Offset of `ob_type` and, where it is known, of a socket's `sock_fd`.
    pub(super) type_offset: u64,
    pub(super) fd_offset: Option<u64>,
    pub(super) heap: &'j SocketHeap,
    pub(super) listing: &'j Listing,
    pub(super) tables: &'j SocketTables,
}

/// The result.
#[derive(Debug, Default)]
pub(in crate::attach) struct Joined {
    pub(in crate::attach) rows: Vec<SocketRow>,
    pub(in crate::attach) by_address: Vec<AddressRow>,
    pub(in crate::attach) summary: SocketsSummary,
}

/// What is known of the socket behind a descriptor.
#[derive(Debug, Clone, Default)]
struct Facts {
    family: Option<Family>,
    kind: Option<SocketType>,
    state: Option<SocketState>,
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
    peer_inode: Option<u64>,
    recv_q: Option<u64>,
    send_q: Option<u64>,
    /// The descriptor was closed or replaced before its row could be found.
    lost: bool,
}

impl From<&KernelSocket> for Facts {
    fn from(row: &KernelSocket) -> Self {
        Self {
            family: Some(row.family),
            kind: Some(row.kind),
            state: Some(row.state),
            local: row.local.clone(),
            peer: row.peer.clone(),
            peer_inode: row.peer_inode,
            recv_q: row.recv_q,
            send_q: row.send_q,
            lost: false,
        }
    }
}

impl Join<'_> {
    /// Joins.
    pub(in crate::attach) fn rows(&self) -> Joined {
        let mut joined = Joined::default();
        let mut naming: HashMap<i32, Vec<&SocketObject>> = HashMap::new();
        for object in &self.heap.objects {
            if let Some(fd) = object.fd.filter(|&fd| fd >= 0) {
                naming.entry(fd).or_default().push(object);
            }
        }
        let mut copies: HashMap<u64, Vec<i32>> = HashMap::new();
        for descriptor in self.listing.descriptors() {
            let name = descriptor.kind.name().to_owned();
            *joined.summary.descriptors.entry(name).or_default() += 1;
            if let Some(inode) = descriptor.socket() {
                copies.entry(inode).or_default().push(descriptor.fd);
            }
        }
        let mut matched = HashSet::new();
        let mut native = self.heap.owners.native.clone();
        let mut ends = Ends::default();
        for descriptor in self.listing.descriptors() {
            let Some(inode) = descriptor.socket() else { continue };
            let facts = self.facts(descriptor, inode);
            ends.add(&facts);
            let copies = copies.get(&inode).map(Vec::as_slice).unwrap_or_default();
            let objects = naming.get(&descriptor.fd).map(Vec::as_slice).unwrap_or_default();
            let agreeing: Vec<&SocketObject> = objects
                .iter()
                .copied()
                .filter(|object| agrees(object, &facts) && self.is_of(object, descriptor))
                .collect();
            matched.extend(agreeing.iter().map(|object| object.address));
            let state = facts.state.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
            *joined.summary.states.entry(state).or_default() += 1;
            let base = SocketRow {
                fd: Some(descriptor.fd),
                inode: Some(inode),
                same_socket: copies.iter().copied().filter(|&fd| fd != descriptor.fd).collect(),
                ..row(&facts)
            };
            if agreeing.is_empty() {
                let row = self.without_object(base, descriptor, &facts, &mut native);
                joined.summary.count_owner(&row);
                joined.rows.push(row);
                continue;
            }
            joined.summary.with_owner += 1;
            let descriptor = match agreeing.len() {
                1 => DescriptorState::Open,
                _ => DescriptorState::Contested,
            };
            for object in agreeing {
                let row = SocketRow { descriptor, ..base.clone() };
                joined.rows.push(self.with_object(row, object));
            }
        }
        let unmatched = self.heap.objects.iter().filter(|one| !matched.contains(&one.address));
        let unmatched: Vec<SocketRow> = unmatched.map(|object| self.astray(object)).collect();
        joined.rows.extend(unmatched);
        self.finish(joined, &ends)
    }

    /// The row of the kernel's tables; of a socket that no table lists, what can be had
    /// otherwise.
    fn facts(&self, descriptor: &Descriptor, inode: u64) -> Facts {
        if let Some(row) = self.tables.by_inode.get(&inode) {
            return Facts::from(row);
        }
        let protocol = self.process.socket_protocol(descriptor.fd);
        if self.process.descriptor(descriptor.fd).as_ref() != Some(&descriptor.kind) {
            return Facts { lost: true, ..Facts::default() };
        }
        // Neither bound nor connected, or no longer: not in the tables, and then in this state.
        let (family, kind, state) = match protocol.as_deref() {
            Some("TCP") => (Family::Inet, SocketType::Stream, SocketState::Close),
            Some("TCPv6") => (Family::Inet6, SocketType::Stream, SocketState::Close),
            Some("UDP") => (Family::Inet, SocketType::Datagram, SocketState::Unconnected),
            Some("UDPv6") => (Family::Inet6, SocketType::Datagram, SocketState::Unconnected),
            _ => return Facts::default(),
        };
        let (family, kind, state) = (Some(family), Some(kind), Some(state));
        Facts { family, kind, state, ..Facts::default() }
    }

    /// The object of the picture named the descriptor as it was listed.
    fn is_of(&self, object: &SocketObject, descriptor: &Descriptor) -> bool {
        !self.listing.changed.contains(&descriptor.fd)
            || (self.still_names(object)
                && self.process.descriptor(descriptor.fd).as_ref() == Some(&descriptor.kind))
    }

    /// The object, read again from the running process, is still a socket with its number.
    fn still_names(&self, object: &SocketObject) -> bool {
        let Some(fd_offset) = self.fd_offset else { return false };
        let class = self.memory.read_pointer(object.address.add(self.type_offset));
        let fd = self.memory.read_u32(object.address.add(fd_offset));
        class == Ok(object.class.address) && fd.ok().map(|fd| fd as i32) == object.fd
    }

    fn with_object(&self, row: SocketRow, object: &SocketObject) -> SocketRow {
        let owners = &self.heap.owners;
        let owner = owners.of_object(object.address);
        SocketRow { python: Some(python(object)), owner: owner.map(snapshot_owner), ..row }
    }

    /// A descriptor that no object names. One that was just accepted or made has no object yet,
    /// and one that is gone by now was on its way: only what was there before and is there still
    /// is said to have none.
    fn without_object(
        &self,
        row: SocketRow,
        descriptor: &Descriptor,
        facts: &Facts,
        native: &mut BTreeMap<Library, NativeConnections>,
    ) -> SocketRow {
        let changed = self.listing.changed.contains(&descriptor.fd);
        let unknown = SocketRow { descriptor: DescriptorState::Unknown, ..row.clone() };
        if facts.lost || changed {
            return unknown;
        }
        if let Some(owner) = self.heap.owners.of_descriptor(descriptor.fd) {
            return SocketRow { owner: Some(snapshot_owner(owner)), ..row };
        }
        if self.process.descriptor(descriptor.fd).as_ref() != Some(&descriptor.kind) {
            return unknown;
        }
        let known = native
            .iter_mut()
            .find(|(library, left)| left.count > 0 && leads_to(facts, **library, &left.ports));
        if let Some((known, left)) = known {
            left.count -= 1;
            return SocketRow { owner: Some(library(known.name())), ..row };
        }
        let flags = self.process.descriptor_flags(descriptor.fd).map(flag_names);
        SocketRow { flags, ..row }
    }

    /// An object without a descriptor of its own.
    fn astray(&self, object: &SocketObject) -> SocketRow {
        let descriptor = match object.fd {
            None => DescriptorState::Unknown,
            Some(fd) if fd < 0 => DescriptorState::Closed,
            // What it was at the instant of the picture, it has to be still.
            Some(_) if !self.still_names(object) => DescriptorState::Unknown,
            Some(fd) => match (self.process.descriptor(fd), self.listing.get(fd)) {
                (None, None) => DescriptorState::Gone,
                (Some(now), Some(then)) if now == then.kind => DescriptorState::Reused,
                _ => DescriptorState::Unknown,
            },
        };
        let row = SocketRow {
            fd: object.fd,
            descriptor,
            family: object.family.map(|number| Family::from_number(number).to_string()),
            kind: object.kind.map(|number| SocketType::from_number(number).to_string()),
            ..row(&Facts::default())
        };
        self.with_object(row, object)
    }

    fn finish(&self, mut joined: Joined, ends: &Ends) -> Joined {
        joined.summary.objects = self.heap.objects.len() as u64;
        joined.summary.descriptor_limit = self.process.descriptor_limit();
        joined.summary.kernel_rows = self.tables.rows as u64;
        joined.summary.without_descriptor_in_namespace = self.tables.without_inode.len() as u64;
        for row in joined.rows.iter().filter(|row| row.python.is_some()) {
            let name = row.descriptor.name().to_owned();
            *joined.summary.objects_by_descriptor.entry(name).or_default() += 1;
        }
        for row in &self.tables.without_inode {
            let Some(attributed_by) = ends.attribute(row) else { continue };
            *joined.summary.by_address.entry(row.state.to_string()).or_default() += 1;
            joined.by_address.push(AddressRow {
                family: row.family.to_string(),
                state: row.state.to_string(),
                local: row.local.as_ref().map(ToString::to_string),
                peer: row.peer.as_ref().map(ToString::to_string),
                attributed_by: attributed_by.into(),
            });
        }
        joined
    }
}

/// Addresses that the process uses.
#[derive(Debug, Default)]
struct Ends {
    listening: BTreeSet<u16>,
    peers: HashSet<std::net::SocketAddr>,
}

impl Ends {
    fn add(&mut self, facts: &Facts) {
        if let (Some(SocketState::Listen), Some(Endpoint::Inet(local))) =
            (facts.state, &facts.local)
        {
            self.listening.insert(local.port());
        }
        if let Some(Endpoint::Inet(peer)) = &facts.peer {
            self.peers.insert(*peer);
        }
    }

    /// Why a row without an inode may have been the process's.
    fn attribute(&self, row: &KernelSocket) -> Option<&'static str> {
        match (&row.local, &row.peer) {
            (Some(Endpoint::Inet(local)), _) if self.listening.contains(&local.port()) => {
                Some("local port")
            }
            (_, Some(Endpoint::Inet(peer))) if self.peers.contains(peer) => Some("peer address"),
            _ => None,
        }
    }
}

impl SocketsSummary {
    fn count_owner(&mut self, row: &SocketRow) {
        match &row.owner {
            Some(owner) if owner.inferred => self.native += 1,
            Some(_) => self.with_owner += 1,
            None if row.descriptor == DescriptorState::Open => self.without_owner += 1,
            None => self.unknown_owner += 1,
        }
    }
}

/// The object's family and type are those of the socket, as far as they are known.
fn agrees(object: &SocketObject, facts: &Facts) -> bool {
    let family = object.family.map(Family::from_number);
    let kind = object.kind.map(SocketType::from_number);
    let raw = |kind| matches!(kind, Some(SocketType::Raw | SocketType::Datagram));
    let same_kind = match (kind, facts.kind) {
        // The tables of `icmp` and `netlink` do not tell the two apart.
        (ours, Some(SocketType::Raw)) => raw(ours),
        (Some(ours), Some(its)) => ours == its,
        _ => true,
    };
    let same_family = family.zip(facts.family).is_none_or(|(ours, its)| ours == its);
    same_family && same_kind
}

fn row(facts: &Facts) -> SocketRow {
    SocketRow {
        fd: None,
        descriptor: DescriptorState::Open,
        python: None,
        family: facts.family.map(|family| family.to_string()),
        kind: facts.kind.map(|kind| kind.to_string()),
        state: facts.state.map(|state| state.to_string()),
        local: facts.local.as_ref().map(ToString::to_string),
        peer: facts.peer.as_ref().map(ToString::to_string),
        peer_inode: facts.peer_inode,
        recv_q: facts.recv_q,
        send_q: facts.send_q,
        inode: None,
        owner: None,
        same_socket: Vec::new(),
        flags: None,
    }
}

fn python(object: &SocketObject) -> PythonSocket {
    PythonSocket { address: object.address.to_string(), class: object.class.name().to_owned() }
}

fn snapshot_owner(owner: &Owner) -> SocketOwner {
    SocketOwner {
        class: owner.class.name().to_owned(),
        address: Some(owner.address.to_string()),
        attribute: owner.attribute.map(Into::into),
        protocol: owner.protocol.clone(),
        role: owner.role.map(Into::into),
        tls: owner.tls,
        inferred: false,
    }
}

fn library(name: &str) -> SocketOwner {
    SocketOwner {
        class: name.to_owned(),
        address: None,
        attribute: None,
        protocol: None,
        role: None,
        tls: false,
        inferred: true,
    }
}

/// The peer may be a server of the library. `ports`: of the connections that the heap has.
fn leads_to(facts: &Facts, library: Library, ports: &BTreeSet<u16>) -> bool {
    let (usual, socket) = match library {
        Library::Libpq => POSTGRES,
        Library::Libmysqlclient => MYSQL,
    };
    match &facts.peer {
        Some(Endpoint::Inet(peer)) => usual.contains(&peer.port()) || ports.contains(&peer.port()),
        Some(Endpoint::Unix(path)) => path.windows(socket.len()).any(|part| part == socket),
        _ => false,
    }
}

fn flag_names(flags: i32) -> Vec<Cow<'static, str>> {
    let known = [(libc::O_CLOEXEC, "cloexec"), (libc::O_NONBLOCK, "nonblocking")];
    known.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| name.into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::DescriptorKind;

    fn socket(fd: i32, inode: u64) -> Descriptor {
        Descriptor { fd, kind: DescriptorKind::Socket(inode) }
    }

    #[test]
    fn what_changed_between_two_listings() {
        let before = [socket(3, 30), socket(4, 40), socket(5, 50), socket(9, 90)];
        let after = vec![socket(3, 30), socket(5, 51), socket(6, 60), socket(9, 90)];
        let listing = Listing::new(&before, after);
        assert_eq!(listing.changed, BTreeSet::from([4, 5, 6]));
        assert_eq!(listing.get(6), Some(&socket(6, 60)));
        assert_eq!(listing.get(4), None);
    }
}
