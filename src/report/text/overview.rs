//! Where things accumulate, as text.

use super::header;
use super::style::{BOLD, DIM, HINT};
use super::units::number;
use super::why::{write_graph, write_group, write_hidden, write_proven};
use crate::report::escape::escape;
use crate::snapshot::overview::OverviewDocument;
use std::io::{self, Write};

/// Kinds and types named beside the first.
const SHOWN: usize = 5;

/// Writes where things accumulate.
pub fn write(out: &mut impl Write, document: &OverviewDocument) -> io::Result<()> {
    header::write(out, &document.process, &document.capture)?;
    if document.accumulated.is_empty() {
        writeln!(out, "{BOLD}No container holds many resources or instances.{BOLD:#}")?;
    }
    for row in &document.accumulated {
        writeln!(out, "{BOLD}{} × {}{BOLD:#}", number(row.group.count), escape(&row.what))?;
        write_group(out, &row.group)?;
        if !row.others.is_empty() {
            let mut others: Vec<(&String, &u64)> = row.others.iter().collect();
            others.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
            let shown = others.iter().take(SHOWN);
            let mut parts: Vec<String> = shown
                .map(|(name, count)| format!("{} {}", number(**count), escape(name)))
                .collect();
            if others.len() > SHOWN {
                parts.push("…".to_owned());
            }
            writeln!(out, "    {DIM}with    {}{DIM:#}", parts.join(", "))?;
        }
        writeln!(out)?;
    }
    if document.not_shown > 0 {
        let count = number(document.not_shown);
        writeln!(out, "{DIM}… and {count} containers that hold less (--all){DIM:#}")?;
    }
    for proven in &document.proven {
        write_proven(out, proven)?;
    }
    for hidden in &document.hidden {
        write_hidden(out, hidden)?;
    }
    let pid = document.process.pid;
    writeln!(out, "\n{HINT}hint:{HINT:#} `pyattach why {pid} TYPE` shows all holders of a type")?;
    write_graph(out, &document.graph)
}
