//! The scenarios, what each needs and which rule finds it.

use crate::support::{Fixture, Interpreter, Libraries, Postgres, interpreters, libraries};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A scenario with the Pythons that it is tested on.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The program's name without `.py`.
    pub(crate) name: &'static str,
    /// Packages it needs.
    needs: &'static [&'static str],
    postgres: bool,
    /// Names of trees of libraries; without needs, of interpreters.
    on: &'static [&'static str],
    /// Rules that fire on the leak.
    pub(crate) rules: &'static [&'static str],
}

const fn alone(
    name: &'static str,
    on: &'static [&'static str],
    rules: &'static [&'static str],
) -> Scenario {
    Scenario { name, needs: &[], postgres: false, on, rules }
}

const fn with(
    name: &'static str,
    needs: &'static [&'static str],
    on: &'static [&'static str],
    rules: &'static [&'static str],
) -> Scenario {
    Scenario { name, needs, postgres: false, on, rules }
}

const fn on_postgres(
    name: &'static str,
    needs: &'static [&'static str],
    on: &'static [&'static str],
    rules: &'static [&'static str],
) -> Scenario {
    Scenario { name, needs, postgres: true, on, rules }
}

/// All of them. Between them they are on the oldest and the newest Python, and on old and new libraries.
pub(crate) const ALL: [Scenario; 12] = [
    with(
        "session_per_request",
        &["requests", "urllib3"],
        &["3.8.18", "3.13.0-old"],
        &["client-per-request"],
    ),
    alone("executor_per_batch", &["3.8.18", "sid 3.14"], &["executor-not-shut-down"]),
    alone("blocking_call", &["3.11.7", "sid 3.15"], &["event-loop-blocked"]),
    alone("unlimited_gather", &["3.12.1", "sid 3.14"], &["tasks-piling-up"]),
    on_postgres(
        "sqlalchemy_async_session",
        &["sqlalchemy", "asyncpg", "greenlet"],
        &["3.11.7-old", "3.15"],
        &["pool-exhausted", "session-holding-connection"],
    ),
    on_postgres(
        "django_dead_threads",
        &["django", "psycopg2"],
        &["3.8.18-old", "3.13.0"],
        &["connection-of-dead-thread"],
    ),
    on_postgres(
        "http_in_transaction",
        &["django", "psycopg2"],
        &["3.11.7", "3.13.0-old"],
        &["io-in-transaction"],
    ),
    alone("close_wait", &["3.9.18", "sid 3.15"], &["close-wait"]),
    alone("socket_cycle", &["3.10.13", "sid 3.13"], &["open-but-unreachable"]),
    on_postgres(
        "engine_per_loop",
        &["sqlalchemy", "asyncpg", "greenlet"],
        &["3.8.18", "3.15"],
        &["engine-per-call"],
    ),
    with("aiohttp_sessions", &["aiohttp"], &["3.8.18-old", "3.15"], &["client-per-request"]),
    on_postgres("asyncpg_pool", &["asyncpg"], &["3.11.7", "3.13.0-old"], &["pool-exhausted"]),
];

/// A scenario on one interpreter.
pub(crate) struct Place<'s> {
    pub(crate) scenario: &'s Scenario,
    interpreter: Interpreter,
    port: Option<u16>,
}

impl Place<'_> {
    /// Starts the leak or its twin.
    pub(crate) fn start(&self, healthy: bool) -> Fixture {
        let port = self.port.map(|port| port.to_string());
        let mut words = Vec::new();
        words.extend(port.iter().flat_map(|port| ["--postgres", port.as_str()]));
        words.extend(healthy.then_some("--healthy"));
        let program = format!("leaks/{}.py", self.scenario.name);
        Fixture::start(&self.interpreter, &program, &words)
    }
}

/// Runs the check on every scenario at its places, the first `most` of each; two at a time.
///
/// # Panics
/// After all have run, with all that failed.
pub(crate) fn for_each(most: usize, check: impl Fn(&Place<'_>) + Sync) {
    let server = Postgres::start();
    let port = server.as_ref().map(|server| server.port);
    let trees = libraries();
    let places: Vec<Place<'_>> = ALL
        .iter()
        .filter(|scenario| port.is_some() || !scenario.postgres)
        .flat_map(|scenario| {
            let port = port.filter(|_| scenario.postgres);
            let there = interpreters_for(scenario, &trees).into_iter().take(most);
            there.map(move |interpreter| Place { scenario, interpreter, port })
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(place))) else {
                        continue;
                    };
                    let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    let place = format!("{} on {}", place.scenario.name, place.interpreter);
                    failures.lock().unwrap().push(format!("--- {place}\n{text}"));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The interpreters, of those that are here. With `PYATTACH_TEST_ONLY` there may be none.
fn interpreters_for(scenario: &Scenario, trees: &[Libraries]) -> Vec<Interpreter> {
    let found: Vec<Interpreter> = if scenario.needs.is_empty() {
        let wanted = |one: &&Interpreter| {
            let debug = one.label.contains("debug");
            !debug && scenario.on.iter().any(|name| one.label.starts_with(name))
        };
        interpreters().iter().filter(wanted).cloned().collect()
    } else {
        // "3.15" is whatever patch release sid has.
        let named = |tree: &&Libraries| {
            scenario
                .on
                .iter()
                .any(|&name| tree.name == name || (name == "3.15" && tree.name.starts_with("3.15")))
        };
        let trees = trees.iter().filter(named).filter(|tree| tree.have(scenario.needs));
        trees.map(|tree| tree.interpreter.clone()).collect()
    };
    let required = std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_some()
        && std::env::var_os("PYATTACH_TEST_ONLY").is_none();
    let (there, wanted) = (found.len(), scenario.on.len());
    assert!(!required || there == wanted, "{}: {there} of {wanted} places", scenario.name);
    found
}
