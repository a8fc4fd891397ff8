//! Every object of a process and every reference between them, as plain rows: what other
//! programs' heap viewers read.

/// Objects and references. The first node is the root; everything is reached from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeapRows {
    /// The nodes.
    pub nodes: Vec<HeapNode>,
    /// The references: those of the first node, then those of the second, and so on.
    pub references: Vec<HeapReference>,
    /// The names of both, by number.
    pub strings: Vec<String>,
}

/// What kind of node it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeapKind {
    /// Made up: the root and what groups the roots.
    Synthetic,
    /// An object without a kind of its own; a thread, a frame.
    Object,
    /// A `str`.
    Text,
    /// A number.
    Number,
    /// A function.
    Function,
    /// A code object.
    Code,
    /// A resource: a socket, a pool, a task.
    Resource,
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeapNode {
    /// Its kind.
    pub kind: HeapKind,
    /// Its name: of most objects, that of their type.
    pub name: u32,
    /// The same for the same object in every export of a process.
    pub id: u32,
    /// Shallow size, in bytes.
    pub size: u64,
    /// References from it.
    pub references: u32,
    /// It is proven that nothing will ever use it.
    pub leaked: bool,
}

/// What kind of reference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeapName {
    /// By a name of the program: attribute, key, global variable.
    Property(u32),
    /// By an index.
    Index(u32),
    /// By a local variable.
    Variable(u32),
    /// By what the interpreter has no name for.
    Internal(u32),
    /// A weak reference: it holds nothing.
    Weak(u32),
}

/// A reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeapReference {
    /// Its name.
    pub name: HeapName,
    /// The number of the node it leads to.
    pub to: u32,
}
