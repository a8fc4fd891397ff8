//! Giving expressions a value over the target's memory.
//!
//! Three-valued: a value, none (known to be absent; it passes through attributes and
//! arithmetic), or missing with its reason (unknown; it passes through everything but `|`,
//! `known`, and an `and` or `or` that the other side decides). Everything is bounded: elements
//! of a container, and steps of one evaluation. What ends the capture is an error; all else
//! that goes wrong is missing.

mod attributes;
mod collections;
mod fields;
mod functions;
mod operators;

pub(super) use fields::{FieldPlace, FieldSpec, StructSpec, Structs, begins};

use super::SocketFacts;
use super::expression::Node;
use super::value::Value;
use crate::cpython::{ClassAttribute, Integer, Interpreter, ObjectError, Python, Result};
use crate::memory::Address;
use fields::FieldReader;
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};

/// Steps of one evaluation: nodes visited, elements looked at.
const MAX_STEPS: u64 = 20_000_000;
/// Longest text read, in characters.
const MAX_TEXT: usize = 1024;

/// Evaluates expressions over one picture of the target.
pub(super) struct Evaluator<'e, 'm> {
    python: &'e Python<'m>,
    interpreters: &'e [Interpreter],
    structs: &'e Structs,
    sockets: Option<&'e dyn SocketFacts>,
    /// By type and attribute.
    class_attributes: RefCell<FxHashMap<Address, FxHashMap<Box<str>, ClassAttribute>>>,
    /// By type and field.
    fields: RefCell<FxHashMap<Address, FxHashMap<Box<str>, FieldReader>>>,
    /// Versions of modules.
    versions: RefCell<FxHashMap<Box<str>, Option<String>>>,
    /// By "module:name".
    globals: RefCell<FxHashMap<Box<str>, Value>>,
    steps: Cell<u64>,
}

/// What names mean in an expression.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub(super) me: Address,
    pub(super) it: Option<&'s Value>,
    pub(super) metrics: &'s [(&'s str, Value)],
}

impl<'e, 'm> Evaluator<'e, 'm> {
    pub(super) fn new(
        python: &'e Python<'m>,
        interpreters: &'e [Interpreter],
        structs: &'e Structs,
        sockets: Option<&'e dyn SocketFacts>,
    ) -> Self {
        Self {
            python,
            interpreters,
            structs,
            sockets,
            class_attributes: RefCell::default(),
            fields: RefCell::default(),
            versions: RefCell::default(),
            globals: RefCell::default(),
            steps: Cell::new(0),
        }
    }

    /// The value of `node`; objects that are numbers, texts or None are decoded.
    pub(super) fn evaluate(&self, node: &Node, scope: Scope<'_>) -> Result<Value> {
        self.steps.set(0);
        let value = self.value(node, scope)?;
        self.decoded(value)
    }

    /// The truth of `node`: `Bool` or missing.
    pub(super) fn condition(&self, node: &Node, scope: Scope<'_>) -> Result<Value> {
        let value = self.evaluate(node, scope)?;
        self.truth(value)
    }

    fn value(&self, node: &Node, scope: Scope<'_>) -> Result<Value> {
        if let Err(missing) = self.step(1) {
            return Ok(missing);
        }
        match node {
            Node::None => Ok(Value::None),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Text(text) => Ok(Value::text(text)),
            Node::Me => Ok(Value::Object(scope.me)),
            Node::It => Ok(scope.it.cloned().unwrap_or(Value::None)),
            Node::Metric(name) => {
                let found = scope.metrics.iter().find(|(known, _)| known == name);
                Ok(found.map_or_else(|| Value::missing("no such metric"), |(_, v)| v.clone()))
            }
            Node::Attribute(of, name) => {
                let of = self.value(of, scope)?;
                self.on_object(of, |object| self.attribute(object, name))
            }
            Node::Field(of, name) => {
                let of = self.value(of, scope)?;
                self.on_object(of, |object| self.field(object, name))
            }
            Node::Index(of, key) => {
                let of = self.value(of, scope)?;
                self.index(of, key)
            }
            Node::Else(first, second) => match self.value(first, scope)? {
                Value::Missing(_) => self.value(second, scope),
                value => Ok(value),
            },
            Node::Not(inner) => self.not(inner, scope),
            Node::And(left, right) => self.either(left, right, scope, false),
            Node::Or(left, right) => self.either(left, right, scope, true),
            Node::Negate(inner) => {
                let value = self.value(inner, scope)?;
                self.negate(value)
            }
            Node::Compare(operator, left, right) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                self.compare(*operator, left, right)
            }
            Node::Arithmetic(operator, left, right) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                self.arithmetic(*operator, left, right)
            }
            Node::Call(function, arguments) => self.call(*function, arguments, scope),
        }
    }

    /// Counts work; gives the missing value that ends the evaluation when it is too much.
    fn step(&self, count: u64) -> std::result::Result<(), Value> {
        let steps = self.steps.get().saturating_add(count);
        self.steps.set(steps);
        if steps > MAX_STEPS { Err(Value::missing("too much to look at")) } else { Ok(()) }
    }

    /// Applies `read` to an object; none and missing pass through.
    fn on_object(
        &self,
        value: Value,
        read: impl FnOnce(Address) -> Result<Value>,
    ) -> Result<Value> {
        match value {
            Value::Object(object) => match self.python.is_none(object) {
                Ok(true) => Ok(Value::None),
                Ok(false) => known(read(object)),
                Err(error) => known(Err(error)),
            },
            Value::None | Value::Missing(_) => Ok(value),
            _ => Ok(Value::missing("a plain value has no parts")),
        }
    }

    /// An object that is a number, a text, a truth value or None as such; all else unchanged.
    fn decoded(&self, value: Value) -> Result<Value> {
        match value {
            Value::Object(object) => known(self.decode(object)),
            other => Ok(other),
        }
    }

    fn decode(&self, object: Address) -> Result<Value> {
        let class = self.python.type_of(object)?;
        Ok(match class.name() {
            "builtins.NoneType" => Value::None,
            "builtins.bool" => Value::Bool(self.python.boolean(object)?),
            "builtins.float" => Value::Float(self.python.float(object)?),
            _ if class.flags.long_subclass() => match self.python.integer(object)? {
                Integer::Small(value) => match i64::try_from(value) {
                    Ok(value) => Value::Int(value),
                    Err(_) => Value::missing("a number beyond 64 bits"),
                },
                Integer::Large { .. } => Value::missing("a number beyond 64 bits"),
            },
            _ if class.flags.unicode_subclass() => Value::text(self.python.text(object, MAX_TEXT)?),
            _ => Value::Object(object),
        })
    }
}

/// Errors that end the capture go up; any other makes the value missing.
fn known(result: Result<Value>) -> Result<Value> {
    match result {
        Err(error) if error.fatal().is_none() => Ok(Value::missing(reason(error))),
        other => other,
    }
}

/// Why an object could not be read, in words.
fn reason(error: ObjectError) -> String {
    match error {
        ObjectError::Memory(_) => "its memory could not be read".to_owned(),
        ObjectError::Malformed { what, .. } => format!("not a well-formed {what}"),
    }
}
