//! Running one check on every interpreter, and telling all that failed, not only the first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Interpreter, interpreters, tell};

/// How many interpreters are tested at a time.
const AT_ONCE: usize = 2;

/// Runs the check on every interpreter of the matrix that is here.
///
/// # Panics
/// After all have run, when the check panicked on some: the message has each label with its failure.
pub(crate) fn for_each_interpreter(check: impl Fn(&Interpreter) + Sync) {
    for_each_of(|_| true, check);
}

/// The same for the interpreters that are chosen.
///
/// # Panics
/// As above, and when none is chosen: a check that never ran proves nothing. (With `PYATTACH_TEST_ONLY`, that is fine.)
pub(crate) fn for_each_of(
    choose: impl Fn(&Interpreter) -> bool,
    check: impl Fn(&Interpreter) + Sync,
) {
    let chosen: Vec<&Interpreter> = interpreters().iter().filter(|one| choose(one)).collect();
    if chosen.is_empty() {
        let narrowed = std::env::var_os("PYATTACH_TEST_ONLY").is_some();
        let required = std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_some();
        assert!(narrowed || !required, "no interpreter of the matrix fits this test");
        tell("not run: this machine has no interpreter that fits this test");
        return;
    }
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(interpreter) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(interpreter))) {
                        let text = panic.downcast_ref::<String>().cloned();
                        let text =
                            text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                        let text = text.unwrap_or_else(|| "a panic without a text".to_owned());
                        failures.lock().expect("no holder panics").push((interpreter, text));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no holder panics");
    let listed: Vec<String> =
        failures.iter().map(|(interpreter, text)| format!("--- {interpreter}\n{text}")).collect();
    assert!(
        failures.is_empty(),
        "{} of {} interpreters failed\n{}",
        failures.len(),
        chosen.len(),
        listed.join("\n")
    );
}
