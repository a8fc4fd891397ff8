//! Thresholds, files of rules, exit codes, and `pyattach PID`.

use crate::support::{Fixture, for_each_of, pyattach, pyattach_json, scratch};
use crate::{findings, grave};
use std::path::PathBuf;

fn file(name: &str, text: &str) -> PathBuf {
    let path = scratch().join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn thresholds_and_exit_codes() {
    for_each_of(
        |interpreter| interpreter.version.1 == 12,
        |interpreter| {
            let leaks = ["--leaks", "zombies,loops"];
            let target = Fixture::start(interpreter, "report_service.py", &leaks);
            let pid = target.pid_text();
            for (arguments, code) in [
                (&[][..], 0),
                (&["--fail-on", "never"], 0),
                (&["--fail-on", "info"], 1),
                (&["--fail-on", "warning"], 1),
                (&["--fail-on", "critical"], 0),
                (&["--fail-on", "critical", "--rule", "zombies.severity=critical"], 1),
                (&["--fail-on", "always"], 2),
                (&["--rule", "zombies.most=1"], 2),
                (&["--rule", "nobody.least=1"], 2),
                (&["--rule", "zombies"], 2),
                (&["--rules", "/nowhere/rules.toml"], 6),
            ] {
                let mut words = vec!["report", pid.as_str()];
                words.extend(arguments);
                let outcome = pyattach(&words);
                assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.stderr);
            }
            let off = ["--rule", "zombies.severity=off", "--rule", "loops-leaked.least=50"];
            let report = pyattach_json(&[&["report", &pid][..], &off].concat());
            assert_eq!(grave(&report), Vec::<String>::new());

            let good = file(
                "good.toml",
                "[rules.zombies]\ngrave = 5\n\n[rules.loops-leaked]\nseverity = \"critical\"\n",
            );
            let good = good.to_str().unwrap();
            let report = pyattach_json(&["report", &pid, "--rules", good]);
            assert_eq!(findings(&report, "zombies")[0]["severity"], "info");
            assert_eq!(findings(&report, "loops-leaked")[0]["severity"], "critical");
            // The command line goes before the file.
            let over = ["report", &pid, "--rules", good, "--rule", "zombies.grave=1"];
            assert_eq!(findings(&pyattach_json(&over), "zombies")[0]["severity"], "warning");

            let bad = file("bad.toml", "[rules.zombies]\nleast = 1\nmost = 2\n");
            let outcome = pyattach(&["report", &pid, "--rules", bad.to_str().unwrap()]);
            assert_eq!(outcome.code, Some(6), "{outcome:?}");
            assert!(
                outcome.stderr.contains("bad.toml:3:1: the rule 'zombies' has no 'most'"),
                "{}",
                outcome.stderr
            );
            target.end();
        },
    );
}

#[test]
fn limits_of_the_users_own_catalogue() {
    for_each_of(
        |interpreter| interpreter.version.1 == 11,
        |interpreter| {
            let entry = "[[resource]]\nid = \"own.job\"\nkind = \"job\"\nabout = \"ours\"\ntypes = [\"__main__.Job\"]\n\
                         [resource.metrics]\namount = \"amount\"\n[resource.limits]\nwarn = \"amount >= 5\"\n\
                         critical = \"amount >= 8\"\n[resource.total_limits]\nwarn = \"count > 9\"\n";
            let catalog = file("catalog.toml", entry);
            let target = Fixture::start(interpreter, "report_service.py", &[]);
            let arguments = ["report", &target.pid_text(), "--catalog", catalog.to_str().unwrap()];
            let report = pyattach_json(&arguments);
            let critical = findings(&report, "catalog-limit-critical");
            assert_eq!(critical.len(), 1, "{:#}", report["findings"]);
            assert_eq!(critical[0]["evidence"]["numbers"]["count"], 2.0);
            let warn = findings(&report, "catalog-limit-warn");
            let counts: Vec<_> = warn
                .iter()
                .map(|one| one["evidence"]["numbers"]["count"].as_f64().unwrap())
                .collect();
            assert_eq!(counts, [3.0, 10.0], "{warn:#?}");
            target.end();
        },
    );
}

#[test]
fn a_number_alone_is_a_report() {
    for_each_of(
        |interpreter| interpreter.version.1 == 10,
        |interpreter| {
            let target = Fixture::start(interpreter, "report_service.py", &["--leaks", "zombies"]);
            let pid = target.pid_text();
            let outcome = pyattach(&[&pid]);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            for part in [
                &format!("Process {pid}"),
                "RESOURCE ",
                "descriptors ",
                "thread_pool_executor ",
                "FINDINGS  1 warning",
                "warning   4 ended child processes not waited for",
                "[zombies]",
                "captured with --capture ",
            ] {
                assert!(outcome.stdout.contains(part), "no {part}: {}", outcome.stdout);
            }
            // Options may follow, and lines stay within what a page takes.
            assert_eq!(pyattach(&[&pid, "--fail-on", "info"]).code, Some(1));
            let long = outcome.stdout.lines().filter(|line| line.chars().count() > 120);
            let long: Vec<&str> = long.filter(|line| !line.starts_with("Process ")).collect();
            assert!(long.is_empty(), "{long:#?}");
            target.end();
        },
    );
}
