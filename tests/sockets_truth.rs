//! `sockets`, held against what each program asks of the kernel itself: descriptor, family, type, both addresses, TCP's
//! state, bytes waiting; and the descriptors and objects that do not fit together.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};
use support::{
    Fixture, Interpreter, fixtures, for_each_interpreter, for_each_of, pyattach, pyattach_json,
};

/// Rows by what `key` says, which no two rows share.
fn by_object(document: &Value) -> BTreeMap<String, Value> {
    let rows = document["sockets"].as_array().unwrap();
    let with = rows.iter().filter(|row| !row["python"].is_null());
    let rows: Vec<_> = with
        .map(|row| (row["python"]["address"].as_str().unwrap().to_owned(), row.clone()))
        .collect();
    let count = rows.len();
    let rows: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(rows.len(), count, "an object has two rows");
    rows
}

/// Rows of descriptors without an object.
fn ownerless(document: &Value) -> BTreeMap<i64, Value> {
    let rows = document["sockets"].as_array().unwrap().iter();
    rows.filter(|row| row["python"].is_null())
        .map(|row| (row["fd"].as_i64().unwrap(), row.clone()))
        .collect()
}

/// Every object's row equals the truth.
fn check_truth(document: &Value, truth: &Value) {
    let rows = by_object(document);
    let mut wrong = Vec::new();
    let mut told = BTreeSet::new();
    for expected in truth["sockets"].as_array().unwrap() {
        let address = expected["address"].as_str().unwrap();
        told.insert(address.to_owned());
        let Some(row) = rows.get(address) else {
            wrong.push(format!("no row for {expected}"));
            continue;
        };
        let closed = expected["fd"] == -1;
        let state = if closed { "closed" } else { "open" };
        if row["descriptor"] != state && row["descriptor"] != "contested" {
            wrong.push(format!("{} is not {state}: {row}", row["descriptor"]));
        }
        let mut fields = vec![("fd", "fd")];
        if !closed {
            fields.extend([("family", "family"), ("type", "kind"), ("inode", "inode")]);
        }
        // A socket that is in no table has no address to show: fresh, or reset.
        let in_a_table = !row["recv_q"].is_null();
        if in_a_table && expected.get("local").is_some() && expected["kind"] != "SOCK_RAW" {
            fields.extend([("local", "local"), ("peer", "peer")]);
        }
        if expected.get("state").is_some() {
            fields.push(("state", "state"));
        }
        if expected.get("recv_q").is_some() {
            fields.push(("recv_q", "recv_q"));
        }
        for (ours, theirs) in fields {
            if row[ours] != expected[theirs] {
                wrong.push(format!("{ours}: {} is not {}: {row}", row[ours], expected[theirs]));
            }
        }
        if !in_a_table && !closed && !matches!(expected["state"].as_str(), None | Some("CLOSE")) {
            wrong.push(format!("in no table, but {expected}"));
        }
        assert_eq!(row["python"]["type"], expected["type"], "{row}");
    }
    let stale =
        truth["stale"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned());
    told.extend(stale);
    for (address, row) in &rows {
        if !told.contains(address) {
            wrong.push(format!("not an object: {row}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What does not fit together.
fn check_strays(document: &Value, facts: &Value) {
    let rows = by_object(document);
    let state = |address: &Value| &rows[address.as_str().unwrap()]["descriptor"];
    assert_eq!(state(&facts["gone"]), "gone");
    for reused in facts["reused"].as_array().unwrap() {
        assert_eq!(state(reused), "reused");
    }
    for contested in facts["contested"].as_array().unwrap() {
        assert_eq!(state(contested), "contested");
    }
    let alone = ownerless(document);
    let (dup, original) = (facts["dup"][0].as_i64().unwrap(), &facts["dup"][1]);
    let expected = ["ctypes", "ctypes datagram", "detached", "reused descriptor"];
    let mut expected: BTreeSet<i64> =
        expected.iter().map(|name| facts[*name].as_i64().unwrap()).collect();
    expected.insert(dup);
    assert_eq!(alone.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert!(alone.values().all(|row| row["owner"].is_null() && row["descriptor"] == "open"));
    assert_eq!(alone[&dup]["same_socket"], json!([original]));
    assert_eq!(alone[&dup]["state"], "ESTABLISHED");
    let row = |name: &str| &alone[&facts[name].as_i64().unwrap()];
    assert_eq!(row("ctypes")["flags"], json!([]));
    assert_eq!(row("ctypes")["type"], "SOCK_STREAM");
    assert_eq!(row("ctypes datagram")["flags"], json!(["nonblocking"]));
    assert_eq!(row("ctypes datagram")["type"], "SOCK_DGRAM");
    assert_eq!(row("detached")["flags"], json!(["cloexec"]));
    assert_eq!(document["summary"]["without_owner"], expected.len());
}

fn check_owners(document: &Value, facts: &Value) {
    let rows = by_object(document);
    for (name, pair) in facts["owners"].as_object().unwrap() {
        let row = &rows[pair[0].as_str().unwrap()];
        assert_eq!(row["owner"]["address"], pair[1], "{name}: {row}");
    }
    let owner = |name: &str| &rows[facts["owners"][name][0].as_str().unwrap()]["owner"];
    assert_eq!(owner("self-pipe")["role"], "self-pipe");
    assert_eq!(owner("transport")["protocol"], "asyncio.protocols.Protocol");
    assert_eq!(owner("datagram")["protocol"], "asyncio.protocols.DatagramProtocol");
    assert_eq!(owner("server")["type"], "asyncio.base_events.Server");
    assert_eq!(owner("http")["attribute"], "sock");
    if facts["ssl"] == true {
        assert_eq!(owner("tls")["tls"], true);
        assert_eq!(owner("tls")["protocol"], "asyncio.protocols.Protocol");
        assert!(rows.values().any(|row| row["python"]["type"] == "ssl.SSLSocket"));
    }
}

fn check_unix(document: &Value, facts: &Value) {
    let rows = document["sockets"].as_array().unwrap();
    let row = |fd: &Value| rows.iter().find(|row| &row["fd"] == fd).unwrap();
    let [left, right] = [row(&facts["pair"][0]), row(&facts["pair"][1])];
    assert_eq!((&left["peer_inode"], &right["peer_inode"]), (&right["inode"], &left["inode"]));
    assert_eq!(left["state"], "CONNECTED");
    let abstract_name = rows.iter().find(|row| row["local"] == facts["abstract"]).unwrap();
    assert_eq!(abstract_name["state"], "LISTEN");
    let forged = rows.iter().filter(|row| row["local"] == "/evil").count();
    assert_eq!(forged, 0, "a name with a newline made a row");
}

fn check_all(target: &mut Fixture, mode: &str) {
    let truth = target.ask("sockets");
    let document = pyattach_json(&["sockets", &target.pid_text(), "--capture", mode]);
    assert_eq!(document["schema"], "pyattach.sockets/1");
    assert_eq!(document["capture"]["mode"], mode);
    check_truth(&document, &truth);
    check_strays(&document, &target.facts);
    check_owners(&document, &target.facts);
    check_unix(&document, &target.facts);
    let quiet = document["sockets"].as_array().unwrap().iter();
    let quiet = quiet.clone().find(|row| row["fd"] == target.facts["quiet"]).unwrap();
    assert_eq!((&quiet["recv_q"], &quiet["send_q"]), (&json!(3), &json!(50)), "backlog");
    let time_wait: Vec<&Value> = document["by_address"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["state"] == "TIME_WAIT" && row["peer"] == target.facts["server"])
        .collect();
    assert_eq!(time_wait.len(), 4, "{}", document["by_address"]);
    assert!(time_wait.iter().all(|row| row["attributed_by"] == "peer address"));
}

#[test]
fn every_row_is_what_the_program_says() {
    for_each_interpreter(|interpreter| {
        let mut target = Fixture::start(interpreter, "sockets_kinds.py", &[]);
        for mode in ["copy", "stop", "live"] {
            // A live picture is approximate by name, and ends with another code.
            if mode == "live" {
                let outcome =
                    pyattach(&["sockets", &target.pid_text(), "--capture", mode, "--json"]);
                let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
                check_truth(&document, &target.ask("sockets"));
                check_strays(&document, &target.facts);
            } else {
                check_all(&mut target, mode);
            }
        }
        target.end();
    });
}

/// The same interpreter in a network namespace of its own, with its loopback up.
fn in_own_namespace(interpreter: &Interpreter, program: &str) -> Fixture {
    let inner = interpreter.command(&[fixtures().join(program)]);
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Fixture::run(&format!("{program} in its own namespace on {interpreter}"), command)
}

#[test]
fn a_namespace_of_its_own_is_read() {
    for_each_of(
        |interpreter| interpreter.root.is_none() && interpreter.at_least((3, 11)),
        |interpreter| {
            let mut target = in_own_namespace(interpreter, "sockets_kinds.py");
            let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
            let its = std::fs::read_link(format!("/proc/{}/ns/net", target.pid)).unwrap();
            assert_ne!(ours, its, "the test needs another namespace");
            check_all(&mut target, "copy");
            // Nobody else is there.
            let document = pyattach_json(&["sockets", &target.pid_text()]);
            assert!(document["summary"]["kernel_rows"].as_u64().unwrap() < 150);
            target.end();
        },
    );
}

/// Without the right to enter the namespace, the text of `/proc/PID/net` serves.
#[test]
fn a_namespace_that_cannot_be_entered_is_read_from_proc() {
    for_each_of(
        |interpreter| interpreter.root.is_none() && interpreter.version.1 == 12,
        |interpreter| {
            let mut target = in_own_namespace(interpreter, "sockets_kinds.py");
            let truth = target.ask("sockets");
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-sys_admin", env!("CARGO_BIN_EXE_pyattach"), "sockets"]);
            let output = command.args([&target.pid_text(), "--json"]).output().unwrap();
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let rows = by_object(&document);
            let mut compared = 0;
            for expected in truth["sockets"].as_array().unwrap() {
                if expected.get("state").is_none() {
                    continue;
                }
                let row = &rows[expected["address"].as_str().unwrap()];
                assert_eq!(row["state"], expected["state"], "{row}");
                // The text has no scopes, and no sockets that are only bound.
                let scoped = expected["local"].as_str().is_some_and(|local| local.contains('%'));
                if !row["recv_q"].is_null() && !scoped {
                    assert_eq!(
                        [&row["local"], &row["peer"]],
                        [&expected["local"], &expected["peer"]]
                    );
                    compared += 1;
                }
            }
            assert!(compared > 20, "only {compared} rows had addresses");
            // This way the limit of the backlog is not known: so it is the text that was read.
            let listener = document["sockets"].as_array().unwrap().iter();
            let listener = listener.clone().find(|row| row["fd"] == target.facts["quiet"]).unwrap();
            assert_eq!((&listener["recv_q"], &listener["send_q"]), (&json!(3), &Value::Null));
            let path = rows.values().find(|row| {
                row["local"].as_str().is_some_and(|local| local.starts_with("/tmp/pyattach-"))
            });
            assert!(path.is_some_and(|row| row["family"] == "AF_UNIX"));
            target.end();
        },
    );
}

#[test]
fn close_wait_piles_up_by_peer() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 12)) && interpreter.root.is_none(),
        |interpreter| {
            let target = Fixture::start(interpreter, "sockets_kinds.py", &[]);
            let pid = target.pid_text();
            let groups = pyattach_json(&["sockets", &pid, "--by", "peer", "--state", "close-wait"]);
            let groups = groups["groups"].as_array().unwrap();
            assert_eq!(groups[0]["key"], target.facts["server"], "{groups:?}");
            assert_eq!(groups[0]["count"], target.facts["close_wait"]);
            // The one that was accepted: by address and our own port, as peers' ports differ.
            assert_eq!(groups[1]["count"], 1);
            let port = target.facts["server"].as_str().unwrap().rsplit(':').next().unwrap();
            assert_eq!(groups[1]["key"], format!("127.0.0.1 to our port {port}"));

            let states = pyattach_json(&["sockets", &pid, "--by", "state"]);
            let rows = states["sockets"].as_array().unwrap().len() as u64;
            let groups = states["groups"].as_array().unwrap();
            let sum: u64 = groups.iter().map(|group| group["count"].as_u64().unwrap()).sum();
            assert_eq!(sum, rows);
            let owners = pyattach_json(&["sockets", &pid, "--by", "owner"]);
            let owners = owners["groups"].as_array().unwrap();
            let find = |key: &str| owners.iter().find(|group| group["key"] == key).unwrap();
            assert_eq!(find("(no Python owner)")["count"], 5);
            assert_eq!(find("asyncio.unix_events._UnixSelectorEventLoop (self-pipe)")["count"], 2);
            target.end();
        },
    );
}

#[test]
fn text_says_the_same_and_prints_nothing_raw() {
    for_each_of(
        |interpreter| interpreter.at_least((3, 12)) && interpreter.root.is_none(),
        |interpreter| {
            let target = Fixture::start(interpreter, "sockets_kinds.py", &[]);
            let text = pyattach(&["sockets", &target.pid_text(), "--top", "0"]);
            assert_eq!(text.code, Some(0), "{text:?}");
            assert!(!text.stdout.contains('\u{1b}'), "a name reached the terminal");
            for part in [
                "CLOSE_WAIT",
                "no Python owner",
                "[::1]:",
                "[::ffff:127.0.0.1]:",
                "contested",
                "(self-pipe)",
            ] {
                assert!(text.stdout.contains(part), "no {part} in:\n{}", text.stdout);
            }
            assert!(text.stdout.contains(target.facts["abstract"].as_str().unwrap()));
            let groups = pyattach(&["sockets", &target.pid_text(), "--by", "state"]);
            assert!(groups.stdout.contains("ESTABLISHED"), "{}", groups.stdout);
            target.end();
        },
    );
}
