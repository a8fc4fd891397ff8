//! Many scripts in a busy program: its own checks find no harm, and nothing stands still.
//!
//! `PYATTACH_EXEC_HARM=300` is the long form: so many scripts on each version.

use std::time::Duration;

use pyattach::attach::Target;
use pyattach::inject::{Ending, ExecOptions, Script, run};

use crate::support::{Fixture, for_each_interpreter};

const SHORT: usize = 12;
const OPTIONS: ExecOptions =
    ExecOptions { timeout: Duration::from_secs(60), thread: None, room: 1 << 20 };

#[test]
fn a_busy_program_is_unharmed() {
    let count = std::env::var("PYATTACH_EXEC_HARM").ok().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(SHORT);
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "exec_busy.py", &[]);
        let before = target.ask("check");
        let mut ways = std::collections::BTreeMap::new();
        for number in 0..count {
            let script = Script {
                name: "<probe>".to_owned(),
                source: b"print(argv[0]); result = sum(range(int(argv[0])))".to_vec(),
                arguments: vec![number.to_string()],
            };
            let opened = Target::open(target.pid).unwrap();
            let outcome = run(&opened, &script, OPTIONS, &mut |_| Ok(()))
                .unwrap_or_else(|error| panic!("{number}: {error}: {}", target.stderr()));
            assert_eq!(outcome.ending, Ending::Done, "{number}: {outcome:?}");
            assert_eq!(outcome.left_behind, [""; 0], "{number}");
            let sum = number * number.saturating_sub(1) / 2;
            assert_eq!(outcome.result, Some(Ok(sum.into())), "{number}");
            *ways.entry(outcome.way.name()).or_insert(0) += 1;
        }
        let between = target.ask("check");
        // Each thread goes on; on a loaded machine a turn takes its time.
        let moved = |before: &serde_json::Value, after: &serde_json::Value| {
            let mut counters = before["counters"].as_object().unwrap().iter();
            counters.all(|(name, was)| after["counters"][name].as_u64() > was.as_u64())
        };
        let begin = std::time::Instant::now();
        let mut after = target.ask("check");
        while !moved(&between, &after) {
            assert!(begin.elapsed() < Duration::from_secs(60), "stands still: {between} {after}");
            after = target.ask("check");
        }
        assert_eq!(after["harm"], serde_json::json!([]), "{ways:?}");
        assert_eq!(after["names"], before["names"]);
        println!("{interpreter}: {count} scripts, {ways:?}, no harm");
        target.end();
    });
}
