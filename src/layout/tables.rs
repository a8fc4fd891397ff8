//! The built-in tables. Adding a Python version is a file under `tables/` and a line here.

use super::table::Table;
use super::version::{Flavour, Version};

/// Series, flavour and text of each table, oldest first.
const TABLES: &[(&str, &str, &str)] = &[
    ("3.8", "gil", include_str!("tables/3.8-gil.json")),
    ("3.9", "gil", include_str!("tables/3.9-gil.json")),
    ("3.10", "gil", include_str!("tables/3.10-gil.json")),
    ("3.11", "gil", include_str!("tables/3.11-gil.json")),
    ("3.11", "debug", include_str!("tables/3.11-debug.json")),
    ("3.12", "gil", include_str!("tables/3.12-gil.json")),
    ("3.13", "gil", include_str!("tables/3.13-gil.json")),
    ("3.13", "debug", include_str!("tables/3.13-debug.json")),
    ("3.14", "gil", include_str!("tables/3.14-gil.json")),
    ("3.14", "debug", include_str!("tables/3.14-debug.json")),
    ("3.15", "gil", include_str!("tables/3.15-gil.json")),
    ("3.15", "debug", include_str!("tables/3.15-debug.json")),
];

/// The oldest and the newest series with a table.
pub const OLDEST: (u8, u8) = (3, 8);
/// See [`OLDEST`].
pub const NEWEST: (u8, u8) = (3, 15);

/// The table of a version and flavour.
pub fn of(version: Version, flavour: Flavour) -> Option<Table> {
    named(&version.series(), flavour.name())
}

/// The table with these names.
pub fn named(series: &str, flavour: &str) -> Option<Table> {
    let (.., text) = TABLES.iter().find(|(s, f, _)| *s == series && *f == flavour)?;
    // The texts are part of this program; a test parses them all.
    serde_json::from_str(text).ok()
}

/// The names of all tables, "3.11" or "3.14 (debug)".
pub fn known() -> Vec<String> {
    TABLES
        .iter()
        .map(|(series, flavour, _)| match *flavour {
            "gil" => (*series).to_owned(),
            other => format!("{series} ({other})"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::structs::Structs;
    use proptest::prelude::*;

    #[test]
    fn every_table_parses_and_is_complete() {
        for (series, flavour, text) in TABLES {
            let table: Table = serde_json::from_str(text).expect("JSON");
            assert_eq!((table.series.as_str(), table.flavour.as_str()), (*series, *flavour));
            assert!(table.provenance.version.starts_with(series));
            assert!(!table.provenance.build_ids.is_empty());
            Structs::from_table(&table).expect("complete");
            assert_eq!(table.to_text(), *text, "the file is as `layout extract` writes it");
        }
    }

    #[test]
    fn the_bounds_are_those_of_the_list() {
        let name = |(major, minor): (u8, u8)| format!("{major}.{minor}");
        assert_eq!(TABLES.first().map(|t| t.0.to_owned()), Some(name(OLDEST)));
        assert_eq!(TABLES.last().map(|t| t.0.to_owned()), Some(name(NEWEST)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damaged_tables_are_errors(
            index in 0..TABLES.len(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            copy in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut text = TABLES[index].2.as_bytes().to_vec();
            for (at, value) in flips {
                let at = at.index(text.len());
                text[at] = value;
            }
            // Whatever still parses can be asked for its fields.
            if let Ok(table) = serde_json::from_slice::<Table>(&text) {
                let _ = Structs::from_table(&table);
                for field in table.structs.values().flat_map(|found| found.fields.values()) {
                    let _ = (field.in_bytes(&copy), field.pointer_in(&copy), field.end());
                }
            }
        }
    }
}
