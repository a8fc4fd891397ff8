//! From a file's text to entries: every expression parsed, every name checked.

use super::entry::{Entry, Limits, Named};
use super::error::Mistake;
use super::file::{self, File, Text};
use crate::resources::evaluate::{FieldPlace, FieldSpec, StructSpec};
use crate::resources::expression::{Node, parse};

/// Keys of `[[resource]]`, which are not names for anything below it.
const ENTRY_KEYS: [&str; 14] = [
    "id",
    "kind",
    "about",
    "types",
    "module",
    "since",
    "until",
    "shared",
    "state",
    "metrics",
    "show",
    "links",
    "limits",
    "total_limits",
];
/// Metric names with a meaning that rules know.
pub const STANDARD_METRICS: [&str; 9] =
    ["in_use", "idle", "limit", "created", "waiters", "timeout", "fd", "requests", "queued"];

/// What one file declares.
pub(super) struct Loaded {
    pub(super) entries: Vec<Entry>,
    pub(super) structs: Vec<StructSpec>,
}

/// Reads the text of one file; all mistakes that can be found in one go.
pub(super) fn load(text: &str, source: &str) -> Result<Loaded, Vec<Mistake>> {
    let file: File = toml::from_str(text).map_err(|error| vec![syntax(text, &error)])?;
    let mut loader = Loader { text, mistakes: Vec::new() };
    let mut entries: Vec<Entry> = Vec::new();
    for raw in file.resource {
        let entry = loader.entry(&raw, source);
        if entries.iter().any(|known| known.id == entry.id) {
            loader.mistake(raw.id.span().start, format!("a second entry '{}'", entry.id));
        }
        entries.push(entry);
    }
    let mut structs = Vec::new();
    for (_, raw) in file.structs.0 {
        structs.push(loader.structure(&raw));
    }
    match loader.mistakes.is_empty() {
        true => Ok(Loaded { entries, structs }),
        false => {
            loader.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
            Err(loader.mistakes)
        }
    }
}

/// A mistake that the TOML reader found, with a hint where we can guess what was meant.
fn syntax(text: &str, error: &toml::de::Error) -> Mistake {
    let at = error.span().map_or(0, |span| span.start);
    let message = error.message().to_owned();
    let key = message.split('`').nth(1).filter(|_| message.starts_with("unknown field"));
    let place = match key {
        Some(key) if STANDARD_METRICS.contains(&key) => Some("[resource.metrics]"),
        Some("closed" | "open" | "idle_state") => Some("[resource.state]"),
        Some("warn" | "critical") => Some("[resource.limits] or [resource.total_limits]"),
        Some("fields") => Some("[struct.NAME.fields]"),
        Some(key) if ENTRY_KEYS.contains(&key) => Some("[[resource]]"),
        _ => None,
    };
    match (key, place) {
        (Some(key), Some(place)) => {
            Mistake::at(text, at, format!("'{key}' belongs under {place}, not here"))
        }
        _ => Mistake::at(text, at, message),
    }
}

struct Loader<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl Loader<'_> {
    fn mistake(&mut self, byte: usize, message: impl Into<String>) {
        self.mistakes.push(Mistake::at(self.text, byte, message));
    }

    fn entry(&mut self, raw: &file::Resource, source: &str) -> Entry {
        self.check_name(&raw.id, "an id", true);
        self.check_name(&raw.kind, "a kind", false);
        if raw.types.get_ref().is_empty() {
            self.mistake(raw.types.span().start, "an entry needs the name of a type");
        }
        for name in raw.types.get_ref() {
            self.check_type(name);
        }
        if (raw.since.is_some() || raw.until.is_some()) && raw.module.is_none() {
            let at = raw.since.as_ref().or(raw.until.as_ref()).map_or(0, |text| text.span().start);
            self.mistake(at, "since and until need 'module', whose version they mean");
        }
        let metrics = self.named(&raw.metrics, "metrics");
        let numbers: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        let limits = self.limits(&raw.limits, &numbers, false);
        let total_limits = self.limits(&raw.total_limits, &numbers, true);
        let shared = raw.shared.as_ref().and_then(|text| {
            let node = self.expression(text)?;
            Some(Named { name: "shared".to_owned(), text: text.get_ref().clone(), node })
        });
        let plain = |text: &Option<Text>| text.as_ref().map(|text| text.get_ref().clone());
        Entry {
            id: raw.id.get_ref().clone(),
            kind: raw.kind.get_ref().clone(),
            about: plain(&raw.about).unwrap_or_default(),
            types: raw.types.get_ref().iter().map(|name| name.get_ref().clone()).collect(),
            module: plain(&raw.module),
            since: plain(&raw.since),
            until: plain(&raw.until),
            shared,
            state: self.named(&raw.state, "state"),
            show: self.named(&raw.show, "show"),
            links: self.named(&raw.links, "links"),
            metrics,
            limits,
            total_limits,
            source: source.to_owned(),
        }
    }

    fn named(&mut self, table: &file::Table<Text>, header: &str) -> Vec<Named> {
        let mut found = Vec::new();
        for (name, text) in &table.0 {
            if ENTRY_KEYS.contains(&name.get_ref().as_str()) {
                let message = format!(
                    "'{}' belongs under [[resource]], before [resource.{header}]",
                    name.get_ref()
                );
                self.mistake(name.span().start, message);
                continue;
            }
            self.check_name(name, "a name", false);
            if let Some(node) = self.expression(text) {
                let (name, text) = (name.get_ref().clone(), text.get_ref().clone());
                found.push(Named { name, text, node });
            }
        }
        found
    }

    fn limits(&mut self, raw: &file::Limits, metrics: &[&str], totals: bool) -> Limits {
        let mut limit = |text: &Option<Text>, name: &str| {
            let text = text.as_ref()?;
            let mut node = self.expression(text)?;
            if let Err(unknown) = over_metrics(&mut node, metrics, totals) {
                let known = metrics.join(", ");
                let count = if totals { "count, " } else { "" };
                let message = format!("{unknown}; a limit is over {count}{known}");
                self.mistake(text.span().start, message);
            }
            Some(Named { name: name.to_owned(), text: text.get_ref().clone(), node })
        };
        Limits { warn: limit(&raw.warn, "warn"), critical: limit(&raw.critical, "critical") }
    }

    fn expression(&mut self, text: &Text) -> Option<Node> {
        match parse(text.get_ref()) {
            Ok(node) => Some(node),
            Err(error) => {
                let span = text.span();
                // Escapes and quotes of three shift the text; then its start is near enough.
                let inside = span.start + 1..span.end.saturating_sub(1);
                let plain = self.text.get(inside) == Some(text.get_ref().as_str());
                let at = if plain { span.start + 1 + error.at } else { span.start };
                self.mistake(at, error.message);
                None
            }
        }
    }

    fn structure(&mut self, raw: &file::Struct) -> StructSpec {
        for name in &raw.types {
            self.check_type(name);
        }
        let mut fields = Vec::new();
        for (name, field) in &raw.fields.0 {
            self.check_name(name, "a field", false);
            let spec = match field {
                file::Field::Fixed(text) => {
                    self.place(text, name.span().start).map(FieldSpec::Fixed)
                }
                file::Field::ByVersion(table) => {
                    let mut places = Vec::new();
                    for (version, text) in &table.0 {
                        let place = self.place(text.get_ref(), text.span().start);
                        places.extend(place.map(|place| (version.get_ref().clone(), place)));
                    }
                    Some(FieldSpec::ByVersion(places))
                }
            };
            fields.extend(spec.map(|spec| (name.get_ref().clone(), spec)));
        }
        let module = raw.module.as_ref().map_or("python", |module| module.get_ref());
        StructSpec {
            types: raw.types.iter().map(|name| name.get_ref().clone()).collect(),
            module: module.to_owned(),
            fields,
        }
    }

    fn place(&mut self, text: &str, at: usize) -> Option<FieldPlace> {
        text.parse().map_err(|message: String| self.mistake(at, message)).ok()
    }

    fn check_name(&mut self, name: &Text, what: &str, dotted: bool) {
        let allowed = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || (dotted && "-.".contains(c))
        };
        let text = name.get_ref();
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            let more = if dotted { ", dots and dashes" } else { "" };
            let message = format!("{what} has small letters, digits, underscores{more}");
            self.mistake(name.span().start, message);
        }
    }

    fn check_type(&mut self, name: &Text) {
        if !name.get_ref().contains('.') {
            let message =
                format!("a type is MODULE.NAME: '__main__.{0}' or 'builtins.{0}'?", name.get_ref());
            self.mistake(name.span().start, message);
        }
    }
}

/// Turns the names in a limit into metrics; an error names the first that is none.
fn over_metrics(node: &mut Node, metrics: &[&str], totals: bool) -> Result<(), String> {
    match node {
        Node::Attribute(of, name) if **of == Node::Me => {
            let known = metrics.contains(&name.as_str()) || (totals && name == "count");
            if !known {
                return Err(format!("no metric '{name}'"));
            }
            *node = Node::Metric(std::mem::take(name));
            Ok(())
        }
        Node::None | Node::Bool(_) | Node::Int(_) | Node::Text(_) => Ok(()),
        Node::Not(inner) | Node::Negate(inner) => over_metrics(inner, metrics, totals),
        Node::And(a, b)
        | Node::Or(a, b)
        | Node::Else(a, b)
        | Node::Compare(_, a, b)
        | Node::Arithmetic(_, a, b) => {
            over_metrics(a, metrics, totals)?;
            over_metrics(b, metrics, totals)
        }
        _ => Err("no attributes or functions in a limit".to_owned()),
    }
}
