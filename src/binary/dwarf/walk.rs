//! The search: which units to read, and which of their entries define a struct we look for.

use super::members::Unit;
use super::{DebugInfo, Query, Slice, Struct};
use crate::binary::BinaryError;
use gimli::constants as dw;
use rustc_hash::FxHashMap;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// No real file has more; each unit costs at least a dozen bytes of it.
const MAX_UNITS: usize = 1 << 16;
/// Members looked at in all; the structs of a CPython take some thousands.
const MAX_MEMBERS: u64 = 1 << 22;
/// A CPython takes well under a second. Units of a damaged file may all share one huge table
/// of abbreviations.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Looks for the structs of `queries`; the answer has one slot for each of them. Units whose
/// name contains one of `likely` are read first.
///
/// # Errors
/// When the unit headers are damaged. A single damaged unit is passed over.
pub fn find_structs(
    info: &DebugInfo<'_>,
    queries: &[Query<'_>],
    likely: &[&str],
) -> Result<Vec<Option<Struct>>, BinaryError> {
    let dwarf = info.dwarf();
    let mut headers = Vec::new();
    let mut units = dwarf.units();
    while headers.len() < MAX_UNITS {
        match units.next()? {
            Some(header) => headers.push(header),
            None => break,
        }
    }
    let mut search = Search {
        names: queries
            .iter()
            .enumerate()
            .flat_map(|(index, query)| query.names.iter().map(move |name| (name.as_bytes(), index)))
            .collect(),
        found: vec![None; queries.len()],
        queries,
    };
    let budget = Cell::new(MAX_MEMBERS);
    let deadline = Instant::now() + MAX_TIME;
    let mut later = Vec::new();
    for header in headers {
        in_time(deadline)?;
        let Ok(unit) = dwarf.unit(header) else { continue };
        let promising = unit.name.as_ref().is_some_and(|name| {
            let name = name.to_string_lossy();
            likely.iter().any(|part| name.contains(part))
        });
        if !promising {
            later.push(unit);
            continue;
        }
        search.unit(&Unit::new(&dwarf, &unit, &budget));
        if search.complete(|_| true) {
            return Ok(search.found);
        }
    }
    for unit in later {
        if search.complete(|query| query.everywhere) {
            break;
        }
        in_time(deadline)?;
        search.unit(&Unit::new(&dwarf, &unit, &budget));
    }
    Ok(search.found)
}

fn in_time(deadline: Instant) -> Result<(), BinaryError> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(BinaryError::Dwarf { reason: format!("not read within {} s", MAX_TIME.as_secs()) })
}

struct Search<'q> {
    queries: &'q [Query<'q>],
    names: FxHashMap<&'q [u8], usize>,
    found: Vec<Option<Struct>>,
}

impl Search<'_> {
    fn complete(&self, counts: impl Fn(&Query<'_>) -> bool) -> bool {
        self.found.iter().zip(self.queries).all(|(found, query)| found.is_some() || !counts(query))
    }

    /// Reads the top level of one unit. C knows no structs in other scopes that matter here.
    fn unit(&mut self, unit: &Unit<'_, '_>) {
        let mut entries = unit.entries();
        // To the unit's own entry, then to its first child, then along the siblings.
        if !matches!(entries.next_dfs(), Ok(Some(_))) {
            return;
        }
        let mut next = entries.next_dfs().ok().flatten().is_some();
        while next {
            if let Some(entry) = entries.current() {
                self.entry(unit, entry);
            }
            next = matches!(entries.next_sibling(), Ok(Some(_)));
        }
    }

    fn entry<'a>(
        &mut self,
        unit: &Unit<'_, 'a>,
        entry: &gimli::DebuggingInformationEntry<Slice<'a>>,
    ) {
        if !matches!(entry.tag(), dw::DW_TAG_structure_type | dw::DW_TAG_typedef) {
            return;
        }
        let Some(name) = unit.name_of(entry) else { return };
        let Some(&index) = self.names.get(name) else { return };
        let (Some(query), Some(slot)) = (self.queries.get(index), self.found.get_mut(index)) else {
            return;
        };
        if slot.is_some() {
            return;
        }
        let Some(definition) = unit.definition(entry) else { return };
        *slot = Some(Struct {
            size: definition.size,
            members: query
                .members
                .iter()
                .map(|paths| paths.iter().find_map(|path| definition.member(path)))
                .collect(),
        });
    }
}
