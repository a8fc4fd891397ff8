//! Pictures with words overwritten where the graph is read: every answer comes, whatever was found.

use super::support::picture::Picture;
use super::support::{Fixture, for_each_of};
use pyattach::attach::Wanted;
use pyattach::attach::collect::holders::{self, Question};
use pyattach::cpython::Python;
use pyattach::memory::{Address, MemorySource};
use pyattach::resources::Catalog;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Damaged pictures for each interpreter.
const CASES: u64 = 15;
const PROGRAM: &str = "
import json, os, sys
class Kept: pass
kept = [Kept() for _ in range(50)]
for one in kept: one.next = kept
print('READY ' + json.dumps({'pid': os.getpid()}), flush=True)
sys.stdin.read()
";

/// splitmix64: always the same numbers.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[test]
fn does_not_end_us() {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    for_each_of(
        |one| {
            let series = (one.version.0, one.version.1);
            [(3, 8), (3, 13)].contains(&series) && seen.lock().unwrap().insert(series)
        },
        |interpreter| {
            let command = interpreter.command(&["-S", "-E", "-c", PROGRAM]);
            let target = Fixture::run(&format!("small on {interpreter}"), command);
            let picture = Picture::take(target.pid);
            drop(target);
            let traced = picture.traced();
            let found = answer(&traced, &picture).unwrap();
            assert_eq!(found, 50, "{interpreter}");
            let places = traced.touched();
            let most_reads = traced.reads() * 10 + 1_000_000;
            let mut answers = 0;
            for seed in 0..CASES {
                let mut state = seed;
                let count = 1 << (next(&mut state) % 9);
                let words: BTreeMap<u64, u64> = (0..count)
                    .map(|_| {
                        let at = places[(next(&mut state) % places.len() as u64) as usize];
                        let other = places[(next(&mut state) % places.len() as u64) as usize];
                        let value = match next(&mut state) % 6 {
                            0 => 0,
                            1 => next(&mut state) % 64,
                            2 => u64::MAX - next(&mut state) % 64,
                            3 => next(&mut state),
                            _ => other,
                        };
                        (at, value)
                    })
                    .collect();
                let damaged = picture.with(words, most_reads);
                let read = catch_unwind(AssertUnwindSafe(|| answer(&damaged, &picture)));
                let read = read.unwrap_or_else(|_| panic!("{interpreter}: seed {seed} ended us"));
                answers += u64::from(read.is_ok());
            }
            assert!(answers > CASES / 3, "{interpreter}: only {answers} of {CASES} answered");
        },
    );
}

fn answer(
    memory: &dyn MemorySource,
    picture: &Picture,
) -> Result<u64, pyattach::attach::collect::Problem> {
    let python = Python::new(memory, &picture.layout);
    let interpreters = python.interpreters(picture.runtime)?;
    let wanted = Wanted::Types {
        exactly: Box::new(|name| name == "__main__.Kept"),
        roughly: Box::new(|_| false),
    };
    let question = Question {
        groups: 4,
        depth: 10,
        runtime: Some(Address::new(picture.runtime.get())),
        socket_states: None,
    };
    let catalog = Catalog::shared_builtin();
    let (answer, ..) =
        holders::collect(&python, picture.runtime, &interpreters, catalog, &wanted, &question)?;
    Ok(answer.holders.total)
}
