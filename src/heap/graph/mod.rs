//! The reference graph: every tracked object, what these refer to, and what holds them.
//!
//! [`build`] reads it from a picture; afterwards no memory is needed, except for names. Nodes
//! are numbered, edges are rows of one long table ([`Graph::references`]), and every algorithm
//! here is iterative: a linked list of a million objects is as deep as it is long.

mod build;
pub mod dominators;
mod edges;
mod frames;
mod index;
mod label;
pub mod names;
mod objects;
pub mod paths;
mod plan;
mod reference_names;
mod size;
mod states;
pub mod waiting;
mod window;

pub use build::build;
pub use label::{Kind, Label, MAX_PLACE};
pub use reference_names::ReferenceName;

use crate::cpython::{Frame, Type};
use crate::memory::Address;
use dominators::{Dominators, NONE, Rows};
use index::{Index, Place};
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;

/// The number of a node.
pub type Node = u32;

/// A reference count that says nothing.
pub const IMMORTAL: u32 = u32::MAX;
/// A size that does not fit in 32 bits.
const LARGE: u32 = u32::MAX;
/// The type number of nodes that are no objects.
pub const NO_TYPE: u32 = u32::MAX;

/// A node that is no object.
#[derive(Debug, Clone)]
pub enum Special {
    /// An interpreter.
    Interpreter {
        /// 0 for the main interpreter.
        id: i64,
    },
    /// A thread.
    Thread(ThreadNode),
    /// A frame on a thread's stack.
    Frame {
        /// The thread's node.
        thread: Node,
        /// The frame.
        frame: Frame,
    },
    /// What everything alive is reached from.
    Root,
}

/// A thread, as a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadNode {
    /// `threading.get_ident()`
    pub ident: u64,
    /// The kernel's id, as the target sees it.
    pub native_id: Option<u64>,
    /// What `threading` calls it.
    pub name: Option<String>,
}

/// A type that some node has.
#[derive(Debug, Clone)]
pub struct GraphType {
    /// The type.
    pub class: Rc<Type>,
    /// Its struct is not known: references were found by looking for pointers.
    pub inferred: bool,
}

/// What was and was not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Tracked objects.
    pub tracked: u64,
    /// References.
    pub references: u64,
    /// Of these, inferred.
    pub inferred: u64,
    /// Objects, or parts of one, that could not be read.
    pub unreadable: u64,
    /// Lists of tracked objects that did not close.
    pub broken_lists: u64,
    /// A collection was running.
    pub collecting: bool,
}

/// Objects and references.
#[derive(Debug, Default)]
pub struct Graph {
    /// Where the objects are.
    places: Vec<Place>,
    index: Index,
    classes: Vec<u32>,
    /// Sizes; [`LARGE`] for those in `large_sizes`.
    sizes: Vec<u32>,
    large_sizes: FxHashMap<Node, u64>,
    /// Reference counts, less the references that were found.
    refcounts: Vec<u32>,
    /// Where the edges of each node begin, and the end of all.
    rows: Vec<u32>,
    targets: Vec<Node>,
    labels: Vec<Label>,
    types: Vec<GraphType>,
    /// The first nodes, which are no objects; the root is the last node of all.
    specials: Vec<Special>,
    special_addresses: Vec<Address>,
    /// Objects that structs of the interpreter point to.
    in_states: FxHashSet<Node>,
    /// What was and was not read.
    pub statistics: Statistics,
}

impl Graph {
    /// Nodes, the root among them.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// True before anything was read.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The node that everything alive is reached from.
    pub fn root(&self) -> Node {
        (self.len().max(1) - 1) as Node
    }

    /// The nodes that are objects.
    pub fn objects(&self) -> std::ops::Range<Node> {
        self.specials.len() as Node..self.root()
    }

    /// What a node is, if it is no object.
    pub fn special(&self, node: Node) -> Option<&Special> {
        if node == self.root() { Some(&Special::Root) } else { self.specials.get(node as usize) }
    }

    /// Where the object is.
    pub fn address(&self, node: Node) -> Address {
        match (node as usize).checked_sub(self.specials.len()) {
            Some(object) => self.places.get(object).map(|&place| self.index.address(place)),
            None => self.special_addresses.get(node as usize).copied(),
        }
        .unwrap_or_default()
    }

    /// The node of the object at an address.
    pub fn node_at(&self, address: Address) -> Option<Node> {
        address.is_aligned(8).then(|| self.index.node(self.index.place(address.get())?))?
    }

    /// The number of a node's type.
    pub fn type_number(&self, node: Node) -> Option<u32> {
        self.classes.get(node as usize).copied().filter(|&class| class != NO_TYPE)
    }

    /// The type of a node that is an object.
    pub fn class(&self, node: Node) -> Option<&Rc<Type>> {
        let number = self.type_number(node)?;
        Some(&self.types.get(number as usize)?.class)
    }

    /// The types of all nodes, by number.
    pub fn types(&self) -> &[GraphType] {
        &self.types
    }

    /// Shallow size of an object, in bytes.
    pub fn size(&self, node: Node) -> u64 {
        match self.sizes.get(node as usize).copied() {
            Some(LARGE) => self.large_sizes.get(&node).copied().unwrap_or(0),
            size => size.map_or(0, u64::from),
        }
    }

    /// Adds the size of the next node.
    fn push_size(&mut self, size: u64) {
        let narrow = u32::try_from(size).unwrap_or(LARGE);
        if narrow == LARGE {
            self.large_sizes.insert(self.sizes.len() as Node, size);
        }
        self.sizes.push(narrow);
    }

    /// References to an object beyond those found: held from C. Nothing is known of immortal
    /// objects.
    pub fn surplus(&self, node: Node) -> u32 {
        self.refcounts.get(node as usize).copied().filter(|&count| count != IMMORTAL).unwrap_or(0)
    }

    /// What a node refers to, in the order of the places.
    pub fn references(&self, node: Node) -> impl Iterator<Item = (Node, Label)> + '_ {
        let row = self.row(node);
        let targets = self.targets.get(row.clone()).unwrap_or_default();
        let labels = self.labels.get(row).unwrap_or_default();
        targets.iter().copied().zip(labels.iter().copied())
    }

    /// The targets of a node's references.
    pub fn targets(&self, node: Node) -> &[Node] {
        self.targets.get(self.row(node)).unwrap_or_default()
    }

    /// The immediate dominators of everything that is reached from the root.
    pub fn dominators(&self) -> Dominators {
        Dominators::of(self, self.root())
    }

    fn row(&self, node: Node) -> std::ops::Range<usize> {
        let at = node as usize;
        match (self.rows.get(at), self.rows.get(at + 1)) {
            (Some(&from), Some(&to)) => from as usize..to as usize,
            _ => 0..0,
        }
    }

    /// Adds the root as the last node: it refers to interpreters and threads, to static types
    /// and immortal objects, and to what is held from C.
    fn add_root(&mut self) {
        let mut edges: Vec<(Node, Label)> = Vec::new();
        for (node, special) in self.specials.iter().enumerate() {
            let kind = match special {
                Special::Interpreter { .. } => Kind::Interpreter,
                Special::Thread(_) => Kind::Thread,
                Special::Frame { .. } | Special::Root => continue,
            };
            edges.push((node as Node, Label::new(kind, 0)));
        }
        let fixed = self.types.iter().filter(|known| !known.class.flags.heap_type());
        let fixed: FxHashSet<Address> = fixed.map(|known| known.class.address).collect();
        for node in self.specials.len()..self.len() {
            let address = self.address(node as Node);
            if self.refcounts.get(node) == Some(&IMMORTAL) || fixed.contains(&address) {
                edges.push((node as Node, Label::new(Kind::Static, 0)));
            } else {
                let surplus = self.surplus(node as Node);
                if surplus > 0 && self.in_states.contains(&(node as Node)) {
                    edges.push((node as Node, Label::new(Kind::Interpreter, 2)));
                } else if surplus > 0 {
                    edges.push((node as Node, Label::new(Kind::HeldFromC, surplus.into())));
                }
            }
        }
        self.classes.push(NO_TYPE);
        self.sizes.push(0);
        self.refcounts.push(IMMORTAL);
        self.targets.extend(edges.iter().map(|&(node, _)| node));
        self.labels.extend(edges.iter().map(|&(_, label)| label));
        self.rows.push(self.targets.len() as u32);
    }
}

impl Rows for Graph {
    fn count(&self) -> usize {
        self.len()
    }

    fn row(&self, node: Node) -> &[Node] {
        self.targets(node)
    }
}
