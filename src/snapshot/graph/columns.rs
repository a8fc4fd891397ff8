//! The graph as columns of small numbers, and back.
//!
//! A column says what cannot be foretold: the number of children instead of the parent, the
//! distance to the address, size and type of the node before it on the same path. Almost all of
//! that is zero, and the file's compression does the rest. Numbers are written in base 128, the
//! low digits first, 0x80 set in all but the last; signed ones in zigzag.
//!
//! Nothing read is believed: columns are as long as they say, every node has a parent before it,
//! every index is looked up.

use super::{NONE, Nodes, SECTION, StoredGraph, StoredOwner, StoredPath, StoredStep, StoredType};
use crate::snapshot::holders::GraphInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use thiserror::Error;

/// What the columns mean.
const VERSION: u32 = 1;
/// No length, as it is written.
const NO_LENGTH: u64 = u64::MAX;
/// The sections of the nodes.
const COLUMNS: [&str; 9] = [
    "graph.children",
    "graph.path",
    "graph.type",
    "graph.size",
    "graph.address",
    "graph.dominator",
    "graph.holder",
    "graph.length",
    "graph.surplus",
];
/// The sections of the paths.
const PATHS: [&str; 4] =
    ["graph.path-parent", "graph.path-step", "graph.path-type", "graph.path-owner"];

/// The section `graph`.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    section: String,
    version: u32,
    nodes: u64,
    paths: u64,
    /// Addresses are written in units of two to this.
    shift: u32,
    info: GraphInfo,
    types: Vec<StoredType>,
    steps: Vec<StoredStep>,
    owners: Vec<StoredOwner>,
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

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// A column that is read.
struct Column<'c> {
    name: &'static str,
    rest: &'c [u8],
}

impl<'c> Column<'c> {
    /// The section's numbers, which stand behind its first line.
    fn of(parts: &'c BTreeMap<String, Vec<u8>>, name: &'static str) -> Result<Self, ColumnError> {
        let text = parts.get(name).ok_or(ColumnError::Missing(name))?;
        let head = text.iter().position(|&byte| byte == b'\n').ok_or(ColumnError::Misfit(name))?;
        Ok(Self { name, rest: text.get(head + 1..).unwrap_or_default() })
    }

    fn misfit(&self) -> ColumnError {
        ColumnError::Misfit(self.name)
    }

    fn next(&mut self) -> Result<u64, ColumnError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else { break };
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.misfit())
    }

    fn small(&mut self) -> Result<u32, ColumnError> {
        u32::try_from(self.next()?).map_err(|_| self.misfit())
    }

    fn finish(&self) -> Result<(), ColumnError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.misfit()) }
    }
}

/// What was last seen on each path.
#[derive(Debug, Clone, Copy)]
struct Last {
    class: u32,
    size: u64,
    address: u64,
    length: u64,
}

fn lasts(paths: usize) -> Vec<Last> {
    vec![Last { class: NONE, size: 0, address: 0, length: NO_LENGTH }; paths]
}

impl StoredGraph {
    /// The sections of a file: names, and texts.
    pub(in crate::snapshot) fn sections(&self) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
        let nodes = &self.nodes;
        let low = nodes.address.iter().fold(0, |all, address| all | address);
        let shift = low.trailing_zeros().min(4);
        let head = Head {
            section: SECTION.to_owned(),
            version: VERSION,
            nodes: nodes.len() as u64,
            paths: self.paths.len() as u64,
            shift,
            info: self.info.clone(),
            types: self.types.clone(),
            steps: self.steps.clone(),
            owners: self.owners.clone(),
        };
        let mut text = serde_json::to_vec(&head)?;
        text.push(b'\n');
        let mut sections = vec![(SECTION, text)];
        let broken = || io::Error::other("the graph contradicts itself");
        let paths = self.path_columns().ok_or_else(broken)?;
        let columns = self.node_columns(shift).ok_or_else(broken)?;
        let named =
            PATHS.into_iter().zip(paths).map(|(name, bytes)| (name, self.paths.len(), bytes));
        let of_nodes = COLUMNS.into_iter().zip(columns);
        let named = named.chain(of_nodes.map(|(name, bytes)| (name, nodes.len(), bytes)));
        for (name, rows, bytes) in named {
            let mut text = format!("{{\"section\":\"{name}\",\"rows\":{rows}}}\n").into_bytes();
            text.extend(bytes);
            sections.push((name, text));
        }
        Ok(sections)
    }

    fn path_columns(&self) -> Option<[Vec<u8>; 4]> {
        let [mut parents, mut steps, mut classes, mut owners] = [const { Vec::new() }; 4];
        let mut last_step = 0;
        for (index, path) in self.paths.iter().enumerate().skip(1) {
            put(&mut parents, (index as u64).checked_sub(path.parent.into())?);
            put(&mut steps, zigzag(i64::from(path.step) - i64::from(last_step)));
            last_step = path.step;
            put(&mut classes, u64::from(path.class.wrapping_add(1)));
            put(&mut owners, u64::from(path.owner.wrapping_add(1)));
        }
        Some([parents, steps, classes, owners])
    }

    fn node_columns(&self, shift: u32) -> Option<[Vec<u8>; 9]> {
        let nodes = &self.nodes;
        let count = nodes.len();
        let mut children = vec![0u64; count];
        let mut depths = vec![0u32; count];
        for node in 1..count {
            let parent = *nodes.parent.get(node)? as usize;
            *children.get_mut(parent)? += 1;
            *depths.get_mut(node)? = depths.get(parent)?.checked_add(1)?;
        }
        let mut columns = [const { Vec::new() }; 9];
        let [of_children, paths, classes, sizes, addresses, dominators, holders, lengths, surplus] =
            &mut columns;
        let mut last = lasts(self.paths.len());
        let mut last_path = 0u32;
        for node in 0..count {
            put(of_children, *children.get(node)?);
            let path = *nodes.path.get(node)?;
            put(paths, zigzag(i64::from(path) - i64::from(last_path)));
            last_path = path;
            let last = last.get_mut(path as usize)?;
            let class = *nodes.class.get(node)?;
            let same = class == last.class;
            put(classes, if same { 0 } else { u64::from(class.wrapping_add(1)) + 1 });
            let size = *nodes.size.get(node)?;
            put(sizes, if size == last.size { 0 } else { size.checked_add(1)? });
            let address = *nodes.address.get(node)? >> shift;
            put(addresses, zigzag(address.wrapping_sub(last.address).cast_signed()));
            let length = *nodes.length.get(node)?;
            // One more, so that what has none is zero; and one more, for the same as before.
            put(
                lengths,
                match length == last.length {
                    true => 0,
                    false => length.wrapping_add(1).checked_add(1)?,
                },
            );
            *last = Last { class, size, address, length };
            let depth = *depths.get(node)?;
            let hops = |above: u32| depth.checked_sub(*depths.get(above as usize)?);
            let far = hops(*nodes.dominator.get(node)?)?;
            let near = hops(*nodes.holder.get(node)?)?;
            put(dominators, if node == 0 { 0 } else { far.checked_sub(1)?.into() });
            put(holders, far.checked_sub(near)?.into());
        }
        let mut before = 0;
        for &(node, count) in &nodes.surplus {
            put(surplus, u64::from(node.checked_sub(before)?));
            put(surplus, count);
            before = node;
        }
        Some(columns)
    }

    /// The graph of these sections.
    pub(in crate::snapshot) fn from_sections(
        parts: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, ColumnError> {
        let text = parts.get(SECTION).ok_or(ColumnError::Missing(SECTION))?;
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let wrong = |error: serde_json::Error| ColumnError::Head(error.to_string());
        let Version { version } = serde_json::from_slice(text).map_err(wrong)?;
        if version != VERSION {
            return Err(ColumnError::TooNew(version));
        }
        let head: Head = serde_json::from_slice(text).map_err(wrong)?;
        let paths = read_paths(parts, &head)?;
        let nodes = read_nodes(parts, &head, paths.len())?;
        let Head { info, types, steps, owners, .. } = head;
        Ok(Self { info, types, steps, paths, owners, nodes })
    }
}

fn read_paths(
    parts: &BTreeMap<String, Vec<u8>>,
    head: &Head,
) -> Result<Vec<StoredPath>, ColumnError> {
    let [parents, steps, classes, owners] = PATHS.map(|name| Column::of(parts, name));
    let (mut parents, mut steps, mut classes, mut owners) = (parents?, steps?, classes?, owners?);
    let mut paths = vec![StoredPath { parent: 0, step: NONE, class: NONE, owner: NONE }];
    let mut last_step = 0i64;
    for index in 1..head.paths {
        let parent = index.checked_sub(parents.next()?).filter(|&parent| parent < index);
        let parent = parent.ok_or(parents.misfit())?;
        last_step = last_step.checked_add(unzigzag(steps.next()?)).ok_or(steps.misfit())?;
        let step = usize::try_from(last_step).ok().filter(|&step| step < head.steps.len());
        let class = classes.small()?.wrapping_sub(1);
        if class != NONE && class as usize >= head.types.len() {
            return Err(classes.misfit());
        }
        let owner = owners.small()?.wrapping_sub(1);
        if owner != NONE && owner as usize >= head.owners.len() {
            return Err(owners.misfit());
        }
        let parent = u32::try_from(parent).map_err(|_| parents.misfit())?;
        paths.push(StoredPath { parent, step: step.ok_or(steps.misfit())? as u32, class, owner });
    }
    for column in [&parents, &steps, &classes, &owners] {
        column.finish()?;
    }
    Ok(paths)
}

/// An ancestor of the node that is read, and how many of its children are still to come.
struct Above {
    node: u32,
    left: u64,
}

fn read_nodes(
    parts: &BTreeMap<String, Vec<u8>>,
    head: &Head,
    path_count: usize,
) -> Result<Nodes, ColumnError> {
    let mut columns = Vec::with_capacity(COLUMNS.len());
    for name in COLUMNS {
        columns.push(Column::of(parts, name)?);
    }
    let Ok(mut columns) = <[Column<'_>; 9]>::try_from(columns) else {
        return Err(ColumnError::Missing(SECTION));
    };
    let [children, paths, classes, sizes, addresses, dominators, holders, lengths, surplus] =
        &mut columns;
    let mut nodes = Nodes::default();
    let mut last = lasts(path_count);
    let mut last_path = 0i64;
    let mut above: Vec<Above> = Vec::new();
    // A node takes a byte of each column at least: what is not there ends the loop.
    for node in 0..head.nodes {
        let node = u32::try_from(node).map_err(|_| children.misfit())?;
        while above.last().is_some_and(|above| above.left == 0) {
            above.pop();
        }
        let parent = match above.last_mut() {
            Some(parent) => {
                parent.left -= 1;
                parent.node
            }
            None if node == 0 => 0,
            None => return Err(children.misfit()),
        };
        // The ancestor so many steps up; the root's is itself.
        let ancestor = |hops: u64| -> Option<u32> {
            if node == 0 {
                return Some(0);
            }
            let place = u64::try_from(above.len()).ok()?.checked_sub(hops)?;
            above.get(usize::try_from(place).ok()?).map(|above| above.node)
        };
        let far = dominators.next()?.checked_add(1).ok_or(dominators.misfit())?;
        let near = far.checked_sub(holders.next()?).filter(|&near| near > 0);
        nodes.dominator.push(ancestor(far).ok_or(dominators.misfit())?);
        nodes.holder.push(near.and_then(ancestor).ok_or(holders.misfit())?);
        nodes.parent.push(parent);
        above.push(Above { node, left: children.next()? });

        last_path = last_path.checked_add(unzigzag(paths.next()?)).ok_or(paths.misfit())?;
        let path = u32::try_from(last_path).map_err(|_| paths.misfit())?;
        let last = last.get_mut(path as usize).ok_or(paths.misfit())?;
        nodes.path.push(path);
        let class = match classes.small()? {
            0 => last.class,
            other => (other - 1).wrapping_sub(1),
        };
        if class != NONE && class as usize >= head.types.len() {
            return Err(classes.misfit());
        }
        nodes.class.push(class);
        let size = match sizes.next()? {
            0 => last.size,
            other => other - 1,
        };
        nodes.size.push(size);
        let address = last.address.wrapping_add_signed(unzigzag(addresses.next()?));
        nodes.address.push(address.checked_shl(head.shift).ok_or(addresses.misfit())?);
        let length = match lengths.next()? {
            0 => last.length,
            other => (other - 1).wrapping_sub(1),
        };
        nodes.length.push(length);
        *last = Last { class, size, address, length };
    }
    if nodes.is_empty() || above.iter().any(|above| above.left > 0) {
        return Err(children.misfit());
    }
    let mut node = 0u32;
    while !surplus.rest.is_empty() {
        node = node.checked_add(surplus.small()?).ok_or(surplus.misfit())?;
        nodes.surplus.push((node, surplus.next()?));
    }
    for column in &columns {
        column.finish()?;
    }
    Ok(nodes)
}
