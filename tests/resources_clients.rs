//! Resources of third-party libraries, against the libraries' own counters.
//!
//! The libraries come from `tests/provision.sh --libraries`: the newest and the oldest releases, for several interpreters.
//! PostgreSQL and Redis are Debian's packages.

mod resources_support;
mod support;

use resources_support::differences;
use serde_json::{Value, json};
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
        if part == "postgres" {
            wrong.extend(strays(&fixture));
        }
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

/// The sockets that are inside libpq are told to be, whatever port the server has.
fn strays(fixture: &Fixture) -> Option<String> {
    let summary = &pyattach_json(&["sockets", &fixture.pid_text()])["summary"];
    let wrong = summary["without_owner"] != 0 || summary["native"].as_u64() < Some(3);
    wrong.then(|| format!("sockets of libpq are not known as such: {summary}"))
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

/// What is not known of a socket whose client connects anew in the background at that moment.
const RECONNECTING: [(&str, &str); 2] = [("socket", "peer"), ("socket", "tcp_state")];

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
    check("pymongo", &["pymongo"], &[], &RECONNECTING);
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
fn gevent() {
    check("gevent", &["gevent"], &[], &[]);
}

#[test]
fn kombu_and_kafka() {
    check("brokers", &["kombu", "kafka"], &[], &RECONNECTING);
}

#[test]
fn grpc_and_boto3() {
    check("rpc", &["grpc", "boto3"], &[], &[]);
}

#[test]
fn dbutils_and_oracledb() {
    check("pooling", &["dbutils", "oracledb"], &[], &[]);
}

/// Newer releases are tested with every interpreter, elsewhere.
#[test]
fn older_aiohttp() {
    let mut failures = Vec::new();
    for tree in libraries().iter().filter(|tree| tree.name.ends_with("-old")) {
        let mut fixture = Fixture::start(&tree.interpreter, "aiohttp_sessions.py", &[]);
        let truth = fixture.ask("sessions");
        let document = pyattach_json(&["resources", &fixture.pid_text()]);
        let rows = document["resources"].as_array().unwrap();
        for session in truth["sessions"].as_array().unwrap() {
            let found = rows.iter().find(|row| row["address"] == session["address"]).unwrap();
            let same = found["state"] == session["state"]
                && ["in_use", "idle"].iter().all(|&name| {
                    let expected = &session["connector"][name];
                    expected.is_null() || found["metrics"][name] == *expected
                });
            if !same {
                failures.push(format!("{}: {found} is {session}", fixture.facts["aiohttp"]));
            }
        }
        failures.extend(unknowns(&document, &[]));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn postgres_drivers() {
    let Some(server) = Postgres::start() else { return };
    check("postgres", &["asyncpg", "psycopg_pool"], &["--postgres", &server.port.to_string()], &[]);
}

/// Starts a program of `python-fixtures/servers` with the newest Python that has this module.
fn server(program: &str, needs: &str, options: &[&str]) -> Option<Fixture> {
    let mut trees = libraries();
    trees.retain(|tree| tree.have(&[needs]) && tree.interpreter.root.is_none());
    let tree = trees.pop()?;
    Some(Fixture::start(&tree.interpreter, &format!("servers/{program}"), options))
}

fn children(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// The rows of this kind.
fn rows(pid: i32, kind: &str) -> Vec<Value> {
    let document = pyattach_json(&["resources", &pid.to_string(), "--kind", kind]);
    document["resources"].as_array().unwrap().clone()
}

fn get(port: &Value) -> i32 {
    use std::io::{Read, Write};
    let port = u16::try_from(port.as_u64().unwrap()).unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().parse().unwrap()
}

#[test]
fn gunicorn_and_its_workers() {
    for class in ["sync", "gthread"] {
        let options = ["--worker-class", class, "--threads", "2"];
        let Some(target) = server("gunicorn_master.py", "gunicorn", &options) else { return };
        let mut served = std::collections::BTreeMap::new();
        for _ in 0..10 {
            *served.entry(get(&target.facts["port"])).or_insert(0) += 1;
        }
        let workers = children(target.pid);
        assert_eq!(workers.len(), 2, "{class}");
        let arbiters = rows(target.pid, "gunicorn_arbiter");
        assert_eq!(arbiters[0]["metrics"], json!({"limit": 2, "created": 2}), "{class}");
        let of_master = rows(target.pid, "gunicorn_worker");
        assert!(of_master.iter().all(|row| row["state"] == "supervised"), "{of_master:?}");
        assert_eq!(of_master.len(), 2);
        for worker in workers {
            let of_worker = rows(worker, "gunicorn_worker");
            let own = of_worker.iter().find(|row| row["show"]["worker_pid"] == worker).unwrap();
            assert_eq!(own["state"], "running", "{class}: {own}");
            let requests = served.get(&worker).copied().unwrap_or(0);
            assert_eq!(own["metrics"]["requests"], requests, "{class}: {own}");
        }
    }
}

#[test]
fn celery_and_its_pools() {
    let Some(target) = server("celery_worker.py", "celery", &["prefork", "3"]) else { return };
    let pools = rows(target.pid, "worker_pool");
    assert_eq!(children(target.pid).len(), 3);
    assert_eq!(pools[0]["metrics"], json!({"limit": 3, "created": 3, "queued": 0}), "{pools:?}");
    let worker = &rows(target.pid, "celery_worker")[0];
    assert_eq!(worker["state"], "running", "{worker}");
    let idle = json!({"limit": 3, "in_use": 0, "reserved": 0, "requests": 0});
    assert_eq!(worker["metrics"], idle, "{worker}");
    let child = &rows(children(target.pid)[0], "celery_worker")[0];
    assert_eq!(child["state"], "inherited", "{child}");
    let target = server("celery_worker.py", "celery", &["threads", "4"]).unwrap();
    assert_eq!(rows(target.pid, "celery_worker")[0]["metrics"]["limit"], 4);
    let pools = rows(target.pid, "thread_pool_executor");
    assert!(pools.iter().any(|row| row["metrics"]["limit"] == 4), "{pools:?}");
}
