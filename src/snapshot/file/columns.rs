//! The types of a snapshot as columns: what compresses well and is quick to read.
//!
//! Two sections. `type-names` holds the names in alphabetical order; it is mostly the same from
//! capture to capture, so a reader of many files parses it once. `types` holds one column for
//! each figure, in the order of the names.

use super::super::TypeRow;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The section `type-names`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    /// Addresses of the type objects of those that share their name, by place in `names`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) addresses: BTreeMap<usize, String>,
}

/// The section `types`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Columns {
    pub(super) count: Vec<u64>,
    pub(super) shallow_bytes: Vec<u64>,
    /// Of `count`, those in the youngest, the middle and the permanent generation; the others
    /// are in the oldest. Empty when the generations are not known.
    pub(super) young: Vec<u64>,
    pub(super) middle: Vec<u64>,
    pub(super) permanent: Vec<u64>,
}

/// Of the section `types`, what a series needs: to pass over numbers is quicker than to read them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    count: Vec<u64>,
    young: Vec<u64>,
    middle: Vec<u64>,
}

impl From<Counts> for Columns {
    fn from(Counts { count, young, middle }: Counts) -> Self {
        Self { count, young, middle, ..Self::default() }
    }
}

/// Both sections of some types, which are in the order of a file.
pub(super) fn of(types: &[TypeRow]) -> (Names, Columns) {
    let (mut names, mut columns) = (Names::default(), Columns::default());
    for (place, row) in types.iter().enumerate() {
        names.names.push(row.name.clone());
        if row.ambiguous {
            names.addresses.insert(place, row.address.clone());
        }
        columns.count.push(row.count);
        columns.shallow_bytes.push(row.shallow_bytes);
        if let Some([young, middle, _, permanent]) = row.generations {
            columns.young.push(young);
            columns.middle.push(middle);
            columns.permanent.push(permanent);
        }
    }
    (names, columns)
}

impl Columns {
    /// The columns are as long as the names, those of the generations also empty, that of the
    /// sizes if it was asked for.
    pub(super) fn fits(&self, names: &Names, bytes: bool) -> bool {
        let length = names.names.len();
        self.count.len() == length
            && self.shallow_bytes.len() == if bytes { length } else { 0 }
            && [&self.young, &self.middle, &self.permanent]
                .into_iter()
                .all(|column| column.is_empty() || column.len() == length)
    }

    fn generations(&self, place: usize, count: u64) -> Option<[u64; 4]> {
        let at = |column: &[u64]| column.get(place).copied();
        let (young, middle, permanent) =
            (at(&self.young)?, at(&self.middle)?, at(&self.permanent)?);
        let old = count.saturating_sub(young).saturating_sub(middle).saturating_sub(permanent);
        Some([young, middle, old, permanent])
    }

    /// The rows; `None` when the columns do not fit the names.
    pub(super) fn rows(&self, names: &Names) -> Option<Vec<TypeRow>> {
        if !self.fits(names, true) {
            return None;
        }
        let figures = self.count.iter().zip(&self.shallow_bytes);
        let rows = names.names.iter().zip(figures).enumerate();
        Some(
            rows.map(|(place, (name, (&count, &shallow_bytes)))| TypeRow {
                name: name.clone(),
                address: names.addresses.get(&place).cloned().unwrap_or_default(),
                ambiguous: names.addresses.contains_key(&place),
                count,
                shallow_bytes,
                generations: self.generations(place, count),
            })
            .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_read_back_as_rows() {
        let row = |name: &str, count, generations| TypeRow {
            name: name.to_owned(),
            address: if name == "b" { "0x10".to_owned() } else { String::new() },
            ambiguous: name == "b",
            count,
            shallow_bytes: count * 16,
            generations: Some(generations),
        };
        let rows = vec![row("a", 7, [1, 2, 4, 0]), row("b", 3, [0, 0, 1, 2])];
        let (names, columns) = of(&rows);
        let back = columns.rows(&names).unwrap();
        assert_eq!(format!("{back:?}"), format!("{rows:?}"));
        assert!(columns.rows(&Names::default()).is_none());
    }
}
