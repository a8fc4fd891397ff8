//! Layout changes between patch releases of one series that no published offset tells,
//! resolved from what the process shows.
//!
//! - 3.13: some release between 3.13.0 and 3.13.5 lowered the alignment of the GC heads to 4,
//!   so the three generations start at 20 in the GC state instead of 24. The pointer
//!   `generation0`, which did not move, is the address of the first.
//! - 3.14.0 to 3.14.4 have the incremental collector (gh-148726 took it back): the GC state has
//!   240 bytes and no `generation0`; the heads `young`, `old[0]` and `old[1]` lie where the
//!   three generations of 3.14.5+ (264 bytes) lie.
//!
//! What else moved is published ([`debug_offsets`](super::debug_offsets)): the fields of the
//! interpreter behind its GC state, the size of the thread state (3.13.18).

use super::field::Field;
use super::table::Table;
use super::version::Version;
use crate::memory::{Address, MemorySource, Result};

/// Bytes of a `gc_generation`: a GC head, threshold and count. The same in every version.
pub const GENERATION: u64 = 24;
/// Bytes of the GC state of 3.14 with the incremental collector.
const INCREMENTAL_SIZE: u64 = 240;
/// The generations start within the first members of the GC state (8 to 24 so far).
const MAX_START: u64 = 64;

/// Adapts the GC state in `table` to the one at `gc`. Returns what was changed, in words.
///
/// # Errors
/// When the GC state cannot be read.
pub fn adapt_gc_state(
    memory: &dyn MemorySource,
    table: &mut Table,
    gc: Address,
    version: Version,
) -> Result<Option<String>> {
    let Some(state) = table.structs.get_mut("GcState") else { return Ok(None) };
    if (version.major, version.minor) == (3, 14) && state.size == INCREMENTAL_SIZE {
        // `young` and the two old spaces, as in Include/internal/pycore_interp_structs.h of 3.14.0.
        state.fields.insert("generations".to_owned(), Field::new(24, 3 * GENERATION));
        state.fields.insert("permanent".to_owned(), Field::new(24 + 3 * GENERATION, GENERATION));
        state.fields.remove("generation0");
        return Ok(Some("the incremental collector of 3.14.0 to 3.14.4".to_owned()));
    }
    let (Some(pointer), Some(generations)) =
        (state.fields.get("generation0").copied(), state.fields.get_mut("generations"))
    else {
        return Ok(None);
    };
    let first = pointer.read_pointer(memory, gc)?;
    let Some(start) = first.get().checked_sub(gc.get()) else { return Ok(None) };
    // Anything else is not a drift that is known; validation says that the lists do not fit.
    let plausible = start <= MAX_START && start % 4 == 0;
    if !plausible || start == generations.offset {
        return Ok(None);
    }
    let was = std::mem::replace(&mut generations.offset, start);
    Ok(Some(format!("the generations lie at {start} of the GC state instead of {was}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::tables;
    use crate::memory::{MemoryError, ReadStats};

    /// A GC state of 512 bytes.
    struct State(Address, Vec<u8>);

    impl MemorySource for State {
        fn read(&self, address: Address, buffer: &mut [u8]) -> Result<()> {
            let fault = MemoryError::Fault { address, length: buffer.len() };
            let start = address.get().checked_sub(self.0.get()).ok_or(fault)? as usize;
            let bytes = self.1.get(start..start + buffer.len()).ok_or(fault)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        }

        fn stats(&self) -> ReadStats {
            ReadStats::default()
        }
    }

    const AT: Address = Address::new(0x7000_0000);

    fn state(pointer_at: usize, first: u64) -> State {
        let mut bytes = vec![0; 512];
        bytes[pointer_at..pointer_at + 8].copy_from_slice(&first.to_le_bytes());
        State(AT, bytes)
    }

    fn generations(table: &Table) -> u64 {
        table.structs["GcState"].fields["generations"].offset
    }

    #[test]
    fn the_generations_of_3_13_are_where_their_pointer_says() {
        for (micro, start) in [(0, 24), (5, 20), (18, 20)] {
            let version = Version::release(3, 13, micro);
            let mut table = tables::named("3.13", "gil").unwrap();
            let memory = state(96, AT.get() + start);
            let changed = adapt_gc_state(&memory, &mut table, AT, version).unwrap();
            assert_eq!(generations(&table), start);
            assert_eq!(changed.is_some(), micro != 0);
        }
    }

    #[test]
    fn a_wild_pointer_changes_nothing() {
        for first in [0, 1, AT.get() - 8, AT.get() + 22, AT.get() + 4096, u64::MAX] {
            let mut table = tables::named("3.12", "gil").unwrap();
            let before = table.clone();
            let version = Version::release(3, 12, 1);
            let changed = adapt_gc_state(&state(96, first), &mut table, AT, version).unwrap();
            assert_eq!((changed, table), (None, before), "{first:#x}");
        }
    }

    #[test]
    fn the_incremental_collector_of_3_14() {
        let mut table = tables::named("3.14", "gil").unwrap();
        let version = Version::release(3, 14, 2);
        table.structs.get_mut("GcState").unwrap().size = 240;
        // What lies where 3.14.5+ has the pointer belongs to the interpreter.
        let memory = state(256, 0x1234);
        assert!(adapt_gc_state(&memory, &mut table, AT, version).unwrap().is_some());
        let fields = &table.structs["GcState"].fields;
        assert_eq!(fields["generations"].offset, 24);
        assert_eq!(fields["permanent"].offset, 96);
        assert!(!fields.contains_key("generation0"));

        let mut table = tables::named("3.14", "gil").unwrap();
        let before = table.clone();
        let memory = state(256, AT.get() + 24);
        let changed = adapt_gc_state(&memory, &mut table, AT, Version::release(3, 14, 5)).unwrap();
        assert_eq!((changed, table), (None, before));
    }
}
