//! Local variables as text, with secrets masked.

use crate::cpython::{Frame, Integer, Python, Result, Value, ValueLimits};
use crate::snapshot::LocalRow;
use crate::snapshot::secrets::{MASK, is_secret_name, mask_text};
use std::fmt::Write;

/// Longest text shown for one variable, in characters.
const MAX_TEXT: usize = 400;

/// The local variables of a frame.
pub(super) fn show_locals(python: &Python<'_>, frame: &Frame) -> Result<Vec<LocalRow>> {
    let mut rows = Vec::new();
    for local in python.locals(frame)? {
        let value = python.value(local.value, ValueLimits::default())?;
        let secret = is_secret_name(&local.name) && !matches!(value, Value::None | Value::Bool(_));
        let value = match value {
            Value::Unreadable { .. } => None,
            _ if secret => Some(MASK.to_owned()),
            value => Some(shown(&value)),
        };
        rows.push(LocalRow { name: local.name, value });
    }
    Ok(rows)
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
        Value::Float(value) => write!(out, "{value:?}"),
        Value::Text { text, length } => {
            let masked = mask_text(text);
            let more = *length > text.chars().count() as u64;
            write!(out, "'{}'{}", quoted(&masked), if more { "…" } else { "" })
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
        Value::Mapping { items, length } => {
            write_mapping(out, items, *length);
            Ok(())
        }
        Value::Object { class, address } => write!(out, "<{class} at {address}>"),
        Value::Unreadable { address } => write!(out, "<unreadable at {address}>"),
    };
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn write_items(out: &mut String, class: &str, items: &[Value], length: u64) {
    let (open, close) = match class {
        "builtins.list" => ("[", "]"),
        "builtins.tuple" if length == 1 => ("(", ",)"),
        "builtins.tuple" => ("(", ")"),
        "builtins.frozenset" => ("frozenset({", "})"),
        _ if length == 0 => ("set(", ")"),
        _ => ("{", "}"),
    };
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        write_value(out, item);
    }
    write_more(out, items.len(), length);
    out.push_str(close);
}

fn write_mapping(out: &mut String, items: &[(Value, Value)], length: u64) {
    out.push('{');
    for (index, (key, value)) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        write_value(out, key);
        out.push_str(": ");
        match key {
            Value::Text { text, .. } if is_secret_name(text) => {
                out.push('\'');
                out.push_str(MASK);
                out.push('\'');
            }
            _ => write_value(out, value),
        }
    }
    write_more(out, items.len(), length);
    out.push('}');
}

fn write_more(out: &mut String, shown: usize, length: u64) {
    let more = length.saturating_sub(shown as u64);
    if more > 0 {
        let _ = write!(out, "{}… {more} more", if shown == 0 { "" } else { ", " });
    }
}
