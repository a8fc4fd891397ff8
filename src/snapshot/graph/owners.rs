//! The owners of paths as bits and names: most are those of the path before, or the function or
//! class that the path leads to, in the same file and some lines further on.

use super::coder::{Coder, mix};
use super::sections::ColumnError;
use super::{NONE, StoredGraph, StoredOwner};
use crate::snapshot::holders::{Location, Owner};
use rustc_hash::FxHashMap;

const MISFIT: ColumnError = ColumnError::Misfit("graph.nodes");
/// What kinds of owners there are.
const KINDS: [&str; 3] = ["function", "class", "module"];
/// Longer names of files are not told by a number.
const LONGEST: usize = 4096;
/// What the contexts are of.
const WHICH: u64 = 301;
const NUMBER: u64 = 302;
const IS_PLAIN: u64 = 303;
const KIND: u64 = 304;
const NAME: u64 = 305;
const HAS_FILE: u64 = 306;
const SAME_FILE: u64 = 307;
const FILE: u64 = 308;
const HAS_LINE: u64 = 309;
const LINE: u64 = 310;

/// The owners so far.
#[derive(Default)]
pub(super) struct Owners {
    /// By the number of the source: ours.
    ours: Vec<u32>,
    /// By path: its owner, or that of the path before.
    of_path: FxHashMap<u32, u32>,
    files: Vec<String>,
    numbers: FxHashMap<String, u32>,
    /// The last line that was told of each file.
    lines: Vec<u64>,
    /// What the name of the last class or module begins with.
    prefix: String,
    pub(super) owners: Vec<StoredOwner>,
}

impl Owners {
    pub(super) fn new(count: usize) -> Self {
        Self { ours: vec![NONE; count], ..Self::default() }
    }

    /// Codes the owner of a path, which a text leads to; `given` is its number in the source.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        given: Option<(&StoredGraph, u32)>,
        (parent, path): (u32, u32),
        text: &str,
        class: u32,
    ) -> Result<u32, ColumnError> {
        let before = self.of_path.get(&parent).copied().unwrap_or(NONE);
        let theirs = given.map_or(NONE, |(_, owner)| owner);
        let ours = self.ours.get(theirs as usize).copied().unwrap_or(NONE);
        let which = match () {
            () if theirs == NONE => 0,
            () if ours == NONE => 3,
            () if ours == before => 1,
            () => 2,
        };
        let owner = match coder.number(mix(WHICH, class.into()), which)? {
            0 => NONE,
            1 => before,
            2 => {
                let owner = u32::try_from(coder.number(NUMBER, ours.into())?);
                owner.ok().filter(|&it| (it as usize) < self.owners.len()).ok_or(MISFIT)?
            }
            _ => {
                let blank = StoredOwner::default();
                let given = given.and_then(|(source, owner)| source.owners.get(owner as usize));
                let owner = self.new_owner(coder, given.unwrap_or(&blank), before, text)?;
                self.owners.push(owner);
                let ours = self.owners.len() as u32 - 1;
                self.ours.get_mut(theirs as usize).into_iter().for_each(|slot| *slot = ours);
                ours
            }
        };
        self.of_path.insert(path, if owner == NONE { before } else { owner });
        Ok(owner)
    }

    fn new_owner(
        &mut self,
        coder: &mut impl Coder,
        given: &StoredOwner,
        before: u32,
        text: &str,
    ) -> Result<StoredOwner, ColumnError> {
        let kind =
            given.owner.as_ref().and_then(|it| KINDS.iter().position(|kind| *kind == it.kind));
        let file = given.owner.as_ref().and_then(|owner| owner.location.as_ref());
        let short = file.is_none_or(|location| location.file.len() <= LONGEST);
        let is_plain = given.live.is_none() && kind.is_some() && short;
        if !coder.bit(IS_PLAIN, is_plain)? {
            let whole = serde_json::to_string(given).map_err(|_| MISFIT)?;
            return serde_json::from_str(&coder.text(&whole)?).map_err(|_| MISFIT);
        }
        let blank = Owner { kind: String::new(), name: String::new(), location: None };
        let given = given.owner.as_ref().unwrap_or(&blank);
        let kind = coder.number(KIND, kind.unwrap_or(0) as u64)?;
        let kind_name = *KINDS.get(kind as usize).ok_or(MISFIT)?;

        let inside = text.strip_suffix(')').and_then(|rest| rest.split_once(" (function "));
        let last = text.rsplit(' ').next().unwrap_or_default();
        let guesses =
            [inside.map_or(last, |(_, name)| name).to_owned(), format!("{}{last}", self.prefix)];
        let guess = guesses.iter().position(|guess| *guess == given.name);
        let guess = coder.number(mix(NAME, kind), guess.unwrap_or(guesses.len()) as u64)?;
        let name = match guesses.get(guess as usize) {
            Some(guess) => guess.clone(),
            None => coder.text(&given.name)?,
        };
        match kind_name {
            "module" => self.prefix = format!("{name}."),
            "class" => {
                let end = name.strip_suffix(last).map_or(0, str::len);
                self.prefix = name.get(..end).unwrap_or_default().to_owned();
            }
            _ => {}
        }
        let location = self.location(coder, kind, given.location.as_ref(), before)?;
        let owner = Owner { kind: kind_name.to_owned(), name, location };
        Ok(StoredOwner { owner: Some(owner), live: None })
    }

    fn location(
        &mut self,
        coder: &mut impl Coder,
        kind: u64,
        given: Option<&Location>,
        before: u32,
    ) -> Result<Option<Location>, ColumnError> {
        if !coder.bit(mix(HAS_FILE, kind), given.is_some())? {
            return Ok(None);
        }
        let blank = Location { file: String::new(), line: None };
        let given = given.unwrap_or(&blank);
        let before = self.owners.get(before as usize).and_then(|one| one.owner.as_ref());
        let before = before.and_then(|owner| owner.location.as_ref()).map(|it| it.file.clone());
        let same = before.as_ref() == Some(&given.file);
        let file = match before {
            Some(before) if coder.bit(mix(SAME_FILE, kind), same)? => before,
            _ => {
                let known = self.numbers.get(&given.file).map(|&known| known.into());
                let next = self.files.len() as u64;
                let number = coder.number(FILE, known.unwrap_or(next))?;
                match number == next {
                    true => Some(coder.text(&given.file)?)
                        .filter(|file| file.len() <= LONGEST)
                        .ok_or(MISFIT)?,
                    false => self.files.get(number as usize).ok_or(MISFIT)?.clone(),
                }
            }
        };
        let next = self.files.len() as u32;
        let number = *self.numbers.entry(file.clone()).or_insert(next);
        if number == next {
            self.files.push(file.clone());
            self.lines.push(0);
        }
        let last = self.lines.get_mut(number as usize).ok_or(MISFIT)?;
        let mut line = None;
        if coder.bit(mix(HAS_LINE, kind), given.line.is_some())? {
            let ahead = given.line.unwrap_or(0).wrapping_sub(*last).cast_signed();
            *last = last.wrapping_add_signed(coder.signed(mix(LINE, kind), ahead)?);
            line = Some(*last);
        }
        Ok(Some(Location { file, line }))
    }
}
