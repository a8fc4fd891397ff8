//! Which addresses are objects, and the number of the node of each: a few bits per page.
//!
//! A heap has a hundred objects in each of its pages. A bit for every place in a page where one
//! may begin takes a twentieth of a hash table and stays in the processor's cache. While the
//! graph is built an address is a place: the number of its page, in the order they were met, and
//! of the slot in it. The nodes get their numbers at the end.

use super::Node;
use crate::memory::room::filled;
use crate::memory::{Address, Recent};
use rustc_hash::FxHashMap;

/// A page and a slot in it, in 32 bits.
pub(super) type Place = u32;

const PAGE_SHIFT: u32 = 12;
/// Objects begin at multiples of 8 bytes.
const SLOT_SHIFT: u32 = 3;
const SLOT_BITS: u32 = PAGE_SHIFT - SLOT_SHIFT;
const SLOTS: u32 = 1 << SLOT_BITS;
const WORDS: usize = SLOTS as usize / 64;
/// Pages of which the numbers lie together: those of 2 MiB.
const REGION_BITS: u32 = 9;
const REGION: usize = 1 << REGION_BITS;
/// Pages that a place can tell apart.
const MAX_PAGES: usize = 1 << (32 - SLOT_BITS);

/// A bit for each slot of a page.
type Bits = [u64; WORDS];

/// Addresses, places and nodes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where in `table` the pages of each region begin.
    regions: FxHashMap<u64, usize>,
    /// The numbers of pages, plus one.
    table: Vec<u32>,
    /// Regions that were looked up last: heaps of less than 512 MiB have no more, mostly.
    recent: Recent<usize, 256>,
    /// The address of each page, in pages.
    pages: Vec<u64>,
    /// Slots that somebody asked for.
    asked: Vec<Bits>,
    /// Slots at which objects begin.
    known: Vec<Bits>,
    /// How many objects there are before each word of `known`, in the order of the addresses.
    ranks: Vec<[u32; WORDS]>,
    /// The nodes of the objects, in that order.
    nodes: Vec<Node>,
}

impl Index {
    /// Places below `reserved` are never given to an address.
    pub(super) fn new(reserved: usize) -> Self {
        let pages = reserved.div_ceil(SLOTS as usize);
        Self {
            pages: vec![u64::MAX; pages],
            asked: vec![[0; WORDS]; pages],
            known: vec![[0; WORDS]; pages],
            ..Self::default()
        }
    }

    /// The place of an address in a page that was met before.
    pub(super) fn place(&self, address: u64) -> Option<Place> {
        let page = address >> PAGE_SHIFT;
        let region = page >> REGION_BITS;
        let first = match self.recent.get(region) {
            Some(first) => first,
            None => *self.regions.get(&region)?,
        };
        let number = self.table.get(first + page as usize % REGION)?.checked_sub(1)?;
        Some(place_in(number, address))
    }

    /// The place of an address; `is_readable` is asked about pages not met before.
    pub(super) fn place_or_new(
        &mut self,
        address: u64,
        is_readable: impl FnOnce() -> bool,
    ) -> Option<Place> {
        let page = address >> PAGE_SHIFT;
        let region = page >> REGION_BITS;
        let first = match self.recent.get(region) {
            Some(first) => first,
            None => {
                let first = match self.regions.get(&region) {
                    Some(&first) => first,
                    None if !is_readable() => return None,
                    None => {
                        let first = self.table.len();
                        self.table.resize(first + REGION, 0);
                        self.regions.insert(region, first);
                        self.recent.put(region, first);
                        return self.add_page(page, first).map(|number| place_in(number, address));
                    }
                };
                self.recent.put(region, first);
                first
            }
        };
        let number = match self.table.get(first + page as usize % REGION)?.checked_sub(1) {
            Some(number) => number,
            None if is_readable() => self.add_page(page, first)?,
            None => return None,
        };
        Some(place_in(number, address))
    }

    fn add_page(&mut self, page: u64, first: usize) -> Option<u32> {
        let number = self.pages.len();
        if number >= MAX_PAGES {
            return None;
        }
        *self.table.get_mut(first + page as usize % REGION)? = number as u32 + 1;
        self.pages.push(page);
        self.asked.push([0; WORDS]);
        self.known.push([0; WORDS]);
        Some(number as u32)
    }

    /// Notes that somebody asks for a place; true the first time.
    pub(super) fn ask(&mut self, place: Place) -> bool {
        set(&mut self.asked, place)
    }

    /// An object begins at the place.
    pub(super) fn know(&mut self, place: Place) {
        set(&mut self.known, place);
    }

    /// No object begins at the place after all.
    pub(super) fn forget(&mut self, place: Place) {
        let (page, word, bit) = parts(place);
        if let Some(word) = self.known.get_mut(page).and_then(|bits| bits.get_mut(word)) {
            *word &= !bit;
        }
    }

    /// An object begins at the place.
    pub(super) fn is_known(&self, place: Place) -> bool {
        let (page, word, bit) = parts(place);
        let word = self.known.get(page).and_then(|bits| bits.get(word));
        word.is_some_and(|word| word & bit != 0)
    }

    /// Where a place is.
    pub(super) fn address(&self, place: Place) -> Address {
        let page = self.pages.get((place >> SLOT_BITS) as usize).copied().unwrap_or_default();
        Address::new(page << PAGE_SHIFT | u64::from(place % SLOTS) << SLOT_SHIFT)
    }

    /// Numbers the nodes: `places` are those of the known objects, of which the first is node
    /// `first`.
    pub(super) fn number(&mut self, places: &[Place], first: Node) {
        self.asked = Vec::new();
        let mut order: Vec<u32> = (0..self.pages.len() as u32).collect();
        order.sort_unstable_by_key(|&page| self.pages.get(page as usize));
        self.ranks = vec![[0; WORDS]; self.pages.len()];
        let mut rank = 0;
        for page in order {
            let page = page as usize;
            if let (Some(ranks), Some(known)) = (self.ranks.get_mut(page), self.known.get(page)) {
                for (own, bits) in ranks.iter_mut().zip(known) {
                    *own = rank;
                    rank += bits.count_ones();
                }
            }
        }
        let mut nodes = filled(0, rank as usize);
        for (node, &place) in (first..).zip(places) {
            if let Some(slot) = self.rank(place).and_then(|rank| nodes.get_mut(rank)) {
                *slot = node;
            }
        }
        self.nodes = nodes;
    }

    fn rank(&self, place: Place) -> Option<usize> {
        let (page, word, bit) = parts(place);
        let bits = *self.known.get(page)?.get(word)?;
        let before = *self.ranks.get(page)?.get(word)?;
        (bits & bit != 0).then(|| (before + (bits & (bit - 1)).count_ones()) as usize)
    }

    /// The node at a place, once the nodes are numbered.
    pub(super) fn node(&self, place: Place) -> Option<Node> {
        self.nodes.get(self.rank(place)?).copied()
    }
}

fn place_in(number: u32, address: u64) -> Place {
    number << SLOT_BITS | ((address >> SLOT_SHIFT) as u32 % SLOTS)
}

fn parts(place: Place) -> (usize, usize, u64) {
    let slot = place % SLOTS;
    ((place >> SLOT_BITS) as usize, slot as usize / 64, 1 << (slot % 64))
}

fn set(all: &mut [Bits], place: Place) -> bool {
    let (page, word, bit) = parts(place);
    match all.get_mut(page).and_then(|bits| bits.get_mut(word)) {
        Some(word) => {
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn finds_what_was_put_in(
            objects in prop::collection::btree_set(0u64..1 << 20, 0..300),
            others in prop::collection::vec(0u64..1 << 20, 0..100),
            reserved in 0usize..1500,
        ) {
            // Some close together, some in another region each.
            let at = |word: u64| if word.is_multiple_of(3) { word << 20 } else { word << 3 };
            let objects: BTreeSet<u64> = objects.into_iter().map(at).collect();
            let mut index = Index::new(reserved);
            let mut places = Vec::new();
            // Not in the order of the addresses.
            let (even, odd): (Vec<u64>, Vec<u64>) = objects.iter().partition(|&at| at % 16 == 0);
            for address in odd.into_iter().chain(even) {
                let place = index.place_or_new(address, || true).unwrap();
                prop_assert!(place as usize >= reserved);
                prop_assert!(index.ask(place));
                prop_assert!(!index.ask(place));
                index.know(place);
                places.push(place);
            }
            for &word in &others {
                let place = index.place_or_new(at(word), || false);
                let known = place.is_some_and(|place| index.is_known(place));
                prop_assert_eq!(known, objects.contains(&at(word)));
            }
            index.number(&places, 7);
            for (node, &place) in (7..).zip(&places) {
                prop_assert_eq!(index.node(place), Some(node));
                prop_assert_eq!(index.place(index.address(place).get()), Some(place));
            }
            for &word in &others {
                let found = index.place(at(word)).and_then(|place| index.node(place));
                prop_assert_eq!(found.is_some(), objects.contains(&at(word)));
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_no_object() {
        let mut index = Index::new(0);
        let place = index.place_or_new(4096, || true).unwrap();
        index.know(place);
        index.forget(place);
        assert!(!index.is_known(place));
        index.number(&[], 0);
        assert_eq!(index.node(place), None);
        assert_eq!(index.place(1 << 40), None);
    }
}
