//! What is held in unusual places has one group, with the path that the program was written to have.

use super::support::{Fixture, fixtures, for_each_of, pyattach, scratch};
use super::why::some;
use pyattach::snapshot::file::SnapshotFile;
use pyattach::snapshot::graph::answer::{Selected, Show};

#[test]
fn unusual_holders_are_named() {
    for_each_of(some(&[(3, 11), (3, 15)]), |interpreter| {
        let program = interpreter.inside(&fixtures().join("held_oddly.py"));
        let command = interpreter.command(&[&program]);
        let target = Fixture::run(&format!("held_oddly on {interpreter}"), command);
        // All from one capture.
        let path = scratch().join(format!("oddly-{}.pysnap", target.pid_text()));
        let file = path.to_string_lossy();
        let stored = pyattach(&["snapshot", &target.pid_text(), "--graph", "-o", &file]);
        assert_eq!(stored.code, Some(0), "{interpreter}: {}", stored.stderr);
        let graph = SnapshotFile::open(&path).unwrap().graph().unwrap().unwrap();
        for (name, expected) in target.facts["expected"].as_object().unwrap() {
            let full = format!("__main__.{name}");
            let is = |class: &str| class == full;
            let selected = Selected::Types { exactly: &is, roughly: &is };
            let groups = graph.holders(&selected, Show { groups: 8, depth: 16 }).groups;
            let [group] = &groups[..] else { panic!("{interpreter} {name}: {groups:#?}") };
            let (path, expected) = (&group.path, expected.as_str().unwrap());
            let fits = match expected.strip_suffix('…') {
                Some(beginning) => path.starts_with(beginning),
                None => path.as_str() == expected,
            };
            assert!(fits, "{interpreter} {name}: {path}");
        }
        std::fs::remove_file(&path).unwrap();
    });
}
