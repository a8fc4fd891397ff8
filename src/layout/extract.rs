//! Making a table from debug information: what `layout extract` and `layout check` do.
//!
//! Relies on `binary` for ELF and DWARF. Several files together describe one interpreter:
//! the executable or libpython (or its separate debug file) and the extension modules whose
//! structs are asked for. What two files both define must agree.

use super::field::Field;
use super::structs::{SPECS, StructSpec};
use super::table::{Provenance, StructTable, Table};
use super::version::{Flavour, Version};
use crate::binary::dwarf::{DebugInfo, Member, Query, Struct, find_structs};
use crate::binary::{BinaryError, Elf, Image};
use std::fs::File;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Parts of the names of the source files whose units define nearly all structs. The others
/// are searched when these were not enough (link-time optimisation merges units).
const LIKELY_UNITS: &[&str] = &[
    "Python/pystate.c",
    "Objects/frameobject.c",
    "Objects/dictobject.c",
    "Objects/genobject.c",
    "Objects/typeobject.c",
    "Modules/gcmodule.c",
    "Python/gc.c",
    "_asynciomodule.c",
    "_collectionsmodule.c",
    "_functoolsmodule.c",
    "_queuemodule.c",
    "socketmodule.c",
];

/// Why no table could be made.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// A file cannot be read or has no usable debug information.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BinaryError,
    },
    /// No file has debug information.
    #[error("none of the files has debug information")]
    NoDebugInformation,
    /// A struct that every supported version has was not found.
    #[error("struct {name} ({c_names}) is not in the debug information")]
    NoStruct {
        /// Our name.
        name: &'static str,
        /// Its names in C.
        c_names: String,
    },
    /// A field that every supported version has was not found.
    #[error("struct {structure} has no member {paths}")]
    NoField {
        /// Our name of the struct.
        structure: &'static str,
        /// The member paths tried.
        paths: String,
    },
    /// Two files define a struct differently: they are not of one build.
    #[error("{}: struct {structure} differs from that of the files before it", .path.display())]
    Conflict {
        /// The later file.
        path: PathBuf,
        /// Our name of the struct.
        structure: &'static str,
    },
    /// The version is not in the files (a separate debug file does not contain it).
    #[error("the files do not tell which version of Python they are of")]
    NoVersion,
    /// There is no built-in table to compare with.
    #[error("there is no built-in table for {series} ({flavour}); known are {known}")]
    NoTable {
        /// Series of the files.
        series: String,
        /// Their flavour.
        flavour: &'static str,
        /// The tables there are.
        known: String,
    },
}

impl ExtractError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File { .. } | Self::Conflict { .. } | Self::NoField { .. } => None,
            Self::NoDebugInformation => {
                Some("give an unstripped interpreter, or its file under /usr/lib/debug/.build-id")
            }
            Self::NoStruct { .. } => {
                Some("give the interpreter or libpython itself first, then extension modules")
            }
            Self::NoVersion => Some("name the version, for instance 3.14.10"),
            Self::NoTable { .. } => Some("extract one first"),
        }
    }
}

/// What the caller knows about the files; what it does not say is found in them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity {
    /// Exact version.
    pub version: Option<Version>,
    /// How it was built.
    pub flavour: Option<Flavour>,
}

/// Makes a table from the debug information of `files`, the interpreter first.
///
/// # Errors
/// When a file is unusable, or a struct or field that every version has is missing.
pub fn extract(files: &[PathBuf], identity: Identity) -> Result<Table, ExtractError> {
    let mut table = Table::default();
    let mut version = identity.version;
    let mut flavour = identity.flavour;
    let mut any = false;
    for path in files {
        let broken = |source| ExtractError::File { path: path.clone(), source };
        let file = File::open(path).map_err(|error| broken(error.into()))?;
        let image = Image::from_file(file);
        let elf = image.parse().map_err(broken)?;
        if !elf.has_dwarf() {
            continue;
        }
        any = true;
        version = version.or_else(|| version_in(&elf, path));
        flavour = flavour.or_else(|| flavour_in(&elf));
        let found = structs_of(&elf).map_err(broken)?;
        for (spec, found) in SPECS.iter().zip(found) {
            let Some(found) = found else { continue };
            let found = struct_table(spec, &found);
            match table.structs.get(spec.name) {
                Some(known) if *known != found => {
                    return Err(ExtractError::Conflict {
                        path: path.clone(),
                        structure: spec.name,
                    });
                }
                Some(_) => {}
                None => {
                    table.structs.insert(spec.name.to_owned(), found);
                }
            }
        }
        table.provenance.build_ids.extend(elf.build_id());
    }
    if !any {
        return Err(ExtractError::NoDebugInformation);
    }
    complete(&table)?;
    let version = version.ok_or(ExtractError::NoVersion)?;
    table.series = version.series();
    table.flavour = flavour.unwrap_or(Flavour::Gil).name().to_owned();
    let build_ids = std::mem::take(&mut table.provenance.build_ids);
    table.provenance = Provenance { version: version.to_string(), build_ids };
    Ok(table)
}

/// Everything of [`SPECS`] that the debug information of one file has, as the structs of a
/// table. Used on the target itself, where some structs may be in other files.
///
/// # Errors
/// When the debug information is damaged.
pub fn extract_structs(elf: &Elf<'_>) -> Result<Vec<(String, StructTable)>, BinaryError> {
    Ok(SPECS
        .iter()
        .zip(structs_of(elf)?)
        .filter_map(|(spec, found)| Some((spec.name.to_owned(), struct_table(spec, &found?))))
        .collect())
}

fn structs_of(elf: &Elf<'_>) -> Result<Vec<Option<Struct>>, BinaryError> {
    let queries: Vec<Query<'_>> = SPECS
        .iter()
        .map(|spec| Query {
            names: spec.c_names,
            members: spec.fields.iter().map(|field| field.paths).collect(),
            everywhere: !spec.optional,
        })
        .collect();
    find_structs(&DebugInfo::load(elf)?, &queries, LIKELY_UNITS)
}

fn struct_table(spec: &StructSpec, found: &Struct) -> StructTable {
    let field =
        |member: Member| Field { offset: member.offset, size: member.size, bits: member.bits };
    StructTable {
        size: found.size,
        fields: spec
            .fields
            .iter()
            .zip(&found.members)
            .filter_map(|(spec, member)| Some((spec.name.to_owned(), field((*member)?))))
            .collect(),
    }
}

fn complete(table: &Table) -> Result<(), ExtractError> {
    for spec in SPECS {
        let Some(found) = table.structs.get(spec.name) else {
            if spec.optional {
                continue;
            }
            let c_names = spec.c_names.join(" or ");
            return Err(ExtractError::NoStruct { name: spec.name, c_names });
        };
        for field in spec.fields {
            if !field.optional && !found.fields.contains_key(field.name) {
                let paths = field.paths.join(" or ");
                return Err(ExtractError::NoField { structure: spec.name, paths });
            }
        }
    }
    Ok(())
}

/// The version of the Python in a file, where the file tells it.
pub fn version_of(path: &Path) -> Option<Version> {
    let image = Image::from_file(File::open(path).ok()?);
    version_in(&image.parse().ok()?, path)
}

/// The version by the constant `Py_Version` (3.11+), else the version string among the
/// constants.
fn version_in(elf: &Elf<'_>, path: &Path) -> Option<Version> {
    let rodata = elf.section_data(".rodata").ok()?;
    let start = elf.section(".rodata")?.address;
    if let Some(symbol) = elf.symbol("Py_Version") {
        let at = usize::try_from(symbol.address.checked_sub(start)?).ok()?;
        let bytes: [u8; 4] = rodata.get(at..at.checked_add(4)?)?.try_into().ok()?;
        return Some(Version::from_hex(u32::from_le_bytes(bytes)));
    }
    let name = elf.soname().or_else(|| Some(path.file_name()?.to_string_lossy().into_owned()))?;
    super::version::version_among(&rodata, super::version::series_in_name(&name))
}

/// `Py_DEBUG` builds count references in total and have functions for it.
fn flavour_in(elf: &Elf<'_>) -> Option<Flavour> {
    elf.symbol("_PyRuntime")?;
    Some(match elf.symbol("_Py_NegativeRefcount") {
        Some(_) => Flavour::Debug,
        None => Flavour::Gil,
    })
}

/// One difference between a table and what was extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `Struct.field`, or `Struct` for its size.
    pub what: String,
    /// As the built-in table has it; `None` when it has no such field.
    pub table: Option<String>,
    /// As it was extracted; `None` when it was not found.
    pub found: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        write!(f, "{}: table {}, found {}", self.what, side(&self.table), side(&self.found))
    }
}

/// Extracts from `files` and compares with the built-in table of their series and flavour.
/// An optional struct that the files do not define is not a difference.
///
/// # Errors
/// As [`extract`], and when there is no such table.
pub fn check(files: &[PathBuf], identity: Identity) -> Result<Vec<Difference>, ExtractError> {
    let found = extract(files, identity)?;
    let table = super::tables::named(&found.series, &found.flavour).ok_or_else(|| {
        ExtractError::NoTable {
            series: found.series.clone(),
            flavour: match found.flavour.as_str() {
                "debug" => Flavour::Debug.name(),
                _ => Flavour::Gil.name(),
            },
            known: super::tables::known().join(", "),
        }
    })?;
    Ok(differences(&table, &found))
}

/// Compares two tables field by field. Structs that only one of them has are left out when
/// they are optional.
pub fn differences(table: &Table, found: &Table) -> Vec<Difference> {
    let mut all = Vec::new();
    for spec in SPECS {
        let (left, right) = (table.structs.get(spec.name), found.structs.get(spec.name));
        if spec.optional && (left.is_none() || right.is_none()) {
            continue;
        }
        let size = |side: Option<&StructTable>| side.map(|side| format!("{} bytes", side.size));
        let mut compare = |what: String, table: Option<String>, found: Option<String>| {
            if table != found {
                all.push(Difference { what, table, found });
            }
        };
        compare(spec.name.to_owned(), size(left), size(right));
        for field in spec.fields {
            let text = |side: Option<&StructTable>| {
                side.and_then(|side| side.fields.get(field.name)).map(Field::to_string)
            };
            compare(format!("{}.{}", spec.name, field.name), text(left), text(right));
        }
    }
    all
}
