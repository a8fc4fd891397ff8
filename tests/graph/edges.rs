//! Every reference that `gc.get_referents()` reports is an edge of the graph.

use super::not_run::not_run;
use super::support::picture::Picture;
use super::support::{Fixture, Interpreter, for_each_of, scratch, store};
use pyattach::cpython::Python;
use pyattach::heap::graph::{self, Graph, Kind};
use pyattach::memory::Address;
use std::collections::{BTreeMap, BTreeSet};

/// Versions that differ in where references lie.
const SERIES: [(u8, u8); 7] = [(3, 8), (3, 10), (3, 11), (3, 12), (3, 13), (3, 14), (3, 15)];

#[test]
fn are_those_of_the_collector() {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    for_each_of(
        |one| {
            let series = (one.version.0, one.version.1);
            SERIES.contains(&series) && seen.lock().unwrap().insert(series)
        },
        check,
    );
}

/// Versions on which the libraries are loaded, and what these are.
const LARGE: [(u8, u8); 5] = [(3, 8), (3, 11), (3, 13), (3, 14), (3, 15)];
const LIBRARIES: [&str; 4] = ["aiohttp", "django", "numpy", "sqlalchemy"];

/// The interpreter with the libraries that there are for it.
fn with_libraries(interpreter: &Interpreter) -> Interpreter {
    let (major, minor, micro) = interpreter.version;
    let folder = store().join("large").join(format!("{major}.{minor}.{micro}"));
    if folder.is_dir() { interpreter.with_site(folder) } else { interpreter.clone() }
}

fn check(interpreter: &Interpreter) {
    let interpreter = &with_libraries(interpreter);
    let mut target = Fixture::start(interpreter, "references.py", &[]);
    let imported: BTreeSet<String> =
        serde_json::from_value(target.facts["imported"].clone()).unwrap();
    if LARGE.contains(&(interpreter.version.0, interpreter.version.1)) {
        let absent: Vec<_> = LIBRARIES.iter().filter(|name| !imported.contains(**name)).collect();
        if !absent.is_empty() {
            let hint = "tests/provision.sh --libraries";
            not_run(&format!("references of {absent:?} on {interpreter}: {hint}"));
        }
    }
    let file = scratch().join(format!("referents-{}", target.pid));
    let inside = interpreter.inside(&file);
    let command = format!("referents {}", inside.display());
    target.ask(&command);
    let objects = target.ask(&command)["objects"].as_u64().unwrap();
    let picture = Picture::take(target.pid);
    let words: Vec<u64> = std::fs::read(&file)
        .unwrap()
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect();
    std::fs::remove_file(&file).unwrap();

    let memory = picture.with(BTreeMap::new(), u64::MAX);
    let python = Python::new(&memory, &picture.layout);
    let interpreters = python.interpreters(picture.runtime).unwrap();
    let graph = graph::build(&python, picture.runtime, &interpreters).unwrap();

    let mut missing: BTreeMap<String, Missing> = BTreeMap::new();
    let (mut unknown, mut references, mut lost) = (0, 0u64, 0u64);
    let mut at = 0;
    while at < words.len() {
        let (object, count) = (words[at], words[at + 1] as usize);
        let referents = &words[at + 2..at + 2 + count];
        at += 2 + count;
        let Some(node) = graph.node_at(Address::new(object)) else {
            unknown += 1;
            continue;
        };
        let mut found: BTreeMap<u64, u32> = BTreeMap::new();
        for (target, label) in graph.references(node) {
            *found.entry(graph.address(target).get()).or_default() += 1;
            // 3.13 passes over a dict that was made for the values inside an instance.
            if label.kind() == Kind::Namespace {
                for &value in graph.targets(target) {
                    *found.entry(graph.address(value).get()).or_default() += 1;
                }
            }
        }
        let name = graph.class(node).unwrap().name().to_owned();
        let row = missing.entry(name).or_default();
        for referent in referents {
            references += 1;
            row.references += 1;
            match found.get_mut(referent) {
                Some(count) if *count > 0 => *count -= 1,
                // 3.8 never makes the items of `lru_cache` a type that passes for one.
                _ if python.type_of(Address::new(*referent)).is_err() => row.no_type += 1,
                _ => {
                    lost += 1;
                    row.missing += 1;
                    if row.examples.len() < 4 {
                        row.examples.push(example(&python, &graph, object, *referent));
                    }
                }
            }
        }
    }
    let lost_types: BTreeMap<&String, &Missing> =
        missing.iter().filter(|(_, row)| row.missing > 0).collect();
    eprintln!(
        "{interpreter}: {objects} objects, {references} references, {lost} missing, {unknown} \
         objects unknown; {:?}; {lost_types:#?}",
        graph.statistics
    );
    // Its own stack is not the same twice.
    assert!(unknown <= 40, "{interpreter}: {unknown} objects are not in the graph");
    let wrong: Vec<_> =
        lost_types.iter().filter(|(name, row)| !is_excused(&graph, name, row)).collect();
    assert!(wrong.is_empty(), "{interpreter}: {wrong:#?}");
    let statistics = graph.statistics;
    assert_eq!((statistics.broken_lists, statistics.collecting), (0, false), "{interpreter}");
}

#[derive(Debug, Default)]
struct Missing {
    references: u64,
    missing: u64,
    no_type: u64,
    #[allow(dead_code)]
    examples: Vec<String>,
}

/// What a C type keeps outside of its struct is not found; those are listed. All others are
/// exact, but for the few objects that the answering thread changes.
fn is_excused(graph: &Graph, name: &str, row: &Missing) -> bool {
    const CHANGING: &[&str] =
        &["builtins.frame", "builtins.list", "builtins.dict", "builtins.tuple"];
    let inferred = graph.types().iter().any(|known| known.class.name() == name && known.inferred);
    inferred || name == "builtins.module" || CHANGING.contains(&name) && row.missing <= 12
}

fn example(python: &Python<'_>, graph: &Graph, object: u64, referent: u64) -> String {
    let (object, referent) = (Address::new(object), Address::new(referent));
    let of = python.type_of(object).map(|class| class.name().to_owned());
    let to = python.type_of(referent).map(|class| class.name().to_owned());
    let known = graph.node_at(referent).is_some();
    let at = (0..64).find(|word| {
        python.memory().read_pointer(object.add(word * 8)).is_ok_and(|found| found == referent)
    });
    format!("{of:?} -> {to:?} (a node: {known}, word {at:?})")
}
