//! One snapshot and what the commands make of it.

use super::series::json;
use super::support::{Fixture, for_each_interpreter, for_each_of, pyattach, scratch};
use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Rows of a Parquet file, read back.
fn parquet_rows(path: &Path) -> usize {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).count()
}

#[test]
fn a_file_holds_what_the_census_counts() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &[]);
        let truth = target.ask("census");
        let collector = target.ask("collector");
        let folder = tempfile::tempdir_in(scratch()).unwrap();
        let path = folder.path().join("a.pysnap");
        let name = path.to_str().unwrap();
        let outcome = pyattach(&["snapshot", &target.pid_text(), "-o", name]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let lines: Vec<Value> = BufReader::new(MultiGzDecoder::new(File::open(&path).unwrap()))
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        let section = |name: &str| lines.iter().find(|line| line["section"] == name).unwrap();
        assert_eq!(lines[0]["section"], "summary");
        assert_eq!(lines[0]["process"]["pid"], target.pid);
        check_collector(&lines[0], &collector);
        let command = lines[0]["process"]["cmdline"].as_array().unwrap();
        assert!(command.iter().all(|word| !word.as_str().unwrap().contains('/')), "{command:?}");
        let names = section("type-names")["names"].as_array().unwrap();
        let counts = section("types")["count"].as_array().unwrap();
        assert_eq!(names.len(), counts.len());
        let approximate = truth["approximate"].as_array().unwrap();
        for (name, expected) in truth["by_name"].as_object().unwrap() {
            let places = names.iter().zip(counts).filter(|(one, _)| *one == name);
            let found: u64 = places.map(|(_, count)| count.as_u64().unwrap()).sum();
            if !approximate.iter().any(|one| one == name) {
                assert_eq!(found, expected.as_u64().unwrap(), "{name}");
            }
        }
    });
}

/// The first collector of a summary against what `gc` said.
fn check_collector(summary: &Value, truth: &Value) {
    let collectors = summary["collectors"].as_array().unwrap();
    let found = collectors.iter().find(|one| one["interpreter"] == 0).unwrap();
    for key in ["enabled", "thresholds", "garbage"] {
        assert_eq!(found[key], truth[key], "{key}: {found:#}");
    }
    let (ours, theirs) = (found["stats"].as_array().unwrap(), truth["stats"].as_array().unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        for key in ["collections", "collected", "uncollectable"] {
            assert_eq!(ours[key], theirs[key], "{key}: {found:#}\n{truth:#}");
        }
    }
    for older in [1, 2] {
        assert_eq!(found["counts"][older], truth["counts"][older], "{found:#}\n{truth:#}");
    }
    // The answer itself made a few young objects.
    let young = found["counts"][0].as_i64().unwrap();
    assert!((0..=901).contains(&young), "{found:#}");
}

#[test]
fn a_stored_capture_is_reported_as_the_process_was() {
    for_each_of(
        |one| one.label == "3.12.1",
        |interpreter| {
            let mut target = Fixture::start(
                interpreter,
                "report_service.py",
                &["--leaks", "zombies,executors,close_wait"],
            );
            let _ = target.ask("ping");
            let folder = tempfile::tempdir_in(scratch()).unwrap();
            let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
            let (file, pid) = (at("a.pysnap"), target.pid_text());
            assert_eq!(pyattach(&["snapshot", &pid, "-o", &file]).code, Some(0));
            let live = json(&["report", &pid, "--json", "--holders", "never"]);
            drop(target);
            let stored = json(&["report", &file, "--json"]);
            let rules = |report: &Value| {
                let found = report["findings"].as_array().unwrap().iter();
                let mut rules: Vec<String> =
                    found.map(|it| format!("{} {}", it["rule"], it["title"])).collect();
                rules.sort();
                rules
            };
            assert!(!rules(&live).is_empty());
            assert_eq!(rules(&stored), rules(&live));
            for same in ["resources", "peers", "limits"] {
                assert_eq!(stored[same], live[same], "{same}");
            }
            assert_eq!(stored["stored"]["path"], file.as_str());

            // The same by name alone, with an exit code, as a page, and of two as one picture.
            let failing = pyattach(&[&file, "--fail-on", "info"]);
            assert_eq!(failing.code, Some(1), "{failing:?}");
            assert!(failing.stdout.contains("stored capture of 2"), "{failing:?}");
            let page = at("page.html");
            assert_eq!(pyattach(&["report", &file, "--html", &page]).code, Some(0));
            assert!(fs::read_to_string(&page).unwrap().contains("</html>"));
            let mixed_up = pyattach(&["report", &page, "--html", &file]);
            assert_ne!(mixed_up.code, Some(0), "{mixed_up:?}");
            let again = at("again.pysnap");
            fs::copy(&file, &again).unwrap();
            let both = json(&["report", &file, &again, "--json"]);
            assert_eq!(both["schema"], "pyattach.family/1");
            assert_eq!(both["reports"].as_array().unwrap().len(), 2);

            let foreign = pyattach(&["report", &page]);
            assert_eq!(foreign.code, Some(6), "{foreign:?}");
            let refused = pyattach(&["report", &again, "--html", &file]);
            assert_eq!(refused.code, Some(2), "{refused:?}");
            assert!(refused.stderr.contains("hint:"), "{refused:?}");
            // What is whole of a damaged file is said, and that it is not all.
            let whole = fs::read(&file).unwrap();
            fs::write(&again, &whole[..whole.len() - 10]).unwrap();
            let cut = pyattach(&["report", &again]);
            assert_eq!(cut.code, Some(6), "{cut:?}");
            assert!(cut.stdout.contains("damaged:"), "{cut:?}");
        },
    );
}

#[test]
fn names_are_not_overwritten_and_damage_has_its_code() {
    for_each_of(
        |one| one.version.0 == 3 && one.label == "3.12.1",
        |interpreter| {
            let target = Fixture::start(interpreter, "series.py", &[]);
            let folder = tempfile::tempdir_in(scratch()).unwrap();
            let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
            let (file, pid) = (at("a.pysnap"), target.pid_text());
            assert_eq!(pyattach(&["snapshot", &pid, "-o", &file]).code, Some(0));
            let again = pyattach(&["snapshot", &pid, "-o", &file]);
            assert_eq!(again.code, Some(2), "{again:?}");
            assert!(again.stderr.contains("exists already") && again.stderr.contains("--force"));
            assert_eq!(pyattach(&["snapshot", &pid, "-o", &file, "--force"]).code, Some(0));
            let into = pyattach(&["snapshot", &pid, "--dir", folder.path().to_str().unwrap()]);
            assert_eq!(into.code, Some(0), "{into:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);

            let whole = fs::read(&file).unwrap();
            fs::write(at("cut.pysnap"), &whole[..whole.len() / 2]).unwrap();
            fs::write(at("foreign.pysnap"), "not one of ours").unwrap();
            let foreign = pyattach(&["diff", &file, &at("foreign.pysnap")]);
            assert_eq!(foreign.code, Some(6), "{foreign:?}");
            assert!(foreign.stderr.contains("is not a snapshot file"));
            let cut = pyattach(&["diff", &file, &at("cut.pysnap")]);
            assert!(matches!(cut.code, Some(0 | 6)), "{cut:?}");
            assert!(cut.stdout.contains("note:") || cut.stderr.contains("damaged"), "{cut:?}");
            let trend = json(&["trend", folder.path().to_str().unwrap(), "--json"]);
            assert!(trend["damaged"].as_array().unwrap().len() >= 2, "{trend:#}");

            let csv = pyattach(&["export", &file]);
            assert_eq!(csv.code, Some(0), "{csv:?}");
            assert!(csv.stdout.starts_with("taken_ms,host,boot_id,pid,"));
            assert!(csv.stdout.contains(",resource,socket,count,"), "{:.500}", csv.stdout);
            let parquet = at("a.parquet");
            let out = pyattach(&["export", &file, "-o", &parquet]);
            assert_eq!(out.code, Some(0), "{out:?}");
            let rows = parquet_rows(Path::new(&parquet));
            assert_eq!(rows, csv.stdout.lines().count() - 1);
            let (junit, sarif) = (at("j.xml"), at("s.json"));
            let out = pyattach(&["trend", &file, "--junit", &junit, "--sarif", &sarif]);
            assert_eq!(out.code, Some(0), "{out:?}");
            assert!(fs::read_to_string(&junit).unwrap().contains("<testsuite "));
            let sarif: Value = serde_json::from_slice(&fs::read(&sarif).unwrap()).unwrap();
            assert_eq!(sarif["version"], "2.1.0");
        },
    );
}
