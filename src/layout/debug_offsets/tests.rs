//! Published offsets as byte images, right and wrong ones.

use super::*;
use crate::layout::tables;
use crate::memory::ReadStats;
use proptest::prelude::*;

/// A runtime that is nothing but bytes at [`AT`].
struct Bytes(Vec<u8>);

const AT: Address = Address::new(0x10_0000);

impl MemorySource for Bytes {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        let fault = MemoryError::Fault { address, length: buffer.len() };
        let start = address.get().checked_sub(AT.get()).ok_or(fault)? as usize;
        let end = start.checked_add(buffer.len()).ok_or(fault)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(fault)?);
        Ok(())
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

type Values = Vec<(&'static str, &'static str, u64)>;

/// What a process with the layout of `table` publishes.
fn published(table: &Table, series: (u8, u8)) -> Values {
    let (_, groups) = SERIES.iter().find(|(known, _)| *known == series).unwrap();
    let names = groups.iter().flat_map(|&(g, fields)| fields.iter().map(move |&f| (g, f)));
    names
        .map(|(group, field)| {
            let size = SIZES
                .iter()
                .find(|(g, f, _)| (*g, *f) == (group, field))
                .map(|(.., s)| table.structs[*s].size);
            let offset = FIELDS
                .iter()
                .find(|(g, f, ..)| (*g, *f) == (group, field))
                .map(|(_, _, s, f)| table.structs[*s].fields[*f].offset);
            let other = if field.ends_with("size") { 4096 } else { 8 };
            (group, field, size.or(offset).unwrap_or(other))
        })
        .collect()
}

fn image(version: Version, values: &Values) -> Bytes {
    let hex = u32::from_be_bytes([
        version.major,
        version.minor,
        version.micro,
        version.level << 4 | version.serial,
    ]);
    let mut bytes = COOKIE.to_vec();
    bytes.extend(u64::from(hex).to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(values.iter().flat_map(|(.., value)| value.to_le_bytes()));
    Bytes(bytes)
}

fn set(values: &mut Values, group: &str, field: &str, change: impl Fn(u64) -> u64) {
    let entry = values.iter_mut().find(|(g, f, _)| (*g, *f) == (group, field)).unwrap();
    entry.2 = change(entry.2);
}

#[test]
fn the_structs_have_the_sizes_of_the_headers() {
    // sizeof(_Py_DebugOffsets) of 3.13, 3.14 and 3.15.
    for ((series, groups), size) in SERIES.iter().zip([584, 760, 888]) {
        let count: usize = groups.iter().map(|(_, fields)| fields.len()).sum();
        assert_eq!(24 + count * 8, size, "{series:?}");
    }
}

#[test]
fn equal_values_change_nothing() {
    for ((major, minor), _) in SERIES {
        let version = Version::release(*major, *minor, 0);
        let mut table = tables::named(&version.series(), "gil").unwrap();
        let before = table.clone();
        let memory = image(version, &published(&table, (*major, *minor)));
        let moved = DebugOffsets::read(&memory, AT).unwrap().overlay(&mut table).unwrap();
        assert_eq!((moved, table), (vec![], before));
    }
}

#[test]
fn the_interpreter_of_3_14_0_is_shorter_behind_its_gc_state() {
    let version = Version::release(3, 14, 0);
    let mut table = tables::named("3.14", "gil").unwrap();
    let mut values = published(&table, (3, 14));
    for field in ["imports_modules", "sysdict", "size"] {
        set(&mut values, "interpreter_state", field, |value| value - 24);
    }
    set(&mut values, "gc", "size", |_| 240);
    let before = table.clone();
    let offsets = DebugOffsets::read(&image(version, &values), AT).unwrap();
    let moved = offsets.overlay(&mut table).unwrap();
    let what: Vec<&str> = moved.iter().map(|moved| moved.what.as_str()).collect();
    assert_eq!(
        what,
        ["InterpreterState.modules", "InterpreterState.sysdict", "InterpreterState", "GcState"]
    );
    let offset =
        |table: &Table, field: &str| table.structs["InterpreterState"].fields[field].offset;
    assert_eq!(offset(&table, "sysdict"), offset(&before, "sysdict") - 24);
    assert_eq!(offset(&table, "gc"), offset(&before, "gc"));
    assert_eq!(table.structs["GcState"].size, 240);
}

#[test]
fn the_thread_state_of_3_13_18_is_larger() {
    let mut table = tables::named("3.13", "gil").unwrap();
    let mut values = published(&table, (3, 13));
    set(&mut values, "thread_state", "size", |size| size + 8);
    let before = table.structs["ThreadState"].fields.clone();
    let memory = image(Version::release(3, 13, 18), &values);
    DebugOffsets::read(&memory, AT).unwrap().overlay(&mut table).unwrap();
    assert_eq!(table.structs["ThreadState"].size, 312);
    assert_eq!(table.structs["ThreadState"].fields, before);
}

#[test]
fn what_is_not_published_moves_with_its_neighbour() {
    let mut table = tables::named("3.14", "gil").unwrap();
    let mut values = published(&table, (3, 14));
    for field in ["finalizing", "interpreters_head", "size"] {
        set(&mut values, "runtime_state", field, |value| value + 16);
    }
    let before = table.structs["RuntimeState"].fields.clone();
    let memory = image(Version::release(3, 14, 11), &values);
    DebugOffsets::read(&memory, AT).unwrap().overlay(&mut table).unwrap();
    for (field, place) in &table.structs["RuntimeState"].fields {
        assert_eq!(place.offset, before[field].offset + 16, "{field}");
    }
}

#[test]
fn implausible_values_are_refused_by_name() {
    let table = tables::named("3.13", "gil").unwrap();
    let version = Version::release(3, 13, 0);
    for (group, field, value) in [
        ("runtime_state", "size", 0),
        ("runtime_state", "size", u64::MAX),
        ("interpreter_state", "gc", 1 << 40),
        ("thread_state", "next", 305),
        ("thread_state", "next", 12),
        ("gc", "collecting", 241),
    ] {
        let mut values = published(&table, (3, 13));
        set(&mut values, group, field, |_| value);
        let result = DebugOffsets::read(&image(version, &values), AT)
            .and_then(|offsets| offsets.overlay(&mut table.clone()));
        match result {
            Err(DebugOffsetsError::Implausible { group: g, field: f, value: v, .. }) => {
                assert_eq!((g, f, v), (group, field, value));
            }
            other => panic!("{group}.{field} = {value}: {other:?}"),
        }
    }
    let short = Bytes(image(version, &published(&table, (3, 13))).0[..500].to_vec());
    assert!(matches!(DebugOffsets::read(&short, AT), Err(DebugOffsetsError::Memory(_))));
    let next = image(Version::release(3, 16, 0), &vec![]);
    assert!(matches!(DebugOffsets::read(&next, AT), Err(DebugOffsetsError::UnknownSeries(_))));
    assert!(matches!(
        DebugOffsets::read(&Bytes(vec![0; 999]), AT),
        Err(DebugOffsetsError::NoCookie(AT))
    ));
}

proptest! {
    #[test]
    fn no_values_panic(words in prop::collection::vec(any::<u64>(), 0..120), minor in 13u8..16) {
        let version = Version::release(3, minor, 0);
        let values = words.into_iter().map(|word| ("", "", word)).collect();
        let mut table = tables::of(version, crate::layout::Flavour::Gil).unwrap();
        if let Ok(offsets) = DebugOffsets::read(&image(version, &values), AT) {
            let _ = offsets.overlay(&mut table);
        }
    }

    #[test]
    fn one_changed_value_never_panics(index in 0usize..70, value in any::<u64>()) {
        let mut table = tables::named("3.13", "gil").unwrap();
        let mut values = published(&table, (3, 13));
        values[index].2 = value;
        let memory = image(Version::release(3, 13, 0), &values);
        if let Ok(offsets) = DebugOffsets::read(&memory, AT) {
            let _ = offsets.overlay(&mut table);
        }
    }
}
