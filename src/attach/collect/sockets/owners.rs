//! Who uses a socket: objects that lead to it by one attribute, by a number, or in C.
//!
//! Rules by class name over the MRO, the more telling ones first: a transport or a connection
//! says more than a file made of the socket. Attribute paths by library version: see each rule.

use super::{Problem, libpq};
use crate::cpython::{ObjectError, Python, Type};
use crate::memory::Address;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Sockets of one server object.
const MAX_ITEMS: u64 = 4096;
/// `uv_handle_type` (libuv's uv.h).
const UV_NAMED_PIPE: u32 = 7;
const UV_TCP: u32 = 12;
const UV_UDP: u32 = 15;
/// `UVHandle._handle` and the protocol of `UVStream`; the same in the 3.8, 3.11 and 3.13 wheels of
/// uvloop 0.23.0.
const UVLOOP_HANDLE: u64 = 24;
const UVLOOP_PROTOCOL: u64 = 128;
/// `uv_handle_t.type`, and `io_watcher.fd` of `uv_stream_t` and of `uv_udp_t`.
const UV_TYPE: u64 = 16;
const UV_STREAM_FD: u64 = 184;
const UV_UDP_FD: u64 = 176;

/// A class whose instances use sockets.
struct Rule {
    /// Names of classes, any of which is in the MRO.
    classes: &'static [&'static str],
    hop: Hop,
    /// The instances are transports: their protocol is worth naming.
    transport: bool,
    role: Option<&'static str>,
}

/// How an owner leads to its sockets.
enum Hop {
    /// Attributes that hold a socket object.
    Attributes(&'static [&'static str]),
    /// An attribute that holds a list or tuple of them.
    Items(&'static str),
    /// An attribute that holds the descriptor's number.
    Number(&'static str),
    /// The `fd` of `_io.FileIO` (Modules/_io/fileio.c): the first field.
    FileNumber,
    /// A libuv handle.
    Uvloop,
    /// None: a library in C keeps the number to itself. Counted, with the servers' ports.
    Native(Library),
}

/// A client library in C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    /// PostgreSQL's: of psycopg2 and psycopg 3.
    Libpq,
    /// MySQL's: of mysqlclient.
    Libmysqlclient,
}

impl Library {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Libpq => "libpq",
            Self::Libmysqlclient => "libmysqlclient",
        }
    }
}

/// Connections of a library in C, each with a socket that cannot be told.
#[derive(Debug, Clone, Default)]
pub struct NativeConnections {
    /// How many.
    pub count: u64,
    /// Ports of the servers that they connect to, as far as they are known.
    pub ports: BTreeSet<u16>,
}

const fn attribute(classes: &'static [&'static str], names: &'static [&'static str]) -> Rule {
    Rule { classes, hop: Hop::Attributes(names), transport: false, role: None }
}

const fn hop(classes: &'static [&'static str], hop: Hop) -> Rule {
    Rule { classes, hop, transport: false, role: None }
}

static RULES: [Rule; 15] = [
    Rule {
        classes: &["asyncio.selector_events._SelectorTransport"],
        hop: Hop::Attributes(&["_sock"]),
        transport: true,
        role: None,
    },
    Rule { classes: &["uvloop.loop.UVHandle"], hop: Hop::Uvloop, transport: true, role: None },
    Rule {
        classes: &["asyncio.selector_events.BaseSelectorEventLoop"],
        hop: Hop::Attributes(&["_ssock", "_csock"]),
        transport: false,
        role: Some("self-pipe"),
    },
    hop(&["asyncio.base_events.Server"], Hop::Items("_sockets")),
    // Of urllib3, botocore, … as well.
    attribute(&["http.client.HTTPConnection"], &["sock"]),
    attribute(&["redis.connection.AbstractConnection", "redis.connection.Connection"], &["_sock"]),
    attribute(&["pymysql.connections.Connection"], &["_sock"]),
    attribute(&["httpcore._backends.sync.SyncStream"], &["_sock"]),
    attribute(&["socketserver.BaseServer"], &["socket"]),
    attribute(&["socketserver.BaseRequestHandler"], &["request"]),
    attribute(&["multiprocessing.connection.SocketListener"], &["_socket"]),
    hop(&["multiprocessing.connection._ConnectionBase"], Hop::Number("_handle")),
    hop(
        &["psycopg2.extensions.connection", "psycopg.Connection", "psycopg.AsyncConnection"],
        Hop::Native(Library::Libpq),
    ),
    hop(&["MySQLdb.connections.Connection"], Hop::Native(Library::Libmysqlclient)),
    hop(&["_io.FileIO"], Hop::FileNumber),
];

/// An object that uses a socket.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Its type.
    pub class: Rc<Type>,
    /// Where it is.
    pub address: Address,
    /// The attribute that leads to the socket.
    pub attribute: Option<&'static str>,
    /// The type of a transport's protocol.
    pub protocol: Option<String>,
    /// TLS is spoken between the transport and that protocol.
    pub tls: bool,
    /// What the socket is for.
    pub role: Option<&'static str>,
}

/// The owners found.
#[derive(Debug, Default)]
pub struct Owners {
    /// By the socket object, with the number of the rule.
    by_socket: FxHashMap<Address, (usize, Owner)>,
    /// By the number of the descriptor.
    by_number: FxHashMap<i32, (usize, Owner)>,
    /// Connections of libraries in C.
    pub native: BTreeMap<Library, NativeConnections>,
}

impl Owners {
    /// The rule for instances of `class`, if there is one.
    pub(super) fn rule_for(python: &Python<'_>, class: &Type) -> Option<usize> {
        let fits = |rule: &Rule| rule.classes.iter().any(|name| python.is_subtype(class, name));
        RULES.iter().position(fits)
    }

    /// The user of the socket object at `address`.
    pub fn of_object(&self, address: Address) -> Option<&Owner> {
        self.by_socket.get(&address).map(|(_, owner)| owner)
    }

    /// The user of a descriptor that has no socket object.
    pub fn of_descriptor(&self, fd: i32) -> Option<&Owner> {
        self.by_number.get(&fd).map(|(_, owner)| owner)
    }

    /// Reads one instance of the rule's class. The answer is how many values could not be read.
    pub(super) fn add(
        &mut self,
        python: &Python<'_>,
        rule: usize,
        owner: Address,
    ) -> Result<u64, Problem> {
        let Some(Rule { hop, transport, role, .. }) = RULES.get(rule) else { return Ok(0) };
        match self.read(python, rule, hop, *transport, *role, owner) {
            Ok(()) => Ok(0),
            Err(error) if error.fatal().is_some() => Err(error),
            Err(_) => Ok(1),
        }
    }

    fn read(
        &mut self,
        python: &Python<'_>,
        rule: usize,
        hop: &Hop,
        transport: bool,
        role: Option<&'static str>,
        address: Address,
    ) -> Result<(), ObjectError> {
        let class = python.type_of(address)?;
        let owner = Owner { class, address, attribute: None, protocol: None, tls: false, role };
        let named = |attribute| Owner { attribute: Some(attribute), ..owner.clone() };
        match hop {
            Hop::Attributes(names) => {
                for name in *names {
                    let Some(socket) = python.attribute(address, name)?.found() else { continue };
                    let mut owner = named(name);
                    if transport {
                        let protocol = python.attribute(address, "_protocol")?.found();
                        describe_protocol(python, protocol, &mut owner)?;
                    }
                    insert(&mut self.by_socket, socket, rule, owner);
                }
            }
            Hop::Items(name) => {
                if let Some(list) = python.attribute(address, name)?.found() {
                    for socket in items(python, list)? {
                        insert(&mut self.by_socket, socket, rule, named(name));
                    }
                }
            }
            Hop::Number(name) => {
                let number = python.attribute(address, name)?.found();
                if let Some(number) = number.filter(|&number| python.is_none(number) == Ok(false)) {
                    self.number(python.small_integer(number)?, rule, named(name));
                }
            }
            Hop::FileNumber => {
                let at = address.add(python.layout().structs.object.size);
                let fd = python.memory().read_u32(at)? as i32;
                self.number(i64::from(fd), rule, owner);
            }
            Hop::Uvloop => {
                let memory = python.memory();
                let handle = memory.read_pointer(address.add(UVLOOP_HANDLE))?;
                // Null once it is closed.
                if handle.is_null() {
                    return Ok(());
                }
                let kind = memory.read_u32(handle.add(UV_TYPE))?;
                let at = match kind {
                    UV_TCP | UV_NAMED_PIPE => UV_STREAM_FD,
                    UV_UDP => UV_UDP_FD,
                    _ => return Ok(()),
                };
                let fd = memory.read_u32(handle.add(at))? as i32;
                let mut owner = owner.clone();
                // Servers and UDP have something else there.
                if kind != UV_UDP && owner.class.name().ends_with("Transport") {
                    let protocol = memory.read_pointer(address.add(UVLOOP_PROTOCOL)).ok();
                    describe_protocol(python, protocol, &mut owner)?;
                }
                self.number(i64::from(fd), rule, owner);
            }
            Hop::Native(library) => {
                let known = self.native.entry(*library).or_default();
                known.count += 1;
                known.ports.extend(ports(python, *library, address)?);
            }
        }
        Ok(())
    }

    fn number(&mut self, fd: i64, rule: usize, owner: Owner) {
        if let Some(fd) = i32::try_from(fd).ok().filter(|&fd| fd >= 0) {
            insert(&mut self.by_number, fd, rule, owner);
        }
    }
}

/// The ports of the server of a connection.
fn ports(
    python: &Python<'_>,
    library: Library,
    connection: Address,
) -> Result<Vec<u16>, ObjectError> {
    match library {
        Library::Libpq => {
            // psycopg 3 has it in an object of its own.
            let inner = python.attribute(connection, "pgconn")?.found();
            libpq::ports(python, inner.unwrap_or(connection))
        }
        Library::Libmysqlclient => {
            let port = python.attribute(connection, "port")?.found();
            let port = port.map(|port| python.small_integer(port)).transpose()?;
            Ok(port.and_then(|port| u16::try_from(port).ok()).into_iter().collect())
        }
    }
}

/// The owner by the earlier rule wins.
fn insert<K: std::hash::Hash + Eq>(
    map: &mut FxHashMap<K, (usize, Owner)>,
    key: K,
    rule: usize,
    owner: Owner,
) {
    if map.get(&key).is_none_or(|&(known, _)| rule < known) {
        map.insert(key, (rule, owner));
    }
}

fn items(python: &Python<'_>, list: Address) -> Result<Vec<Address>, ObjectError> {
    let flags = python.type_of(list)?.flags;
    if flags.list_subclass() {
        python.list_items(list, MAX_ITEMS)
    } else if flags.tuple_subclass() {
        python.tuple_items(list, MAX_ITEMS)
    } else {
        // None once the server is closed.
        Ok(Vec::new())
    }
}

/// Names the protocol; through asyncio's TLS protocol, the one it serves.
fn describe_protocol(
    python: &Python<'_>,
    protocol: Option<Address>,
    owner: &mut Owner,
) -> Result<(), ObjectError> {
    let Some(protocol) = protocol.and_then(Address::non_null) else { return Ok(()) };
    let class = match python.type_of(protocol) {
        Err(error) if error.fatal().is_some() => return Err(error),
        Err(_) => return Ok(()),
        Ok(class) => class,
    };
    let mut name = class.name().to_owned();
    if python.is_subtype(&class, "asyncio.sslproto.SSLProtocol") {
        owner.tls = true;
        if let Some(inner) = python.attribute(protocol, "_app_protocol")?.found() {
            name = python.type_of(inner)?.name().to_owned();
        }
    }
    owner.protocol = (name != "builtins.NoneType").then_some(name);
    Ok(())
}
