//! Resources of third-party libraries, against the libraries' own counters.
//!
//! The libraries come from `tests/provision.sh --libraries`: the newest and the oldest releases, for several interpreters.
//! PostgreSQL and Redis are Debian's packages.

mod resources_support;
mod support;

use resources_support::differences;
use serde_json::Value;
use support::{Fixture, Postgres, Redis, libraries, pyattach_json};

/// Runs the fixture's part on every tree with the libraries it needs and compares. `unknown` says what may be
/// unknown: (kind, name).
fn check(part: &str, needs: &[&str], more: &[&str], unknown: &[(&str, &str)]) {
    let mut failures = Vec::new();
    for tree in libraries() {
        // The older releases are not of all libraries.
        if !tree.have(needs) {
            continue;
        }
        let label = format!("{part} with {}", tree.name);
        let mut words = more.to_vec();
        words.push(part);
        let mut fixture = Fixture::start(&tree.interpreter, "resources_clients.py", &words);
        let truth = fixture.ask("resources");
        let document = pyattach_json(&["resources", &fixture.pid.to_string()]);
        let mut wrong = differences(&document, &truth);
        wrong.extend(unknowns(&document, unknown));
        for (name, text) in [("document", document.to_string()), ("census", census(&fixture))] {
            if text.contains("hunter2") {
                wrong.push(format!("the {name} has a secret"));
            }
        }
        if !wrong.is_empty() {
            failures.push(format!("{label} {}:\n{}", fixture.facts["libraries"], wrong.join("\n")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn census(fixture: &Fixture) -> String {
    pyattach_json(&["census", &fixture.pid.to_string()]).to_string()
}

fn unknowns(document: &Value, allowed: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for row in document["resources"].as_array().unwrap() {
        for (name, why) in row["unknown"].as_object().into_iter().flatten() {
            let kind = row["kind"].as_str().unwrap();
            if !allowed.contains(&(kind, name)) {
                found.push(format!("{kind} {}: {name} is unknown: {why}", row["type"]));
            }
        }
    }
    found
}

#[test]
fn requests_and_urllib3() {
    check("requests", &["requests", "urllib3"], &[], &[]);
}

#[test]
fn httpx_and_httpcore() {
    check("httpx", &["httpx"], &[], &[]);
}

#[test]
fn sqlalchemy() {
    // A connection that is still waiting for its pool has no such attribute yet.
    check("sqlalchemy", &["sqlalchemy"], &[], &[("sqlalchemy_connection", "state")]);
}

#[test]
fn redis() {
    let Some(server) = Redis::start("hunter2-of-clients") else { return };
    check("redis", &["redis"], &["--redis", &server.port.to_string()], &[]);
}

#[test]
fn pymongo() {
    check("pymongo", &["pymongo"], &[], &[]);
}

#[test]
fn django() {
    check("django", &["django"], &[], &[]);
}

#[test]
fn uvloop() {
    check("uvloop", &["uvloop"], &[], &[]);
}

#[test]
fn mysql_drivers_anyio_and_uvicorn() {
    check("others", &["aiomysql", "uvicorn"], &[], &[]);
}

#[test]
fn postgres_drivers() {
    let Some(server) = Postgres::start() else { return };
    check("postgres", &["asyncpg", "psycopg_pool"], &["--postgres", &server.port.to_string()], &[]);
}
