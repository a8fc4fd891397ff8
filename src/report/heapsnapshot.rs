//! The heap in the format of V8's heap snapshots, for Chrome DevTools and memlab.
//!
//! Flat arrays of integers: a node is six, an edge three, and an edge leads to the place of a
//! node in the array, not to its number. Both tools keep all of them in 32 bits. DevTools looks
//! for leaks ("detached") among nodes of type `native` only, and passes that on from one to the
//! next unless it is told that they are attached; so resources are `native` and attached.

use super::escape::escape;
use crate::snapshot::heap::{HeapKind, HeapName, HeapRows};
use serde_json::json;
use std::io::{self, Write};

/// Integers of a node.
const NODE_FIELDS: u32 = 6;
const NODE_TYPES: [&str; 15] = [
    "hidden",
    "array",
    "string",
    "object",
    "code",
    "closure",
    "regexp",
    "number",
    "native",
    "synthetic",
    "concatenated string",
    "sliced string",
    "symbol",
    "bigint",
    "object shape",
];
const EDGE_TYPES: [&str; 7] =
    ["context", "element", "property", "internal", "hidden", "shortcut", "weak"];
/// `detachedness`
const UNKNOWN: u32 = 0;
const ATTACHED: u32 = 1;
const DETACHED: u32 = 2;

/// Writes the file.
pub fn write(out: &mut impl Write, heap: &HeapRows) -> io::Result<()> {
    let meta = json!({
        "node_fields": ["type", "name", "id", "self_size", "edge_count", "detachedness"],
        "node_types": [NODE_TYPES, "string", "number", "number", "number", "number"],
        "edge_fields": ["type", "name_or_index", "to_node"],
        "edge_types": [EDGE_TYPES, "string_or_number", "node"],
        "trace_function_info_fields":
            ["function_id", "name", "script_name", "script_id", "line", "column"],
        "trace_node_fields": ["id", "function_info_index", "count", "size", "children"],
        "sample_fields": ["timestamp_us", "last_assigned_id"],
        "location_fields": ["object_index", "script_id", "line", "column"],
    });
    let snapshot = json!({
        "meta": meta,
        "node_count": heap.nodes.len(),
        "edge_count": heap.references.len(),
        "trace_function_count": 0,
    });
    // The keys in the order that V8 writes them: tools read it as a stream.
    write!(out, "{{\"snapshot\":{snapshot},\n\"nodes\":[")?;
    for (place, node) in heap.nodes.iter().enumerate() {
        let detached = match (node.leaked, node.kind) {
            (true, _) => DETACHED,
            (false, HeapKind::Resource) => ATTACHED,
            _ => UNKNOWN,
        };
        let kind = if node.leaked { HeapKind::Resource } else { node.kind };
        let size = u32::try_from(node.size).unwrap_or(u32::MAX);
        let comma = if place == 0 { "" } else { "," };
        let (name, id, count) = (node.name, node.id, node.references);
        writeln!(out, "{comma}{},{name},{id},{size},{count},{detached}", node_type(kind))?;
    }
    write!(out, "],\n\"edges\":[")?;
    for (place, edge) in heap.references.iter().enumerate() {
        let (kind, name) = match edge.name {
            HeapName::Variable(name) => (0, name),
            HeapName::Index(index) => (1, index),
            HeapName::Property(name) => (2, name),
            HeapName::Internal(name) => (3, name),
            HeapName::Weak(name) => (6, name),
        };
        let comma = if place == 0 { "" } else { "," };
        writeln!(out, "{comma}{kind},{name},{}", edge.to.saturating_mul(NODE_FIELDS))?;
    }
    write!(out, "],\n\"trace_function_infos\":[],\n\"trace_tree\":[],\n\"samples\":[],\n")?;
    write!(out, "\"locations\":[],\n\"strings\":[")?;
    for (place, text) in heap.strings.iter().enumerate() {
        let comma = if place == 0 { "" } else { ",\n" };
        write!(out, "{comma}{}", json!(escape(text)))?;
    }
    writeln!(out, "]}}")
}

fn node_type(kind: HeapKind) -> usize {
    let name = match kind {
        HeapKind::Synthetic => "synthetic",
        HeapKind::Object => "object",
        HeapKind::Text => "string",
        HeapKind::Number => "number",
        HeapKind::Function => "closure",
        HeapKind::Code => "code",
        HeapKind::Resource => "native",
    };
    NODE_TYPES.iter().position(|&known| known == name).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::heap::{HeapNode, HeapReference};

    #[test]
    fn edges_lead_to_places() {
        let node = |kind, name, references, leaked| HeapNode {
            kind,
            name,
            id: 2 * name + 1,
            size: 10,
            references,
            leaked,
        };
        let heap = HeapRows {
            nodes: vec![
                node(HeapKind::Synthetic, 0, 2, false),
                node(HeapKind::Object, 1, 0, true),
                node(HeapKind::Resource, 2, 0, false),
            ],
            references: vec![
                HeapReference { name: HeapName::Index(7), to: 1 },
                HeapReference { name: HeapName::Weak(2), to: 2 },
            ],
            strings: vec![String::new(), "a\u{1b}".to_owned(), "\"".to_owned()],
        };
        let mut out = Vec::new();
        write(&mut out, &heap).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["nodes"], json!([9, 0, 1, 10, 2, 0, 8, 1, 3, 10, 0, 2, 8, 2, 5, 10, 0, 1]));
        assert_eq!(read["edges"], json!([1, 7, 6, 6, 2, 12]));
        assert_eq!(read["strings"], json!(["", "a\\x1b", "\""]));
        assert_eq!(read["snapshot"]["edge_count"], 2);
    }
}
