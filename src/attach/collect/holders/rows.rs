//! The graph as plain rows, with the names that heap viewers show.
//!
//! Garbage is left out: it is reached from nothing. What roots hold that are no objects hangs
//! below nodes of its own; threads, their frames and interpreters are nodes.

use super::proven::{self, Futures};
use super::{Holding, Question};
use crate::attach::collect::Problem;
use crate::cpython::Python;
use crate::heap::graph::names::Names;
use crate::heap::graph::{Graph, Kind, Node, ReferenceName, Special};
use crate::memory::Address;
use crate::resources::{Answer, Describer, Detail, Entry, Resource};
use crate::snapshot::heap::{HeapKind, HeapName, HeapNode, HeapReference, HeapRows};
use crate::snapshot::secrets::mask_text;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Names that are told apart; any others are left out.
const MAX_NAMES: usize = 4_000_000;
/// Longest name of a resource, in characters.
const MAX_LABEL: usize = 160;
/// Numbers and texts of a resource in its name.
const MAX_PARTS: usize = 4;
/// Nodes that are neither objects nor what [`Special`] has: the root, and groups below it.
const GROUPS: [&str; 5] = [
    "",
    "(GC roots)",
    "(held from C)",
    "(static types and immortal objects)",
    "(interpreter state)",
];
const HELD_FROM_C: usize = 2;
const STATIC: usize = 3;
const STATE: usize = 4;

/// Makes of addresses numbers of 32 bits that are the same in every capture of a process: half
/// the distance, in units of what objects are aligned to, from its executable or from the end of
/// its stack, both of which stay where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Where the executable lies, with what `brk` gives behind it.
    pub low: u64,
    /// The end of the main thread's stack, with what `mmap` gives below it.
    pub high: u64,
}

impl Identity {
    const UNIT: u64 = 16;
    const LOW: u64 = 1 << 29;
    const HIGH: u64 = 1 << 30;

    /// The number of an object: odd. What is too far from both is spread over what is left, and
    /// takes the next free one.
    fn of(&self, address: Address, taken: &mut FxHashSet<u32>) -> u32 {
        let address = address.get();
        let low = address.checked_sub(self.low).map(|distance| distance / Self::UNIT);
        let high = self.high.checked_sub(address).map(|distance| distance / Self::UNIT);
        let place = match (low, high) {
            (Some(low), _) if low < Self::LOW => low,
            (_, Some(high)) if high < Self::HIGH => Self::LOW + high,
            _ => {
                let room = (1 << 31) - Self::LOW - Self::HIGH;
                let spread = (address / Self::UNIT).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
                let mut place = spread % room;
                while !taken.insert(place as u32) {
                    place = (place + 1) % room;
                }
                Self::LOW + Self::HIGH + place
            }
        };
        (place as u32) << 1 | 1
    }
}

/// What else names need.
#[derive(Debug, Default)]
pub struct Labels {
    /// What the kernel says of sockets, by descriptor: "ESTABLISHED 127.0.0.1:80 → …".
    pub sockets: BTreeMap<i64, String>,
}

/// Rows of a graph.
pub fn rows(
    holding: &Holding<'_, '_>,
    describer: &Describer<'_, '_>,
    runtime: Address,
    identity: Identity,
    labels: &Labels,
) -> Result<HeapRows, Problem> {
    let question = Question { groups: 0, depth: 0, runtime: None, socket_states: None };
    let proven = proven::find(holding, &question, runtime, Futures::All)?.proven;
    let leaked: FxHashSet<Node> = proven.into_iter().flat_map(|(_, nodes)| nodes).collect();
    let graph = holding.graph;
    let mut writer = Rows {
        holding,
        describer,
        labels,
        names: Names::new(holding.python, holding.interpreters, graph),
        entries: Vec::new(),
        rows: HeapRows::default(),
        known: FxHashMap::default(),
        places: vec![u32::MAX; graph.len()],
    };
    for known in graph.types() {
        writer.entries.push(describer.entry_for(&known.class)?);
    }
    writer.nodes(identity, &leaked)?;
    writer.references();
    Ok(writer.rows)
}

struct Rows<'r, 'h, 'm, 'd, 'p> {
    holding: &'r Holding<'h, 'm>,
    describer: &'r Describer<'d, 'p>,
    labels: &'r Labels,
    names: Names<'h, 'm>,
    /// The entry of the catalogue for each type.
    entries: Vec<Option<&'d Entry>>,
    rows: HeapRows,
    known: FxHashMap<String, u32>,
    /// The row of each node.
    places: Vec<u32>,
}

impl Rows<'_, '_, '_, '_, '_> {
    fn name(&mut self, text: &str) -> u32 {
        if let Some(&known) = self.known.get(text) {
            return known;
        }
        if self.known.len() >= MAX_NAMES {
            return 0;
        }
        let number = self.rows.strings.len() as u32;
        self.rows.strings.push(mask_text(text));
        self.known.insert(text.to_owned(), number);
        number
    }

    fn nodes(&mut self, identity: Identity, leaked: &FxHashSet<Node>) -> Result<(), Problem> {
        let graph = self.holding.graph;
        for (place, group) in (0u32..).zip(GROUPS) {
            let name = self.name(group);
            let id = 2 * place + 1;
            let kind = HeapKind::Synthetic;
            let node = HeapNode { kind, name, id, size: 0, references: 0, leaked: false };
            self.rows.nodes.push(node);
        }
        let mut taken = FxHashSet::default();
        for node in 0..graph.root() {
            if !self.holding.is_alive(node) {
                continue;
            }
            let (kind, text) = match graph.special(node) {
                Some(special) => (HeapKind::Object, special_name(graph, special)),
                None => self.object(node)?,
            };
            let name = self.name(&text);
            let mut id = identity.of(graph.address(node), &mut taken);
            // A frame may lie where an object does.
            if graph.special(node).is_some() {
                id -= 1;
            }
            if let Some(place) = self.places.get_mut(node as usize) {
                *place = self.rows.nodes.len() as u32;
            }
            self.rows.nodes.push(HeapNode {
                kind,
                name,
                id,
                size: graph.size(node),
                references: 0,
                leaked: leaked.contains(&node),
            });
        }
        Ok(())
    }

    /// Kind and name of an object.
    fn object(&mut self, node: Node) -> Result<(HeapKind, String), Problem> {
        let graph = self.holding.graph;
        let python = self.holding.python;
        let Some(class) = graph.class(node) else { return Ok((HeapKind::Object, String::new())) };
        let address = graph.address(node);
        let number = graph.type_number(node).unwrap_or_default();
        if let Some(Some(entry)) = self.entries.get(number as usize) {
            let label = match self.describer.describe(entry, address, Detail::Everything) {
                Ok(resource) => self.resource(&resource),
                Err(error) if error.fatal().is_some() => return Err(error),
                Err(_) => class.name().to_owned(),
            };
            return Ok((HeapKind::Resource, label));
        }
        let flags = class.flags;
        let kind = match class.name() {
            _ if flags.unicode_subclass() => HeapKind::Text,
            _ if flags.long_subclass() => HeapKind::Number,
            "builtins.float" | "builtins.complex" => HeapKind::Number,
            "builtins.code" => HeapKind::Code,
            "builtins.function" | "builtins.method" => HeapKind::Function,
            _ => HeapKind::Object,
        };
        let name = match kind {
            HeapKind::Function => self.names.code_of(node).map(|(name, _)| name),
            HeapKind::Code => {
                python.code_at(address).ok().map(|code| format!("code {}", code.name))
            }
            _ if self.names.is_class(node) => {
                python.type_at(address).ok().map(|class| format!("class {}", class.name()))
            }
            _ if self.names.is_module(node) => python
                .attribute_as(address, "__name__", |name| python.text(name, MAX_LABEL))
                .map(|name| format!("module {name}")),
            _ => None,
        };
        Ok((kind, name.unwrap_or_else(|| class.name().to_owned())))
    }

    /// In angle brackets: DevTools groups what begins like that by what is before the space.
    fn resource(&self, resource: &Resource<'_>) -> String {
        let mut text = format!("<{}", resource.class.name());
        let fd = resource.metrics.iter().find(|(name, _)| *name == "fd");
        let fd = fd.and_then(|(_, answer)| answer.as_int());
        let socket = fd.and_then(|fd| self.labels.sockets.get(&fd));
        if let (Some(fd), Some(socket)) = (fd, socket) {
            // Writing to a string cannot fail.
            let _ = write!(text, " fd={fd} {socket}");
        } else {
            if let Answer::Text(state) = &resource.state {
                let _ = write!(text, " {state}");
            }
            let shown = resource.show.iter().map(|(named, answer)| (named.name.as_str(), answer));
            let metrics = resource.metrics.iter().map(|(name, answer)| (*name, answer));
            let parts = shown.chain(metrics).filter_map(|(name, answer)| match answer {
                Answer::Text(value) => Some(format!(" {name}={value}")),
                Answer::Int(value) => Some(format!(" {name}={value}")),
                Answer::Float(value) => Some(format!(" {name}={value}")),
                Answer::Bool(value) => Some(format!(" {name}={value}")),
                Answer::None | Answer::Missing(_) => None,
            });
            text.extend(parts.take(MAX_PARTS));
        }
        let mut text: String = text.chars().take(MAX_LABEL).collect();
        text.push('>');
        text
    }

    fn references(&mut self) {
        let graph = self.holding.graph;
        let mut groups: [Vec<HeapReference>; GROUPS.len()] = Default::default();
        for (node, label) in graph.references(graph.root()) {
            let Some(to) = self.place(node) else { continue };
            let group = match label.kind() {
                Kind::HeldFromC => HELD_FROM_C,
                Kind::Static => STATIC,
                _ if graph.special(node).is_none() => STATE,
                _ => 0,
            };
            if let Some(group) = groups.get_mut(group) {
                let name = HeapName::Index(group.len() as u32);
                group.push(HeapReference { name, to });
            }
        }
        let [root, below, ..] = &mut groups;
        root.insert(0, HeapReference { name: HeapName::Index(u32::MAX), to: 1 });
        for (index, reference) in (0u32..).zip(root.iter_mut()) {
            reference.name = HeapName::Index(index);
        }
        for group in HELD_FROM_C..GROUPS.len() {
            let name = HeapName::Index(below.len() as u32);
            below.push(HeapReference { name, to: group as u32 });
        }
        for (place, group) in groups.into_iter().enumerate() {
            self.finish(place as u32, group);
        }
        let namespaces = self.namespaces();
        for node in 0..graph.root() {
            let Some(place) = self.place(node) else { continue };
            let in_namespace = namespaces.contains(&node) || self.names.is_modules(node);
            let mut found = Vec::new();
            for (to, label) in graph.references(node) {
                let Some(target) = self.place(to) else { continue };
                let name = self.names.reference(node, to, label, in_namespace);
                let name = match name {
                    ReferenceName::Property(text) => HeapName::Property(self.name(&text)),
                    ReferenceName::Variable(text) => HeapName::Variable(self.name(&text)),
                    ReferenceName::Internal(text) => HeapName::Internal(self.name(&text)),
                    ReferenceName::Index(index) => {
                        HeapName::Index(u32::try_from(index).unwrap_or(u32::MAX))
                    }
                };
                found.push(HeapReference { name, to: target });
            }
            if let Some(to) = self.weak_target(node) {
                let name = HeapName::Weak(self.name("referent"));
                found.push(HeapReference { name, to });
            }
            self.finish(place, found);
        }
    }

    fn finish(&mut self, place: u32, references: Vec<HeapReference>) {
        if let Some(node) = self.rows.nodes.get_mut(place as usize) {
            node.references = references.len() as u32;
        }
        self.rows.references.extend(references);
    }

    fn place(&self, node: Node) -> Option<u32> {
        self.places.get(node as usize).copied().filter(|&place| place != u32::MAX)
    }

    /// The dicts of objects, classes and modules.
    fn namespaces(&self) -> FxHashSet<Node> {
        let graph = self.holding.graph;
        let python = self.holding.python;
        let mut found = FxHashSet::default();
        for node in 0..graph.root() {
            for (to, label) in graph.references(node) {
                let is_class = || self.names.is_class(node);
                if label.kind() == Kind::Namespace
                    || label.kind() == Kind::Field && is_class() && is_dict(python, graph, to)
                {
                    found.insert(to);
                }
            }
        }
        found
    }

    fn weak_target(&self, node: Node) -> Option<u32> {
        let graph = self.holding.graph;
        let class = graph.class(node)?;
        if !self.holding.python.is_weak_reference(class) {
            return None;
        }
        let target = self.holding.python.weak_target(graph.address(node)).ok()??;
        self.place(graph.node_at(target)?)
    }
}

fn is_dict(python: &Python<'_>, graph: &Graph, node: Node) -> bool {
    let class = graph.class(node);
    class.is_some_and(|class| python.is_dict(class.address, class.flags).unwrap_or(false))
}

fn special_name(graph: &Graph, special: &Special) -> String {
    match special {
        Special::Interpreter { id } => format!("interpreter {id}"),
        Special::Thread(thread) => match &thread.name {
            Some(name) => format!("thread {name}"),
            None => format!("thread {:#x}", thread.ident),
        },
        Special::Frame { frame, .. } => {
            let name = frame.qualname().unwrap_or(&frame.code.name);
            match frame.line {
                Some(line) => format!("frame {name} ({}:{line})", frame.code.filename),
                None => format!("frame {name}"),
            }
        }
        Special::Root => {
            debug_assert!(!graph.is_empty());
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_wherever_objects_lie() {
        let identity = Identity { low: 0x5555_0000_0000, high: 0x7fff_0000_0000 };
        let mut taken = FxHashSet::default();
        let mut seen = FxHashSet::default();
        for base in [0x5555_0000_0000u64, 0x7ffe_f000_0000, 0x7f00_0000_0000, 0x40_0000] {
            for place in 0..1000u64 {
                let id = identity.of(Address::new(base + 16 * place), &mut taken);
                assert_eq!(id % 2, 1);
                assert!(seen.insert(id), "{base:#x} + {place}");
            }
        }
        let again = identity.of(Address::new(0x7ffe_f000_0010), &mut FxHashSet::default());
        assert!(seen.contains(&again));
    }
}
