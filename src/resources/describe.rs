//! From an object to a resource: which entry it belongs to, its state, numbers, texts, links.

use super::SocketFacts;
use super::catalog::{Catalog, Entry, Limits, Named};
use super::evaluate::{Evaluator, Scope, begins};
use super::value::{Answer, Value};
use crate::cpython::{Interpreter, Python, Result, Type};
use crate::memory::Address;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// How much of a resource is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// State, metrics and limits.
    Numbers,
    /// The shown texts and the links as well.
    Everything,
}

/// Which limit is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something to look at.
    Warn,
    /// Something is wrong.
    Critical,
}

impl Level {
    /// "warn" or "critical".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// One resource, described from memory.
#[derive(Debug, Clone)]
pub struct Resource<'c> {
    /// What it is.
    pub entry: &'c Entry,
    /// Its exact type.
    pub class: Rc<Type>,
    /// Where the object is.
    pub address: Address,
    /// The first state whose condition holds; none when none does.
    pub state: Answer,
    /// The object that has the numbers, if it is another one (see [`Entry::shared`]).
    pub shared: Option<Address>,
    /// Its numbers.
    pub metrics: Vec<(&'c str, Answer)>,
    /// Its texts.
    pub show: Vec<(&'c Named, Answer)>,
    /// Objects it is linked with.
    pub links: Vec<(&'c str, Address)>,
    /// The gravest limit that its metrics pass.
    pub level: Option<Level>,
}

/// Describes objects by a catalogue, over one picture of the target.
pub struct Describer<'c, 'm> {
    python: &'c Python<'m>,
    catalog: &'c Catalog,
    evaluator: Evaluator<'c, 'm>,
    /// Entries by the name of a type, the last one first.
    by_type: FxHashMap<&'c str, Vec<&'c Entry>>,
}

impl<'c, 'm> Describer<'c, 'm> {
    /// A describer by `catalog`. With `sockets`, `peer` and `tcp_state` have answers.
    pub fn new(
        python: &'c Python<'m>,
        interpreters: &'c [Interpreter],
        catalog: &'c Catalog,
        sockets: Option<&'c dyn SocketFacts>,
    ) -> Self {
        let mut by_type: FxHashMap<&str, Vec<&Entry>> = FxHashMap::default();
        for entry in catalog.entries().iter().rev() {
            for name in &entry.types {
                by_type.entry(name).or_default().push(entry);
            }
        }
        let evaluator = Evaluator::new(python, interpreters, &catalog.structs, sockets);
        Self { python, catalog, evaluator, by_type }
    }

    /// The catalogue it describes by.
    pub fn catalog(&self) -> &'c Catalog {
        self.catalog
    }

    /// The entry for instances of `class`: that of the most derived class of its MRO which has
    /// one for the version of its module. Worth keeping by type: it is asked once for each.
    pub fn entry_for(&self, class: &Type) -> Result<Option<&'c Entry>> {
        for &base in &class.mro {
            let Ok(base) = self.python.type_at(base) else { continue };
            for entry in self.by_type.get(base.name()).into_iter().flatten() {
                if self.is_of_version(entry)? {
                    return Ok(Some(entry));
                }
            }
        }
        Ok(None)
    }

    fn is_of_version(&self, entry: &Entry) -> Result<bool> {
        let Some(module) = &entry.module else { return Ok(true) };
        if entry.since.is_none() && entry.until.is_none() {
            return Ok(true);
        }
        let Some(version) = self.evaluator.version(module)? else { return Ok(false) };
        let since = entry.since.as_ref().is_none_or(|since| reaches(&version, since));
        let until = entry.until.as_ref().is_some_and(|until| reaches(&version, until));
        Ok(since && !until)
    }

    /// Describes the object at `address`, which `entry` is for.
    pub fn describe(
        &self,
        entry: &'c Entry,
        address: Address,
        detail: Detail,
    ) -> Result<Resource<'c>> {
        let class = self.python.type_of(address)?;
        let scope = Scope { me: address, it: None, metrics: &[] };
        let mut values = Vec::with_capacity(entry.metrics.len());
        for metric in &entry.metrics {
            let value = self.evaluator.evaluate(&metric.node, scope)?;
            values.push((metric.name.as_str(), as_number(value)));
        }
        let level = self.level(&entry.limits, &values)?;
        let shared = match &entry.shared {
            Some(shared) => match self.evaluator.evaluate(&shared.node, scope)? {
                Value::Object(shared) => Some(shared),
                _ => None,
            },
            None => None,
        };
        let mut resource = Resource {
            shared,
            entry,
            class,
            address,
            state: self.state(entry, scope)?,
            metrics: values.into_iter().map(|(name, value)| (name, answer(value))).collect(),
            show: Vec::new(),
            links: Vec::new(),
            level,
        };
        if detail == Detail::Everything {
            for shown in &entry.show {
                let value = self.evaluator.evaluate(&shown.node, scope)?;
                resource.show.push((shown, self.shown(value)?));
            }
            for link in &entry.links {
                if let Value::Object(to) = self.evaluator.evaluate(&link.node, scope)? {
                    resource.links.push((&link.name, to));
                }
            }
        }
        Ok(resource)
    }

    /// The gravest limit that `count` resources of an entry with these sums pass together.
    pub fn total_level(
        &self,
        entry: &Entry,
        count: u64,
        sums: &[(&str, Answer)],
    ) -> Result<Option<Level>> {
        let mut values = vec![("count", Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))];
        values.extend(sums.iter().map(|(name, sum)| {
            let value = match sum {
                Answer::Int(value) => Value::Int(*value),
                Answer::Float(value) => Value::Float(*value),
                _ => Value::missing("not known of all"),
            };
            (*name, value)
        }));
        self.level(&entry.total_limits, &values)
    }

    fn level(&self, limits: &Limits, metrics: &[(&str, Value)]) -> Result<Option<Level>> {
        let scope = Scope { me: Address::NULL, it: None, metrics };
        for (limit, level) in [(&limits.critical, Level::Critical), (&limits.warn, Level::Warn)] {
            let Some(limit) = limit else { continue };
            if self.evaluator.evaluate(&limit.node, scope)? == Value::Bool(true) {
                return Ok(Some(level));
            }
        }
        Ok(None)
    }

    /// The first state whose condition holds. A condition that is missing could have held, so
    /// none after it counts.
    fn state(&self, entry: &Entry, scope: Scope<'_>) -> Result<Answer> {
        for state in &entry.state {
            match self.evaluator.condition(&state.node, scope)? {
                Value::Bool(true) => return Ok(Answer::Text(state.name.clone())),
                Value::Missing(reason) => return Ok(Answer::Missing(reason.to_string())),
                _ => {}
            }
        }
        Ok(Answer::None)
    }

    fn shown(&self, value: Value) -> Result<Answer> {
        Ok(match value {
            Value::Object(object) => match self.python.type_of(object) {
                Ok(class) => Answer::Text(format!("{} at {object}", class.name())),
                Err(error) if error.fatal().is_some() => return Err(error),
                Err(_) => Answer::Missing("not a well-formed object".to_owned()),
            },
            Value::List(items) => Answer::Text(format!("{} items", items.len())),
            other => answer(other),
        })
    }
}

/// A metric is a number or none.
fn as_number(value: Value) -> Value {
    match value {
        Value::Bool(_) | Value::Text(_) | Value::Object(_) | Value::List(_) => {
            Value::missing("not a number")
        }
        other => other,
    }
}

fn answer(value: Value) -> Answer {
    match value {
        Value::None => Answer::None,
        Value::Bool(value) => Answer::Bool(value),
        Value::Int(value) => Answer::Int(value),
        Value::Float(value) => Answer::Float(value),
        Value::Text(text) => Answer::Text(text.to_string()),
        Value::Missing(reason) => Answer::Missing(reason.to_string()),
        Value::Object(_) | Value::List(_) => Answer::Missing("not a plain value".to_owned()),
    }
}

/// True when `version` is `bound` or later, number by number; a pre-release counts as its
/// release.
fn reaches(version: &str, bound: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        let parts = text.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().unwrap_or(0)
        });
        parts.collect()
    };
    begins(version, bound) || numbers(version) >= numbers(bound)
}

#[cfg(test)]
mod tests {
    use super::reaches;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(reaches("2.10.0", "2.9") && reaches("3.0.0b1", "3.0") && reaches("8.1", "8"));
        assert!(!reaches("2.8.9", "2.9") && !reaches("1.26.18", "2"));
    }
}
