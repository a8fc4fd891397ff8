//! Several processes as one picture.

use crate::support::{Fixture, for_each_of, pyattach, pyattach_json};
use serde_json::Value;

#[test]
fn a_family_is_one_picture() {
    for_each_of(
        |interpreter| [8, 11, 13].contains(&interpreter.version.1) && interpreter.root.is_none(),
        |interpreter| {
            let arguments = ["--children", "3", "--stranger", "--leaks", "loops"];
            let target = Fixture::start(interpreter, "report_service.py", &arguments);
            let pid = target.pid_text();
            let server = format!("127.0.0.1:{}", target.facts["port"]);
            let limit = format!("{server}=10");
            let words = ["report", &pid, "--children", "--server-limit", &limit];
            let family = pyattach_json(&words);
            assert_eq!(family["schema"], "pyattach.family/1");
            let reports = family["reports"].as_array().unwrap();
            assert_eq!(reports.len(), 4, "{:#}", family["failures"]);
            // `cat` is no Python, which is no failure.
            let failures = family["failures"].as_array().unwrap();
            assert_eq!(failures.len(), 1, "{failures:#?}");
            assert_eq!(failures[0]["passed_over"], true);

            let sums = &family["sums"];
            let expected = serde_json::json!({"connections": 9, "processes": 3, "limit": 10});
            assert_eq!(sums["servers"][&server], expected);
            for path in ["count", "states"] {
                let of = |report: &Value| report["resources"]["socket"][path].clone();
                if path == "count" {
                    let sum: u64 = reports.iter().filter_map(|report| of(report).as_u64()).sum();
                    assert_eq!(sums["resources"]["socket"]["count"], sum);
                } else {
                    let open = |report: &Value| of(report)["open"].as_u64();
                    let sum: u64 = reports.iter().filter_map(open).sum();
                    assert_eq!(sums["resources"]["socket"]["states"]["open"], sum);
                }
            }
            let threads = |report: &Value| report["process"]["os_threads"].as_u64();
            assert_eq!(sums["threads"], reports.iter().filter_map(threads).sum::<u64>());

            let outcome = pyattach(&words);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            for part in [
                "4 Python processes",
                "ALL TOGETHER",
                "(nearly exhausted)",
                &format!("in process {pid}"),
            ] {
                assert!(outcome.stdout.contains(part), "no {part}: {}", outcome.stdout);
            }
            target.end();
        },
    );
}

#[test]
fn one_failure_does_not_hide_the_others() {
    for_each_of(
        |interpreter| interpreter.version.1 == 12,
        |interpreter| {
            let target = Fixture::start(interpreter, "report_service.py", &["--leaks", "loops"]);
            let pid = target.pid_text();
            // A kernel thread, or another process that is no Python, is certain to be process 2 or 1.
            let outcome =
                pyattach(&["report", "--json", "--fail-on", "warning", &pid, "999999999"]);
            assert_eq!(outcome.code, Some(3), "{outcome:?}");
            assert!(outcome.stderr.contains("error:"), "{}", outcome.stderr);
            let family: Value = serde_json::from_str(&outcome.stdout).unwrap();
            assert_eq!(family["reports"].as_array().unwrap().len(), 1);
            let failure = &family["failures"][0];
            assert_eq!(
                (&failure["pid"], &failure["passed_over"]),
                (&999_999_999.into(), &false.into())
            );
            let text = pyattach(&["report", &pid, "999999999"]).stdout;
            assert!(text.contains("999999999 not looked at:"), "{text}");
            target.end();
        },
    );
}
