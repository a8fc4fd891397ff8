//! Which resources the code that runs, or is to go on, has at hand.
//!
//! From the local variables of each frame: the object itself, attributes of it, and attributes of
//! those. Containers are not opened and resources not passed through: a pool at hand does not put
//! all of its connections to use, nor a list what it has collected.

use super::Problem;
use super::tasks::FrameOf;
use crate::cpython::{Frame, Python};
use crate::memory::Address;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Attributes followed from a local variable.
const DEPTH: u8 = 2;
/// Attributes looked at of one object.
const MAX_ATTRIBUTES: usize = 200;
/// Objects looked at in all.
const MAX_OBJECTS: usize = 1_000_000;
/// What has attributes, but leads everywhere.
const CLOSED: [&str; 5] =
    ["builtins.module", "builtins.type", "builtins.function", "abc.ABCMeta", "enum.EnumMeta"];
/// What has a frame of its own.
const GENERATORS: [&str; 3] =
    ["builtins.generator", "builtins.coroutine", "builtins.async_generator"];

/// What was found so far.
pub(super) struct Usage<'u, 'm> {
    python: &'u Python<'m>,
    resources: FxHashSet<Address>,
    used: BTreeMap<Address, BTreeSet<FrameOf>>,
    /// What an object leads to within so many attributes.
    known: FxHashMap<(Address, u8), Rc<[Address]>>,
    room: usize,
}

impl<'u, 'm> Usage<'u, 'm> {
    pub(super) fn new(python: &'u Python<'m>, resources: FxHashSet<Address>) -> Self {
        let (used, known) = (BTreeMap::new(), FxHashMap::default());
        Self { python, resources, used, known, room: MAX_OBJECTS }
    }

    /// Looks at the variables of a frame.
    pub(super) fn add(&mut self, of: FrameOf, frame: &Frame) -> Result<(), Problem> {
        for value in self.locals(frame)? {
            for &resource in self.reach(value, DEPTH)?.iter() {
                self.used.entry(resource).or_default().insert(of);
            }
        }
        Ok(())
    }

    /// Users by resource; `None` when there was too much to look at.
    pub(super) fn finish(self) -> Option<BTreeMap<Address, BTreeSet<FrameOf>>> {
        (self.room > 0).then_some(self.used)
    }

    fn locals(&self, frame: &Frame) -> Result<Vec<Address>, Problem> {
        let locals = self.python.unless_unreadable(self.python.locals(frame))?;
        Ok(locals.into_iter().flatten().map(|local| local.value).collect())
    }

    fn reach(&mut self, object: Address, depth: u8) -> Result<Rc<[Address]>, Problem> {
        if self.resources.contains(&object) {
            return Ok(Rc::new([object]));
        }
        if depth == 0 || self.room == 0 {
            return Ok(Rc::new([]));
        }
        if let Some(known) = self.known.get(&(object, depth)) {
            return Ok(Rc::clone(known));
        }
        self.room -= 1;
        let mut found = Vec::new();
        for next in self.parts(object)? {
            found.extend(self.reach(next, depth - 1)?.iter().copied());
        }
        found.sort_unstable();
        found.dedup();
        let found: Rc<[Address]> = found.into();
        self.known.insert((object, depth), Rc::clone(&found));
        Ok(found)
    }

    /// What an object leads to directly.
    fn parts(&self, object: Address) -> Result<Vec<Address>, Problem> {
        let python = self.python;
        let Some(class) = python.unless_unreadable(python.type_of(object))? else {
            return Ok(Vec::new());
        };
        if CLOSED.contains(&class.name()) || class.flags.type_subclass() {
            return Ok(Vec::new());
        }
        if GENERATORS.contains(&class.name()) {
            let here = python.unless_unreadable(python.suspension(object))?;
            return match here.and_then(|here| here.frame) {
                Some(frame) => self.locals(&frame),
                None => Ok(Vec::new()),
            };
        }
        let values = python.attribute_values(object, MAX_ATTRIBUTES);
        Ok(python.unless_unreadable(values)?.unwrap_or_default())
    }
}
