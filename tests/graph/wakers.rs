//! Tasks, threads and futures that nothing can ever wake are proven, and no others are, wherever
//! what wakes them is.

use super::support::{Fixture, Interpreter, for_each_of, pyattach_json};
use super::why::some;
use serde_json::Value;
use std::collections::BTreeSet;

const SERIES: &[(u8, u8)] = &[(3, 8), (3, 10), (3, 11), (3, 12), (3, 13), (3, 14), (3, 15)];

#[test]
fn are_found_wherever_they_are() {
    for_each_of(some(SERIES), |interpreter| {
        let target = Fixture::start(interpreter, "wakers.py", &[]);
        let pid = target.pid_text();
        let facts = |name: &str| texts(&target.facts[name]);

        // One look at all of them.
        let found = pyattach_json(&["why", &pid, "{*.Thread,*.Task,*.Future}"]);
        let names = proven(&found, "thread").flat_map(|one| one["threads"].as_array().unwrap());
        let names = names.filter_map(|thread| thread["name"].as_str().map(str::to_owned));
        check(interpreter, &facts("threads"), &names.collect());

        let names = target.facts["tasks"].as_object().unwrap();
        let all = names.values().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        let stuck = proven(&found, "task").flat_map(|one| texts(&one["objects"]));
        let stuck = stuck.map(|address| names[&address].as_str().unwrap().to_owned());
        check(interpreter, &all, &stuck.collect());

        let futures: BTreeSet<String> =
            proven(&found, "future").flat_map(|one| texts(&one["objects"])).collect();
        let label = format!("{interpreter}: {futures:#?}");
        assert!(facts("lost_futures").is_subset(&futures), "{label}: {:?}", facts("lost_futures"));
        assert!(
            facts("kept_futures").is_disjoint(&futures),
            "{label}: {:?}",
            facts("kept_futures")
        );

        let hidden = found["hidden"].as_array().unwrap();
        for kind in ["task", "thread"] {
            let said =
                hidden.iter().any(|one| one["kind"] == kind && one["count"].as_u64() > Some(0));
            assert!(said, "{interpreter}: {hidden:#?}");
        }
        if interpreter.version.1 == 12 {
            findings(interpreter, &pid);
        }
    });
}

/// All that are lost, none that are kept.
fn check(interpreter: &Interpreter, all: &BTreeSet<String>, found: &BTreeSet<String>) {
    let label = format!("{interpreter}: {found:#?}");
    let of = |what: &'static str| all.iter().filter(move |name| name.starts_with(what));
    let missing: Vec<&String> = of("lost").filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{label}: missing {missing:?}");
    let wrong: Vec<&String> = found.iter().filter(|name| name.starts_with("kept")).collect();
    assert!(wrong.is_empty(), "{label}: {wrong:?}");
    assert!(of("lost").count() >= 4 && of("kept").count() >= 18, "{label}: {all:?}");
}

/// The findings say the same, and what C code hides is not judged.
fn findings(interpreter: &Interpreter, pid: &str) {
    let report = pyattach_json(&["report", pid]);
    let label = format!("{interpreter}: {:#}\n{:#}", report["findings"], report["not_judged"]);
    for (rule, class) in [
        ("task-never-woken", "_asyncio.Task"),
        ("future-never-resolved", "future"),
        ("thread-never-woken", "threading.Thread"),
    ] {
        let all = |key: &str| report[key].as_array().unwrap().clone();
        let found: Vec<Value> =
            all("findings").into_iter().filter(|one| one["rule"] == rule).collect();
        assert!(!found.is_empty(), "{rule}: {label}");
        for one in &found {
            assert_eq!(one["severity"], "warning", "{rule}: {label}");
            assert_eq!(one["objects"]["named"][0]["type"], class, "{rule}: {label}");
        }
        assert!(all("not_judged").iter().any(|one| one["rule"] == rule), "{rule}: {label}");
    }
}

fn proven<'v>(why: &'v Value, kind: &'static str) -> impl Iterator<Item = &'v Value> {
    let all = why["proven"].as_array().unwrap().iter();
    all.filter(move |one| one["kind"] == kind)
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
