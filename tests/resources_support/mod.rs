//! Comparing what `resources` says with what a fixture's libraries say of themselves.

#![allow(clippy::unwrap_used, dead_code, reason = "test support, used in part by each test binary")]

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Every way in which the document differs from the fixture's rows: each row must be there, of
/// its kind, in its state, with its metrics (null: must be left out) and shown values.
pub(crate) fn differences(document: &Value, truth: &Value) -> Vec<String> {
    let rows = document["resources"].as_array().unwrap();
    let by_address: BTreeMap<&str, &Value> =
        rows.iter().map(|row| (row["address"].as_str().unwrap(), row)).collect();
    let mut wrong = Vec::new();
    let expected = truth["rows"].as_array().unwrap();
    assert!(!expected.is_empty(), "the fixture has no resources");
    for row in expected {
        let (kind, address) = (&row["kind"], row["address"].as_str().unwrap());
        let Some(found) = by_address.get(address) else {
            wrong.push(format!("{kind} at {address} was not found"));
            continue;
        };
        let mut compare = |what: &str, expected: &Value, found: Option<&Value>, why: &Value| {
            let same = match (expected, found) {
                (Value::Null, found) => found.is_none(),
                (Value::Number(a), Some(Value::Number(b))) => a.as_f64() == b.as_f64(),
                (expected, found) => found == Some(expected),
            };
            if !same {
                let found = found.map_or("nothing".to_owned(), Value::to_string);
                wrong.push(format!("{kind} at {address}: {what} {found}, not {expected} {why}"));
            }
        };
        let why = |name: &str| &found["unknown"][name];
        compare("kind", kind, found.get("kind"), &Value::Null);
        compare("state", &row["state"], found.get("state"), why("state"));
        for part in ["metrics", "show"] {
            let empty = Map::new();
            for (name, value) in row[part].as_object().unwrap_or(&empty) {
                compare(name, value, found[part].get(name), why(name));
            }
        }
    }
    wrong
}

/// The rows of a kind in a fixture's answer, by state.
pub(crate) fn states(truth: &Value, kind: &str) -> BTreeMap<String, u64> {
    let mut states = BTreeMap::new();
    for row in truth["rows"].as_array().unwrap() {
        if row["kind"] == kind {
            *states.entry(row["state"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    states
}
