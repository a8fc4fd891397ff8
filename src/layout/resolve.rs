//! From a runtime to its layout: published debug offsets over the target's own debug
//! information over the built-in table, then validated against the process.

use super::debug_offsets::{DebugOffsets, DebugOffsetsError};
use super::discover::{Runtime, Target};
use super::drift::adapt_gc_state;
use super::extract::extract_structs;
use super::structs::{self, Structs};
use super::table::{StructTable, Table, TableError};
use super::tables;
use super::traits::{GcHome, Traits};
use super::validate::{Findings, Misfit, validate};
use super::version::{Flavour, Version};
use super::{Layout, Origin};
use crate::binary::{Elf, Image, Module, debug_file};
use crate::memory::{Address, MemoryError};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// How often a check is repeated on a process that may be running, and the pause between.
const ATTEMPTS: usize = 6;
const PAUSE: Duration = Duration::from_millis(2);

/// Extension modules whose structs are in the tables.
const EXTENSIONS: &[&str] = &["_asyncio.", "_queue.", "_socket.", "_collections."];

/// Why a runtime cannot be read.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// No table for it, and no debug information.
    #[error("no layout is known for Python {version} ({}); known are {known}", .flavour.name())]
    NoTable {
        /// Its version.
        version: Version,
        /// Its flavour.
        flavour: Flavour,
        /// The tables there are.
        known: String,
    },
    /// The interpreter is not set up yet.
    #[error(
        "Python {version} is not initialised in this process: still starting, or already ended"
    )]
    Starting {
        /// Its version, or its series.
        version: String,
    },
    /// The interpreter is being torn down.
    #[error("Python {version} is shutting down in this process")]
    ShuttingDown {
        /// Its version, or its series.
        version: String,
    },
    /// What the process publishes about its structs cannot be right.
    #[error("the debug offsets of the process cannot be used")]
    DebugOffsets(#[from] DebugOffsetsError),
    /// The layout lacks something.
    #[error(transparent)]
    Incomplete(#[from] TableError),
    /// The layout does not fit the process.
    #[error("the layout of Python {version} ({sources}) does not fit this process")]
    Misfit {
        /// Version of the process.
        version: Version,
        /// Where the layout came from.
        sources: String,
        /// What does not fit.
        source: Misfit,
    },
    /// The process is another version than its files say.
    #[error("the files say Python {expected}, sys.hexversion says {found}")]
    OtherVersion {
        /// By the files or the debug offsets.
        expected: Version,
        /// By `sys.hexversion`.
        found: Version,
    },
    /// There was nothing to resolve.
    #[error("no Python runtime was found in the process")]
    NoRuntime,
    /// The process cannot be read.
    #[error("cannot read the process's memory")]
    Memory(#[from] MemoryError),
}

impl ResolveError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Starting { .. } => Some("try again in a moment"),
            Self::ShuttingDown { .. } => {
                Some("attach earlier; a shutdown that hangs is best looked at with gdb")
            }
            Self::NoTable { .. } | Self::Misfit { .. } | Self::Incomplete(_) => Some(
                "this may be a patched or unusual build: install the debug information of this \
                 very build, or make a table from it with `pyattach layout extract`",
            ),
            Self::Memory(MemoryError::Denied) => {
                Some("run as the owner of the process, or as root")
            }
            Self::NoRuntime
            | Self::DebugOffsets(_)
            | Self::OtherVersion { .. }
            | Self::Memory(_) => None,
        }
    }

    /// True when the process was readable but is not a CPython whose layout we know (exit code
    /// 4); false when it could not be read, or not now (exit code 3).
    pub fn is_unsupported(&self) -> bool {
        !self.ends_everything()
            && !matches!(self, Self::Starting { .. } | Self::ShuttingDown { .. })
    }

    fn ends_everything(&self) -> bool {
        let memory = match self {
            Self::Memory(error)
            | Self::DebugOffsets(DebugOffsetsError::Memory(error))
            | Self::Misfit { source: Misfit::Unreadable { source: error, .. }, .. } => error,
            _ => return false,
        };
        !memory.is_fault()
    }
}

/// The layout of the first of `runtimes` that is alive: a process that loaded several
/// libpythons may use only one of them.
///
/// # Errors
/// When none can be read; the error is that of the one that got furthest.
pub fn resolve_first<'r>(
    target: &Target<'_>,
    runtimes: &'r [Runtime],
) -> Result<(&'r Runtime, Layout), ResolveError> {
    let mut first = None;
    for runtime in runtimes {
        match resolve(target, runtime) {
            Ok(layout) => return Ok((runtime, layout)),
            Err(error) if error.ends_everything() => return Err(error),
            Err(error) => match first {
                None | Some(ResolveError::Starting { .. }) => first = Some(error),
                Some(_) => {}
            },
        }
    }
    Err(first.unwrap_or(ResolveError::NoRuntime))
}

/// The layout of `runtime`, validated.
///
/// # Errors
/// When no layout is known or none fits, and when the runtime is starting or shutting down.
pub fn resolve(target: &Target<'_>, runtime: &Runtime) -> Result<Layout, ResolveError> {
    let result = resolve_as(target, runtime, runtime.flavour);
    // Names and symbols may hide that it is a debug build; the process itself cannot.
    match result {
        Err(ResolveError::Misfit { .. })
            if runtime.flavour == Flavour::Gil
                && tables::of(runtime.version, Flavour::Debug).is_some() =>
        {
            resolve_as(target, runtime, Flavour::Debug).or(result)
        }
        _ => result,
    }
}

fn resolve_as(
    target: &Target<'_>,
    runtime: &Runtime,
    flavour: Flavour,
) -> Result<Layout, ResolveError> {
    let version = runtime.version;
    let mut origin =
        Origin { sources: Vec::new(), table: None, checks: Vec::new(), warnings: Vec::new() };
    let mut table = base(target, runtime, flavour, &mut origin)?;
    if version.at_least(3, 13) {
        let offsets = DebugOffsets::read(target.memory, runtime.address)?;
        let moved = offsets.overlay(&mut table)?;
        origin.sources.push("debug offsets of the process".to_owned());
        origin.checks.push(format!(
            "{} published offsets are plausible; {} differ from the {}",
            offsets.len(),
            moved.len(),
            if origin.table.is_some() { "table" } else { "debug information" },
        ));
    }
    let traits = Traits::of(version, flavour);
    state(target, runtime, &table)?;
    if let Some(gc) = main_gc_state(target, runtime, &table, traits)? {
        match adapt_gc_state(target.memory, &mut table, gc, version) {
            Ok(changed) => origin.sources.extend(changed),
            // A wild pointer: validation says which.
            Err(error) if error.is_fault() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let structs = Structs::from_table(&table)?;
    let findings =
        validated(target, runtime, &table, &structs, &traits).map_err(|error| match error {
            Failure::State(error) => error,
            Failure::Misfit(source) => {
                ResolveError::Misfit { version, sources: origin.sources.join(", "), source }
            }
        })?;
    let version = settle(runtime, findings.version)?;
    origin.checks.extend(findings.checks);
    if !version.is_final() {
        origin.warnings.push(format!("{version} is a pre-release, whose structs may be any"));
    }
    // The traits follow from the series, which is the same by now.
    Ok(Layout { version, flavour, structs, traits, origin })
}

/// The table, or what debug information says in its place.
fn base(
    target: &Target<'_>,
    runtime: &Runtime,
    flavour: Flavour,
    origin: &mut Origin,
) -> Result<Table, ResolveError> {
    let version = runtime.version;
    let (mut table, exact_flavour) = match tables::of(version, flavour) {
        Some(table) => (table, true),
        // Object structs are the same in a Py_DEBUG build; the others are published (3.13+),
        // come from debug information, or fail validation.
        None => match tables::of(version, Flavour::Gil) {
            Some(table) => (table, false),
            None => {
                let known = tables::known().join(", ");
                return Err(ResolveError::NoTable { version, flavour, known });
            }
        },
    };
    let from = &table.provenance;
    origin.table = Some(from.version.clone());
    origin.sources.push(format!("table {} ({})", table.series, from.version));
    let build_id = runtime.build_id.as_deref();
    if build_id.is_some_and(|id| from.build_ids.iter().any(|known| known == id)) {
        origin.checks.push("the table was extracted from this very build".to_owned());
        return Ok(table);
    }
    let Some((path, structs)) = debug_information(target, &runtime.module, build_id) else {
        if !exact_flavour {
            let name = flavour.name();
            origin.warnings.push(format!("there is no table for a {name} build of {version}"));
        }
        return Ok(table);
    };
    origin.sources.push(format!("debug information in {}", path.display()));
    origin.table = None;
    table.structs.extend(structs);
    // An unknown build: its extension modules may differ as well.
    for module in Module::all(target.maps) {
        let name = module.file_name();
        if EXTENSIONS.iter().any(|prefix| name.starts_with(prefix)) {
            let found = debug_information(target, &module, None).into_iter();
            for (name, found) in found.flat_map(|(_, structs)| structs) {
                // Of what the interpreter shares with it, it may know a part only.
                if structs::is_optional(&name) {
                    table.structs.insert(name, found);
                }
            }
        }
    }
    Ok(table)
}

/// The structs that the debug information of a module describes, in its file or in a separate
/// one (found by `build_id` when the file itself is gone). Debug information that cannot be
/// read is as good as none.
fn debug_information(
    target: &Target<'_>,
    module: &Module,
    build_id: Option<&str>,
) -> Option<(PathBuf, Vec<(String, StructTable)>)> {
    let image = (target.open)(module.first()).map(Image::from_file);
    let elf = image.as_ref().ok().and_then(|image| image.parse().ok());
    if let Some(elf) = elf.as_ref().filter(|elf| elf.has_dwarf()) {
        let structs = extract_structs(elf).ok()?;
        return Some((module.path().to_owned(), structs));
    }
    let link = elf.as_ref().and_then(Elf::debug_link);
    let own_id = elf.as_ref().and_then(Elf::build_id);
    let wanted = debug_file::Wanted {
        build_id: own_id.as_deref().or(build_id),
        link: link.as_deref(),
        path: Some(module.path()),
    };
    let roots = [target.root.to_owned(), PathBuf::from("/")];
    let (path, image) = debug_file::find(wanted, &roots)?;
    let structs = extract_structs(&image.parse().ok()?).ok()?;
    (!structs.is_empty()).then_some((path, structs))
}

/// Refuses a runtime that is not set up or is being torn down.
fn state(target: &Target<'_>, runtime: &Runtime, table: &Table) -> Result<(), ResolveError> {
    let version = || runtime.known_version();
    let layout = table.required("RuntimeState")?;
    let read = |field: &str| -> Result<u64, ResolveError> {
        let field = layout.required("RuntimeState", field)?;
        Ok(field.read(target.memory, runtime.address)?)
    };
    if read("finalizing")? != 0 {
        return Err(ResolveError::ShuttingDown { version: version() });
    }
    if read("initialized")? == 0 || read("interpreters_main")? == 0 {
        return Err(ResolveError::Starting { version: version() });
    }
    Ok(())
}

/// Where the GC state of the main interpreter is.
fn main_gc_state(
    target: &Target<'_>,
    runtime: &Runtime,
    table: &Table,
    traits: Traits,
) -> Result<Option<Address>, ResolveError> {
    let layout = table.required("RuntimeState")?;
    match traits.gc_home {
        GcHome::Runtime => Ok(layout.fields.get("gc").map(|field| field.at(runtime.address))),
        GcHome::Interpreter => {
            let main = layout
                .required("RuntimeState", "interpreters_main")?
                .read_pointer(target.memory, runtime.address)?;
            let gc = table.required("InterpreterState")?.fields.get("gc");
            Ok(gc.map(|field| field.at(main)))
        }
    }
}

enum Failure {
    State(ResolveError),
    Misfit(Misfit),
}

/// Validates, again if need be: the process may be changing what is looked at.
fn validated(
    target: &Target<'_>,
    runtime: &Runtime,
    table: &Table,
    structs: &Structs,
    traits: &Traits,
) -> Result<Findings, Failure> {
    let mut attempt = 1;
    loop {
        let misfit = match validate(target.memory, runtime.address, structs, traits) {
            Ok(findings) => return Ok(findings),
            Err(misfit) => misfit,
        };
        // A process that is on its way out fits nothing any more.
        state(target, runtime, table).map_err(Failure::State)?;
        let fatal = matches!(&misfit, Misfit::Unreadable { source, .. } if !source.is_fault());
        if fatal || attempt == ATTEMPTS {
            return Err(Failure::Misfit(misfit));
        }
        attempt += 1;
        std::thread::sleep(PAUSE);
    }
}

/// The version by all evidence.
fn settle(runtime: &Runtime, found: Version) -> Result<Version, ResolveError> {
    let expected = runtime.version;
    let same_series = (expected.major, expected.minor) == (found.major, found.minor);
    if found == expected || (same_series && !runtime.exact) {
        Ok(found)
    } else {
        Err(ResolveError::OtherVersion { expected, found })
    }
}
