//! The processes that are watched: found anew in each round, each one process for ever.
//!
//! A number that was given means the process that had it then. Those found by `--name` and
//! `--children` come and go.

use super::super::arguments::Targets;
use super::super::failure::Failure;
use super::super::pattern::Pattern;
use super::say;
use crate::attach::{CaptureOptions, Target, WholeOptions};
use crate::process::{self, Process};
use crate::resources::Catalog;
use crate::snapshot::Whole;
use std::collections::{BTreeMap, BTreeSet};

/// Most processes; more are not watched, and that is said once.
const MOST: usize = 64;

/// All that are watched.
#[derive(Debug)]
pub(super) struct Fleet {
    pattern: Option<Pattern>,
    children: bool,
    members: BTreeMap<i32, Member>,
    /// Processes that are no Python, by number and start: not looked at again.
    strangers: BTreeSet<(i32, u64)>,
    too_many: bool,
}

/// One process.
#[derive(Debug)]
pub(super) struct Member {
    pid: i32,
    /// Its start, which tells it from a later process with this number.
    start: u64,
    /// It was given by its number.
    given: bool,
    target: Option<Target>,
    /// It ended.
    gone: bool,
    /// What went wrong in the last attempt.
    pub(super) error: Option<String>,
}

impl Fleet {
    /// Those given by number; each must be there, and Python.
    pub(super) fn new(targets: &Targets) -> Result<Self, Failure> {
        let mut members = BTreeMap::new();
        for &pid in targets.numbers() {
            members.insert(pid, Member::open(pid, true)?);
        }
        Ok(Self {
            pattern: targets.pattern()?,
            children: targets.with_children(),
            members,
            strangers: BTreeSet::new(),
            too_many: false,
        })
    }

    /// Finds processes that came. Returns those that went and are not watched any more.
    pub(super) fn look_around(&mut self) -> Vec<i32> {
        let mut wanted: BTreeSet<i32> =
            self.members.values().filter(|one| one.given && !one.gone).map(|one| one.pid).collect();
        if let Some(pattern) = &self.pattern {
            wanted.extend(process::python_processes(|line| pattern.matches(line)));
        }
        if self.children {
            let children = |&pid: &i32| Process::open(pid).and_then(|one| one.children(true)).ok();
            let children: Vec<i32> = wanted.iter().filter_map(children).flatten().collect();
            wanted.extend(children);
        }
        let left = |one: &Member| !one.given && (one.gone || !wanted.contains(&one.pid));
        let went: Vec<i32> =
            self.members.values().filter(|one| left(one)).map(|one| one.pid).collect();
        self.members.retain(|pid, _| !went.contains(pid));
        for pid in &wanted {
            if !self.members.contains_key(pid) {
                self.try_to_add(*pid);
            }
        }
        went
    }

    fn try_to_add(&mut self, pid: i32) {
        if self.members.len() >= MOST {
            if !std::mem::replace(&mut self.too_many, true) {
                say(&format!("more than {MOST} processes: the others are not watched"));
            }
            return;
        }
        let Ok(start) = Process::open(pid).map(|process| process.start_ticks()) else { return };
        if self.strangers.contains(&(pid, start)) {
            return;
        }
        match Member::open(pid, false) {
            Ok(member) => {
                say(&format!("watching process {pid}"));
                self.members.insert(pid, member);
            }
            Err(failure) if failure.is_no_python() => {
                self.strangers.insert((pid, start));
            }
            Err(failure) => {
                failure.print();
                let member =
                    Member { pid, start, given: false, target: None, gone: false, error: None };
                self.members.insert(pid, Member { error: Some(failure.message()), ..member });
            }
        }
    }

    /// All of them.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The same, to be captured.
    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }
}

impl Member {
    fn open(pid: i32, given: bool) -> Result<Self, Failure> {
        let target = Target::open(pid)?;
        let start = target.process().start_ticks();
        Ok(Self { pid, start, given, target: Some(target), gone: false, error: None })
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// It has ended: nothing known of it holds any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Captures it; `None` when that failed. What is new about that is said.
    pub(super) fn capture(&mut self, options: &CaptureOptions, catalog: &Catalog) -> Option<Whole> {
        if self.gone {
            return None;
        }
        match self.try_capture(options, catalog) {
            Ok(whole) => {
                if self.error.take().is_some() {
                    say(&format!("process {} is captured again", self.pid));
                }
                Some(whole)
            }
            Err(failure) => {
                self.target = None;
                self.gone = failure.is_no_python();
                let error = failure.message();
                if self.error.as_ref() != Some(&error) {
                    failure.print();
                }
                self.error = Some(error);
                None
            }
        }
    }

    fn try_capture(
        &mut self,
        options: &CaptureOptions,
        catalog: &Catalog,
    ) -> Result<Whole, Failure> {
        let target = match self.target.take() {
            Some(target) => target,
            None => Target::open(self.pid)?,
        };
        if target.process().start_ticks() != self.start {
            let pid = self.pid;
            let gone = process::ProcessError::Gone { pid };
            return Err(crate::attach::AttachError::from(gone).into());
        }
        let with = WholeOptions { source: false, holders: None, ..WholeOptions::default() };
        let whole = self.target.insert(target).whole(options, catalog, with)?;
        Ok(whole)
    }
}
