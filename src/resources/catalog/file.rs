//! The shape of a catalogue file. Unknown keys are errors, and so is a key under the wrong
//! header: positions of names and values are kept so that an error can say where.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use toml::Spanned;

pub(super) type Text = Spanned<String>;

/// A table whose keys are free, in the order of the file.
#[derive(Debug)]
pub(super) struct Table<T>(pub(super) Vec<(Text, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Table(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A whole file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) resource: Vec<Resource>,
    #[serde(default, rename = "struct")]
    pub(super) structs: Table<Struct>,
}

/// `[[resource]]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    pub(super) id: Text,
    pub(super) kind: Text,
    pub(super) about: Option<Text>,
    pub(super) types: Spanned<Vec<Text>>,
    pub(super) module: Option<Text>,
    pub(super) since: Option<Text>,
    pub(super) until: Option<Text>,
    pub(super) shared: Option<Text>,
    #[serde(default)]
    pub(super) state: Table<Text>,
    #[serde(default)]
    pub(super) metrics: Table<Text>,
    #[serde(default)]
    pub(super) show: Table<Text>,
    #[serde(default)]
    pub(super) links: Table<Text>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) total_limits: Limits,
}

/// `[resource.limits]`, `[resource.total_limits]`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) warn: Option<Text>,
    pub(super) critical: Option<Text>,
}

/// `[struct.NAME]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Struct {
    pub(super) types: Vec<Text>,
    pub(super) module: Option<Text>,
    pub(super) fields: Table<Field>,
}

/// A field: one place, or one by version.
#[derive(Debug)]
pub(super) enum Field {
    Fixed(String),
    ByVersion(Table<Text>),
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("KIND@OFFSET, or a table of them by version")
            }

            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Fixed(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Field::ByVersion(Table(entries)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
