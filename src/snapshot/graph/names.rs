//! Steps and paths as bits and names, told where the first node needs them.
//!
//! What follows what below a type is often the same: the step behind another one is foretold by
//! the last time. Names are shortened by what they repeat: `close (function Pool.close)` below
//! `class Pool` is `close`.

use super::coder::{Coder, mix};
use super::owners::Owners;
use super::sections::ColumnError;
use super::{NONE, StoredGraph, StoredOwner, StoredPath, StoredStep};
use rustc_hash::FxHashMap;

const MISFIT: ColumnError = ColumnError::Misfit("graph.nodes");
/// A path has no more steps.
const MOST_STEPS: u64 = 4096;
/// Steps that were seen so often are worth a context of their own.
const COMMON: u32 = 8;
/// Longer names are not made of others, so that little never says much.
const LONGEST: usize = 512;
/// What the contexts are of.
const NEXT: u64 = 201;
const IS_NEW: u64 = 202;
const NUMBER: u64 = 203;
const KIND: u64 = 204;
const INFERRED: u64 = 205;
const IS_FUNCTION: u64 = 206;
const PREFIX: u64 = 207;
const LENGTH: u64 = 208;
const SAME_CLASS: u64 = 209;
const CLASS: u64 = 210;

/// The path of a node in the graph that is written; nothing in one that is read.
#[derive(Clone, Copy)]
pub(super) struct Wanted(u32);

/// The numbers that the graph that is written has, as we have them; [`NONE`] for those to come.
#[derive(Default)]
struct Ours {
    paths: Vec<u32>,
    steps: Vec<u32>,
}

/// The steps, paths and owners so far.
pub(super) struct Names<'s> {
    source: Option<&'s StoredGraph>,
    ours: Ours,
    /// By our number: that of the source.
    theirs: Vec<u32>,
    known: FxHashMap<(u32, u32), u32>,
    described: Vec<bool>,
    kinds: Vec<String>,
    /// How often each step was seen.
    seen: Vec<u32>,
    /// The step that came last behind another one below a type; and below the type.
    next: FxHashMap<(u32, u32), u32>,
    next_below: FxHashMap<u32, u32>,
    owners_of: Owners,
    pub(super) paths: Vec<StoredPath>,
    pub(super) steps: Vec<StoredStep>,
}

impl<'s> Names<'s> {
    /// For writing a graph, or for reading one.
    pub(super) fn new(source: Option<&'s StoredGraph>) -> Self {
        let mut ours = Ours::default();
        if let Some(source) = source {
            ours = Ours {
                paths: vec![NONE; source.paths.len()],
                steps: vec![NONE; source.steps.len()],
            };
            ours.paths.iter_mut().take(1).for_each(|root| *root = 0);
        }
        Self {
            source,
            ours,
            theirs: vec![0],
            known: FxHashMap::default(),
            described: vec![true],
            kinds: Vec::new(),
            seen: Vec::new(),
            next: FxHashMap::default(),
            next_below: FxHashMap::default(),
            owners_of: Owners::new(source.map_or(0, |source| source.owners.len())),
            paths: vec![StoredPath { parent: 0, step: NONE, class: NONE, owner: NONE }],
            steps: Vec::new(),
        }
    }

    pub(super) fn owners(&mut self) -> Vec<StoredOwner> {
        std::mem::take(&mut self.owners_of.owners)
    }

    /// A path of the source.
    pub(super) fn wanted(&self, path: u32) -> Result<Wanted, ColumnError> {
        let Some(source) = self.source else { return Ok(Wanted(NONE)) };
        let one = source.paths.get(path as usize).ok_or(MISFIT)?;
        let whole = path == 0 || one.parent < path && (one.step as usize) < source.steps.len();
        if whole { Ok(Wanted(path)) } else { Err(MISFIT) }
    }

    fn stored(&self, wanted: Wanted) -> Option<StoredPath> {
        self.source?.paths.get(wanted.0 as usize).copied()
    }

    fn ours(&self, theirs: u32) -> u32 {
        self.ours.paths.get(theirs as usize).copied().unwrap_or(NONE)
    }

    /// Is this our path?
    pub(super) fn is_at(&self, wanted: Wanted, path: u32) -> bool {
        self.ours(wanted.0) == path
    }

    /// Is it one step from ours?
    pub(super) fn goes_on_from(&self, wanted: Wanted, path: u32) -> bool {
        wanted.0 != 0 && self.stored(wanted).is_some_and(|one| self.ours(one.parent) == path)
    }

    /// Is a step one that nodes often have?
    pub(super) fn is_common(&self, step: u32) -> bool {
        self.seen.get(step as usize).is_some_and(|&seen| seen >= COMMON)
    }

    /// Codes the path that the wanted one goes on from, by all its steps.
    pub(super) fn code_base(
        &mut self,
        coder: &mut impl Coder,
        wanted: Wanted,
    ) -> Result<u32, ColumnError> {
        let mut chain = Vec::new();
        let mut at = wanted.0;
        while let Some(parent) = self.stored(Wanted(at)).map(|one| one.parent) {
            if parent == 0 {
                break;
            }
            chain.push(self.wanted(parent)?);
            at = parent;
        }
        chain.reverse();
        let length = coder.number(LENGTH, chain.len() as u64)?;
        if length > MOST_STEPS {
            return Err(MISFIT);
        }
        let mut path = 0;
        for index in 0..length {
            let wanted = chain.get(index as usize).copied().unwrap_or(Wanted(NONE));
            let step = self.step(coder, (NONE, NONE), path, wanted)?;
            path = self.path(path, step, wanted)?;
            self.describe(coder, path, NONE)?;
        }
        Ok(path)
    }

    /// Codes the last step of a path, behind another one below a type.
    pub(super) fn step(
        &mut self,
        coder: &mut impl Coder,
        (class, before): (u32, u32),
        base: u32,
        wanted: Wanted,
    ) -> Result<u32, ColumnError> {
        let theirs = self.stored(wanted).map_or(NONE, |one| one.step);
        let ours = self.ours.steps.get(theirs as usize).copied().unwrap_or(NONE);
        let common = if self.is_common(before) { before } else { NONE };
        let place = mix(u64::from(class), common.into());
        let next = self.next.get(&(class, before)).or_else(|| self.next_below.get(&class));
        let next = next.copied().unwrap_or(NONE);
        let is_next = coder.bit(mix(NEXT, place), next == ours && ours != NONE)?;
        let step = match is_next {
            true if next == NONE => return Err(MISFIT),
            true => next,
            false if coder.bit(mix(IS_NEW, class.into()), ours == NONE)? => {
                let step = self.new_step(coder, base, theirs)?;
                self.ours.steps.get_mut(theirs as usize).into_iter().for_each(|it| *it = step);
                step
            }
            false => {
                let step = coder.number(mix(NUMBER, class.into()), ours.into())?;
                u32::try_from(step).map_err(|_| MISFIT)?
            }
        };
        *self.seen.get_mut(step as usize).ok_or(MISFIT)? += 1;
        self.next.insert((class, before), step);
        self.next_below.insert(class, step);
        Ok(step)
    }

    fn new_step(
        &mut self,
        coder: &mut impl Coder,
        base: u32,
        theirs: u32,
    ) -> Result<u32, ColumnError> {
        let blank = StoredStep::default();
        let given = self.source.and_then(|source| source.steps.get(theirs as usize));
        let given = given.unwrap_or(&blank);
        let kind = self.kinds.iter().position(|kind| *kind == given.kind);
        let kind = coder.number(KIND, kind.unwrap_or(self.kinds.len()) as u64)?;
        if kind == self.kinds.len() as u64 {
            self.kinds.push(coder.text(&given.kind)?);
        }
        let name = self.kinds.get(kind as usize).ok_or(MISFIT)?.clone();
        let inferred = coder.bit(mix(INFERRED, kind), given.inferred)?;
        let above = self.class_name(base);
        let text = function_text(coder, kind, above, &given.text)?;
        self.steps.push(StoredStep { kind: name, text, inferred });
        self.seen.push(0);
        Ok(self.steps.len() as u32 - 1)
    }

    /// The text of the step that leads to one of our paths.
    fn text(&self, path: u32) -> &str {
        let step = self.paths.get(path as usize).map_or(NONE, |one| one.step);
        self.steps.get(step as usize).map_or("", |step| step.text.as_str())
    }

    /// The class that a path leads to, or "".
    fn class_name(&self, path: u32) -> &str {
        let class = self.text(path).strip_prefix("class ");
        class.filter(|name| name.len() <= LONGEST).unwrap_or_default()
    }

    /// Our path that goes on from another one by a step.
    pub(super) fn path(
        &mut self,
        base: u32,
        step: u32,
        wanted: Wanted,
    ) -> Result<u32, ColumnError> {
        let next = self.paths.len() as u32;
        let path = *self.known.entry((base, step)).or_insert(next);
        if path == next {
            self.paths.push(StoredPath { parent: base, step, class: NONE, owner: NONE });
            self.described.push(false);
            self.theirs.push(wanted.0);
        }
        self.ours.paths.get_mut(wanted.0 as usize).into_iter().for_each(|ours| *ours = path);
        Ok(path)
    }

    /// Codes what is known of a path, when it is new: `class` is that of its first node.
    pub(super) fn describe(
        &mut self,
        coder: &mut impl Coder,
        path: u32,
        class: u32,
    ) -> Result<(), ColumnError> {
        match self.described.get_mut(path as usize) {
            Some(described) if !*described => *described = true,
            _ => return Ok(()),
        }
        let theirs = self.theirs.get(path as usize).copied().unwrap_or(NONE);
        let given = self.stored(Wanted(theirs));
        let (other, owner) = given.map_or((NONE, NONE), |one| (one.class, one.owner));
        let mut of_path = class;
        if !coder.bit(SAME_CLASS, class == other)? {
            let other = coder.number(CLASS, other.wrapping_add(1).into())?;
            of_path = u32::try_from(other).map_err(|_| MISFIT)?.wrapping_sub(1);
        }
        let parent = self.paths.get(path as usize).map_or(0, |one| one.parent);
        let text = self.text(path).to_owned();
        let given = self.source.map(|source| (source, owner));
        let owner = self.owners_of.code(coder, given, (parent, path), &text, class)?;
        let one = self.paths.get_mut(path as usize).ok_or(MISFIT)?;
        (one.class, one.owner) = (of_path, owner);
        Ok(())
    }
}

/// Codes a text. One that ends in a function of the name is told by the name, and what is before
/// it: the class above, nothing, or another text.
fn function_text(
    coder: &mut impl Coder,
    kind: u64,
    above: &str,
    text: &str,
) -> Result<String, ColumnError> {
    let parts = text.strip_suffix(')').and_then(|rest| rest.split_once(FUNCTION));
    let parts = parts.and_then(|(head, function)| {
        let prefix = function.strip_suffix(last_name(head))?;
        Some((head, prefix)).filter(|_| text.len() <= LONGEST)
    });
    let is_function = coder.bit(mix(IS_FUNCTION, kind), parts.is_some())?;
    let (head, prefix) = parts.unwrap_or((text, ""));
    let head = coder.text(head)?;
    if !is_function {
        return Ok(head);
    }
    let of_class = prefix.strip_suffix('.').is_some_and(|prefix| prefix == above);
    let told = match prefix {
        _ if of_class => 0,
        "" => 1,
        _ => 2,
    };
    let prefix = match coder.number(mix(PREFIX, u64::from(above.is_empty())), told)? {
        0 => format!("{above}."),
        1 => String::new(),
        _ => coder.text(prefix)?,
    };
    let name = last_name(&head).to_owned();
    Ok(format!("{head}{FUNCTION}{prefix}{name})"))
}

const FUNCTION: &str = " (function ";

/// The identifier at the end.
fn last_name(text: &str) -> &str {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let start = text.char_indices().rev().take_while(|&(_, letter)| is_part(letter)).last();
    start.and_then(|(at, _)| text.get(at..)).unwrap_or_default()
}
