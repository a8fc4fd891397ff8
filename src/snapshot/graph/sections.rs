//! The graph as sections of a file, and back.
//!
//! The first says in JSON what is in the others, the names are a text, and all else is in bits
//! ([`super::model`]). Files of the first version had columns ([`super::version_one`]).

use super::coder::{Reader, Writer};
use super::{SECTION, StoredGraph, StoredType, model, version_one};
use crate::snapshot::holders::GraphInfo;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use thiserror::Error;

/// How the sections are written.
const VERSION: u32 = 2;
const NAMES: &str = "graph.names";
const NODES: &str = "graph.nodes";

/// The section `graph`.
#[derive(Debug, Serialize, Deserialize)]
struct Head<'h> {
    section: Cow<'h, str>,
    version: u32,
    nodes: u64,
    /// Addresses are written in units of two to this.
    shift: u32,
    info: Cow<'h, GraphInfo>,
    types: Cow<'h, [StoredType]>,
}

/// Why the sections are no graph.
#[derive(Debug, Error, PartialEq, Eq)]
pub(in crate::snapshot) enum ColumnError {
    /// A section is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The first section is not what it should be.
    #[error("graph: {0}")]
    Head(String),
    /// A later version wrote it.
    #[error("graph: version {0} of the graph is not known")]
    TooNew(u32),
    /// A column does not fit the others.
    #[error("{0} does not fit the others")]
    Misfit(&'static str),
}

/// The bytes behind the first line of a section.
fn behind<'p>(
    parts: &'p BTreeMap<String, Vec<u8>>,
    name: &'static str,
) -> Result<&'p [u8], ColumnError> {
    let text = parts.get(name).ok_or(ColumnError::Missing(name))?;
    let head = text.iter().position(|&byte| byte == b'\n').ok_or(ColumnError::Misfit(name))?;
    Ok(text.get(head + 1..).unwrap_or_default())
}

impl StoredGraph {
    /// The sections of a file: names, and texts.
    pub(in crate::snapshot) fn sections(&self) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
        let low = self.nodes.address.iter().fold(0, |all, address| all | address);
        let head = Head {
            section: SECTION.into(),
            version: VERSION,
            nodes: self.nodes.len() as u64,
            shift: low.trailing_zeros().min(4),
            info: Cow::Borrowed(&self.info),
            types: Cow::Borrowed(&self.types),
        };
        let mut coder = Writer::new();
        model::write(&mut coder, self, head.shift)
            .map_err(|_| io::Error::other("the graph contradicts itself"))?;
        let (bits, names) = coder.finish();
        let mut text = serde_json::to_vec(&head)?;
        text.push(b'\n');
        let mut sections = vec![(SECTION, text)];
        for (name, bytes) in [(NAMES, names), (NODES, bits)] {
            let mut text = format!("{{\"section\":\"{name}\"}}\n").into_bytes();
            text.extend(bytes);
            sections.push((name, text));
        }
        Ok(sections)
    }

    /// The graph of these sections.
    pub(in crate::snapshot) fn from_sections(
        parts: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, ColumnError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let text = parts.get(SECTION).ok_or(ColumnError::Missing(SECTION))?;
        let wrong = |error: serde_json::Error| ColumnError::Head(error.to_string());
        match serde_json::from_slice(text).map_err(wrong)? {
            Version { version: 1 } => return version_one::read(parts),
            Version { version: VERSION } => {}
            Version { version } => return Err(ColumnError::TooNew(version)),
        }
        let head: Head<'_> = serde_json::from_slice(text).map_err(wrong)?;
        let bits = behind(parts, NODES)?;
        if head.nodes > model::most_nodes(bits) {
            return Err(ColumnError::Misfit(NODES));
        }
        let mut graph = Self {
            info: head.info.into_owned(),
            types: head.types.into_owned(),
            ..Self::default()
        };
        let mut coder = Reader::new(bits, behind(parts, NAMES)?);
        model::read(&mut coder, &mut graph, head.nodes, head.shift)?;
        if coder.is_at_end() { Ok(graph) } else { Err(ColumnError::Misfit(NODES)) }
    }
}
