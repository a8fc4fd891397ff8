//! Every command that prints, over programs full of passwords, tokens and keys: none of them is printed or stored.

use crate::scenarios::for_each;
use crate::support::pyattach;
use std::io::Read;

/// How every secret of the programs begins.
const MARK: &str = "hunter2";

#[test]
fn no_output_has_a_secret() {
    for_each(1, |place| {
        let mut target = place.start(false);
        let truth = target.ask("resources");
        let kind = truth["rows"][0]["kind"].as_str().unwrap();
        let pid = target.pid_text();
        let folder = tempfile::tempdir().unwrap();
        let files = ["old", "new"].map(|name| folder.path().join(name));
        let [old, new] = [0, 1].map(|at| files[at].to_str().unwrap());
        let mut wrong = Vec::new();
        let mut run = |words: &[&str]| {
            let line = words.join(" ");
            let outcome = pyattach(words);
            assert!(matches!(outcome.code, Some(0 | 1)), "pyattach {line}: {outcome:?}");
            assert!(!outcome.stdout.is_empty(), "pyattach {line} says nothing");
            let all = outcome.stdout + &outcome.stderr;
            let shown = all.lines().filter(|text| text.contains(MARK));
            wrong.extend(shown.map(|text| format!("pyattach {line}: {:.300}", text.trim())));
        };
        for file in [old, new] {
            run(&["snapshot", &pid, "-o", file]);
        }
        let commands: [&[&str]; 10] = [
            &["doctor", &pid],
            &["dump", "--locals", &pid],
            &["census", &pid],
            &["resources", &pid],
            &["sockets", &pid],
            &["tasks", "--all", &pid],
            &["why", "--all", &pid, kind],
            &["report", &pid],
            &["diff", old, new],
            &["trend", "--all", old, new],
        ];
        for command in commands {
            run(command);
            run(&[command, &["--json"]].concat());
        }
        run(&["report", "--injector-format", &pid]);
        for file in files {
            let stored = std::fs::File::open(&file).unwrap();
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(stored).read_to_string(&mut text).unwrap();
            assert!(text.len() > 1000);
            assert!(!text.contains(MARK), "a snapshot has a secret");
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
