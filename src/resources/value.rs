//! What an expression gives: a value, none, or missing with its reason.

use crate::memory::Address;
use std::rc::Rc;

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// There is none, and that is known: `None` in the target, or something that has no such
    /// number.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// Text.
    Text(Rc<str>),
    /// An object that is not looked into yet.
    Object(Address),
    /// Several values.
    List(Rc<Vec<Value>>),
    /// It could not be had, and why.
    Missing(Rc<str>),
}

impl Value {
    pub(super) fn missing(reason: impl AsRef<str>) -> Self {
        Self::Missing(Rc::from(reason.as_ref()))
    }

    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Rc::from(text.as_ref()))
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// What a resource's metric or shown text turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A whole number.
    Int(i64),
    /// A fraction.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text, as it is in the target: the caller masks secrets.
    Text(String),
    /// There is none.
    None,
    /// Unknown, and why.
    Missing(String),
}

impl Answer {
    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }
}
