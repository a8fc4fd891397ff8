//! Reads the graph as files had it first: as columns of small numbers.
//!
//! A column says what cannot be foretold: the number of children instead of the parent, the
//! distance to the address, size and type of the node before it on the same path. Numbers are
//! in base 128, the low digits first, 0x80 set in all but the last; signed ones in zigzag.
//!
//! Nothing read is believed: columns are as long as they say, every node has a parent before it,
//! every index is looked up.

use super::sections::ColumnError;
use super::{NONE, Nodes, SECTION, StoredGraph, StoredOwner, StoredPath, StoredStep, StoredType};
use crate::snapshot::holders::GraphInfo;
use serde::Deserialize;
use std::collections::BTreeMap;

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
#[derive(Debug, Deserialize)]
struct Head {
    nodes: u64,
    paths: u64,
    /// Addresses are written in units of two to this.
    shift: u32,
    info: GraphInfo,
    types: Vec<StoredType>,
    steps: Vec<StoredStep>,
    owners: Vec<StoredOwner>,
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

/// The graph of these sections.
pub(super) fn read(parts: &BTreeMap<String, Vec<u8>>) -> Result<StoredGraph, ColumnError> {
    let text = parts.get(SECTION).ok_or(ColumnError::Missing(SECTION))?;
    let head: Head =
        serde_json::from_slice(text).map_err(|error| ColumnError::Head(error.to_string()))?;
    let paths = read_paths(parts, &head)?;
    let nodes = read_nodes(parts, &head, paths.len())?;
    let Head { info, types, steps, owners, .. } = head;
    Ok(StoredGraph { info, types, steps, paths, owners, nodes })
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
