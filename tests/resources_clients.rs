//! Resources of third-party libraries, against the libraries' own counters.
//!
//! The libraries come from `tests/provision.sh --libraries`: the newest and older releases.
//! PostgreSQL is Debian's package, started here on a free port of loopback.

mod resources_support;
mod support;

use resources_support::differences;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Fixture, Interpreter, interpreters, pyattach_json, store};

/// Each tree of libraries with the interpreter it is for.
fn libraries() -> Vec<(&'static Interpreter, PathBuf)> {
    let mut found = Vec::new();
    for interpreter in interpreters() {
        for suffix in ["", "-old"] {
            let folder = store().join("libraries").join(format!("{}{suffix}", interpreter.label));
            if folder.is_dir() && interpreter.root.is_none() {
                found.push((interpreter, folder));
            }
        }
    }
    if found.is_empty() {
        assert!(
            std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_none()
                || std::env::var_os("PYATTACH_TEST_ONLY").is_some(),
            "the libraries are required: tests/provision.sh --libraries"
        );
        eprintln!("not run: no libraries here (tests/provision.sh --libraries)");
    }
    found
}

/// Runs the fixture's part on every tree with the libraries it needs and compares. `unknown` says what may be
/// unknown: (kind, name).
fn check(part: &str, needs: &[&str], more: &[&str], unknown: &[(&str, &str)]) {
    let mut failures = Vec::new();
    for (interpreter, folder) in libraries() {
        // The older releases are not of all libraries.
        if !needs.iter().all(|module| folder.join(module).is_dir()) {
            eprintln!("not run: {part} with {}", folder.display());
            continue;
        }
        let label = format!("{part} with {}", folder.file_name().unwrap().to_string_lossy());
        let program = support::fixtures().join("resources_clients.py");
        let mut words = vec![program.into_os_string()];
        words.extend(more.iter().map(Into::into));
        words.push(part.into());
        let mut command = interpreter.command(&words);
        command.env("PYTHONPATH", &folder);
        let mut fixture = Fixture::run(&label, command);
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
    check("redis", &["redis"], &[], &[]);
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
    let Some(server) = Postgres::start() else {
        assert!(std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_none(), "PostgreSQL is required");
        eprintln!("not run: no PostgreSQL here (Debian: apt-get install postgresql)");
        return;
    };
    check("postgres", &["asyncpg", "psycopg_pool"], &["--postgres", &server.port.to_string()], &[]);
}

/// A PostgreSQL of our own; ended and removed when dropped.
struct Postgres {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// `None` when the machine has no PostgreSQL.
    fn start() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let programs = versions.flatten().map(|entry| entry.path().join("bin"));
        let programs = programs.filter(|bin| bin.join("initdb").exists()).max()?;
        // SAFETY: geteuid has no arguments and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let folder = tempfile::Builder::new().prefix("pyattach-postgres-").tempdir().unwrap();
        let data = folder.path().join("data");
        // PostgreSQL refuses to run as root.
        let command = |program: &str| {
            let mut command = Command::new("setpriv");
            if root {
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            }
            command.args(["--pdeathsig", "QUIT"]).arg(programs.join(program));
            command.arg("-D").arg(&data).env("LC_ALL", "C").stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        if root {
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(owner.unwrap().success(), "there is no user postgres");
        }
        let made = command("initdb").args(["-U", "app", "--auth=trust", "-N"]).status().unwrap();
        assert!(made.success(), "initdb failed");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = command("postgres");
        server.args(["-F", "-c", "listen_addresses=127.0.0.1", "-p", &port.to_string(), "-k"]);
        let child = server.arg(folder.path()).spawn().unwrap();
        let server = Self { child, port, _folder: folder };
        let deadline = Instant::now() + support::DEADLINE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SAFETY: a plain system call; the child was not waited for, so the PID is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGQUIT) };
        let _ = self.child.wait();
    }
}
