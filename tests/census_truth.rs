//! What `census` counts, held against `gc.get_objects()` taken inside the very process: by type, by class of one name,
//! by generation, by interpreter; and the resources against the objects' own methods.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Fixture, Flavour, Interpreter, for_each_interpreter, for_each_of, pyattach};

/// A number of a document.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// `census --json` in a mode, checked to be that mode and whole.
fn census(target: &Fixture, mode: &str) -> Value {
    let outcome = pyattach(&["census", &target.pid_text(), "--json", "--capture", mode]);
    // A picture of a running process is never whole, and the exit code says so.
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let ours: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(ours["capture"]["mode"], mode);
    assert_eq!(ours["capture"]["consistent"], mode != "live", "{mode}: {}", ours["capture"]);
    assert_eq!(ours["capture"]["coverage"]["unreadable"], 0, "{mode}");
    assert_eq!(ours["capture"]["coverage"]["broken_lists"], 0, "{mode}");
    assert_eq!(ours["objects"]["untyped"], 0, "{mode}");
    ours
}

/// Compares what we counted with what the process counted, type object by type object.
///
/// The types that a check itself disturbs may be off by what the fixture says; all others are exact, and there is no type
/// that only one of the two has.
fn assert_same_types(truth: &Value, ours: &Value, mode: &str) {
    let by_address = |types: &Value, key: &str| -> BTreeMap<String, (String, u64)> {
        let named = |row: &Value| (text(&row["name"]).to_owned(), number(&row["count"]));
        rows(types).iter().map(|row| (text(&row[key]).to_owned(), named(row))).collect()
    };
    let truth_types = by_address(&truth["types"], "address");
    let our_types = by_address(&ours["objects"]["types"], "type_address");
    let approximate: Vec<&str> = rows(&truth["approximate"]).iter().map(text).collect();
    let mut addresses: Vec<&String> = truth_types.keys().chain(our_types.keys()).collect();
    addresses.sort();
    addresses.dedup();
    let mut wrong = Vec::new();
    for address in addresses {
        let (name, expected) =
            truth_types.get(address).map_or((None, 0), |row| (Some(&row.0), row.1));
        let (our_name, found) =
            our_types.get(address).map_or((None, 0), |row| (Some(&row.0), row.1));
        let allowed = match name.or(our_name) {
            Some(name) if approximate.contains(&name.as_str()) => number(&truth["slack"]),
            _ => 0,
        };
        let same_name = name.is_none() || our_name.is_none() || name == our_name;
        if expected.abs_diff(found) > allowed || !same_name {
            wrong.push(format!("{address} {name:?} {expected}, ours {our_name:?} {found}"));
        }
    }
    assert!(wrong.is_empty(), "{mode}:\n{}", wrong.join("\n"));
    let (total, our_total) = (number(&truth["total"]), number(&ours["objects"]["total"]));
    let slack = number(&truth["slack"]) * approximate.len() as u64;
    assert!(total.abs_diff(our_total) <= slack, "{mode}: {total} in all, ours {our_total}");
}

/// Instances of the types called `name`, one entry per type, ascending.
fn counts_of(ours: &Value, name: &str) -> Vec<u64> {
    let named = rows(&ours["objects"]["types"]).iter().filter(|row| row["name"] == name);
    let mut counts: Vec<u64> = named.map(|row| number(&row["count"])).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn every_type_is_counted_as_the_collector_has_it() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &[]);
        target.ask("census");
        for mode in ["copy", "stop", "live"] {
            let truth = target.ask("census");
            let ours = census(&target, mode);
            assert_same_types(&truth, &ours, mode);
            let expected = [
                ("__main__.Plain", vec![101]),
                ("__main__.SlottedWithDict", vec![31]),
                ("__main__.Outer.Inner.Innermost", vec![23]),
                ("__main__.WithMeta", vec![29]),
                ("__main__.Liar", vec![7]),
                ("__main__.用户会话", vec![37]),
                ("__main__.BareIntChild", vec![13]),
                ("__main__.twin_one.<locals>.Twin", vec![67, 71]),
                ("twins.SameName", vec![73, 79]),
            ];
            for (name, counts) in expected {
                assert_eq!(counts_of(&ours, name), counts, "{mode}: {name}");
            }
            let twins = rows(&ours["objects"]["types"]).iter();
            let twins = twins.filter(|row| row["name"] == "twins.SameName");
            assert!(twins.clone().all(|row| row["ambiguous"] == true), "{mode}");
        }
    });
}

#[test]
fn the_text_names_what_the_json_names() {
    for_each_interpreter(|interpreter| {
        let target = Fixture::start(interpreter, "census.py", &[]);
        let outcome = pyattach(&["census", &target.pid_text(), "--filter", "__main__.*"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for line in ["__main__.用户会话", "__main__.Outer.Inner.Innermost", "__main__.WithMeta"]
        {
            assert!(outcome.stdout.contains(line), "{line}:\n{}", outcome.stdout);
        }
    });
}

#[test]
fn frozen_objects_are_counted() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &["--freeze"]);
        target.ask("census");
        for mode in ["copy", "stop", "live"] {
            let truth = target.ask("census");
            let ours = census(&target, mode);
            assert_same_types(&truth, &ours, mode);
            assert_eq!(counts_of(&ours, "__main__.AfterFreeze"), [83], "{mode}");
            let (frozen, permanent) =
                (number(&truth["frozen"]), number(&ours["objects"]["permanent"]));
            assert!(frozen.abs_diff(permanent) <= 16, "{mode}: {frozen} frozen, ours {permanent}");
            let resources = &target.ask("resources")["counts"];
            assert_same_resources(resources, &census(&target, mode)["resources"]);
        }
    });
}

#[test]
fn every_interpreter_of_a_process_is_counted() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 12)),
        |interpreter| {
            let mut target = Fixture::start(interpreter, "census.py", &["--subinterpreters", "3"]);
            target.ask("subinterpreters");
            target.ask("census");
            for mode in ["copy", "stop", "live"] {
                let inner = target.ask("subinterpreters");
                let truth = target.ask("census");
                assert_same_names(
                    &truth,
                    rows(&inner["subinterpreters"]),
                    &census(&target, mode),
                    mode,
                );
            }
        },
    );
}

/// Sums over all interpreters. The last one has a thread inside since it was asked: it may differ by what its call made.
fn assert_same_names(main: &Value, inner: &[Value], ours: &Value, mode: &str) {
    let mut truth: BTreeMap<String, u64> = BTreeMap::new();
    for by_name in inner.iter().map(|row| &row["by_name"]).chain([&main["by_name"]]) {
        for (name, count) in by_name.as_object().unwrap() {
            *truth.entry(name.clone()).or_default() += number(count);
        }
    }
    // Evaluating the script that counts takes a function object (`PyEval_EvalCode`), as does the call of the last one.
    *truth.get_mut("builtins.function").unwrap() -= inner.len() as u64 - 1;
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows(&ours["objects"]["types"]) {
        *found.entry(text(&row["name"]).to_owned()).or_default() += number(&row["count"]);
    }
    let exact = 100 + 101 + 102;
    assert_eq!(found["__main__.OnlyInSubinterpreter"], exact, "{mode}");
    let approximate = rows(&main["approximate"]);
    let slack = number(&main["slack"]) * (1 + inner.len() as u64);
    let names: Vec<&String> = truth.keys().chain(found.keys()).collect();
    let count = |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).copied().unwrap_or(0);
    let wrong: Vec<String> = names
        .into_iter()
        .filter(|name| {
            let allowed = if approximate.contains(&Value::from(name.as_str())) { slack } else { 0 };
            count(&truth, name).abs_diff(count(&found, name)) > allowed
        })
        .map(|name| format!("{name}: {}, ours {}", count(&truth, name), count(&found, name)))
        .collect();
    assert!(wrong.is_empty(), "{mode}:\n{}", wrong.join("\n"));
}

#[test]
fn a_million_objects_are_counted() {
    let all = std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_some();
    let narrowed = std::env::var_os("PYATTACH_TEST_ONLY").is_some();
    // The oldest layout and the newest without an extra; the whole matrix where it is required.
    let chosen = |interpreter: &Interpreter| {
        all || narrowed
            || matches!((interpreter.version.0, interpreter.version.1), (3, 8) | (3, 15))
    };
    for_each_of(chosen, |interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &["--objects", "1000000"]);
        target.ask("census");
        for mode in ["copy", "stop"] {
            let truth = target.ask("census");
            let ours = census(&target, mode);
            assert_same_types(&truth, &ours, mode);
            assert_eq!(counts_of(&ours, "__main__.Bulk"), [1_000_000], "{mode}");
        }
    });
}

/// Containers whose tables count, and user classes: instances of the latter hold their attributes from 3.13 on.
const SIZED: [&str; 24] = [
    "__main__.Plain",
    "__main__.Slotted",
    "__main__.SlottedWithDict",
    "__main__.Outer",
    "__main__.Outer.Inner",
    "__main__.Outer.Inner.Innermost",
    "__main__.WithMeta",
    "__main__.Liar",
    "__main__.用户会话",
    "__main__.ListChild",
    "__main__.DictChild",
    "__main__.TupleChild",
    "__main__.ErrorChild",
    "__main__.GrownList",
    "__main__.GrownDict",
    "__main__.GrownFrozenDict",
    "__main__.GrownSet",
    "__main__.GrownFrozenSet",
    "__main__.GrownDeque",
    "twins.SameName",
    "builtins.set",
    "builtins.frozenset",
    "builtins.module",
    "builtins.function",
];

#[test]
fn sizes_are_those_of_getsizeof() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &[]);
        target.ask("sizes");
        let truth = target.ask("sizes");
        let ours = census(&target, "copy");
        let found: BTreeMap<&str, &Value> = rows(&ours["objects"]["types"])
            .iter()
            .map(|row| (text(&row["type_address"]), row))
            .collect();
        let (mut wrong, mut compared) = (Vec::new(), 0);
        for row in rows(&truth["types"]) {
            let (name, count, bytes) =
                (text(&row["name"]), number(&row["count"]), number(&row["bytes"]));
            let Some(our) = found.get(text(&row["address"])) else { continue };
            let ours = number(&our["shallow_bytes"]);
            let right = match name {
                // A check makes some of these: their number is not exact, so neither is their size.
                "builtins.list" | "builtins.dict" | "builtins.tuple" => {
                    bytes.abs_diff(ours) <= 16 * 1024 + bytes / 50
                }
                name if SIZED.contains(&name) => {
                    compared += 1;
                    bytes == ours || fills_its_block(interpreter, row, ours)
                }
                _ => true,
            };
            if !right {
                wrong.push(format!("{name}: {count} of {bytes}, ours {ours}; {row}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(compared >= SIZED.len(), "{compared} types were compared");
    });
}

/// True for instances that hold their attributes (3.13+), which `sys.getsizeof()` leaves out, when ours is the size of the
/// block of memory that each has: the least distance of two, since pymalloc's blocks are multiples of 16 bytes side by side.
/// A debug build has guard bytes around each.
fn fills_its_block(interpreter: &Interpreter, row: &Value, ours: u64) -> bool {
    let (count, bytes, spacing) =
        (number(&row["count"]), number(&row["bytes"]), number(&row["spacing"]));
    let guards = if interpreter.flavour == Flavour::Debug { 24 } else { 0 };
    interpreter.at_least((3, 13))
        && text(&row["name"]) != "__main__.Slotted"
        && ours > bytes
        && ours.is_multiple_of(count)
        && (ours / count + guards).next_multiple_of(16) == spacing
}

/// `resources` of a fixture's answer by our names of the kinds.
fn assert_same_resources(counts: &Value, ours: &Value) {
    let kinds =
        [("socket", "socket"), ("executor", "thread_pool_executor"), ("task", "asyncio_task")];
    for (theirs, kind) in kinds {
        assert_eq!(ours[kind]["count"], counts[theirs]["count"], "{kind}");
        assert_eq!(ours[kind]["states"], counts[theirs]["states"], "{kind}");
        assert_eq!(ours[kind]["unknown"], Value::Null, "{kind}");
    }
}

#[test]
fn sockets_executors_and_tasks_are_as_they_say() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &[]);
        for mode in ["copy", "stop", "live"] {
            let truth = target.ask("resources");
            let ours = census(&target, mode);
            assert_same_resources(&truth["counts"], &ours["resources"]);
            let sum = |kind: &str, key: &str| -> u64 {
                let of_kind = rows(&truth["resources"]).iter().filter(|row| row["kind"] == kind);
                of_kind.map(|row| number(&row[key])).sum()
            };
            let executors = &ours["resources"]["thread_pool_executor"];
            for (metric, key) in [
                ("limit", "max_workers"),
                ("created", "threads"),
                ("idle", "idle"),
                ("queued", "queued_work"),
            ] {
                assert_eq!(executors[metric], sum("executor", key), "{mode}: {metric}");
            }
            assert!(sum("executor", "queued_work") < sum("executor", "queued"), "the trap is set");
        }
    });
}

#[test]
fn aiohttp_sessions_are_as_they_say() {
    for_each_of(Interpreter::has_aiohttp, |interpreter| {
        let mut target = Fixture::start(interpreter, "aiohttp_sessions.py", &[]);
        for mode in ["copy", "stop", "live"] {
            let truth = target.ask("sessions");
            let ours = census(&target, mode);
            let sessions = &ours["resources"]["aiohttp_session"];
            assert_eq!(sessions["count"], truth["counts"]["count"], "{mode}");
            assert_eq!(sessions["states"], truth["counts"]["states"], "{mode}");
            assert_eq!(sessions["unknown"], Value::Null, "{mode}");
            // A connector that two sessions share has its connections once.
            let connectors: BTreeMap<&str, &Value> = rows(&truth["sessions"])
                .iter()
                .map(|row| &row["connector"])
                .filter(|connector| !connector.is_null())
                .map(|connector| (text(&connector["address"]), connector))
                .collect();
            for metric in ["in_use", "idle", "limit"] {
                let sum: u64 = connectors.values().map(|row| number(&row[metric])).sum();
                assert_eq!(sessions[metric], sum, "{mode}: {metric}");
            }
        }
    });
}
