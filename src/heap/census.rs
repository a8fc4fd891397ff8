//! Counting tracked objects by type.

use super::collector::CollectorState;
use super::generations::{GcState, collectors};
use super::size::Sizing;
use super::walk::{Break, TrackedObject, walk};
use crate::cpython::{Interpreter, ObjectError, Python, Type};
use crate::memory::{Address, MemoryError};
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Instances whose addresses are kept, over all types asked for.
const MAX_KEPT: usize = 10_000_000;
/// Place of the permanent generation among the generations' counts.
const PERMANENT: u8 = 3;

/// How many instances of one type there are.
#[derive(Debug, Clone)]
pub struct TypeCount {
    /// The type.
    pub class: Rc<Type>,
    /// Tracked instances.
    pub count: u64,
    /// Sum of their shallow sizes, in bytes.
    pub shallow_bytes: u64,
    /// Of the instances, those in each generation, the youngest first; the permanent one last.
    pub generations: [u64; 4],
}

/// The objects of one collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorCount {
    /// The id of its interpreter.
    pub interpreter: i64,
    /// A collection was running.
    pub collecting: bool,
    /// Objects of the generations, the youngest first.
    pub generations: Vec<u64>,
    /// Objects of the permanent generation.
    pub permanent: u64,
    /// What it is set to, and what it did.
    pub state: CollectorState,
}

/// What the lists of all interpreters hold.
#[derive(Debug, Default)]
pub struct Census {
    /// By type; in no particular order.
    pub types: Vec<TypeCount>,
    /// Objects on all lists.
    pub objects: u64,
    /// Of these, in the permanent generation.
    pub permanent: u64,
    /// Objects whose type could not be read; counted in `objects`, in no type.
    pub untyped: u64,
    /// What each collector has.
    pub collectors: Vec<CollectorCount>,
    /// Lists that did not close. Empty means that nothing was lost.
    pub breaks: Vec<Break>,
    /// A collection was running: objects it holds on the side are not counted.
    pub collecting: bool,
    /// The collector's own count, where it keeps one and no list broke.
    pub expected: Option<u64>,
    /// Instances of the types that the caller wanted, by type address.
    pub kept: Vec<(Address, Vec<Address>)>,
    /// Instances that were wanted but not kept because there were too many.
    pub kept_overflow: u64,
}

impl Census {
    /// True when every list closed, no collection was running, and the collector's own count,
    /// where there is one, agrees.
    pub fn is_consistent(&self) -> bool {
        self.breaks.is_empty()
            && !self.collecting
            && self.expected.is_none_or(|expected| expected == self.objects)
    }
}

/// One type's counters while walking.
struct Tally {
    class: Option<Rc<Type>>,
    sizing: Option<Sizing>,
    generations: [u64; 4],
    bytes: u64,
    kept: Option<Vec<Address>>,
}

/// Counts the tracked objects of all `interpreters`. `wanted` says of each type met whether
/// the addresses of its instances are to be kept.
pub fn take(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
    wanted: &dyn Fn(&Type) -> bool,
) -> Result<Census, ObjectError> {
    let mut census = Census::default();
    let mut tallies = Tallies::new(python, wanted);
    for (interpreter, state) in collectors(python, runtime, interpreters)? {
        take_one(python, interpreter.id, &state, &mut tallies, &mut census)?;
    }
    tallies.finish(&mut census);
    Ok(census)
}

fn take_one(
    python: &Python<'_>,
    interpreter: i64,
    state: &GcState,
    tallies: &mut Tallies<'_, '_>,
    census: &mut Census,
) -> Result<(), ObjectError> {
    census.collecting |= state.collecting;
    let settings = match state.generations.first() {
        Some(first) => CollectorState::read(python, state.address, first.head)?,
        None => CollectorState::default(),
    };
    let mut count = CollectorCount {
        interpreter,
        collecting: state.collecting,
        generations: Vec::new(),
        permanent: 0,
        state: settings,
    };
    for generation in &state.generations {
        let before = census.objects;
        let place = usize::from(generation.number.unwrap_or(PERMANENT));
        let broken = walk(python, generation.head, state.collecting, |object| {
            census.objects += 1;
            tallies.add(&object, place);
        })?;
        census.breaks.extend(broken);
        let found = census.objects - before;
        match generation.number {
            Some(_) => count.generations.push(found),
            None => count.permanent += found,
        }
    }
    census.permanent += count.permanent;
    census.collectors.push(count);
    tallies.error.map_or(Ok(()), |error| Err(ObjectError::from(error)))?;
    if let Some(tracked) = state.tracked {
        census.expected = Some(census.expected.unwrap_or(0).saturating_add(tracked));
    }
    Ok(())
}

/// The counters of all types, with the last one at hand: neighbours on a list often share
/// their type.
struct Tallies<'p, 'a> {
    python: &'p Python<'a>,
    wanted: &'p dyn Fn(&Type) -> bool,
    by_address: FxHashMap<Address, usize>,
    tallies: Vec<(Address, Tally)>,
    last: (Address, usize),
    kept: usize,
    overflow: u64,
    error: Option<MemoryError>,
}

impl<'p, 'a> Tallies<'p, 'a> {
    fn new(python: &'p Python<'a>, wanted: &'p dyn Fn(&Type) -> bool) -> Self {
        Self {
            python,
            wanted,
            by_address: FxHashMap::default(),
            tallies: Vec::new(),
            last: (Address::NULL, 0),
            kept: 0,
            overflow: 0,
            error: None,
        }
    }

    fn add(&mut self, object: &TrackedObject, generation: usize) {
        if object.class != self.last.0 || self.tallies.is_empty() {
            self.last = (object.class, self.index(object.class));
        }
        let Some((_, tally)) = self.tallies.get_mut(self.last.1) else { return };
        if let Some(count) = tally.generations.get_mut(generation) {
            *count += 1;
        }
        if let Some(sizing) = &tally.sizing {
            tally.bytes = tally.bytes.saturating_add(sizing.measure(self.python, object));
        }
        if let Some(kept) = &mut tally.kept {
            if self.kept < MAX_KEPT {
                kept.push(object.address);
                self.kept += 1;
            } else {
                self.overflow += 1;
            }
        }
    }

    fn index(&mut self, address: Address) -> usize {
        if let Some(&index) = self.by_address.get(&address) {
            return index;
        }
        let class = match self.python.type_at(address) {
            Ok(class) => Some(class),
            Err(error) => {
                self.error = self.error.or(error.fatal());
                None
            }
        };
        let sizing = class.as_ref().map(|class| Sizing::of(self.python, class));
        let kept = class.as_ref().filter(|class| (self.wanted)(class)).map(|_| Vec::new());
        let index = self.tallies.len();
        self.tallies.push((address, Tally { class, sizing, generations: [0; 4], bytes: 0, kept }));
        self.by_address.insert(address, index);
        index
    }

    fn finish(self, census: &mut Census) {
        census.kept_overflow = self.overflow;
        for (address, tally) in self.tallies {
            let count = tally.generations.iter().sum();
            match tally.class {
                Some(class) => census.types.push(TypeCount {
                    class,
                    count,
                    shallow_bytes: tally.bytes,
                    generations: tally.generations,
                }),
                None => census.untyped += count,
            }
            if let Some(kept) = tally.kept {
                census.kept.push((address, kept));
            }
        }
    }
}
