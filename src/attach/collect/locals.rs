//! Local variables as text, with secrets masked.

use crate::cpython::{Frame, Integer, Python, Result, Value, ValueLimits};
use crate::snapshot::LocalRow;
use crate::snapshot::secrets::{MASK, is_secret_name, mask_text};
use std::fmt::Write;

/// Longest text shown for one variable, in characters.
const MAX_TEXT: usize = 400;

/// A local variable as it was read. Its text is made when the target runs again.
#[derive(Debug)]
pub(super) struct ReadLocal {
    name: String,
    /// `None` when it could not be read.
    value: Option<Value>,
}

impl ReadLocal {
    /// Stands for the variables of a frame that could not be read, or had no room: an empty
    /// list would say that there are none.
    pub(super) fn all_unread() -> Self {
        Self { name: "(locals)".to_owned(), value: None }
    }

    /// Could its value be read?
    pub(super) fn is_read(&self) -> bool {
        self.value.is_some()
    }

    /// The variable as it is shown, a secret masked.
    pub(super) fn into_row(self) -> LocalRow {
        let secret = is_secret_name(&self.name);
        let value = self.value.map(|value| match value {
            Value::None | Value::Bool(_) => shown(&value),
            _ if secret => MASK.to_owned(),
            value => shown(&value),
        });
        LocalRow { name: self.name, value }
    }
}

/// Reads the local variables of a frame, as long as there is `room`.
pub(super) fn read_locals(
    python: &Python<'_>,
    frame: &Frame,
    room: &mut usize,
) -> Result<Vec<ReadLocal>> {
    if *room == 0 {
        return Ok(vec![ReadLocal::all_unread()]);
    }
    // Slots that are empty have to be looked at as well.
    *room = room.saturating_sub(frame.code.slots());
    let mut read = Vec::new();
    for local in python.locals(frame)? {
        let value = match python.value(local.value, ValueLimits::default())? {
            Value::Unreadable { .. } => None,
            value => Some(value),
        };
        read.push(ReadLocal { name: local.name, value });
    }
    Ok(read)
}

fn shown(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    match text.char_indices().nth(MAX_TEXT) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

/// Writes a value the way Python's `repr()` would. Writing to a String cannot fail.
fn write_value(out: &mut String, value: &Value) {
    let _ = match value {
        Value::None => write!(out, "None"),
        Value::Bool(true) => write!(out, "True"),
        Value::Bool(false) => write!(out, "False"),
        Value::Int(Integer::Small(value)) => write!(out, "{value}"),
        Value::Int(Integer::Large { bits, negative }) => {
            write!(out, "<{} int of {bits} bits>", if *negative { "negative" } else { "positive" })
        }
        Value::Float(value) => {
            write_float(out, *value);
            Ok(())
        }
        Value::Text { text, length } => {
            write_text(out, &mask_text(text));
            let more = *length > text.chars().count() as u64;
            write!(out, "{}", if more { "…" } else { "" })
        }
        Value::Bytes { bytes, length } => {
            let masked = mask_text(&bytes.escape_ascii().to_string());
            let more = *length > bytes.len() as u64;
            write!(out, "b'{masked}'{}", if more { "…" } else { "" })
        }
        Value::Sequence { class, items, length } => {
            write_items(out, class, items, *length);
            Ok(())
        }
        Value::Mapping { class, items, length } => {
            let (open, close) = match class.as_str() {
                "builtins.frozendict" if *length == 0 => ("frozendict(", ")"),
                "builtins.frozendict" => ("frozendict({", "})"),
                _ => ("{", "}"),
            };
            out.push_str(open);
            write_mapping(out, items, *length);
            out.push_str(close);
            Ok(())
        }
        Value::Object { class, address } => write!(out, "<{class} at {address}>"),
        Value::Unreadable { address } => write!(out, "<unreadable at {address}>"),
    };
}

/// Exponents as `float.__repr__` has them: from 1e16 on and below 1e-4, of two digits at least.
fn write_float(out: &mut String, value: f64) {
    let scientific = value != 0.0 && value.is_finite() && !(1e-4..1e16).contains(&value.abs());
    // Writing to a String cannot fail.
    let _ = match format!("{value:e}").split_once('e') {
        Some((digits, exponent)) if scientific => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            write!(out, "{digits}e{sign}{exponent:0>2}")
        }
        _ if value.is_nan() => write!(out, "nan"),
        _ => write!(out, "{value:?}"),
    };
}

/// Quotes and escapes as `str.__repr__` does.
fn write_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        // Writing to a String cannot fail.
        let _ = match (character, u32::from(character)) {
            ('\n', _) => write!(out, "\\n"),
            ('\r', _) => write!(out, "\\r"),
            ('\t', _) => write!(out, "\\t"),
            ('\\', _) => write!(out, "\\\\"),
            (_, code) if character.is_control() => write!(out, "\\x{code:02x}"),
            _ if character == quote => write!(out, "\\{character}"),
            _ => write!(out, "{character}"),
        };
    }
    out.push(quote);
}

/// True for a text or bytes that names a secret.
fn names_secret(value: &Value) -> bool {
    match value {
        Value::Text { text, .. } => is_secret_name(text),
        Value::Bytes { bytes, .. } => is_secret_name(&bytes.escape_ascii().to_string()),
        _ => false,
    }
}

fn write_items(out: &mut String, class: &str, items: &[Value], length: u64) {
    let (open, close) = match class {
        "builtins.list" => ("[", "]"),
        "builtins.tuple" if length == 1 => ("(", ",)"),
        "builtins.tuple" => ("(", ")"),
        "builtins.frozenset" if length == 0 => ("frozenset(", ")"),
        "builtins.frozenset" => ("frozenset({", "})"),
        _ if length == 0 => ("set(", ")"),
        _ => ("{", "}"),
    };
    out.push_str(open);
    // Headers, parameters and items of dicts are pairs of name and value.
    let secret =
        class == "builtins.tuple" && length == 2 && items.first().is_some_and(names_secret);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        match index {
            1 if secret => write_masked(out),
            _ => write_value(out, item),
        }
    }
    write_more(out, items.len(), length);
    out.push_str(close);
}

fn write_mapping(out: &mut String, items: &[(Value, Value)], length: u64) {
    for (index, (key, value)) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        write_value(out, key);
        out.push_str(": ");
        if names_secret(key) { write_masked(out) } else { write_value(out, value) }
    }
    write_more(out, items.len(), length);
}

fn write_masked(out: &mut String) {
    out.push('\'');
    out.push_str(MASK);
    out.push('\'');
}

fn write_more(out: &mut String, shown: usize, length: u64) {
    let more = length.saturating_sub(shown as u64);
    if more > 0 {
        let _ = write!(out, "{}… {more} more", if shown == 0 { "" } else { ", " });
    }
}
