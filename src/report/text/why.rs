//! Who holds the objects, as text.

use super::header;
use super::style::{BOLD, DIM, ERROR, GOOD, HINT, WARN};
use super::units::{bytes, number};
use crate::report::escape::escape;
use crate::snapshot::holders::{
    Accumulation, CreationSite, GraphInfo, HiddenWaker, HolderGroup, Holders, Location, Owner,
    Proven, WhyDocument,
};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes who holds what.
pub fn write(out: &mut impl Write, document: &WhyDocument) -> io::Result<()> {
    header::write(out, &document.process, &document.capture)?;
    let holders = &document.holders;
    if holders.total == 0 {
        writeln!(out, "{BOLD}Nothing matches '{}'.{BOLD:#}", escape(&document.selector))?;
        writeln!(
            out,
            "\n{HINT}hint:{HINT:#} `pyattach census {}` lists types and kinds",
            document.process.pid
        )?;
        return Ok(());
    }
    let (total, selector) = (number(holders.total), escape(&document.selector));
    write!(out, "{BOLD}{total} × {selector}{BOLD:#}")?;
    let alive = holders.total - holders.garbage.min(holders.total);
    if alive > 0 {
        write!(out, ", holding {}", weight(holders.retained_bytes, &holders.retained))?;
    }
    writeln!(out)?;
    if holders.garbage > 0 {
        let garbage = number(holders.garbage);
        writeln!(out, "{DIM}{garbage} of them are garbage: they wait for the collector{DIM:#}")?;
    }
    for group in &holders.groups {
        writeln!(out)?;
        write_group(out, group)?;
    }
    if holders.groups_not_shown > 0 {
        let (groups, objects) =
            (number(holders.groups_not_shown), number(holders.objects_not_shown));
        writeln!(out, "\n{DIM}… and {objects} in {groups} smaller groups (--all){DIM:#}")?;
    }
    for proven in &document.proven {
        write_proven(out, proven)?;
    }
    for hidden in &document.hidden {
        write_hidden(out, hidden)?;
    }
    write_sites(out, holders)?;
    writeln!(out)?;
    match &document.graph {
        Some(graph) => write_graph(out, graph),
        None => Ok(()),
    }
}

/// The groups of something that is part of another report.
pub(in crate::report) fn write_group(out: &mut impl Write, group: &HolderGroup) -> io::Result<()> {
    let of = match group.count == group.total {
        true if group.count == 1 => "the only one".to_owned(),
        true => format!("all {}", number(group.count)),
        false => format!("{} of {}", number(group.count), number(group.total)),
    };
    writeln!(out, "{BOLD}{of}{BOLD:#}  {}", escape(&group.path))?;
    if let Some(accumulation) = &group.accumulation {
        writeln!(out, "    in      {}", container(accumulation, group))?;
    }
    if let Some(owner) = &group.owner {
        writeln!(out, "    owner   {}", owned(owner))?;
    }
    if let Some(live) = &group.live {
        writeln!(out, "    now at  {}", location(live))?;
    }
    writeln!(out, "    frees   {}", weight(group.retained_bytes, &group.retained))?;
    if let Some(surplus) = group.from_c {
        let plural = if surplus == 1 { "reference" } else { "references" };
        writeln!(out, "    {WARN}held by C code{WARN:#}: {surplus} {plural} that no object has")?;
    }
    if group.inferred {
        writeln!(out, "    {DIM}a step was inferred from pointers in a C object{DIM:#}")?;
    }
    for other in &group.also {
        let count = match other.count == group.count {
            true => String::new(),
            false => format!("{} of them ", number(other.count)),
        };
        writeln!(out, "    {WARN}also{WARN:#}    {count}{}", escape(&other.path))?;
    }
    if group.only_holder && group.accumulation.is_some() && group.count > 1 {
        writeln!(out, "    {GOOD}nothing else holds them{GOOD:#}")?;
    }
    match group.examples.first() {
        Some(example) if group.count > 1 => writeln!(out, "    {DIM}one of them: {example}{DIM:#}"),
        Some(example) => writeln!(out, "    {DIM}{example}{DIM:#}"),
        None => Ok(()),
    }
}

fn container(accumulation: &Accumulation, group: &HolderGroup) -> String {
    let class = escape(&accumulation.class);
    let class = class.strip_prefix("builtins.").unwrap_or(&class).to_owned();
    let length = match accumulation.length {
        Some(length) if length == group.count || group.count == 1 => {
            format!(" of {}", number(length))
        }
        Some(length) => format!(" of {}, {} of them these", number(length), number(group.count)),
        None => String::new(),
    };
    let rest = group.path.strip_prefix(&accumulation.path);
    let path = match rest.is_some_and(|rest| !rest.trim_start_matches(" › ").contains('›')) {
        true => String::new(),
        false => format!("  {DIM}{}{DIM:#}", escape(&accumulation.path)),
    };
    format!("{BOLD}{class}{BOLD:#}{length} at {}{path}", accumulation.address)
}

fn owned(owner: &Owner) -> String {
    let place = match &owner.location {
        Some(place) => format!("  {}", location(place)),
        None => String::new(),
    };
    format!("{} {}{place}", owner.kind, escape(&owner.name))
}

fn location(location: &Location) -> String {
    let file = escape(&location.file);
    match location.line {
        Some(line) => format!("{file}:{line}"),
        None => file.into_owned(),
    }
}

fn weight(size: u64, resources: &BTreeMap<String, u64>) -> String {
    let mut parts = vec![bytes(size)];
    parts.extend(resources.iter().map(|(kind, count)| format!("{} {kind}", number(*count))));
    parts.join(", ")
}

pub(super) fn write_proven(out: &mut impl Write, proven: &Proven) -> io::Result<()> {
    let (count, waiting) = (number(proven.count), number(proven.waiting));
    let what = match proven.kind.as_str() {
        "future" => format!("{count} of {waiting} pending futures"),
        kind => format!("{count} of {waiting} waiting {kind}s"),
    };
    write!(out, "\n{ERROR}leaked for certain{ERROR:#}  {BOLD}{what}{BOLD:#}")?;
    if let Some(name) = &proven.waits_in {
        let place = proven.location.as_ref().map(location).unwrap_or_default();
        write!(out, " in {} {place}", escape(name))?;
    }
    writeln!(out, "\n    {}", escape(&proven.reason))
}

pub(super) fn write_hidden(out: &mut impl Write, hidden: &HiddenWaker) -> io::Result<()> {
    let (count, waiting) = (number(hidden.count), number(hidden.waiting));
    let kind = escape(&hidden.kind);
    writeln!(out, "\n{DIM}of {count} of {waiting} {kind}s, {}{DIM:#}", escape(&hidden.reason))
}

fn write_sites(out: &mut impl Write, holders: &Holders) -> io::Result<()> {
    if holders.sites.is_empty() {
        if let Some(hint) = &holders.sites_hint {
            writeln!(out, "\n{HINT}hint:{HINT:#} made where? {}", escape(hint))?;
        }
        return Ok(());
    }
    writeln!(out, "\n{BOLD}Made at{BOLD:#}")?;
    for CreationSite { count, source, frames } in &holders.sites {
        let first = frames.first().map(location).unwrap_or_default();
        writeln!(out, "{:>8}  {first}  {DIM}{}{DIM:#}", number(*count), escape(source))?;
        for frame in frames.iter().skip(1).take(4) {
            writeln!(out, "          {DIM}{}{DIM:#}", location(frame))?;
        }
    }
    Ok(())
}

pub(super) fn write_graph(out: &mut impl Write, graph: &GraphInfo) -> io::Result<()> {
    write!(out, "{DIM}{} objects, {} references", number(graph.objects), number(graph.references))?;
    if graph.inferred > 0 {
        write!(out, " ({} inferred)", number(graph.inferred))?;
    }
    if graph.garbage > 0 {
        let (count, size) = (number(graph.garbage), bytes(graph.garbage_bytes));
        write!(out, "; {count} objects ({size}) are garbage waiting for the collector")?;
    }
    writeln!(out, "{DIM:#}")
}
