//! The class or function that owns a container, and where it is defined.

use super::Holding;
use crate::cpython::Type;
use crate::heap::graph::names::{Names, short};
use crate::heap::graph::{Kind, Node, Special};
use crate::memory::Address;
use crate::snapshot::holders::{Location, Owner};

/// Entries of a class that are looked through for its methods.
const MAX_METHODS: usize = 2000;
const MAX_PATH: usize = 4096;

/// Where the source file may have a line that memory does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: String,
    /// What stands at the beginning of the line.
    pub what: Definition,
    /// A line behind it, if one is known.
    pub before: Option<u64>,
}

/// What a line defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Definition {
    /// `class NAME`
    Class(String),
    /// `NAME =` or `NAME:`
    Variable(String),
}

/// What is known of an owner.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) owner: Option<Owner>,
    pub(super) live: Option<Location>,
    pub(super) place: Option<Place>,
}

/// The nearest class or function on the way from the root to `node`.
pub(super) fn of(names: &Names<'_, '_>, holding: &Holding<'_, '_>, node: Option<Node>) -> Found {
    let Some(node) = node else { return Found::default() };
    let graph = holding.graph;
    let mut found = Found::default();
    let mut at = node;
    let mut variable = None;
    loop {
        if let Some(Special::Frame { frame, .. }) = graph.special(at) {
            let line = frame.line.map(u64::from);
            found.live = Some(Location { file: frame.code.filename.clone(), line });
            if found.owner.is_none() {
                found.owner = Some(Owner {
                    kind: "function".to_owned(),
                    name: frame.qualname().unwrap_or(&frame.code.name).to_owned(),
                    location: Some(Location {
                        file: frame.code.filename.clone(),
                        line: u64::try_from(frame.code.first_line).ok(),
                    }),
                });
            }
            return found;
        }
        if found.owner.is_none() {
            own(names, holding, at, &mut variable, &mut found);
        }
        match holding.paths.parent(at) {
            Some((parent, _)) => at = parent,
            None => return found,
        }
    }
}

/// Looks whether `at` is an owner.
fn own(
    names: &Names<'_, '_>,
    holding: &Holding<'_, '_>,
    at: Node,
    variable: &mut Option<Node>,
    found: &mut Found,
) {
    let graph = holding.graph;
    if let Some((name, code)) = names.code_of(at) {
        found.owner = Some(Owner {
            kind: "function".to_owned(),
            name: name.split_once(' ').map_or(name.clone(), |(_, name)| name.to_owned()),
            location: Some(Location {
                file: code.filename.clone(),
                line: u64::try_from(code.first_line).ok(),
            }),
        });
        return;
    }
    if names.is_class(at) {
        if let Ok(class) = holding.python.type_at(graph.address(at)) {
            class_owner(holding, &class, found);
        }
        return;
    }
    if names.is_module(at) {
        let address = graph.address(at);
        let text = |name: &str| {
            holding.python.attribute_as(address, name, |text| holding.python.text(text, MAX_PATH))
        };
        let file = text("__file__");
        found.owner = Some(Owner {
            kind: "module".to_owned(),
            name: text("__name__").unwrap_or_default(),
            location: file.clone().map(|file| Location { file, line: None }),
        });
        let name = variable.and_then(|variable| global_name(holding, variable));
        found.place = file.zip(name).map(|(file, name)| Place {
            file,
            what: Definition::Variable(name),
            before: None,
        });
        return;
    }
    // An instance owns what its attributes hold.
    if let Some((parent, label)) = holding.paths.parent(at) {
        let namespace = holding.paths.parent(parent).filter(|(_, to)| to.kind() == Kind::Namespace);
        let instance = match label.kind() {
            Kind::Attribute | Kind::Field => Some(parent),
            Kind::Value => namespace.map(|(owner, _)| owner),
            _ => None,
        };
        if label.kind() == Kind::Value && namespace.is_some_and(|(owner, _)| names.is_module(owner))
        {
            *variable = Some(at);
            return;
        }
        let instance = instance.filter(|&one| !names.is_class(one) && !names.is_module(one));
        if let Some(class) = instance.and_then(|one| graph.class(one))
            && class.flags.heap_type()
        {
            class_owner(holding, class, found);
        }
    }
}

fn global_name(holding: &Holding<'_, '_>, variable: Node) -> Option<String> {
    let (dict, label) = holding.paths.parent(variable)?;
    let address = holding.graph.address(dict);
    let place = usize::try_from(label.place()).ok()?;
    let crate::cpython::DictTable::Combined(entries) = holding.python.dict_table(address).ok()?
    else {
        return None;
    };
    let at = entries.first.add(place as u64 * entries.stride + entries.key);
    let key = holding.python.memory().read_pointer(at).ok()?;
    holding.python.text(key, 200).ok()
}

/// A class tells its line itself from 3.13 on; before, its methods tell the file and a line
/// behind its beginning.
fn class_owner(holding: &Holding<'_, '_>, class: &Type, found: &mut Found) {
    let python = holding.python;
    let dict = python.layout().structs.type_object.dict;
    let items = match dict.read_pointer(python.memory(), class.address) {
        Ok(dict) if !dict.is_null() => python.dict_items(dict, MAX_METHODS).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut line = None;
    let mut first: Option<(String, i64)> = None;
    for (key, value) in items {
        if python.text_is(key, "__firstlineno__").unwrap_or(false) {
            line = python.small_integer(value).ok().and_then(|line| u64::try_from(line).ok());
        }
        let Ok(code) = python.function_code(value) else { continue };
        // A method that was put there from elsewhere says nothing of the class.
        let prefix = format!("{}.", short(class.name()));
        let own = python.function_name(value).is_ok_and(|name| name.contains(&prefix));
        if own && first.as_ref().is_none_or(|(_, line)| code.first_line < *line) {
            first = Some((code.filename.clone(), code.first_line));
        }
    }
    let file = match &first {
        Some((file, _)) => Some(file.clone()),
        None => module_file(holding, class.address),
    };
    if line.is_none()
        && let Some(file) = &file
    {
        found.place = Some(Place {
            file: file.clone(),
            what: Definition::Class(short(class.name()).to_owned()),
            before: first.and_then(|(_, line)| u64::try_from(line).ok()),
        });
    }
    found.owner = Some(Owner {
        kind: "class".to_owned(),
        name: class.name().to_owned(),
        location: file.map(|file| Location { file, line }),
    });
}

/// `__file__` of the module that a class says it is of.
fn module_file(holding: &Holding<'_, '_>, class: Address) -> Option<String> {
    let python = holding.python;
    let dict =
        python.layout().structs.type_object.dict.read_pointer(python.memory(), class).ok()?;
    let module = python.dict_get(dict, "__module__").ok()??;
    let module = python.text(module, 200).ok()?;
    let found = holding.interpreters.iter().find_map(|interpreter| {
        python.module_global(interpreter, &module, "__file__").ok().flatten()
    });
    python.text(found?, MAX_PATH).ok()
}
