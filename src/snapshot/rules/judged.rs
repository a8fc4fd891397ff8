//! What rules make of captures made by hand.

use super::Rules;
use crate::snapshot::file::sample::{add_resources, whole};
use crate::snapshot::whole::{CollectorRow, User, Whole};
use crate::snapshot::{Held, Severity};
use serde_json::json;
use std::collections::BTreeMap;

fn severity(whole: &Whole, rule: &str) -> Option<Severity> {
    let diagnosis = Rules::builtin().judge(whole);
    let finding = diagnosis.findings.into_iter().find(|finding| finding.rule == rule);
    finding.map(|finding| finding.severity)
}

/// So many sockets, all of them garbage but the first two.
fn garbage(sockets: u64, enabled: Option<bool>) -> Whole {
    let mut whole = whole(0);
    let addresses: Vec<u64> = (0..sockets).map(|number| 0x1000 + number * 16).collect();
    add_resources(&mut whole, "socket", &addresses);
    let held = addresses.iter().skip(2).map(|address| format!("{address:#x}"));
    whole.held = Some(Held { garbage: held.collect(), ..Held::default() });
    whole.collectors = vec![CollectorRow { enabled, ..CollectorRow::default() }];
    whole
}

#[test]
fn a_collector_without_a_threshold_is_off() {
    let mut whole = garbage(5, Some(true));
    whole.collectors[0].thresholds = Some(vec![0, 10, 10]);
    assert_eq!(severity(&whole, "open-but-unreachable"), Some(Severity::Warning));
}

#[test]
fn open_sockets_that_nothing_reaches() {
    let judge = |whole: &Whole| severity(whole, "open-but-unreachable");
    assert_eq!(judge(&garbage(4, Some(false))), None);
    assert_eq!(judge(&garbage(5, Some(true))), Some(Severity::Info));
    assert_eq!(judge(&garbage(5, None)), Some(Severity::Info));
    assert_eq!(judge(&garbage(5, Some(false))), Some(Severity::Warning));
    assert_eq!(judge(&garbage(12, Some(true))), Some(Severity::Warning));
    let mut closed = garbage(12, Some(false));
    closed.resources.iter_mut().for_each(|row| row.state = Some("closed".to_owned()));
    assert_eq!(judge(&closed), None);
    let mut unknown = garbage(12, Some(false));
    unknown.held = None;
    let diagnosis = Rules::builtin().judge(&unknown);
    assert!(diagnosis.not_judged.iter().any(|one| one.rule == "open-but-unreachable"));
}

/// Twelve clients, and so many threads, each with a connection that it accepted.
fn clients(threads: u64, frames: &[(&str, &str)]) -> Whole {
    let mut whole = whole(0);
    let addresses: Vec<u64> = (0..12).map(|number| 0x1000 + number * 16).collect();
    add_resources(&mut whole, "requests_session", &addresses);
    let frames: Vec<_> = frames
        .iter()
        .map(|(function, file)| json!({"function": function, "qualname": null, "file": file, "line": 1}))
        .collect();
    let mut used = BTreeMap::new();
    let listener = json!({"fd": 3, "descriptor": "open", "python": null, "family": "AF_INET",
        "type": "SOCK_STREAM", "state": "LISTEN", "local": "127.0.0.1:80", "peer": null,
        "recv_q": 0, "send_q": 0, "inode": 1});
    whole.sockets.rows.push(serde_json::from_value(listener.clone()).unwrap());
    for number in 0..threads {
        let ident = format!("{:#x}", 0x7000 + number);
        let thread = json!({"interpreter": 0, "tid": number, "ident": ident, "name": null,
            "os_name": null, "main": false, "state": null, "syscall": null, "holds_gil": null,
            "frames": frames});
        whole.threads.push(serde_json::from_value(thread).unwrap());
        let mut accepted = listener.clone();
        let address = format!("{:#x}", 0x9000 + number * 16);
        accepted["python"] = json!({"address": address, "type": "socket.socket"});
        accepted["state"] = json!("ESTABLISHED");
        whole.sockets.rows.push(serde_json::from_value(accepted).unwrap());
        used.insert(address, vec![User::Thread(ident)]);
    }
    whole.used = Some(used);
    whole
}

#[test]
fn threads_that_serve_one_connection_explain_no_clients() {
    let judge = |whole: &Whole| severity(whole, "client-per-request");
    let run = ("run", "/usr/lib/python3.12/threading.py");
    let own = [("recv", "/srv/server.py"), ("handle", "/srv/server.py"), run];
    let pool = [
        ("handle", "/srv/app.py"),
        ("_worker", "/usr/lib/python3.12/concurrent/futures/thread.py"),
        run,
    ];
    let server = [
        ("handle", "/srv/app.py"),
        ("process_request_thread", "/usr/lib/python3.12/socketserver.py"),
        run,
    ];
    assert_eq!(judge(&clients(0, &own)), Some(Severity::Warning));
    assert_eq!(judge(&clients(20, &own)), Some(Severity::Warning));
    assert_eq!(judge(&clients(20, &server)), Some(Severity::Warning));
    assert_eq!(judge(&clients(20, &pool)), None, "each thread may have its own");
    let mut idle = clients(20, &own);
    idle.used = Some(BTreeMap::new());
    assert_eq!(judge(&idle), None);
}
