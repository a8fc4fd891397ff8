//! Python's socket objects and who uses them, from a picture of the heap.
//!
//! Reads memory only. What the descriptors are, and in which state, is joined afterwards.

mod libpq;
mod owners;
mod unlisted;

pub use owners::{Library, NativeConnections, Owner, Owners};

use super::Problem;
use crate::cpython::{Interpreter, Python, Type};
use crate::heap::census::{self, Census};
use crate::memory::Address;
use crate::process::{Descriptor, Mapping};
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// The class whose instances are sockets: `socket.socket`, `ssl.SSLSocket` and gevent's inherit.
const SOCKET: &str = "_socket.socket";

/// A socket object.
#[derive(Debug, Clone)]
pub struct SocketObject {
    /// Where it is.
    pub address: Address,
    /// Its type.
    pub class: Rc<Type>,
    /// Its descriptor's number, -1 when it is closed; `None` when it could not be read.
    pub fd: Option<i32>,
    /// Family, as the system call takes it.
    pub family: Option<i64>,
    /// Type, as the system call takes it.
    pub kind: Option<i64>,
}

/// What the heap says of sockets.
#[derive(Debug, Default)]
pub struct SocketHeap {
    /// The socket objects.
    pub objects: Vec<SocketObject>,
    /// Who uses them.
    pub owners: Owners,
    /// Tracked objects walked over.
    pub walked: u64,
    /// Values that could not be read.
    pub unreadable: u64,
    /// Lists that did not close.
    pub broken_lists: u64,
    /// A collection was running.
    pub collecting: bool,
    /// Nothing contradicts itself.
    pub consistent: bool,
    /// What the rows leave out, in words.
    pub notes: Vec<String>,
}

/// What the instances of a type are to us.
#[derive(Debug, Clone, Copy)]
enum Part {
    Socket,
    Owner(usize),
}

/// Collects the socket objects and their owners. `descriptors` and `maps` serve to find the
/// objects that the collector does not track.
pub fn collect(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
    descriptors: &[Descriptor],
    maps: &[Mapping],
) -> Result<SocketHeap, Problem> {
    let types = SocketTypes::default();
    let wanted = |class: &Type| types.wants(python, class);
    let census = census::take(python, runtime, interpreters, &wanted)?;
    from_census(python, interpreters, &census, types, descriptors, maps)
}

/// The types whose instances the walk is to keep for us.
#[derive(Debug, Default)]
pub(super) struct SocketTypes(RefCell<FxHashMap<Address, Part>>);

impl SocketTypes {
    /// True when the instances of `class` are wanted.
    pub(super) fn wants(&self, python: &Python<'_>, class: &Type) -> bool {
        match part_of(python, class) {
            Some(part) => {
                self.0.borrow_mut().insert(class.address, part);
                true
            }
            None => false,
        }
    }
}

/// The socket objects and owners among what a walk has kept.
pub(super) fn from_census(
    python: &Python<'_>,
    interpreters: &[Interpreter],
    census: &Census,
    types: SocketTypes,
    descriptors: &[Descriptor],
    maps: &[Mapping],
) -> Result<SocketHeap, Problem> {
    let parts = types.0.into_inner();
    let mut heap = SocketHeap {
        walked: census.objects,
        unreadable: census.untyped,
        broken_lists: census.breaks.len() as u64,
        collecting: census.collecting,
        consistent: census.is_consistent(),
        notes: notes(census),
        ..SocketHeap::default()
    };
    let mut base = None;
    for (class, instances) in &census.kept {
        match parts.get(class) {
            Some(Part::Socket) => {
                let class = python.type_at(*class)?;
                base =
                    base.or_else(|| class.mro.iter().copied().find(|&base| is_base(python, base)));
                for &address in instances {
                    heap.objects.push(read_socket(python, address, &class)?);
                }
            }
            Some(&Part::Owner(rule)) => {
                for &owner in instances {
                    heap.unreadable += heap.owners.add(python, rule, owner)?;
                }
            }
            None => {}
        }
    }
    heap.unreadable += heap.objects.iter().filter(|object| object.fd.is_none()).count() as u64;
    let lost = without_object(descriptors, &heap);
    if !lost.is_empty() {
        let search = unlisted::Search { python, interpreters, maps, base };
        let found = search.sockets(&lost)?;
        heap.objects.extend(found.objects);
        heap.notes.extend(found.note);
    }
    Ok(heap)
}

fn part_of(python: &Python<'_>, class: &Type) -> Option<Part> {
    if python.is_subtype(class, SOCKET) {
        return Some(Part::Socket);
    }
    Owners::rule_for(python, class).map(Part::Owner)
}

fn is_base(python: &Python<'_>, class: Address) -> bool {
    python.type_at(class).is_ok_and(|class| class.name() == SOCKET)
}

/// Reads the fields of `PySocketSockObject` (Modules/socketmodule.h).
fn read_socket(
    python: &Python<'_>,
    address: Address,
    class: &Rc<Type>,
) -> Result<SocketObject, Problem> {
    let mut object =
        SocketObject { address, class: Rc::clone(class), fd: None, family: None, kind: None };
    let Some(fields) = python.layout().structs.socket else { return Ok(object) };
    let number = |field: crate::layout::Field| -> Result<Option<i64>, Problem> {
        match field.read_signed(python.memory(), address) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_fault() => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    object.fd = number(fields.fd)?.and_then(|fd| i32::try_from(fd).ok());
    object.family = number(fields.family)?;
    object.kind = number(fields.kind)?;
    Ok(object)
}

/// Socket descriptors that no object names.
fn without_object(descriptors: &[Descriptor], heap: &SocketHeap) -> BTreeSet<i32> {
    let sockets = descriptors.iter().filter(|descriptor| descriptor.socket().is_some());
    let mut left: BTreeSet<i32> = sockets.map(|descriptor| descriptor.fd).collect();
    for object in &heap.objects {
        object.fd.map(|fd| left.remove(&fd));
    }
    left.retain(|&fd| heap.owners.of_descriptor(fd).is_none());
    left
}

fn notes(census: &Census) -> Vec<String> {
    let mut notes = Vec::new();
    if census.collecting || !census.breaks.is_empty() {
        notes.push(
            "not every object could be reached: a socket shown without a Python owner may have one"
                .to_owned(),
        );
    }
    notes
}
