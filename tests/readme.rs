//! The README's commands, run for real against the service its examples show.

mod support;

use std::process::Command;
use support::Fixture;

/// A `console` block: the command and the output shown.
struct Example {
    command: String,
    shown: Vec<String>,
}

fn examples() -> Vec<Example> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = text.split("```console\n").skip(1);
    blocks
        .map(|block| {
            let mut lines = block.split("```").next().unwrap().lines();
            let command = lines.next().unwrap().strip_prefix("$ ").expect("a prompt").to_owned();
            Example { command, shown: lines.map(str::to_owned).collect() }
        })
        .collect()
}

/// A line without what differs from run to run: numbers, sizes, addresses, folders.
fn skeleton(line: &str) -> String {
    let line = line.trim();
    let mut out = String::new();
    for word in line.split_whitespace() {
        let word = word.trim_start_matches('(');
        let word = word.rsplit('/').next().unwrap_or(word);
        let masked: String =
            word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let mut last = ' ';
        for character in masked.chars().filter(|&c| c != '.' && c != ',') {
            if character != '0' || last != '0' {
                out.push(character);
            }
            last = character;
        }
        out.push(' ');
    }
    out
}

/// Lines of an example that every run must print again: no elisions, no figures of the moment.
fn is_stable(line: &str) -> bool {
    let moment = ["Process ", "captured ", "Python ", "hreads "];
    let counted = line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    !line.trim().is_empty()
        && !line.contains('…')
        && !counted
        && !line.contains(" at 0x")
        && !moment.iter().any(|word| line.contains(word))
        && !line.contains("CPython")
        && !line.contains("layout")
}

#[test]
fn every_command_of_the_readme_works_and_prints_what_it_shows() {
    let service = concat!(env!("CARGO_MANIFEST_DIR"), "/python-fixtures/leaky_service.py");
    let mut python = Command::new("python3");
    python.arg("-u").arg(service);
    let target = Fixture::run("python3 on PATH", python);
    let examples = examples();
    assert!(examples.len() >= 5, "the README shows {} commands", examples.len());
    let mut missing = Vec::new();
    for example in &examples {
        let words: Vec<String> = example
            .command
            .split_whitespace()
            .map(|word| word.replace("4711", &target.pid_text()))
            .collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim_matches('\'')).collect();
        assert_eq!(words[0], "pyattach", "{}", example.command);
        let outcome = support::pyattach(&words[1..]);
        assert_eq!(outcome.code, Some(0), "{}: {}", example.command, outcome.stderr);
        let printed: Vec<String> = outcome.stdout.lines().map(skeleton).collect();
        let stable: Vec<&String> = example.shown.iter().filter(|line| is_stable(line)).collect();
        assert!(!stable.is_empty(), "{}: nothing in the example can be checked", example.command);
        for line in stable {
            if !printed.contains(&skeleton(line)) {
                missing.push(format!("{}: {line}", example.command));
            }
        }
    }
    assert!(missing.is_empty(), "shown in the README, not printed:\n{}", missing.join("\n"));
}
