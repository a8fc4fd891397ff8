//! The paths as a drawing in the DOT language: beginnings that paths share are drawn once.

use super::escape::escape;
use crate::snapshot::holders::WhyDocument;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes the groups as a graph from left to right.
pub fn write(out: &mut impl Write, document: &WhyDocument) -> io::Result<()> {
    writeln!(out, "digraph holders {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];")?;
    writeln!(out, "  edge [arrowsize=0.6, color=\"#666666\"];")?;
    let mut nodes: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for (index, group) in document.holders.groups.iter().enumerate() {
        let mut path: Vec<&str> = Vec::new();
        let mut from = None;
        for step in &group.steps {
            path.push(&step.text);
            let next = nodes.len();
            let known = *nodes.entry(path.clone()).or_insert(next);
            if known == next {
                writeln!(out, "  n{known} [label={}];", quoted(&step.text))?;
                if let Some(from) = from {
                    let style = if group.inferred { " [style=dashed]" } else { "" };
                    writeln!(out, "  n{from} -> n{known}{style};")?;
                }
            }
            from = Some(known);
        }
        let label = format!("{} × {}", group.count, document.selector);
        writeln!(
            out,
            "  g{index} [label={}, shape=ellipse, style=filled, fillcolor=\"#f5d0c5\"];",
            quoted(&label)
        )?;
        if let Some(from) = from {
            writeln!(out, "  n{from} -> g{index};")?;
        }
    }
    writeln!(out, "}}")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text).replace('\\', "\\\\").replace('"', "\\\""))
}
