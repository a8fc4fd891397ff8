//! An entry of the catalogue, ready to use.

use crate::resources::Detail;
use crate::resources::expression::{Function, Key, Node};

/// A named expression: its text and its tree.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name it was given.
    pub name: String,
    /// As written.
    pub text: String,
    pub(in crate::resources) node: Node,
}

/// Expressions over numbers that say when something is wrong.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Something to look at.
    pub warn: Option<Named>,
    /// Something is wrong.
    pub critical: Option<Named>,
}

/// One type of resource: whose instances, and what to read from them.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Unique: "aiohttp.session".
    pub id: String,
    /// What it counts as: "aiohttp_session".
    pub kind: String,
    /// What it is, in words.
    pub about: String,
    /// Names of classes; subclasses match too.
    pub types: Vec<String>,
    /// The module whose version `since` and `until` mean.
    pub module: Option<String>,
    /// The first version it is for.
    pub since: Option<String>,
    /// The first version it is no longer for.
    pub until: Option<String>,
    /// The object that has the numbers, where that is another one, which several resources may
    /// share: a sum counts it once.
    pub shared: Option<Named>,
    /// State names with their conditions; the first that holds is the state.
    pub state: Vec<Named>,
    /// Numbers.
    pub metrics: Vec<Named>,
    /// What else to show.
    pub show: Vec<Named>,
    /// Other objects it belongs to or holds.
    pub links: Vec<Named>,
    /// Over the metrics of one resource.
    pub limits: Limits,
    /// Over `count` and the sums of the metrics, of all resources of the entry.
    pub total_limits: Limits,
    /// Where it was read from: "built-in", or a file's name.
    pub source: String,
}

impl Entry {
    /// Do its answers depend on the kernel's socket tables?
    pub fn asks_kernel(&self, detail: Detail) -> bool {
        let shown = match detail {
            Detail::Numbers => [].iter().chain(&[]),
            Detail::Everything => self.show.iter().chain(&self.links),
        };
        let read = self.state.iter().chain(&self.metrics).chain(&self.shared).chain(shown);
        let mut read = read.map(|named| &named.node);
        read.any(|node| node.calls(Function::Peer) || node.calls(Function::TcpState))
    }
}

impl Named {
    /// The last attribute of each path in the expression, outside `redact`: what the shown
    /// value may be called in the target. A value with a secret's name is to be masked.
    pub fn value_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect(&self.node, &mut names);
        names
    }
}

fn collect<'n>(node: &'n Node, names: &mut Vec<&'n str>) {
    match node {
        Node::Attribute(_, name) | Node::Field(_, name) => names.push(name),
        Node::Index(of, Key::Name(name)) => {
            names.push(name);
            collect(of, names);
        }
        Node::Index(of, Key::Place(_)) => collect(of, names),
        Node::Else(a, b) | Node::Arithmetic(_, a, b) => {
            collect(a, names);
            collect(b, names);
        }
        Node::Negate(inner) => collect(inner, names),
        Node::Call(Function::Global, arguments) => {
            if let Some(Node::Text(name)) = arguments.get(1) {
                names.push(name);
            }
        }
        Node::Call(Function::If, arguments) => {
            arguments.iter().skip(1).for_each(|argument| collect(argument, names));
        }
        Node::Call(Function::First | Function::Sum, arguments) => {
            arguments.iter().for_each(|argument| collect(argument, names));
        }
        // What the other functions give is a number, a truth, the name of a type or a
        // function, or made harmless.
        _ => {}
    }
}
