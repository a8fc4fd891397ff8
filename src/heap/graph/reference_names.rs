//! What single references are called, whatever path they are on: for heap viewers.

use super::names::{Names, short};
use super::{Kind, Label, Node};

/// The name of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceName {
    /// An attribute, a global variable, a key of a dict that is a name.
    Property(String),
    /// The place in a sequence.
    Index(u64),
    /// A local variable.
    Variable(String),
    /// Nothing that a program would call it by.
    Internal(String),
}

impl Names<'_, '_> {
    /// The name of a reference. `is_namespace`: it lies in the dict of an object, class or
    /// module.
    pub fn reference(
        &mut self,
        from: Node,
        to: Node,
        label: Label,
        is_namespace: bool,
    ) -> ReferenceName {
        let internal = |text: &str| ReferenceName::Internal(text.to_owned());
        let or = |name: Option<String>, text: &str| {
            name.map_or_else(|| ReferenceName::Internal(text.to_owned()), ReferenceName::Property)
        };
        match label.kind() {
            Kind::Item => ReferenceName::Index(label.place()),
            Kind::Value if is_namespace => or(self.key_text(from, label.place()), "[value]"),
            Kind::Value => or(self.plain_key(from, label.place()), "[value]"),
            Kind::Key => internal("[key]"),
            Kind::Member => internal("[member]"),
            Kind::Attribute => or(self.shared_key(from, label.place()), "[attribute]"),
            Kind::Namespace => internal("__dict__"),
            Kind::Field => {
                let class = self.graph.class(from).cloned();
                let name =
                    class.as_ref().and_then(|class| self.field_name(from, class, label.place()));
                match (name, class) {
                    (Some(name), _) => ReferenceName::Property(name),
                    (None, Some(class)) if class.name() == "builtins.cell" => {
                        internal("cell_contents")
                    }
                    (None, Some(class)) => {
                        ReferenceName::Internal(format!("(inside {})", short(class.name())))
                    }
                    (None, None) => internal("(inside)"),
                }
            }
            Kind::Type => internal("__class__"),
            Kind::Local => match self.local(from, label.place()) {
                Some(name) => ReferenceName::Variable(name),
                None => internal("(local)"),
            },
            Kind::Stack => internal("(on the stack)"),
            Kind::Function => internal("function"),
            Kind::Code => internal("code"),
            Kind::Frame => internal("frame"),
            Kind::Thread => ReferenceName::Index(label.place()),
            Kind::Interpreter if self.is_modules(to) => internal("sys.modules"),
            Kind::Interpreter | Kind::Static | Kind::HeldFromC => internal("(interpreter)"),
        }
    }
}
