//! Every command that prints, over programs full of passwords, tokens and keys: none of them is printed.

use crate::scenarios::for_each;
use crate::support::pyattach;

/// How every secret of the programs begins.
const MARK: &str = "hunter2";

const COMMANDS: [&[&str]; 8] = [
    &["dump"],
    &["dump", "--locals"],
    &["census"],
    &["resources"],
    &["sockets"],
    &["tasks"],
    &["report"],
    &["report", "--injector-format"],
];

#[test]
fn no_output_has_a_secret() {
    for_each(1, |place| {
        let target = place.start(false);
        let pid = target.pid_text();
        let mut wrong = Vec::new();
        for command in COMMANDS {
            for json in [false, true] {
                if json && command.contains(&"--injector-format") {
                    continue;
                }
                let mut words = command.to_vec();
                words.push(&pid);
                words.extend(json.then_some("--json"));
                let outcome = pyattach(&words);
                let line = words.join(" ");
                assert!(matches!(outcome.code, Some(0 | 1)), "pyattach {line}: {outcome:?}");
                assert!(!outcome.stdout.is_empty(), "pyattach {line} says nothing");
                let all = outcome.stdout + &outcome.stderr;
                let shown = all.lines().filter(|text| text.contains(MARK));
                wrong.extend(shown.map(|text| format!("pyattach {line}: {:.300}", text.trim())));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
