//! Addresses, foretold from where objects like it were.
//!
//! Python's allocator keeps objects of one size together, in blocks of a page: what was made
//! after another one like it is likely to be a few blocks behind it. So an address is told as a
//! page that one of the same type and size was in lately, and the distance within it.

use super::coder::{Coder, mix};
use super::sections::ColumnError;
use rustc_hash::FxHashMap;

const MISFIT: ColumnError = ColumnError::Misfit("graph.nodes");
/// Bits of an address within a page: the pools of 3.10 and later, and four of those before.
const PAGE: u32 = 14;
/// Larger objects are not kept in pages.
const LARGE: u64 = 600;
/// Pages that are remembered of each kind.
const PAGES: usize = 64;
/// What the contexts are of.
const RANK: u64 = 101;
const WITHIN: u64 = 102;
const FIRST: u64 = 103;
const NEW_PAGE: u64 = 104;
const ALONE: u64 = 105;

/// Where objects of each type and size were.
#[derive(Default)]
pub(super) struct Places {
    /// By type and size: pages, and the last place in each; the latest page first.
    pages: FxHashMap<(u32, u64), Vec<(u64, u64)>>,
    last_page: u64,
    /// Of large objects: the last one of the type.
    alone: FxHashMap<u32, u64>,
}

impl Places {
    /// Codes an address, in units of two to `shift`.
    pub(super) fn address(
        &mut self,
        coder: &mut impl Coder,
        class: u32,
        size: u64,
        address: u64,
        shift: u32,
    ) -> Result<u64, ColumnError> {
        let units = address >> shift;
        let width = PAGE - shift;
        let of_class = u64::from(class);
        if size > LARGE {
            let last = self.alone.entry(class).or_default();
            let ahead = units.wrapping_sub(*last).cast_signed();
            *last = last.wrapping_add_signed(coder.signed(mix(ALONE, of_class), ahead)?);
            return last.checked_shl(shift).ok_or(MISFIT);
        }
        let kind = (class, size.div_ceil(16));
        let of_kind = mix(of_class, kind.1);
        let (page, place) = (units >> width, units & ((1 << width) - 1));
        let pages = self.pages.entry(kind).or_default();
        let rank = pages.iter().position(|&(known, _)| known == page);
        let rank = rank.map_or(0, |rank| rank as u64 + 1);
        let rank = coder.number(mix(RANK, of_kind), rank)?;
        let (page, place) = match rank.checked_sub(1) {
            Some(rank) => {
                let rank = usize::try_from(rank).ok().filter(|&rank| rank < pages.len());
                let (page, last) = pages.remove(rank.ok_or(MISFIT)?);
                let ahead = (place as i64).wrapping_sub(last as i64);
                let ahead = coder.signed(mix(WITHIN, of_kind), ahead)?;
                (page, last.wrapping_add_signed(ahead))
            }
            None => {
                let ahead = page.wrapping_sub(self.last_page).cast_signed();
                let ahead = coder.signed(NEW_PAGE, ahead)?;
                let mut first = 0;
                for bit in (0..width).rev() {
                    let context = mix(mix(FIRST, of_kind), u64::from(bit) << 32 | first);
                    first = first << 1 | u64::from(coder.bit(context, place >> bit & 1 == 1)?);
                }
                pages.truncate(PAGES - 1);
                (self.last_page.wrapping_add_signed(ahead), first)
            }
        };
        if place >> width != 0 {
            return Err(MISFIT);
        }
        pages.insert(0, (page, place));
        self.last_page = page;
        page.checked_shl(PAGE).map(|page| page | place << shift).ok_or(MISFIT)
    }
}
