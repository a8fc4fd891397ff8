//! Layout tables as data: what a file under `tables/` holds.
//!
//! A table says where the fields of [`SPECS`](super::structs::SPECS) lie in one series and
//! flavour of CPython, and which build it was extracted from. Tables are changed (published
//! debug offsets win over them) before the typed view is made.

use super::field::Field;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// A table lacks something that every supported version has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TableError {
    /// A whole struct is missing.
    #[error("the layout has no struct {name}")]
    NoStruct {
        /// Name of the struct, as in the table.
        name: String,
    },
    /// A field is missing.
    #[error("the layout has no field {structure}.{field}")]
    NoField {
        /// Name of the struct.
        structure: String,
        /// Name of the field.
        field: String,
    },
}

/// One struct of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructTable {
    /// Size of the struct in bytes.
    pub size: u64,
    /// Its fields by our name.
    pub fields: BTreeMap<String, Field>,
}

impl StructTable {
    /// The field `field`, or an error that names it.
    pub fn required(&self, structure: &str, field: &str) -> Result<Field, TableError> {
        self.fields.get(field).copied().ok_or_else(|| TableError::NoField {
            structure: structure.to_owned(),
            field: field.to_owned(),
        })
    }
}

/// Where a table's numbers come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Exact version of the interpreter, "3.11.7".
    pub version: String,
    /// GNU build ids (hex) of the files whose debug information was read, interpreter first.
    pub build_ids: Vec<String>,
}

/// A layout table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// "3.11".
    pub series: String,
    /// "gil" or "debug" (a `Py_DEBUG` build with the GIL).
    pub flavour: String,
    /// The build the numbers were taken from.
    pub provenance: Provenance,
    /// The structs by our name.
    pub structs: BTreeMap<String, StructTable>,
}

impl Table {
    /// The text of a table file: JSON with one field to the line, so that a change of one field
    /// is a change of one line.
    pub fn to_text(&self) -> String {
        let structs: Vec<String> = self
            .structs
            .iter()
            .map(|(name, found)| {
                let fields: Vec<String> = found
                    .fields
                    .iter()
                    .map(|(name, field)| format!("    {}: {field}", quoted(name)))
                    .collect();
                format!(
                    "  {}: {{\"size\": {}, \"fields\": {{\n{}\n  }}}}",
                    quoted(name),
                    found.size,
                    fields.join(",\n")
                )
            })
            .collect();
        let ids: Vec<String> =
            self.provenance.build_ids.iter().map(|id| format!("   {}", quoted(id))).collect();
        format!(
            "{{\n \"series\": {},\n \"flavour\": {},\n \"provenance\": {{\n  \"version\": {},\n  \
             \"build_ids\": [\n{}\n  ]\n }},\n \"structs\": {{\n{}\n }}\n}}\n",
            quoted(&self.series),
            quoted(&self.flavour),
            quoted(&self.provenance.version),
            ids.join(",\n"),
            structs.join(",\n")
        )
    }

    /// The struct `name`, or an error that names it.
    pub fn required(&self, name: &str) -> Result<&StructTable, TableError> {
        self.structs.get(name).ok_or_else(|| TableError::NoStruct { name: name.to_owned() })
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
