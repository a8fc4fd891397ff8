//! What to say when something that a test needs is not on this machine.

/// Prints that a part was not run. Where everything is required (`PYATTACH_REQUIRE_MATRIX`, as the whole check sets
/// it), that is a failure.
pub(crate) fn not_run(why: &str) {
    let narrowed = std::env::var_os("PYATTACH_TEST_ONLY").is_some();
    let required = std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_some();
    assert!(narrowed || !required, "everything is required: {why}");
    eprintln!("not run: {why}");
}
