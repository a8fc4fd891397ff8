//! Which objects are meant.

use crate::attach::collect::Problem;
use crate::heap::graph::{Graph, Node};
use crate::memory::Address;
use crate::resources::{Answer, Describer, Detail, Entry};
use std::collections::BTreeMap;
use std::fmt;

/// The objects that are asked for.
pub enum Wanted {
    /// The one at an address.
    Object(u64),
    /// Resources of a kind or of an entry of the catalogue, in any state or in one.
    Resources {
        /// A kind, or the id of an entry.
        name: String,
        /// A state of the catalogue, or of a TCP socket.
        state: Option<String>,
    },
    /// Instances of types, by their names.
    Types {
        /// The types that are certainly meant.
        exactly: Box<dyn Fn(&str) -> bool>,
        /// Where there is none of those: the types that may be meant.
        roughly: Box<dyn Fn(&str) -> bool>,
    },
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(address) => write!(f, "Object({address:#x})"),
            Self::Resources { name, state } => write!(f, "Resources({name}, {state:?})"),
            Self::Types { .. } => f.write_str("Types"),
        }
    }
}

/// The nodes that are wanted, in the order of their numbers.
pub(super) fn targets(
    graph: &Graph,
    describer: &Describer<'_, '_>,
    wanted: &Wanted,
    socket_states: Option<&BTreeMap<i64, String>>,
) -> Result<Vec<Node>, Problem> {
    let (name, state) = match wanted {
        Wanted::Object(address) => {
            return Ok(graph.node_at(Address::new(*address)).into_iter().collect());
        }
        Wanted::Types { exactly, roughly } => {
            let matching = |matches: &dyn Fn(&str) -> bool| -> Vec<bool> {
                graph.types().iter().map(|known| matches(known.class.name())).collect()
            };
            let mut types = matching(exactly);
            if !types.contains(&true) {
                types = matching(roughly);
            }
            let is_meant = |node: &Node| {
                let number = graph.type_number(*node);
                number.and_then(|number| types.get(number as usize)).copied().unwrap_or(false)
            };
            return Ok(graph.objects().filter(is_meant).collect());
        }
        Wanted::Resources { name, state } => (name, state),
    };
    let mut entries: Vec<Option<&Entry>> = Vec::with_capacity(graph.types().len());
    for known in graph.types() {
        let entry = describer.entry_for(&known.class)?;
        entries.push(entry.filter(|entry| entry.kind == *name || entry.id == *name));
    }
    let mut found = Vec::new();
    for node in graph.objects() {
        let Some(number) = graph.type_number(node) else { continue };
        let Some(Some(entry)) = entries.get(number as usize) else { continue };
        if let Some(state) = state
            && !is_in_state(describer, entry, graph.address(node), state, socket_states)?
        {
            continue;
        }
        found.push(node);
    }
    Ok(found)
}

fn is_in_state(
    describer: &Describer<'_, '_>,
    entry: &Entry,
    object: Address,
    state: &str,
    socket_states: Option<&BTreeMap<i64, String>>,
) -> Result<bool, Problem> {
    // The entry lives as long as the catalogue; the describer wants it from there.
    let Some(entry) = describer.catalog().entries().iter().find(|one| one.id == entry.id) else {
        return Ok(false);
    };
    let resource = match describer.describe(entry, object, Detail::Numbers) {
        Err(error) if error.fatal().is_some() => return Err(error),
        Err(_) => return Ok(false),
        Ok(resource) => resource,
    };
    if matches!(&resource.state, Answer::Text(own) if own.eq_ignore_ascii_case(state)) {
        return Ok(true);
    }
    let fd = resource.metrics.iter().find(|(name, _)| *name == "fd");
    let fd = fd.and_then(|(_, answer)| answer.as_int());
    let known = fd.zip(socket_states).and_then(|(fd, states)| states.get(&fd));
    Ok(known.is_some_and(|known| known.eq_ignore_ascii_case(state)))
}
