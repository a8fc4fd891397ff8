//! `--injector-format` against the same lines printed by the target itself.

use crate::support::{Fixture, for_each_interpreter, for_each_of, pyattach};
use serde_json::Value;

/// The lines, those of one loop or executor joined with their heading, in no particular order.
fn blocks(lines: &[String]) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in lines {
        match blocks.last_mut() {
            Some(last) if line.starts_with("  ") && last.starts_with("Event loop") => {
                last.push_str(line);
            }
            _ => blocks.push(line.clone()),
        }
    }
    blocks.sort();
    blocks
}

#[test]
fn the_lines_are_those_of_a_script_inside() {
    for_each_interpreter(|interpreter| {
        let leaks = ["--leaks", "executors,loops,close_wait"];
        let mut target = Fixture::start(interpreter, "report_service.py", &leaks);
        let outcome = pyattach(&["report", "--injector-format", &target.pid_text()]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let ours: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
        let truth = target.ask("injector");
        let truth = truth["lines"].as_array().unwrap_or_else(|| panic!("{truth}")).iter();
        let truth: Vec<String> = truth.map(|line| line.as_str().unwrap().to_owned()).collect();
        assert_eq!(blocks(&ours), blocks(&truth));
        target.end();
    });
}

#[test]
fn sessions_of_aiohttp() {
    for_each_of(
        |interpreter| interpreter.has_aiohttp(),
        |interpreter| {
            let mut target = Fixture::start(interpreter, "aiohttp_sessions.py", &[]);
            let outcome = pyattach(&["report", "--injector-format", &target.pid_text()]);
            let ours =
                outcome.stdout.lines().skip_while(|line| !line.starts_with("aiohttp sessions"));
            let mut ours: Vec<String> = ours.map(str::to_owned).collect();
            let truth = target.ask("sessions");
            let open: Vec<&Value> = truth["sessions"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|session| session["state"] == "open")
                .collect();
            let mut expected = vec![format!("aiohttp sessions: {}", open.len())];
            for session in open {
                let number = |name: &str| session["connector"][name].as_i64().unwrap();
                expected.push(format!(
                    "  connector: size={} limit={} limit_per_host={}",
                    number("in_use") + number("idle"),
                    number("limit"),
                    number("limit_per_host")
                ));
            }
            ours.sort();
            expected.sort();
            assert_eq!(ours, expected);
            target.end();
        },
    );
}
