//! Pictures of real interpreters with words overwritten where the readers look: every answer comes within bounds, and
//! nothing that is found can end us.

mod support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use pyattach::attach::collect::census::HeapPicture;
use pyattach::attach::collect::dump::{DumpOptions, OsThreads, Stacks};
use pyattach::attach::collect::resources::Selection;
use pyattach::attach::collect::{Problem, census, dump, resources, sockets, tasks};
use pyattach::cpython::Python;
use pyattach::memory::MemorySource;
use pyattach::process::Process;
use pyattach::snapshot::ThreadRow;
use support::picture::Picture;
use support::{Fixture, Interpreter, for_each_interpreter, for_each_of};

/// Damaged pictures for each interpreter and reader.
const CASES: u64 = 30;
/// How much longer than an undamaged picture one may take, in reads.
const FACTOR: u64 = 20;
/// What any walk may cost that ends at a named maximum.
const ALLOWANCE: u64 = 3_000_000;

/// Numbers from a seed, always the same ones (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_of(&mut self, words: &[u64]) -> u64 {
        words[self.below(words.len())]
    }
}

/// A word as damage leaves it: flipped bits, small and absurd numbers, pointers to other places.
fn damage(random: &mut Random, old: u64, places: &[u64]) -> u64 {
    match random.below(12) {
        0 => old ^ (1 << random.below(64)),
        1 => old ^ (1 << random.below(12)),
        2 => 0,
        3 => random.below(64) as u64,
        4 => 1 << random.below(64),
        5 => u64::MAX - random.below(4096) as u64,
        6 => (1 << 63) | random.below(64) as u64,
        7 => random.one_of(places) + random.below(8) as u64,
        8 => random.next(),
        9 => old.wrapping_add(random.below(64) as u64),
        _ => random.one_of(places),
    }
}

/// What a dump would show.
#[derive(Debug)]
struct Shown {
    threads: Vec<ThreadRow>,
    unreadable: u64,
    complete: bool,
}

impl From<Stacks> for Shown {
    fn from(stacks: Stacks) -> Self {
        let (unreadable, complete) = (stacks.unreadable, stacks.complete);
        Self { threads: stacks.into_rows(), unreadable, complete }
    }
}

fn stacks(memory: &dyn MemorySource, picture: &Picture) -> Result<Shown, Problem> {
    let python = Python::new(memory, &picture.layout);
    let runtime = python.runtime(picture.runtime)?;
    let interpreters = python.interpreters(picture.runtime)?;
    let os = OsThreads::default();
    let options = DumpOptions { locals: true };
    dump::collect(&python, &runtime, &interpreters, &os, options).map(Shown::from)
}

fn heap(memory: &dyn MemorySource, picture: &Picture) -> Result<HeapPicture, Problem> {
    let python = Python::new(memory, &picture.layout);
    let interpreters = python.interpreters(picture.runtime)?;
    census::collect(
        &python,
        picture.runtime,
        &interpreters,
        pyattach::resources::Catalog::shared_builtin(),
        None,
    )
}

/// Reads many damaged pictures; `check` looks at what was made of each.
fn read_damaged<T>(
    picture: &Picture,
    read: impl Fn(&dyn MemorySource, &Picture) -> Result<T, Problem>,
    check: impl Fn(&T),
) {
    let traced = picture.traced();
    check(&read(&traced, picture).unwrap());
    let (places, most_reads) = (traced.touched(), traced.reads() * FACTOR + ALLOWANCE);
    // Where many objects lie is no likelier than where the few types do.
    let pages: Vec<&[u64]> = places.chunk_by(|one, next| one >> 12 == next >> 12).collect();
    let (mut answers, mut slowest) = (0, (Duration::ZERO, 0));
    for seed in 0..CASES {
        let mut random = Random(seed);
        let count = 1 << random.below(9);
        let words: BTreeMap<u64, u64> = (0..count)
            .map(|_| {
                let page = pages[random.below(pages.len())];
                let at = random.one_of(page);
                let old =
                    picture.with(BTreeMap::new(), u64::MAX).read_u64(at_address(at)).unwrap_or(0);
                (at, damage(&mut random, old, &places))
            })
            .collect();
        let damaged = picture.with(words, most_reads);
        let begun = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(|| read(&damaged, picture)));
        let answer = answer.unwrap_or_else(|_| panic!("seed {seed} ended the reader"));
        slowest = slowest.max((begun.elapsed(), seed));
        assert!(damaged.reads() <= most_reads, "seed {seed} is read without end");
        if let Ok(answer) = answer {
            check(&answer);
            answers += 1;
        }
    }
    println!("{}: {answers} of {CASES} answered; slowest {slowest:?}", picture.layout.version);
    assert!(slowest.0 < Duration::from_secs(180), "seed {} took {:?}", slowest.1, slowest.0);
    assert!(answers > CASES / 3, "only {answers} of {CASES} were answered");
}

fn at_address(at: u64) -> pyattach::memory::Address {
    pyattach::memory::Address::new(at)
}

#[test]
fn stacks_of_damaged_pictures() {
    for_each_interpreter(|python| {
        let target = Fixture::start(python, "stacks.py", &[]);
        let picture = Picture::take(target.pid);
        drop(target);
        read_damaged(&picture, stacks, |stacks| {
            let cut = stacks.threads.iter().any(|thread| thread.truncated.is_some());
            assert!(!cut || (!stacks.complete && stacks.unreadable > 0), "a cut stack is told");
            let locals = stacks.threads.iter().flat_map(|thread| &thread.frames);
            let unknown = locals.flat_map(|frame| frame.locals.iter().flatten());
            let unknown = unknown.filter(|local| local.value.is_none()).count() as u64;
            assert!(stacks.unreadable >= unknown, "what could not be read is counted");
        });
    });
}

#[test]
fn censuses_of_damaged_pictures() {
    for_each_interpreter(|python| {
        let target = Fixture::start(python, "census.py", &[]);
        let picture = Picture::take(target.pid);
        drop(target);
        read_damaged(&picture, heap, |heap| {
            let objects = &heap.objects;
            let sum: u64 = objects.types.iter().map(|row| row.count).sum();
            assert_eq!(objects.total, sum + objects.untyped, "every object is counted once");
            assert!(heap.unreadable >= objects.untyped);
            assert!(heap.broken_lists == 0 || !heap.consistent, "a broken list is told");
            assert!(heap.broken_lists as usize <= heap.notes.len());
        });
    });
}

/// One interpreter for each way in which tasks, their frames and the collector's lists are kept.
fn few(python: &Interpreter) -> bool {
    ["3.8.18", "3.12.1", "sid 3.14.10"].contains(&python.label.as_str())
}

#[test]
fn tasks_of_damaged_pictures() {
    for_each_of(few, |python| {
        let target = Fixture::start(python, "tasks_chains.py", &["--workers", "20"]);
        let picture = Picture::take(target.pid);
        drop(target);
        let read = |memory: &dyn MemorySource, picture: &Picture| {
            let python = Python::new(memory, &picture.layout);
            let runtime = python.runtime(picture.runtime)?;
            let interpreters = python.interpreters(picture.runtime)?;
            tasks::collect(&python, &runtime, &interpreters, &OsThreads::default())
        };
        read_damaged(&picture, read, |found| {
            assert!(found.broken_lists == 0 || !found.consistent, "a broken list is told");
            let unknown = found.tasks.iter().filter(|task| task.state.is_none()).count() as u64;
            assert!(found.unreadable >= unknown, "what could not be read is counted");
        });
    });
}

#[test]
fn resources_of_damaged_pictures() {
    for_each_of(few, |python| {
        let target = Fixture::start(python, "census.py", &[]);
        let picture = Picture::take(target.pid);
        drop(target);
        let read = |memory: &dyn MemorySource, picture: &Picture| {
            let python = Python::new(memory, &picture.layout);
            let interpreters = python.interpreters(picture.runtime)?;
            let catalog = pyattach::resources::Catalog::shared_builtin();
            let all = Selection::All;
            resources::collect(&python, picture.runtime, &interpreters, catalog, &all, None)
        };
        read_damaged(&picture, read, |found| {
            let counted: u64 = found.kinds.values().map(|kind| kind.count).sum();
            let rows = found.rows.len() as u64;
            assert!(counted >= rows, "{counted} counted, {rows} shown");
        });
    });
}

#[test]
fn sockets_of_damaged_pictures() {
    for_each_of(few, |python| {
        let target = Fixture::start(python, "sockets_kinds.py", &[]);
        let picture = Picture::take(target.pid);
        let process = Process::open(target.pid).unwrap();
        let (descriptors, maps) = (process.descriptors().unwrap(), process.maps().unwrap());
        drop(target);
        let read = |memory: &dyn MemorySource, picture: &Picture| {
            let python = Python::new(memory, &picture.layout);
            let interpreters = python.interpreters(picture.runtime)?;
            sockets::collect(&python, picture.runtime, &interpreters, &descriptors, &maps)
        };
        read_damaged(&picture, read, |found| {
            assert!(found.broken_lists == 0 || !found.consistent, "a broken list is told");
        });
    });
}
