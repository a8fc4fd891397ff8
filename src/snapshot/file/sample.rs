//! Captures made by hand, for the tests of this layer.

use super::{Circumstances, Snapshot};
use crate::snapshot::{TypeRow, Whole};
use serde_json::json;

/// A capture of a small service, `minute` minutes after its start.
pub(in crate::snapshot) fn whole(minute: i64) -> Whole {
    let taken = jiff::Timestamp::from_second(1_700_000_000 + minute * 60).unwrap();
    let value = json!({
        "taken": taken.to_string(),
        "process": {
            "pid": 4711, "start_time": "2023-11-14T22:13:20Z",
            "cmdline": ["/usr/bin/python3", "/srv/shop.py", "--dsn", "hunter2"],
            "exe": "/usr/bin/python3", "cwd": "/", "uid": 1000, "user": "shop",
            "rss_bytes": 50_000_000, "os_threads": 3, "fds": 12,
            "python": {"version": "3.12.1", "build": ["gil"], "executable": "/usr/bin/python3",
                "layout": {"origin": ["table"], "table": "3.12.1"}}
        },
        "same": {"pid": 4711, "start_ticks": 1000, "boot_id": "b"},
        "capture": {"mode": "copy", "mode_reason": null, "pause_ms": 3.5, "total_pause_ms": 3.5,
            "wall_ms": 40.0, "bytes_read": 1, "reads": 1, "attempts": 1, "consistent": true,
            "coverage": {"unreadable": 0}, "notes": []},
        "objects": {"total": 0, "permanent": 0, "untyped": 0, "shallow_bytes": 0,
            "type_count": 0, "types_not_shown": 0, "types": []},
        "collectors": [], "kinds": {}, "resources": [],
        "sockets": {"summary": {"descriptors": {"file": 5, "socket": 7}, "descriptor_limit": 1024,
                "objects": 0, "states": {}, "with_owner": 0, "native": 0, "without_owner": 0,
                "unknown_owner": 0, "objects_by_descriptor": {}, "by_address": {},
                "without_descriptor_in_namespace": 0, "kernel_rows": 0},
            "rows": [], "by_address": []},
        "tasks": {"loops": [], "totals": {}, "rows": [], "not_started": [],
            "registry": {"tasks": null, "not_in_heap": [], "not_registered": []}},
        "threads": [], "native_threads": [], "samples": [],
        "limits": {"descriptors": 1024, "processes": null, "address_space": null},
        "children": null
    });
    serde_json::from_value(value).unwrap()
}

/// Adds a type.
pub(in crate::snapshot) fn add_type(whole: &mut Whole, name: &str, count: u64) {
    whole.objects.types.push(TypeRow {
        name: name.to_owned(),
        address: "0x1000".to_owned(),
        ambiguous: false,
        count,
        shallow_bytes: count * 48,
        generations: Some([0, 0, count, 0]),
    });
    whole.objects.total += count;
    whole.objects.shallow_bytes += count * 48;
    whole.objects.type_count += 1;
}

/// Adds resources of a kind at these addresses.
pub(in crate::snapshot) fn add_resources(whole: &mut Whole, kind: &str, addresses: &[u64]) {
    for address in addresses {
        let row = json!({"id": kind, "kind": kind, "type": "shop.Thing",
            "address": format!("{address:#x}"), "state": "open", "metrics": {}, "show": {}});
        whole.resources.push(serde_json::from_value(row).unwrap());
    }
    let summary = whole.kinds.entry(kind.to_owned()).or_default();
    summary.count += addresses.len() as u64;
    *summary.states.entry("open".to_owned()).or_default() += addresses.len() as u64;
}

/// The capture as a snapshot taken at that minute.
pub(in crate::snapshot) fn snapshot(whole: Whole, minute: i64) -> Snapshot {
    let around = Circumstances {
        unix_ms: (1_700_000_000 + minute * 60) * 1000,
        since_boot_ms: Some(1_000_000 + minute * 60_000),
        ..Circumstances::default()
    };
    Snapshot::new(whole, Vec::new(), &around, false)
}
