//! One comparison of a rule: `in_use >= limit * share`.
//!
//! Names are metrics and shown values of the resource, or thresholds of the rule. Three answers:
//! it holds, it does not, or something it needs could not be read.

use super::super::ResourceRow;
use super::super::resources::{Number, Shown};
use std::collections::BTreeMap;

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    left: Term,
    operator: Operator,
    right: Term,
    /// The right side is multiplied with this.
    factor: Option<Term>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Name(String),
    Number(f64),
    Bool(bool),
    None,
}

/// What a name stands for in a resource.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(f64),
    Bool(bool),
    Text(String),
    None,
    /// Could not be read, and why.
    Unknown(String),
}

impl Condition {
    /// Understands `name operator term [* term]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (left, operator, right, factor) = match words.as_slice() {
            [left, operator, right] => (left, operator, right, None),
            [left, operator, right, "*", factor] => (left, operator, right, Some(factor)),
            _ => return Err("a condition is NAME OPERATOR VALUE [* VALUE]".to_owned()),
        };
        let operator = match *operator {
            "==" => Operator::Equal,
            "!=" => Operator::Unequal,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            other => return Err(format!("'{other}' is none of == != < <= > >=")),
        };
        let factor = factor.map(|word| Term::parse(word)).transpose()?;
        Ok(Self { left: Term::parse(left)?, operator, right: Term::parse(right)?, factor })
    }

    /// Whether it holds for a resource; `Err` says what could not be read.
    pub(super) fn holds(
        &self,
        row: &ResourceRow,
        thresholds: &BTreeMap<String, f64>,
    ) -> Result<bool, String> {
        let value = |term: &Term| term.value(row, thresholds);
        let left = value(&self.left);
        let mut right = value(&self.right);
        if let Some(factor) = &self.factor {
            right = match (right, value(factor)) {
                (Value::Number(a), Value::Number(b)) => Value::Number(a * b),
                (Value::Unknown(reason), _) | (_, Value::Unknown(reason)) => Value::Unknown(reason),
                _ => Value::None,
            };
        }
        Ok(match (left, right) {
            (Value::Unknown(reason), _) | (_, Value::Unknown(reason)) => return Err(reason),
            (Value::Number(a), Value::Number(b)) => match self.operator {
                Operator::Equal => a == b,
                Operator::Unequal => a != b,
                Operator::Less => a < b,
                Operator::LessOrEqual => a <= b,
                Operator::Greater => a > b,
                Operator::GreaterOrEqual => a >= b,
            },
            // A number that the resource does not have is neither small nor large.
            (a, b) => match self.operator {
                Operator::Equal => a == b,
                Operator::Unequal => a != b,
                _ => false,
            },
        })
    }
}

impl Term {
    fn parse(word: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match word {
            "none" => Ok(Self::None),
            "true" => Ok(Self::Bool(true)),
            "false" => Ok(Self::Bool(false)),
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                word.parse().map(Self::Number).map_err(|_| format!("'{word}' is not a number"))
            }
            _ if word.chars().all(plain) => Ok(Self::Name(word.to_owned())),
            _ => Err(format!("'{word}' is neither a name nor a value")),
        }
    }

    fn value(&self, row: &ResourceRow, thresholds: &BTreeMap<String, f64>) -> Value {
        match self {
            Self::Number(value) => Value::Number(*value),
            Self::Bool(value) => Value::Bool(*value),
            Self::None => Value::None,
            Self::Name(name) => match thresholds.get(name) {
                Some(threshold) => Value::Number(*threshold),
                None => named(row, name),
            },
        }
    }
}

fn named(row: &ResourceRow, name: &str) -> Value {
    let unknown = || {
        let reason = row.unknown.get(name).map_or("not read", String::as_str);
        Value::Unknown(format!("{name}: {reason}"))
    };
    match (row.metrics.get(name), row.show.get(name)) {
        (Some(Some(number)), _) => Value::Number(as_f64(number)),
        (_, Some(Some(Shown::Bool(value)))) => Value::Bool(*value),
        (_, Some(Some(Shown::Number(number)))) => Value::Number(as_f64(number)),
        (_, Some(Some(Shown::Text(text)))) => Value::Text(text.clone()),
        (Some(None), _) | (_, Some(None)) => unknown(),
        (None, None) => Value::None,
    }
}

/// A number of the target for arithmetic.
pub(super) fn as_f64(number: &Number) -> f64 {
    match number {
        Number::Int(value) => *value as f64,
        Number::Float(value) => *value,
    }
}
