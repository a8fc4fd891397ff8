//! The catalogue's expressions: what to read from an object and what it means.
//!
//! A small, read-only language: attributes (`a.b`), C fields (`@fd`), indexing, `|` for "if
//! missing, else", comparisons, arithmetic, a closed list of functions. This module turns text
//! into a tree and says where it is wrong; `evaluate` gives the tree a value.
//! `docs/reference/catalog.md` is the language's description.

mod lexer;
mod parser;
mod tree;

pub(super) use parser::parse;
pub(super) use tree::{Arithmetic, Comparison, Function, Key, Node};

use thiserror::Error;

/// What is wrong with an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub(super) struct ExpressionError {
    /// Bytes from the start of the expression.
    pub(super) at: usize,
    /// In words.
    pub(super) message: String,
}

impl ExpressionError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}
