//! Fields of C structs: from the validated layout, or declared in the catalogue by version.
//!
//! A declared offset is believed only for the versions it was declared for, and only when the
//! type's instances are large enough to have it.

use super::{Evaluator, Value};
use crate::cpython::{Result, Type};
use crate::layout::{self, Field};
use crate::memory::Address;
use std::rc::Rc;

/// Every struct that the catalogue declares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Structs(pub(crate) Vec<StructSpec>);

/// One declared struct.
#[derive(Debug, Clone)]
pub(crate) struct StructSpec {
    /// Names of the types whose instances begin with it.
    pub(crate) types: Vec<String>,
    /// The module whose version decides; "python" for the interpreter.
    pub(crate) module: String,
    /// Its fields by name.
    pub(crate) fields: Vec<(String, FieldSpec)>,
}

/// Where a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldSpec {
    /// In the same place in every version.
    Fixed(FieldPlace),
    /// By the beginning of the module's version.
    ByVersion(Vec<(String, FieldPlace)>),
}

/// `KIND@PLACE`: what is there, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPlace {
    kind: Kind,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Signed(u64),
    Unsigned(u64),
    Double,
    Bool,
    /// A pointer to an object; null is none.
    Object,
    /// A pointer of which only counts whether it is null.
    NonNull,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Offset from the object, then, through a pointer there, from what it points to, and so on.
    Path(Vec<u64>),
    /// A field of the layout tables.
    Layout(String),
}

/// Deepest path and largest offset that can be declared.
const MAX_PATH: usize = 4;
const MAX_OFFSET: u64 = 1 << 20;

/// Fields of the layout tables that catalogues can name.
const LAYOUT_FIELDS: [&str; 8] = [
    "socket.fd",
    "socket.family",
    "socket.type",
    "socket.proto",
    "task.loop",
    "task.state",
    "task.coroutine",
    "task.name",
];

fn layout_field(structs: &layout::Structs, name: &str) -> Option<Field> {
    let socket = structs.socket.as_ref();
    let task = structs.task.as_ref();
    match name {
        "socket.fd" => socket.map(|fields| fields.fd),
        "socket.family" => socket.map(|fields| fields.family),
        "socket.type" => socket.map(|fields| fields.kind),
        "socket.proto" => socket.map(|fields| fields.proto),
        "task.loop" => task.map(|fields| fields.event_loop),
        "task.state" => task.map(|fields| fields.state),
        "task.coroutine" => task.map(|fields| fields.coroutine),
        "task.name" => task.map(|fields| fields.name),
        _ => None,
    }
}

impl std::str::FromStr for FieldPlace {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || "a field is KIND@OFFSET, such as \"i32@16\"".to_owned();
        let (kind, place) = text.split_once('@').ok_or_else(wrong)?;
        let kind = match kind {
            "i8" => Kind::Signed(1),
            "i16" => Kind::Signed(2),
            "i32" => Kind::Signed(4),
            "i64" => Kind::Signed(8),
            "u8" => Kind::Unsigned(1),
            "u16" => Kind::Unsigned(2),
            "u32" => Kind::Unsigned(4),
            "u64" => Kind::Unsigned(8),
            "f64" => Kind::Double,
            "bool" => Kind::Bool,
            "object" => Kind::Object,
            "nonnull" => Kind::NonNull,
            _ => {
                return Err("kinds are i8 to i64, u8 to u64, f64, bool, object, nonnull".to_owned());
            }
        };
        if place.contains('.') {
            return match LAYOUT_FIELDS.contains(&place) {
                true => Ok(Self { kind, place: Place::Layout(place.to_owned()) }),
                false => Err(format!("the layout tables have {}", LAYOUT_FIELDS.join(", "))),
            };
        }
        let path: std::result::Result<Vec<u64>, _> = place.split('>').map(str::parse).collect();
        let path = path.map_err(|_| wrong())?;
        if path.len() > MAX_PATH || path.iter().any(|&offset| offset > MAX_OFFSET) {
            return Err("too long a path, or too large an offset".to_owned());
        }
        Ok(Self { kind, place: Place::Path(path) })
    }
}

/// A field of one type, looked up once.
#[derive(Debug, Clone)]
pub(super) enum FieldReader {
    Found { kind: Kind, path: Rc<[u64]> },
    Missing(Rc<str>),
}

impl Evaluator<'_, '_> {
    /// The declared field `name` of the object's struct.
    pub(super) fn field(&self, object: Address, name: &str) -> Result<Value> {
        let class = self.python.type_of(object)?;
        let known = self.fields.borrow();
        let found = known.get(&class.address).and_then(|by_name| by_name.get(name)).cloned();
        drop(known);
        let reader = match found {
            Some(reader) => reader,
            None => {
                let reader = match self.find_field(&class, name)? {
                    Ok((kind, path)) => FieldReader::Found { kind, path: path.into() },
                    Err(reason) => FieldReader::Missing(reason.into()),
                };
                let mut known = self.fields.borrow_mut();
                known.entry(class.address).or_default().insert(name.into(), reader.clone());
                reader
            }
        };
        match reader {
            FieldReader::Found { kind, path } => self.read_field(object, kind, &path),
            FieldReader::Missing(reason) => Ok(Value::Missing(reason)),
        }
    }

    fn read_field(&self, object: Address, kind: Kind, path: &[u64]) -> Result<Value> {
        let memory = self.python.memory();
        let mut at = object;
        for (index, &offset) in path.iter().enumerate() {
            if index > 0 {
                at = memory.read_pointer(at)?;
                if at.is_null() {
                    return Ok(Value::None);
                }
            }
            at = at.add(offset);
        }
        Ok(match kind {
            Kind::Signed(size) => Value::Int(Field::new(0, size).read_signed(memory, at)?),
            Kind::Unsigned(size) => {
                let value = i64::try_from(Field::new(0, size).read(memory, at)?);
                value.map_or_else(|_| Value::missing("a number beyond 63 bits"), Value::Int)
            }
            Kind::Double => Value::Float(f64::from_bits(memory.read_u64(at)?)),
            Kind::Bool => Value::Bool(Field::new(0, 1).read(memory, at)? != 0),
            Kind::Object => memory.read_pointer(at)?.non_null().map_or(Value::None, Value::Object),
            Kind::NonNull => Value::Bool(!memory.read_pointer(at)?.is_null()),
        })
    }

    /// What to read for the field `name` of instances of `class`, or why it is not known.
    fn find_field(
        &self,
        class: &Type,
        name: &str,
    ) -> Result<std::result::Result<(Kind, Vec<u64>), String>> {
        for &base in &class.mro {
            let base = self.python.type_at(base)?;
            let declared = self.structs.0.iter().filter(|spec| {
                spec.types.iter().any(|known| known == base.name())
                    && spec.fields.iter().any(|(known, _)| known == name)
            });
            for spec in declared {
                let Some((_, field)) = spec.fields.iter().find(|(known, _)| known == name) else {
                    continue;
                };
                let place = match field {
                    FieldSpec::Fixed(place) => place,
                    FieldSpec::ByVersion(places) => {
                        let Some(version) = self.version(&spec.module)? else {
                            return Ok(Err(format!("the version of {} is not known", spec.module)));
                        };
                        let found = places.iter().find(|(known, _)| begins(&version, known));
                        let Some((_, place)) = found else {
                            let owner = base.name();
                            let module = &spec.module;
                            return Ok(Err(format!(
                                "where {owner} has '{name}' in {module} {version} is not known"
                            )));
                        };
                        place
                    }
                };
                return Ok(self.placed(place, &base));
            }
        }
        Ok(Err(format!("no struct with '{name}' is declared for {}", class.name())))
    }

    fn placed(
        &self,
        place: &FieldPlace,
        class: &Type,
    ) -> std::result::Result<(Kind, Vec<u64>), String> {
        match &place.place {
            Place::Layout(name) => {
                let field = layout_field(&self.python.layout().structs, name);
                let field = field.ok_or_else(|| format!("the layout has no {name}"))?;
                Ok((place.kind, vec![field.offset]))
            }
            Place::Path(path) => {
                let size = match (&place.kind, path.len()) {
                    (Kind::Signed(size) | Kind::Unsigned(size), 1) => *size,
                    (Kind::Bool, 1) => 1,
                    _ => 8,
                };
                let end = path.first().map_or(0, |offset| offset.saturating_add(size));
                if end > class.basicsize {
                    return Err(format!("instances of {} are too small for it", class.name()));
                }
                Ok((place.kind, path.clone()))
            }
        }
    }
}

/// True when `version` is `prefix` or begins with it and a dot: "0.23.1" is of "0.23".
pub(crate) fn begins(version: &str, prefix: &str) -> bool {
    let rest = version.strip_prefix(prefix);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}
