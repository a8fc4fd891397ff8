//! Truth, comparison, arithmetic.

use super::{Evaluator, Scope, Value};
use crate::cpython::Result;
use crate::resources::expression::{Arithmetic, Comparison, Node};
use std::cmp::Ordering;

impl Evaluator<'_, '_> {
    /// The truth of a condition: `Bool`, or missing. Only truth values, numbers and none have
    /// one; of an object it is for the expression to say what is meant.
    pub(super) fn truth(&self, value: Value) -> Result<Value> {
        Ok(match self.decoded(value)? {
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Bool(value != 0),
            Value::None => Value::Bool(false),
            Value::Missing(reason) => Value::Missing(reason),
            _ => Value::missing("not a condition: compare it with something"),
        })
    }

    pub(super) fn not(&self, inner: &Node, scope: Scope<'_>) -> Result<Value> {
        let value = self.value(inner, scope)?;
        Ok(match self.truth(value)? {
            Value::Bool(value) => Value::Bool(!value),
            missing => missing,
        })
    }

    /// `or` when `decisive` is true, `and` when it is false: either side can decide it, also
    /// when the other is missing.
    pub(super) fn either(
        &self,
        left: &Node,
        right: &Node,
        scope: Scope<'_>,
        decisive: bool,
    ) -> Result<Value> {
        let left = self.value(left, scope)?;
        let left = self.truth(left)?;
        if left == Value::Bool(decisive) {
            return Ok(left);
        }
        let right = self.value(right, scope)?;
        let right = self.truth(right)?;
        if right == Value::Bool(decisive) || !left.is_missing() { Ok(right) } else { Ok(left) }
    }

    pub(super) fn negate(&self, value: Value) -> Result<Value> {
        Ok(match self.decoded(value)? {
            Value::Int(value) => value.checked_neg().map_or_else(too_large, Value::Int),
            Value::Float(value) => Value::Float(-value),
            other => not_a_number(other),
        })
    }

    pub(super) fn compare(&self, operator: Comparison, left: Value, right: Value) -> Result<Value> {
        let (left, right) = (self.decoded(left)?, self.decoded(right)?);
        for side in [&left, &right] {
            if side.is_missing() {
                return Ok(side.clone());
            }
        }
        let order = order(&left, &right);
        let equal = order.map_or_else(|| left == right, Ordering::is_eq);
        if matches!(operator, Comparison::Equal | Comparison::Unequal) {
            return Ok(Value::Bool(equal == (operator == Comparison::Equal)));
        }
        // Less or greater than nothing is neither.
        if left == Value::None || right == Value::None {
            return Ok(Value::None);
        }
        let Some(order) = order else { return Ok(Value::missing("these have no order")) };
        Ok(Value::Bool(match operator {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            _ => order.is_ge(),
        }))
    }

    pub(super) fn arithmetic(
        &self,
        operator: Arithmetic,
        left: Value,
        right: Value,
    ) -> Result<Value> {
        let (left, right) = (self.decoded(left)?, self.decoded(right)?);
        for side in [&left, &right] {
            if side.is_missing() {
                return Ok(side.clone());
            }
        }
        Ok(match (&left, &right) {
            (Value::None, _) | (_, Value::None) => Value::None,
            (Value::Text(_), _) | (_, Value::Text(_)) if operator == Arithmetic::Add => {
                match (shown(&left), shown(&right)) {
                    (Some(a), Some(b)) => Value::text(a + &b),
                    _ => Value::missing("only texts and numbers can be joined"),
                }
            }
            (Value::Int(a), Value::Int(b)) if operator != Arithmetic::Quotient => {
                whole(operator, *a, *b)
            }
            _ => match (number(&left), number(&right)) {
                (Some(a), Some(b)) => fraction(operator, a, b),
                (None, _) => not_a_number(left),
                (_, None) => not_a_number(right),
            },
        })
    }
}

fn whole(operator: Arithmetic, a: i64, b: i64) -> Value {
    let result = match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Quotient if b == 0 => {
            return Value::missing("division by zero");
        }
        Arithmetic::Divide | Arithmetic::Quotient => a.checked_div_euclid(b).map(|quotient| {
            // Euclid's remainder is never negative; Python's has the sign of the divisor.
            if b < 0 && a.rem_euclid(b) != 0 { quotient - 1 } else { quotient }
        }),
    };
    result.map_or_else(too_large, Value::Int)
}

fn fraction(operator: Arithmetic, a: f64, b: f64) -> Value {
    match operator {
        Arithmetic::Add => Value::Float(a + b),
        Arithmetic::Subtract => Value::Float(a - b),
        Arithmetic::Multiply => Value::Float(a * b),
        Arithmetic::Divide | Arithmetic::Quotient if b == 0.0 => Value::missing("division by zero"),
        Arithmetic::Quotient => Value::Float(a / b),
        Arithmetic::Divide => Value::Float((a / b).floor()),
    }
}

/// How two plain values of a kind compare; truth values count as numbers, as in Python.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        _ => number(left)?.partial_cmp(&number(right)?),
    }
}

pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(value) => Some(*value as f64),
        Value::Float(value) => Some(*value),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    }
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(format!("{value:?}")),
        Value::Bool(value) => Some(value.to_string()),
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

fn too_large() -> Value {
    Value::missing("a number beyond 64 bits")
}

pub(super) fn not_a_number(value: Value) -> Value {
    match value {
        Value::None | Value::Missing(_) => value,
        _ => Value::missing("not a number"),
    }
}
