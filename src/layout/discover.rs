//! Finding the Python runtime of a process, and telling what it is when it is none of ours.
//!
//! Relies on `binary`. The runtime is the symbol `_PyRuntime` of a mapped module; in modules
//! without that symbol the section `.PyRuntime` (3.10+), and last the cookie at its start
//! (3.13+) in writable memory. Which fields it has is left to [`resolve`](super::resolve).

use super::debug_offsets::{COOKIE, Head};
use super::tables;
use super::version::{Flavour, Version, abi_flags_in_name, series_in_name, version_among};
use crate::binary::{BinaryError, Image, MemoryImage, Module, Open};
use crate::memory::{Address, MemoryError, MemorySource};
use crate::process::Mapping;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How much of a process is searched: for version strings (a libpython has 1 MB of constants),
/// and for the cookie.
const MAX_CONSTANTS: u64 = 16 << 20;
const MAX_COOKIE_SEARCH: u64 = 256 << 20;
const CHUNK: u64 = 1 << 16;

/// What discovery needs of a process.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Its memory map.
    pub maps: &'a [Mapping],
    /// Its memory.
    pub memory: &'a dyn MemorySource,
    /// Opens the file behind a mapping.
    pub open: Open<'a>,
    /// Where its root is seen from here (`/proc/PID/root`), for separate debug files.
    pub root: &'a Path,
}

/// A Python runtime found in a process.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Address of `_PyRuntime`.
    pub address: Address,
    /// Size of `_PyRuntime` by the symbol table; 0 when unknown.
    pub size: u64,
    /// The module that contains it.
    pub module: Module,
    /// GNU build id of the module, in hex.
    pub build_id: Option<String>,
    /// The version, exact unless `exact` is false.
    pub version: Version,
    /// False when only the series is certain (3.8 to 3.10 say their version only among their
    /// constants); `sys.hexversion` then tells the rest.
    pub exact: bool,
    /// How it was built, as far as names and symbols tell.
    pub flavour: Flavour,
    /// How it was found, in words.
    pub found_by: &'static str,
    /// A build with `Py_TRACE_REFS`, whose objects have two more words (up to 3.12).
    pub trace_refs: bool,
}

/// Why there is no runtime that we can read.
#[derive(Debug, Error)]
pub enum DiscoverError {
    /// Nothing of Python in it.
    #[error("{} is not a Python process: no mapped file contains a Python runtime", .executable.display())]
    NotPython {
        /// The program it runs.
        executable: PathBuf,
    },
    /// Between two programs, or at its end.
    #[error("the process has no program: it is ending, or just becoming another program")]
    NoProgram,
    /// PyPy has other structures altogether.
    #[error("the process runs PyPy ({}), not CPython", .module.display())]
    PyPy {
        /// The module that shows it.
        module: PathBuf,
    },
    /// Python 2, or 3 before 3.8.
    #[error(
        "Python {version} is too old: {} to {} are supported",
        series(tables::OLDEST),
        series(tables::NEWEST)
    )]
    TooOld {
        /// "2.7" or "3.7.16".
        version: String,
    },
    /// A series without a table.
    #[error(
        "Python {version} is newer than this pyattach knows: {} to {} are supported",
        series(tables::OLDEST),
        series(tables::NEWEST)
    )]
    TooNew {
        /// "3.16.0a3".
        version: String,
    },
    /// A runtime of which neither names nor constants tell the version.
    #[error("a Python runtime in {} whose version cannot be told", .module.display())]
    UnknownVersion {
        /// The module that contains it.
        module: PathBuf,
    },
    /// A `--disable-gil` build.
    #[error("Python {version} is a free-threaded build, which is not supported yet")]
    FreeThreaded {
        /// Its version.
        version: Version,
    },
    /// A build whose objects have a longer head.
    #[error("Python {version} was built with Py_TRACE_REFS, which is not supported")]
    TraceRefs {
        /// Its version.
        version: Version,
    },
    /// A 32-bit process.
    #[error("{} is a 32-bit program; only 64-bit ones are supported", .executable.display())]
    Bits32 {
        /// The program.
        executable: PathBuf,
    },
    /// The files of the process cannot be opened.
    #[error("cannot read the program {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: BinaryError,
    },
    /// Reading the process failed in a way that ends everything.
    #[error("cannot read the process's memory")]
    Memory(#[from] MemoryError),
}

fn series((major, minor): (u8, u8)) -> String {
    format!("{major}.{minor}")
}

impl DiscoverError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotPython { .. } => Some(
                "give the PID of the Python process itself, not of its shell or supervisor; if \
                 it was started a moment ago, try again",
            ),
            Self::NoProgram => Some("try again in a moment"),
            Self::PyPy { .. } => Some("PyPy has its own tools; run the program with CPython"),
            Self::TooOld { .. } => Some("run the program with a supported Python"),
            Self::TooNew { .. } => Some("look for a newer pyattach"),
            Self::FreeThreaded { .. } => Some("run the program with the ordinary build of Python"),
            Self::TraceRefs { .. } => Some("run the program with a build without Py_TRACE_REFS"),
            Self::Unreadable { .. } | Self::Memory(MemoryError::Denied) => {
                Some("run as the owner of the process, or as root")
            }
            Self::UnknownVersion { .. } | Self::Bits32 { .. } | Self::Memory(_) => None,
        }
    }

    /// True when the process was readable but is not a CPython that we know (exit code 4);
    /// false when it could not be read (exit code 3).
    pub fn is_unsupported(&self) -> bool {
        !matches!(self, Self::Memory(_) | Self::Unreadable { .. } | Self::NoProgram)
    }
}

impl Runtime {
    /// The version as far as it is certain, for messages.
    pub fn known_version(&self) -> String {
        if self.exact { self.version.to_string() } else { self.version.series() }
    }
}

/// Symbols that matter in a module.
const SYMBOLS: [&str; 5] = [
    "_PyRuntime",
    "Py_Version",
    "Py_GetVersion",
    // Only with Py_REF_DEBUG, which Py_DEBUG implies (Include/refcount.h, Include/object.h).
    "_Py_NegativeRefcount",
    // Only with Py_TRACE_REFS, up to 3.12 (Include/object.h).
    "_Py_AddToAllObjects",
];

/// What is known of a module after a look at its file or its image in memory.
struct Look {
    module: Module,
    bias: u64,
    symbols: [Option<u64>; SYMBOLS.len()],
    runtime_size: u64,
    section: Option<u64>,
    soname: Option<String>,
    build_id: Option<String>,
}

/// Finds the runtimes of a process, the most likely one first: usually there is one; a process
/// that loaded several libpythons has several.
///
/// # Errors
/// When there is none that is supported, with the reason.
pub fn discover(target: &Target<'_>) -> Result<Vec<Runtime>, DiscoverError> {
    let modules: Vec<Module> =
        Module::all(target.maps).into_iter().filter(Module::is_code).collect();
    let Some(first) = modules.first() else { return Err(DiscoverError::NoProgram) };
    let executable = first.path().to_owned();

    if let Some(module) = modules.iter().enumerate().find_map(|(index, module)| {
        let name = module.file_name();
        // Other things may be called pypy-something; the program itself may be static.
        (name.starts_with("libpypy") || (index == 0 && name.starts_with("pypy"))).then_some(module)
    }) {
        return Err(DiscoverError::PyPy { module: module.path().to_owned() });
    }
    // The program itself and what is called libpython or python; only without any success all
    // others, since an embedder may have linked Python into whatever it likes.
    let (likely, others): (Vec<_>, Vec<_>) =
        modules.iter().enumerate().partition(|(index, module)| {
            let name = module.file_name();
            *index == 0 || name.starts_with("libpython") || name.starts_with("python")
        });
    let count = likely.len();
    let mut problem = None;
    let mut old = None;
    let mut looks = Vec::new();
    for (position, (index, module)) in likely.into_iter().chain(others).enumerate() {
        if position >= count && (!looks.is_empty() || old.is_some()) {
            break;
        }
        match look(target, module) {
            Ok(found) => {
                if found.symbols[0].is_some() || found.section.is_some() {
                    looks.push(found);
                } else if found.symbols[2].is_some() {
                    old.get_or_insert(found);
                }
            }
            Err(BinaryError::Memory(error)) if !error.is_fault() => return Err(error.into()),
            Err(BinaryError::Bits32) if index == 0 => {
                return Err(DiscoverError::Bits32 { executable });
            }
            Err(error) if index == 0 => problem = Some(error),
            Err(_) => {}
        }
    }
    let mut runtimes = Vec::new();
    let mut refused = None;
    for found in looks {
        match runtime_of(target, found) {
            Ok(runtime) => runtimes.push(runtime),
            Err(error @ DiscoverError::Memory(_)) => return Err(error),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    if !runtimes.is_empty() {
        return Ok(runtimes);
    }
    if let Some(error) = refused {
        return Err(error);
    }
    if let Some(old) = old {
        return Err(too_old(target, &old));
    }
    if let Some(runtime) = by_cookie(target, &modules)? {
        return Ok(vec![runtime]);
    }
    match problem {
        Some(source) => Err(DiscoverError::Unreadable { path: executable, source }),
        None => Err(DiscoverError::NotPython { executable }),
    }
}

/// Looks into a module: its file, or when that cannot be opened its image in memory.
fn look(target: &Target<'_>, module: &Module) -> Result<Look, BinaryError> {
    match look_at_file(target, module) {
        Err(BinaryError::Io(_)) => look_at_memory(target, module),
        result => result,
    }
}

fn look_at_file(target: &Target<'_>, module: &Module) -> Result<Look, BinaryError> {
    let image = Image::from_file((target.open)(module.first())?);
    let elf = image.parse()?;
    let symbols = elf.symbols(SYMBOLS);
    let bias = module.load_bias(&elf).ok_or_else(|| BinaryError::Malformed {
        reason: "no segment of the file is mapped".to_owned(),
    })?;
    Ok(Look {
        module: module.clone(),
        bias,
        symbols: symbols.map(|symbol| symbol.map(|symbol| symbol.address)),
        runtime_size: symbols[0].map_or(0, |symbol| symbol.size),
        section: elf.section(".PyRuntime").map(|section| section.address),
        soname: elf.soname(),
        build_id: elf.build_id(),
    })
}

fn look_at_memory(target: &Target<'_>, module: &Module) -> Result<Look, BinaryError> {
    let image = MemoryImage::read(target.memory, Address::new(module.first().start))?;
    let symbols = image.symbols(SYMBOLS);
    Ok(Look {
        module: module.clone(),
        bias: image.load_bias(),
        symbols: symbols.map(|symbol| symbol.map(|symbol| symbol.address)),
        runtime_size: symbols[0].map_or(0, |symbol| symbol.size),
        section: None,
        soname: image.soname().map(str::to_owned),
        build_id: image.build_id().map(str::to_owned),
    })
}

/// Identifies the runtime in a module that has one.
fn runtime_of(target: &Target<'_>, look: Look) -> Result<Runtime, DiscoverError> {
    let address = |at: u64| Address::new(look.bias.wrapping_add(at));
    let (at, found_by) = match (look.symbols[0], look.section) {
        (Some(at), _) => (address(at), "symbol _PyRuntime"),
        (None, Some(at)) => (address(at), "section .PyRuntime"),
        (None, None) => {
            return Err(DiscoverError::UnknownVersion { module: look.module.path().to_owned() });
        }
    };
    let names = names(&look);
    let head = match Head::read(target.memory, at) {
        Ok(head) => head,
        Err(error) if error.is_fault() => None,
        Err(error) => return Err(error.into()),
    };
    let flags = names.iter().find_map(|name| abi_flags_in_name(name)).unwrap_or("");
    let debug = look.symbols[3].is_some() || flags.contains('d');
    let published = look.symbols[1].and_then(|at| {
        let hex = target.memory.read_u64(address(at)).ok()?;
        Some(Version::from_hex(u32::try_from(hex).ok()?))
    });
    let (version, exact) = match (head, published) {
        (Some(head), _) => (head.version, true),
        (None, Some(version)) => (version, true),
        (None, None) => (guessed_version(target, &look, &names)?, false),
    };
    let free_threaded = head.is_some_and(|head| head.free_threaded) || flags.contains('t');
    let flavour = match (free_threaded, debug) {
        (true, _) => Flavour::FreeThreaded,
        (false, true) => Flavour::Debug,
        (false, false) => Flavour::Gil,
    };
    let runtime = Runtime {
        address: at,
        size: look.runtime_size,
        trace_refs: look.symbols[4].is_some() && !version.at_least(3, 13),
        module: look.module,
        build_id: look.build_id,
        version,
        exact,
        flavour,
        found_by,
    };
    supported(runtime)
}

fn supported(runtime: Runtime) -> Result<Runtime, DiscoverError> {
    let version = runtime.version;
    let known = runtime.known_version();
    let series = (version.major, version.minor);
    if series < tables::OLDEST {
        return Err(DiscoverError::TooOld { version: known });
    }
    if series > tables::NEWEST {
        return Err(DiscoverError::TooNew { version: known });
    }
    if runtime.flavour == Flavour::FreeThreaded {
        return Err(DiscoverError::FreeThreaded { version });
    }
    if runtime.trace_refs {
        return Err(DiscoverError::TraceRefs { version });
    }
    Ok(runtime)
}

/// The names that may tell a series: of the library as linked, and of the file.
fn names(look: &Look) -> Vec<String> {
    look.soname.iter().cloned().chain([look.module.file_name()]).collect()
}

/// The version of 3.8 to 3.10 (and of what has lost its symbols). The series is enough to choose
/// a table, and `sys.hexversion` tells the rest; without a name that tells the series, the
/// constants of the module are searched.
fn guessed_version(
    target: &Target<'_>,
    look: &Look,
    names: &[String],
) -> Result<Version, DiscoverError> {
    if let Some((major, minor)) = names.iter().find_map(|name| series_in_name(name)) {
        return Ok(Version::release(major, minor, 0));
    }
    constants_version(target, &look.module, None)?
        .ok_or_else(|| DiscoverError::UnknownVersion { module: look.module.path().to_owned() })
}

/// The version string among the read-only data of a module.
fn constants_version(
    target: &Target<'_>,
    module: &Module,
    series: Option<(u8, u8)>,
) -> Result<Option<Version>, MemoryError> {
    let mut constants = Vec::new();
    let readable = |mapping: &&Mapping| mapping.readable && !mapping.writable;
    // Constants have had a mapping of their own for long; older linkers put them with the code.
    for executable in [false, true] {
        for mapping in module.mappings().iter().filter(readable) {
            if mapping.executable == executable {
                read_into(target.memory, mapping, &mut constants)?;
            }
        }
        if let Some(version) = version_among(&constants, series) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// Appends what is readable of a mapping, within the bound for all of them.
fn read_into(
    memory: &dyn MemorySource,
    mapping: &Mapping,
    bytes: &mut Vec<u8>,
) -> Result<(), MemoryError> {
    let mut at = mapping.start;
    while at < mapping.end && (bytes.len() as u64) < MAX_CONSTANTS {
        let length = CHUNK.min(mapping.end - at);
        match memory.read_vec(Address::new(at), length as usize) {
            Ok(piece) => bytes.extend(piece),
            // A hole ends a string, as a NUL does.
            Err(error) if error.is_fault() => bytes.push(0),
            Err(error) => return Err(error),
        }
        at += length;
    }
    Ok(())
}

/// A Python without `_PyRuntime` is one before 3.7.
fn too_old(target: &Target<'_>, look: &Look) -> DiscoverError {
    let series = names(look).iter().find_map(|name| series_in_name(name));
    let exact = constants_version(target, &look.module, series).ok().flatten();
    let version = match (exact, series) {
        (Some(version), _) => version.to_string(),
        (None, Some((major, minor))) => format!("{major}.{minor}"),
        (None, None) => "before 3.7".to_owned(),
    };
    DiscoverError::TooOld { version }
}

/// The last resort, for 3.13+: the cookie in writable memory of a file, which is where the
/// loader puts initialised data.
fn by_cookie(target: &Target<'_>, modules: &[Module]) -> Result<Option<Runtime>, DiscoverError> {
    let mut searched = 0;
    for module in modules {
        for mapping in module.mappings().iter().filter(|mapping| mapping.writable) {
            let mut at = mapping.start;
            while at < mapping.end && searched < MAX_COOKIE_SEARCH {
                let length = CHUNK.min(mapping.end - at);
                let piece = match target.memory.read_vec(Address::new(at), length as usize) {
                    Ok(piece) => piece,
                    Err(error) if error.is_fault() => Vec::new(),
                    Err(error) => return Err(error.into()),
                };
                let hits = piece.chunks_exact(8).enumerate().filter(|(_, word)| *word == COOKIE);
                for (index, _) in hits {
                    let address = Address::new(at).add(index as u64 * 8);
                    if let Some(runtime) = with_cookie(target, module, address)? {
                        return Ok(Some(runtime));
                    }
                }
                searched += length;
                at += length;
            }
        }
    }
    Ok(None)
}

fn with_cookie(
    target: &Target<'_>,
    module: &Module,
    address: Address,
) -> Result<Option<Runtime>, DiscoverError> {
    let head = match Head::read(target.memory, address) {
        Ok(Some(head)) if head.version.major == 3 && head.version.minor >= 13 => head,
        Ok(_) => return Ok(None),
        Err(error) if error.is_fault() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let debug = abi_flags_in_name(&module.file_name()).is_some_and(|flags| flags.contains('d'));
    supported(Runtime {
        address,
        size: 0,
        module: module.clone(),
        build_id: look(target, module).ok().and_then(|look| look.build_id),
        version: head.version,
        exact: true,
        flavour: match (head.free_threaded, debug) {
            (true, _) => Flavour::FreeThreaded,
            (false, true) => Flavour::Debug,
            (false, false) => Flavour::Gil,
        },
        found_by: "cookie of the debug offsets",
        trace_refs: false,
    })
    .map(Some)
}
