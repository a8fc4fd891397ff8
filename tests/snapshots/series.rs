//! Four leaks at once beside decoys: each is called what it is.

use super::support::{DEADLINE, Fixture, for_each_of, pyattach_within, scratch};
use pyattach::snapshot::SnapshotFile;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Runs our binary on JSON output; a verdict makes it end with 1.
pub(crate) fn json(arguments: &[&str]) -> Value {
    let outcome = pyattach_within(DEADLINE, arguments);
    assert!(matches!(outcome.code, Some(0 | 1)), "{arguments:?}: {outcome:?}");
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// Captures into a folder, a step of the program before each capture.
fn capture(target: &mut Fixture, folder: &Path, captures: usize) {
    let (pid, folder) = (target.pid_text(), folder.to_str().unwrap().to_owned());
    for number in 0..captures {
        target.ask("step");
        let path = format!("{folder}/{number:02}.pysnap");
        let outcome = pyattach_within(Duration::from_secs(90), &["snapshot", &pid, "-o", &path]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        on_the_minute(Path::new(&path), number as i64);
    }
}

/// The program leaks by the step, not by the clock, and a busy machine makes the time between two
/// steps long or short: the file shall say that a step is a minute.
fn on_the_minute(path: &Path, minute: i64) {
    let mut snapshot = SnapshotFile::open(path).unwrap().read_all().unwrap();
    snapshot.summary.taken.since_boot_ms = Some(minute * 60_000);
    snapshot.save(path, true).unwrap();
}

#[test]
fn leaks_and_decoys_are_told_apart() {
    let chosen = [(3, 8), (3, 12), (3, 14)];
    let of_version = |version: (u8, u8, u8)| chosen.contains(&(version.0, version.1));
    let plain = |label: &str| !label.contains("debug");
    for_each_of(
        |one| of_version(one.version) && plain(&one.label),
        |interpreter| {
            let mut target = Fixture::start(interpreter, "series.py", &[]);
            let sqlite = target.facts["sqlite"] == true;
            let folder = tempfile::tempdir_in(scratch()).unwrap();
            capture(&mut target, folder.path(), 20);

            let path = folder.path().to_str().unwrap();
            let trend = json(&["trend", path, "--json", "--all"]);
            let process = &trend["processes"][0];
            assert_eq!(process["captures"], 20);
            let rows = process["series"].as_array().unwrap();
            let verdict = |family: &str, name: &str| {
                let row = rows.iter().find(|row| row["family"] == family && row["name"] == name);
                let row = row.unwrap_or_else(|| panic!("no {family} {name} in {rows:#?}"));
                assert_eq!(row.get("apart"), None, "{row:#}");
                row["verdict"].as_str().unwrap().to_owned()
            };
            let mut growing = vec![
                ("process", "open files"),
                ("resource", "socket"),
                ("resource", "thread_pool_executor"),
                ("resource", "asyncio_task"),
                ("type", "__main__.Gateway"),
                ("type", "__main__.ReportJob"),
            ];
            if sqlite {
                growing.push(("type", "__main__.Session"));
            }
            if sqlite && interpreter.at_least((3, 10)) {
                growing.push(("resource", "sqlite_connection"));
            }
            for (family, name) in growing {
                assert_eq!(verdict(family, name), "growing", "{name}");
            }
            assert_eq!(verdict("type", "__main__.CachedPage"), "settling");
            assert_eq!(verdict("type", "__main__.Node"), "cyclic");
            assert_eq!(verdict("type", "__main__.Request"), "cyclic");
            assert_eq!(verdict("type", "__main__.Plugin"), "step");
            let decoys = ["CachedPage", "Node", "Request", "Plugin"];
            let alarms = rows.iter().filter(|row| row["verdict"] == "growing");
            for row in alarms {
                let name = row["name"].as_str().unwrap();
                assert!(!decoys.iter().any(|decoy| name.contains(decoy)), "{row:#}");
            }
            // The sockets of the first capture are all there: it is not churn.
            let sockets = rows.iter().find(|row| row["name"] == "socket").unwrap();
            assert_eq!(sockets["members"]["first"], sockets["members"]["stayed"]);

            // Who holds what grows: 19 steps of three each, all in one list.
            let gateways = rows.iter().find(|row| row["name"] == "__main__.Gateway").unwrap();
            let held = &gateways["holders"][0];
            assert_eq!(held["path"], "module __main__ › class Gateway › live › [item]");
            let grew = (&held["change"], &held["grown_at_least"], &held["last"]);
            assert_eq!(grew, (&"grew".into(), &57.into(), &60.into()), "{held:#}");
            assert_eq!(held["container"]["last"], 60, "{held:#}");
            let sockets = rows.iter().find(|row| row["name"] == "socket").unwrap();
            for path in sockets["holders"].as_array().unwrap() {
                assert_eq!((&path["change"], &path["grown"]), (&"grew".into(), &57.into()));
            }

            let again = json(&["trend", path, "--json", "--all"]);
            assert_eq!(again, trend);
            let (old, new) = (format!("{path}/00.pysnap"), format!("{path}/19.pysnap"));
            let diff = json(&["diff", &old, &new, "--json"]);
            assert_eq!(diff["relation"], "process");
            assert_eq!(diff["rows"][0]["name"], "open files");
        },
    );
}
