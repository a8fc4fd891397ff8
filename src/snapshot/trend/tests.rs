//! Verdicts over files made by hand.

use super::{Apart, Family, SeriesRow, TrendDocument, Verdict, trend};
use crate::snapshot::file::{Snapshot, sample};
use std::path::PathBuf;
use tempfile::TempDir;

/// Stores a snapshot for each minute.
fn series(count: i64, make: impl Fn(i64) -> Snapshot) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |minute: i64| folder.path().join(format!("{minute:03}.pysnap"));
    for minute in 0..count {
        make(minute).save(&path(minute), false).unwrap();
    }
    let paths = (0..count).map(path).collect();
    (folder, paths)
}

fn find<'d>(document: &'d TrendDocument, family: Family, name: &str) -> &'d SeriesRow {
    let rows = &document.processes[0].series;
    rows.iter().find(|row| row.family == family && row.name == name).unwrap()
}

fn service(minute: i64) -> Snapshot {
    let mut whole = sample::whole(minute);
    sample::add_type(&mut whole, "shop.Order", 100 + 9 * minute as u64);
    sample::add_type(&mut whole, "shop.Cache", 1000.min(100 + 100 * minute as u64));
    sample::add_type(&mut whole, "shop.Steady", 5000);
    sample::add_type(&mut whole, "builtins.module", 100 + minute as u64);
    sample::add_type(&mut whole, "builtins.function", 10_000 + 100 * minute as u64);
    let sockets: Vec<u64> = (0..10 + minute as u64 * 3).map(|n| 0x1000 + n * 16).collect();
    sample::add_resources(&mut whole, "socket", &sockets);
    let passing: Vec<u64> = (0..10).map(|n| 0x9000 + minute as u64 * 1000 + n * 16).collect();
    sample::add_resources(&mut whole, "http_client", &passing);
    whole.process.fds = Some(50 + minute as u64 * 3);
    sample::snapshot(whole, minute)
}

#[test]
fn a_series_of_files_is_judged() {
    let (_folder, paths) = series(20, service);
    let document = trend(&paths);
    let process = &document.processes[0];
    assert_eq!((process.captures, process.incomplete), (20, 0));
    let verdict = |family, name| find(&document, family, name).verdict;
    assert_eq!(verdict(Family::Type, "shop.Order"), Verdict::Growing);
    assert_eq!(verdict(Family::Type, "shop.Cache"), Verdict::Settling);
    assert_eq!(verdict(Family::Type, "shop.Steady"), Verdict::Stable);
    assert_eq!(verdict(Family::Resource, "http_client"), Verdict::Churn);
    let functions = find(&document, Family::Type, "builtins.function");
    assert_eq!(functions.apart, Some(Apart::Imports));

    let sockets = find(&document, Family::Resource, "socket");
    assert_eq!(sockets.verdict, Verdict::Growing);
    assert_eq!(sockets.members.map(|it| (it.first, it.stayed)), Some((10, 10)));
    assert!((sockets.numbers.unwrap().slope_per_hour - 180.0).abs() < 0.1);
    // What has a limit comes first, with the time that is left: (1024 - 107) / 3 minutes.
    let first = &process.series[0];
    assert_eq!((first.family, first.name.as_str()), (Family::Process, "open files"));
    assert!((first.exhaustion.unwrap().hours - 917.0 / 180.0).abs() < 0.01);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let (_folder, mut paths) = series(12, service);
    let first = serde_json::to_string(&trend(&paths)).unwrap();
    paths.reverse();
    assert_eq!(serde_json::to_string(&trend(&paths)).unwrap(), first);
}

#[test]
fn a_restart_begins_a_new_series() {
    let (_folder, paths) = series(20, |minute| {
        let mut snapshot = service(minute);
        if minute >= 10 {
            snapshot.summary.same.start_ticks += 1;
            snapshot.summary.limits.descriptors = Some(2048);
        }
        snapshot
    });
    let document = trend(&paths);
    let captures: Vec<u64> = document.processes.iter().map(|process| process.captures).collect();
    assert_eq!(captures, [10, 10]);
    assert!(document.processes.iter().all(|process| process.changes.is_empty()));
}

#[test]
fn changed_limits_and_a_clock_set_back_are_told() {
    let (_folder, paths) = series(12, |minute| {
        let mut snapshot = service(minute);
        if minute >= 6 {
            snapshot.summary.limits.descriptors = Some(2048);
            snapshot.summary.taken.unix_ms -= 86_400_000;
        }
        snapshot
    });
    let document = trend(&paths);
    let process = &document.processes[0];
    assert_eq!(process.captures, 12);
    let change = &process.changes[0];
    assert_eq!((change.from.as_str(), change.to.as_str()), ("1024", "2048"));
    assert!(process.notes.iter().any(|note| note.contains("clock was set back")));
    assert_eq!(find(&document, Family::Type, "shop.Order").verdict, Verdict::Growing);
}

#[test]
fn incomplete_captures_and_damaged_files_are_left_out() {
    let (folder, mut paths) = series(14, |minute| {
        let mut snapshot = service(minute);
        snapshot.summary.capture.consistent = minute != 5;
        snapshot
    });
    let cut = std::fs::read(&paths[7]).unwrap();
    std::fs::write(&paths[7], &cut[..cut.len() / 10]).unwrap();
    paths.push(folder.path().join("missing.pysnap"));
    let document = trend(&paths);
    let process = &document.processes[0];
    assert_eq!((process.captures, process.incomplete), (13, 1));
    assert_eq!(document.damaged.len(), 2);
    assert_eq!(find(&document, Family::Resource, "socket").values[5], None);
    assert_eq!(find(&document, Family::Type, "shop.Order").verdict, Verdict::Growing);
}

#[test]
fn garbage_that_waits_for_the_collector_is_set_apart() {
    let (_folder, paths) = series(20, |minute| {
        let mut whole = sample::whole(minute);
        sample::add_type(&mut whole, "shop.Cycle", 50 * minute as u64);
        for row in &mut whole.objects.types {
            row.generations = Some([row.count, 0, 0, 0]);
        }
        sample::snapshot(whole, minute)
    });
    let document = trend(&paths);
    let row = find(&document, Family::Type, "shop.Cycle");
    assert_eq!(row.apart, Some(Apart::Uncollected));
}
