//! Who holds what, kept in files: paths over time, questions to a file, graphs compared.

use super::series::json;
use super::support::{Fixture, Interpreter, for_each_of, pyattach, scratch};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const LIVE: &str = "module __main__ › class Gateway › live › [item]";
const ODD: &str = "module __main__ › ODD › [key]";
const CLASS: &str = "__main__.Connection";

fn some(series: &'static [(u8, u8)]) -> impl Fn(&Interpreter) -> bool {
    let seen = std::sync::Mutex::new(BTreeSet::new());
    move |one| {
        let found = (one.version.0, one.version.1);
        series.contains(&found) && seen.lock().unwrap().insert(found)
    }
}

fn folder() -> TempDir {
    tempfile::tempdir_in(scratch()).unwrap()
}

fn store(target: &Fixture, folder: &Path, name: &str, more: &[&str]) -> String {
    let path = folder.join(name).to_str().unwrap().to_owned();
    let pid = target.pid_text();
    let mut arguments = vec!["snapshot", &pid, "-o", &path];
    arguments.extend(more);
    let outcome = pyattach(&arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    path
}

fn rows<'v>(holders: &'v Value, name: &str) -> Vec<&'v Value> {
    let rows = holders.as_array().unwrap_or_else(|| panic!("{holders:#}"));
    rows.iter().filter(|row| row["name"] == name).collect()
}

fn at<'v>(rows: &[&'v Value], path: &str) -> &'v Value {
    rows.iter().find(|row| row["path"] == path).unwrap_or_else(|| panic!("{path}: {rows:#?}"))
}

#[test]
fn a_path_grew_by_what_the_program_says_and_another_is_new() {
    for_each_of(some(&[(3, 8), (3, 14)]), |interpreter| {
        let mut target = Fixture::start(interpreter, "growing.py", &[]);
        let folder = folder();
        let before = target.ask("counts");
        let old = store(&target, folder.path(), "a.pysnap", &["--graph"]);
        target.ask("more 88");
        target.ask("renew");
        let after = target.ask("odd 12");
        let new = store(&target, folder.path(), "b.pysnap", &["--graph"]);
        let grown = |what: &str| after[what].as_i64().unwrap() - before[what].as_i64().unwrap();
        assert_eq!((grown("live"), grown("odd"), grown("pool")), (88, 12, 0));

        let arguments = ["diff", &old, &new, "--graph", "--json"];
        let diff = json(&arguments);
        let connections = rows(&diff["holders"], CLASS);
        let live = at(&connections, LIVE);
        assert_eq!((&live["change"], &live["grown"]), (&"grew".into(), &grown("live").into()));
        assert_eq!(live["container"]["first"], before["live"], "{live:#}");
        assert_eq!(live["container"]["last"], after["live"], "{live:#}");
        assert_eq!(live["owner"]["name"], "__main__.Gateway", "{live:#}");
        let odd = at(&connections, ODD);
        assert_eq!((&odd["grown"], &odd["change"]), (&after["odd"], &"new".into()), "{odd:#}");
        // The pool has others than before, and as many: its path did not change.
        let pool = |row: &&&Value| row["path"].as_str().unwrap().contains("idle");
        assert_eq!(connections.iter().find(pool), None);
        let sockets = rows(&diff["holders"], "socket");
        let sum: i64 = sockets.iter().map(|row| row["grown"].as_i64().unwrap()).sum();
        assert_eq!(sum, grown("sockets"), "{sockets:#?}");
        let near = at(&sockets, &format!("{ODD} › .near"));
        assert_eq!((&near["change"], &near["since"]), (&"new".into(), &2.into()), "{near:#}");

        let graph = &diff["graph"];
        let grew = graph["grew"].as_array().unwrap();
        let row = grew.iter().find(|row| row["path"] == LIVE);
        let row = row.unwrap_or_else(|| panic!("{graph:#}"));
        assert_eq!(row["count"], serde_json::json!([before["live"], after["live"]]));
        assert_eq!(row["stayed"], before["live"], "{row:#}");
        assert_eq!(row["type"], CLASS);
        assert!(grew.iter().any(|row| row["path"] == ODD), "{graph:#}");
        // Named once, not again for what comes with each: the two sockets, the dict.
        let within = |row: &&Value| row["path"].as_str().unwrap().starts_with(&format!("{LIVE} ›"));
        assert_eq!(grew.iter().find(within), None);
        let largest = graph["largest"].as_array().unwrap();
        let list = largest.iter().find(|one| one["length"] == after["live"]);
        let list = list.unwrap_or_else(|| panic!("{largest:#?}"));
        assert_eq!((&list["type"], &list["stayed"]), (&"builtins.list".into(), &true.into()));

        let text = pyattach(&arguments).stdout;
        assert_eq!(pyattach(&arguments).stdout, text);
        let text = pyattach(&["diff", &old, &new, "--graph"]).stdout;
        assert!(text.contains("same path +88") && text.contains("of 30 to 118"), "{text}");

        // A restart: the paths are compared all the same, the objects are not.
        let mut again = Fixture::start(interpreter, "growing.py", &[]);
        again.ask("more 5");
        let third = store(&again, folder.path(), "c.pysnap", &["--graph"]);
        let diff = json(&["diff", &old, &third, "--graph", "--json"]);
        assert_eq!(diff["relation"], "program");
        assert_eq!(at(&rows(&diff["holders"], CLASS), LIVE)["grown"], 5);
        assert_eq!(
            (&diff["graph"]["stayed"], &diff["graph"]["largest"]),
            (&Value::Null, &Value::Array(Vec::new()))
        );
    });
}

/// What both answers must have in common.
fn essence(answer: &Value) -> (Value, Vec<Value>) {
    let holders = &answer["holders"];
    let group = |group: &Value| {
        let keys = [
            "count",
            "path",
            "root",
            "steps",
            "owner",
            "retained_bytes",
            "retained",
            "inferred",
            "from_c",
        ];
        let mut kept: serde_json::Map<String, Value> =
            keys.iter().map(|&key| (key.to_owned(), group[key].clone())).collect();
        let alone = group["only_holder"].clone();
        kept.insert("only_holder".to_owned(), alone);
        kept.insert("accumulation".to_owned(), group["accumulation"].clone());
        Value::Object(kept)
    };
    let mut groups: Vec<Value> = holders["groups"].as_array().unwrap().iter().map(group).collect();
    groups.sort_by_key(ToString::to_string);
    let keys = ["total", "garbage", "retained_bytes", "retained"];
    (keys.iter().map(|&key| holders[key].clone()).collect(), groups)
}

#[test]
fn a_file_answers_as_the_process_does() {
    for_each_of(some(&[(3, 13)]), |interpreter| {
        let target =
            Fixture::start(interpreter, "held.py", &["--objects", "3000", "--leaks", "40"]);
        let folder = folder();
        let file = store(&target, folder.path(), "a.pysnap", &["--graph"]);
        let pid = target.pid_text();
        let selectors = ["shop.gateway.Connection", "asyncio_task", "Session", "socket:connected"];
        for selector in selectors {
            let asked = |subject: &str| json(&["why", subject, selector, "--json", "--all"]);
            let (process, stored) = (asked(&pid), asked(&file));
            assert!(process["holders"]["total"].as_u64() > Some(0), "{selector}: {process:#}");
            assert_eq!(essence(&stored), essence(&process), "{interpreter}: {selector}");
            let proven = |answer: &Value| {
                let mut proven = answer["proven"].clone();
                // Who holds them, the groups say.
                let each = proven.as_array_mut().unwrap().iter_mut();
                each.for_each(|one| one["holders"] = Value::Null);
                proven
            };
            assert_eq!(proven(&stored), proven(&process), "{interpreter}: {selector}");
            assert_eq!(stored["process"]["pid"], process["process"]["pid"]);
        }
        let one = json(&["why", &file, "shop.gateway.Connection", "--json"]);
        let address = one["holders"]["groups"][0]["examples"][0].as_str().unwrap().to_owned();
        let asked = |subject: &str| json(&["why", subject, &address, "--json"]);
        assert_eq!(essence(&asked(&file)), essence(&asked(&pid)), "{address}");

        // What the graph adds. Almost all objects here are code of the standard library, each with a
        // path of its own: the worst case.
        let plain = store(&target, folder.path(), "b.pysnap", &[]);
        let size = |path: &str| fs::metadata(path).unwrap().len();
        let objects = one["graph"]["objects"].as_u64().unwrap();
        let extra = size(&file) - size(&plain);
        assert!(extra <= 3 * objects, "{extra} bytes for {objects} objects");

        // Without the graph, the groups that every file keeps.
        let kept = json(&["why", &plain, "thread_pool_executor", "--json"]);
        let from_graph = json(&["why", &file, "thread_pool_executor", "--json"]);
        let without = |answer: &Value| {
            let (totals, mut groups) = essence(answer);
            // Without the graph, bookkeeping counts as a holder.
            groups.iter_mut().for_each(|group| group["only_holder"] = Value::Null);
            (totals, groups)
        };
        assert_eq!(without(&kept), without(&from_graph));
        assert_eq!(kept["graph"], Value::Null);
        let refused = pyattach(&["why", &plain, &address]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains("no graph of references"), "{refused:?}");
        assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("snapshot --graph"));

        // Cut anywhere, it is an answer or an error.
        let whole = fs::read(&file).unwrap();
        let cut = folder.path().join("cut.pysnap");
        for part in [1, 5, 11] {
            fs::write(&cut, &whole[..whole.len() * part / 12]).unwrap();
            let outcome = pyattach(&["why", cut.to_str().unwrap(), "socket"]);
            assert!(matches!(outcome.code, Some(0 | 2 | 6)), "{part}: {outcome:?}");
        }
    });
}
