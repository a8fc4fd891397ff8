//! A capture made by hand, with names that mean harm, for the tests of this layer.

use crate::snapshot::file::Moment;
use crate::snapshot::findings::Diagnosis;
use crate::snapshot::trend::{Family, ProcessTrend, SeriesRow, TrendDocument, Verdict};
use crate::snapshot::{VERSION, Whole};
use serde_json::json;

/// What acts on a page, a terminal or a line of metrics, if it is not escaped.
pub(super) const HOSTILE: &str =
    "\"'><script>alert(1)</script>\n# TYPE x counter\u{1b}[2J\u{202e}\\{{7*7}}</style></title>&lt;";

/// A service with this many sockets.
pub(super) fn whole(sockets: u64) -> Whole {
    let frame = |function: &str| {
        json!({"function": function, "qualname": format!("{HOSTILE}.{function}"),
            "file": format!("/srv/{HOSTILE}.py"), "line": 12, "source": HOSTILE})
    };
    let value = json!({
        "taken": "2026-11-21T12:00:00.5Z",
        "process": {
            "pid": 4711, "start_time": "2026-11-21T11:00:00Z",
            "cmdline": ["/usr/bin/python3", "-u", format!("/srv/{HOSTILE}.py"), "--dsn", HOSTILE],
            "exe": HOSTILE, "cwd": HOSTILE, "uid": 1000, "user": HOSTILE,
            "rss_bytes": 50_000_000, "os_threads": 3, "fds": sockets + 5,
            "python": {"version": "3.12.1", "build": ["gil"], "executable": HOSTILE,
                "layout": {"origin": ["table"], "table": "3.12.1"}}
        },
        "same": {"pid": 4711, "start_ticks": 1000, "boot_id": "b"},
        "capture": {"mode": "copy", "mode_reason": null, "pause_ms": 3.5, "total_pause_ms": 7.0,
            "wall_ms": 40.0, "bytes_read": 1, "reads": 1, "attempts": 2, "consistent": true,
            "coverage": {"objects": 90, "unreadable": 0}, "notes": [HOSTILE]},
        "objects": {"total": 90, "permanent": 0, "untyped": 0, "shallow_bytes": 4000,
            "type_count": 3, "types_not_shown": 0, "types": [
                {"name": HOSTILE, "type_address": "0x1", "count": 50, "shallow_bytes": 2000,
                    "generations": [1, 2, 47, 0]},
                {"name": "shop.Cart", "type_address": "0x2", "ambiguous": true, "count": 30,
                    "shallow_bytes": 1500},
                {"name": "shop.Cart", "type_address": "0x3", "ambiguous": true, "count": 10,
                    "shallow_bytes": 500}]},
        "collectors": [{"interpreter": 0, "collecting": false, "generations": [10, 20, 60],
            "permanent": 0}],
        "kinds": {
            "socket": {"count": sockets, "states": {"open": sockets}},
            "http_pool": {"count": 2, "states": {"open": 2}, "in_use": 12, "limit": 20},
            "cut_pool": {"count": 2, "states": {"open": 2}, "in_use": 3, "unknown": {"in_use": 1}},
            HOSTILE: {"count": 1, "states": {HOSTILE: 1}}
        },
        "resources": [
            {"id": "p", "kind": "http_pool", "type": "shop.Pool", "address": "0x10",
                "state": "open", "metrics": {"in_use": 9, "limit": 10}, "show": {}},
            {"id": "p", "kind": "http_pool", "type": "shop.Pool", "address": "0x20",
                "state": "open", "metrics": {"in_use": 3, "limit": 10}, "show": {}}],
        "used": null,
        "sockets": {"summary": {"descriptors": {"file": 5, "socket": sockets},
                "descriptor_limit": 1024, "objects": sockets, "states": {"ESTABLISHED": sockets},
                "with_owner": 0, "native": 0, "without_owner": 0, "unknown_owner": 0,
                "objects_by_descriptor": {}, "by_address": {},
                "without_descriptor_in_namespace": 0, "kernel_rows": 0},
            "rows": [], "by_address": []},
        "tasks": {"loops": [{"address": "0x5", "type": HOSTILE, "running": true, "state": "idle",
                "thread": 4711, "thread_name": HOSTILE, "ready": 4, "scheduled": 1,
                "default_executor": null, "selector": null, "closed": false, "current_task": null,
                "tasks": {"pending": 2}, "stack": []}],
            "totals": {"pending": 2, "done": 1}, "rows": [
                {"address": "0x6", "type": "_asyncio.Task", "name": HOSTILE, "state": "pending",
                    "activity": "waiting", "coroutine": HOSTILE, "loop": "0x5", "current": false,
                    "stack": [frame("wait")], "awaited_by": []},
                {"address": "0x7", "type": "_asyncio.Task", "name": "b", "state": "pending",
                    "activity": "waiting", "coroutine": HOSTILE, "loop": "0x5", "current": false,
                    "stack": [frame("wait")], "awaited_by": []}],
            "not_started": [], "registry": {"tasks": null, "not_in_heap": [],
                "not_registered": []}},
        "threads": [
            {"interpreter": 0, "tid": 4711, "ident": "0x1", "name": HOSTILE, "os_name": HOSTILE,
                "main": true, "state": "in system call", "syscall": "epoll_wait",
                "holds_gil": false, "frames": [frame("select"), frame("main")]},
            {"interpreter": 0, "tid": 4712, "ident": "0x2", "name": "worker", "os_name": null,
                "main": false, "state": "waiting for the GIL", "syscall": "futex",
                "holds_gil": false, "frames": [frame("work")]}],
        "native_threads": [{"tid": 4713, "os_name": HOSTILE, "syscall": "futex"}],
        "samples": [],
        "limits": {"descriptors": 1024, "processes": null, "address_space": null},
        "children": [{"pid": 5, "name": HOSTILE, "zombie": true}]
    });
    serde_json::from_value(value).unwrap()
}

/// Findings, one of them with everything that is shown of one.
pub(super) fn diagnosis() -> Diagnosis {
    let value = json!({
        "findings": [
            {"rule": "pool-exhausted", "severity": "critical", "title": HOSTILE,
                "evidence": {"numbers": {"in_use": 9.0, "limit": 10.0}, "sentences": [HOSTILE]},
                "objects": {"count": 50, "named": [
                    {"address": "0x10", "type": HOSTILE, "label": HOSTILE}]},
                "holders": [{"count": 50, "path": HOSTILE, "inferred": true}],
                "advice": HOSTILE, "confidence": "inferred"},
            {"rule": "zombies", "severity": "warning", "title": "1 child process is a zombie",
                "evidence": {"numbers": {}, "sentences": []},
                "objects": {"count": 1, "named": []}, "holders": null,
                "advice": "Wait for it.", "confidence": "read"}],
        "not_judged": [{"rule": "blocked-loop", "reason": HOSTILE}]
    });
    serde_json::from_value(value).unwrap()
}

/// Verdicts on two processes; what could not be read is missing.
pub(super) fn trend() -> TrendDocument {
    let series = |family, name: &str, values: &[Option<f64>]| SeriesRow {
        family,
        name: name.to_owned(),
        unit: "count",
        verdict: Verdict::Growing,
        apart: None,
        numbers: None,
        first: None,
        last: None,
        limit: None,
        exhaustion: None,
        members: None,
        holders: Vec::new(),
        values: values.to_vec(),
    };
    let process = |pid: i32| {
        let whole = whole(1);
        let moment = |unix_ms| Moment { at: whole.taken.clone(), unix_ms, since_boot_ms: None };
        ProcessTrend {
            same: crate::snapshot::whole::SameProcess { pid, ..whole.same.clone() },
            host: Some(HOSTILE.to_owned()),
            first: moment(1_700_000_000_000),
            last: moment(1_700_000_120_000),
            process: whole.process,
            hours: 1.0 / 30.0,
            captures: 3,
            incomplete: 0,
            total_pause_ms: 3.0,
            longest_pause_ms: 1.0,
            times: (0..3).map(|minute| 1_700_000_000_000 + minute * 60_000).collect(),
            series: vec![
                series(Family::Resource, "socket", &[Some(1.0), None, Some(3.0)]),
                series(Family::Type, HOSTILE, &[Some(1e15), Some(0.5), Some(0.0)]),
                series(Family::Memory, "resident, \"memory\"", &[None, None, Some(1e18)]),
            ],
            not_shown: Default::default(),
            changes: Vec::new(),
            notes: Vec::new(),
        }
    };
    TrendDocument {
        schema: TrendDocument::SCHEMA,
        pyattach: VERSION,
        files: 6,
        damaged: Vec::new(),
        processes: vec![process(4711), process(4712)],
    }
}
