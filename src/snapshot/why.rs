//! Who holds objects, according to a snapshot file: from its graph of references, or, where it
//! has none, from the groups that every file keeps.

use super::file::SnapshotFile;
use super::graph::answer::{Selected, Show};
use super::holders::{Held, Holders, Proven};
use super::{FileError, ResourceRow, VERSION, WhyDocument};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Which objects are asked for.
pub enum Asked<'a> {
    /// The one at an address.
    Object(u64),
    /// Resources of a kind or of an entry of the catalogue, in any state or in one.
    Resources {
        /// A kind, or the id of an entry.
        name: &'a str,
        /// A state of the catalogue, or of a TCP socket.
        state: Option<&'a str>,
    },
    /// Instances of types, by their names.
    Types {
        /// The types that are certainly meant.
        exactly: &'a dyn Fn(&str) -> bool,
        /// Where there is none of those: the types that may be meant.
        roughly: &'a dyn Fn(&str) -> bool,
    },
}

/// Who holds these objects; `selector` is how the user put it.
pub fn why(
    file: &mut SnapshotFile,
    asked: &Asked<'_>,
    selector: &str,
    show: Show,
) -> Result<WhyDocument, FileError> {
    let held = file.held()?;
    let proven = held.iter().flat_map(|held| held.proven.clone());
    let (graph, holders, proven): (_, _, Vec<Proven>) = match file.graph()? {
        Some(graph) => {
            let selected = match *asked {
                Asked::Object(address) => Selected::Object(address),
                Asked::Types { exactly, roughly } => Selected::Types { exactly, roughly },
                Asked::Resources { name, state: None } => {
                    Selected::Resources { name, addresses: None }
                }
                Asked::Resources { name, state: Some(state) } => {
                    let addresses = in_state(file, name, state)?;
                    Selected::Resources { name, addresses: Some(addresses) }
                }
            };
            let holders = graph.holders(&selected, show);
            let meant = graph.addresses(&selected);
            (Some(graph.info), holders, among(proven, &meant))
        }
        None => {
            let answer = match &held {
                Some(held) => kept(file, held, asked, show)?,
                None => None,
            };
            let no_graph = || FileError::NoGraph { path: file.path().to_owned() };
            let (holders, meant) = answer.ok_or_else(no_graph)?;
            (None, holders, among(proven, &meant))
        }
    };
    let summary = file.summary();
    Ok(WhyDocument {
        schema: WhyDocument::SCHEMA,
        pyattach: VERSION,
        process: summary.process.clone(),
        capture: summary.capture.clone(),
        selector: selector.to_owned(),
        graph,
        holders,
        // Of which objects that is said, files do not keep.
        hidden: Vec::new(),
        proven,
    })
}

/// What is proven of some of these objects.
fn among(proven: impl Iterator<Item = Proven>, meant: &HashSet<u64>) -> Vec<Proven> {
    let is_meant = |address: &String| number(address).is_some_and(|it| meant.contains(&it));
    proven.filter(|one| one.objects.iter().any(is_meant)).collect()
}

fn number(address: &str) -> Option<u64> {
    u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()
}

/// A socket's descriptor and what the kernel says of it.
#[derive(Debug, Deserialize)]
struct SocketState {
    fd: Option<i64>,
    state: Option<String>,
}

/// The addresses of the resources in a state.
fn in_state(file: &mut SnapshotFile, name: &str, state: &str) -> Result<BTreeSet<u64>, FileError> {
    let rows: Vec<ResourceRow> = file.rows("resources")?;
    let sockets: Vec<SocketState> = file.rows("sockets")?;
    let of_descriptor: BTreeMap<i64, String> =
        sockets.into_iter().filter_map(|row| Some((row.fd?, row.state?))).collect();
    let is = |found: Option<&String>| found.is_some_and(|it| it.eq_ignore_ascii_case(state));
    let fits = |row: &&ResourceRow| {
        let known = row.fd.and_then(|fd| of_descriptor.get(&fd));
        (row.kind == name || row.id == name) && (is(row.state.as_ref()) || is(known))
    };
    Ok(rows.iter().filter(fits).filter_map(|row| number(&row.address)).collect())
}

/// The groups that are kept of a kind or type, and the addresses of resources among the objects.
/// `None`: these do not answer the question.
fn kept(
    file: &mut SnapshotFile,
    held: &Held,
    asked: &Asked<'_>,
    show: Show,
) -> Result<Option<(Holders, HashSet<u64>)>, FileError> {
    let (family, name) = match asked {
        Asked::Resources { name, state: None } => ("resource", (*name).to_owned()),
        Asked::Resources { state: Some(_), .. } | Asked::Object(_) => return Ok(None),
        Asked::Types { exactly, roughly } => {
            let types = file.types(&mut super::file::KnownNames::default())?;
            let matching = |fits: &dyn Fn(&str) -> bool| -> Vec<String> {
                let names = types.iter().map(|row| &row.name);
                names.filter(|name| fits(name)).cloned().collect()
            };
            let mut names = matching(exactly);
            if names.is_empty() {
                names = matching(roughly);
            }
            match &names[..] {
                [one] => ("type", one.clone()),
                _ => return Ok(None),
            }
        }
    };
    let found = held.by_subject().enumerate();
    let mut found = found.filter(|(_, (one, _))| one.family == family && one.name == name);
    let Some((place, (subject, groups))) = found.next() else { return Ok(None) };
    let before: u64 = held.subjects.iter().take(place).map(|subject| subject.groups).sum();
    let mine = before..before + subject.groups;
    let of = held.of.iter().filter(|&(_, &group)| mine.contains(&(group as u64)));
    let meant = of.filter_map(|(address, _)| number(address)).collect();
    let mut holders = Holders {
        total: subject.total,
        groups: groups.to_vec(),
        groups_not_shown: subject.groups_not_shown,
        objects_not_shown: subject.objects_not_shown,
        ..Holders::default()
    };
    for group in &holders.groups {
        holders.retained_bytes = holders.retained_bytes.saturating_add(group.retained_bytes);
        for (kind, count) in &group.retained {
            *holders.retained.entry(kind.clone()).or_default() += count;
        }
    }
    let hidden = holders.groups.split_off(show.groups.min(holders.groups.len()));
    holders.groups_not_shown += hidden.len() as u64;
    holders.objects_not_shown += hidden.iter().map(|group| group.count).sum::<u64>();
    Ok(Some((holders, meant)))
}
