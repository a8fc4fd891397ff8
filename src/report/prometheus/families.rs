//! What is exported: one family after the other, filled from the last capture of each process.

use super::samples::{Filling, Samples};
use super::{Picture, Watched};
use crate::snapshot::findings::Severity;
use crate::snapshot::whole::Whole;
use crate::snapshot::{Number, ResourceRow, VERSION};
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;

/// What stands for all types that are not named.
const OTHER: &str = "(other)";
const GENERATIONS: [&str; 3] = ["0", "1", "2"];

/// Numbers of resources that many kinds have, by the name that the catalogue's entries give them.
const NUMBERS: [(&str, &str, &str); 5] = [
    ("in_use", "pyattach_resource_in_use", "What pools of the kind have given out"),
    ("idle", "pyattach_resource_idle", "What pools of the kind have at hand"),
    ("limit", "pyattach_resource_limit", "Sum of the limits of those of the kind that have one"),
    ("waiters", "pyattach_resource_waiters", "Who waits for a pool of the kind"),
    ("queued", "pyattach_resource_queued", "What waits in the queues of the kind"),
];

/// One process and its picture.
type Seen<'a> = (&'a str, Picture<'a>);

/// Fills in everything that is known of these processes.
pub(super) fn fill(samples: &mut Samples, watched: &[Watched<'_>], types: usize) {
    let version = [("version", VERSION)];
    samples.info("pyattach_build", "The version of pyattach", |all| all.add(&version, 1.0));
    samples.gauge("pyattach_targets", None, "Processes that are watched", |all| {
        all.add(&[], watched.len() as f64);
    });
    let pids: Vec<String> = watched.iter().map(|one| one.pid.to_string()).collect();
    let up = "1: the last attempt to capture the process gave a picture; 0: it did not";
    samples.gauge("pyattach_target_up", None, up, |all| {
        for (one, pid) in watched.iter().zip(&pids) {
            all.add(&[("pid", pid)], f64::from(u8::from(one.up)));
        }
    });
    let seen = watched.iter().zip(&pids);
    let seen = seen.filter_map(|(one, pid)| Some((pid.as_str(), one.picture?)));
    let seen: Vec<Seen<'_>> = seen.collect();
    process(samples, &seen);
    capture(samples, &seen);
    resources(samples, &seen);
    asyncio(samples, &seen);
    objects(samples, &seen, types);
    findings(samples, &seen);
}

/// A family with a number for each process.
fn each(
    samples: &mut Samples,
    seen: &[Seen<'_>],
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    number: impl Fn(&Whole) -> Option<f64>,
) {
    samples.gauge(name, unit, help, |all| {
        for (pid, picture) in seen {
            all.add_known(&[("pid", pid)], number(picture.whole));
        }
    });
}

/// A family with numbers by a label for each process.
fn by_label<'a, N: Iterator<Item = (&'a str, u64)>>(
    samples: &mut Samples,
    seen: &'a [Seen<'a>],
    name: &'static str,
    help: &'static str,
    label: &'static str,
    numbers: impl Fn(&'a Whole) -> N,
) {
    samples.gauge(name, None, help, |all| {
        for (pid, picture) in seen {
            for (value, number) in numbers(picture.whole) {
                all.add(&[("pid", pid), (label, value)], number as f64);
            }
        }
    });
}

fn texts(numbers: &BTreeMap<String, u64>) -> impl Iterator<Item = (&str, u64)> {
    numbers.iter().map(|(name, &number)| (name.as_str(), number))
}

fn process(samples: &mut Samples, seen: &[Seen<'_>]) {
    samples.info("pyattach_target", "What the process is", |all| {
        for (pid, picture) in seen {
            let process = &picture.whole.process;
            let program = program(&process.cmdline);
            all.add(
                &[
                    ("pid", pid),
                    ("program", program),
                    ("python_version", &process.python.version),
                    ("python_build", &process.python.build.join(",")),
                ],
                1.0,
            );
        }
    });
    let started = "When the process started, in seconds since 1970";
    let name = "pyattach_target_start_time";
    each(samples, seen, name, Some(Unit::Seconds), started, |whole| {
        seconds(whole.process.start_time.as_deref()?)
    });
    let resident = "Resident memory of the process";
    let name = "pyattach_target_resident_memory";
    each(samples, seen, name, Some(Unit::Bytes), resident, |whole| {
        whole.process.rss_bytes.map(|bytes| bytes as f64)
    });
    let threads = "Threads of the process, as the kernel counts them";
    each(samples, seen, "pyattach_threads", None, threads, |whole| {
        whole.process.os_threads.map(|threads| threads as f64)
    });
    let name = "pyattach_python_threads";
    samples.gauge(name, None, "Threads with a Python state, by what they do", |all| {
        for (pid, picture) in seen {
            for thread in &picture.whole.threads {
                let state = thread.state.as_deref().unwrap_or("unknown");
                all.add(&[("pid", pid), ("state", state)], 1.0);
            }
        }
    });
    let open = "Open descriptors, by what they stand for";
    by_label(samples, seen, "pyattach_open_fds", open, "kind", |whole| {
        texts(&whole.sockets.summary.descriptors)
    });
    let most = "Most descriptors that the process may have";
    each(samples, seen, "pyattach_max_fds", None, most, |whole| {
        whole.limits.descriptors.map(|limit| limit as f64)
    });
    let sockets = "Sockets with a descriptor, by state";
    by_label(samples, seen, "pyattach_sockets", sockets, "state", |whole| {
        texts(&whole.sockets.summary.states)
    });
    let name = "pyattach_child_processes";
    samples.gauge(name, None, "Child processes: running, or ended and not waited for", |all| {
        for (pid, picture) in seen {
            let Some(children) = &picture.whole.children else { continue };
            let zombies = children.iter().filter(|child| child.zombie).count();
            let states = [("running", children.len() - zombies), ("zombie", zombies)];
            for (state, count) in states {
                all.add(&[("pid", pid), ("state", state)], count as f64);
            }
        }
    });
}

fn capture(samples: &mut Samples, seen: &[Seen<'_>]) {
    let taken = "When the last capture was taken, in seconds since 1970";
    let name = "pyattach_last_capture_timestamp";
    each(samples, seen, name, Some(Unit::Seconds), taken, |whole| seconds(&whole.taken));
    let pause = "How long the last capture held the process";
    let name = "pyattach_last_capture_pause";
    each(samples, seen, name, Some(Unit::Seconds), pause, |whole| {
        whole.capture.total_pause_ms.map(|pause| pause / 1000.0)
    });
    let consistent = "1: the last capture is of one instant, and whole; 0: it is not";
    each(samples, seen, "pyattach_last_capture_consistent", None, consistent, |whole| {
        Some(f64::from(u8::from(whole.capture.consistent)))
    });
    let unreadable = "Objects, frames and values that the last capture could not read";
    each(samples, seen, "pyattach_last_capture_unreadable", None, unreadable, |whole| {
        Some(whole.capture.coverage.unreadable as f64)
    });
}

fn resources(samples: &mut Samples, seen: &[Seen<'_>]) {
    let name = "pyattach_resources";
    samples.gauge(name, None, "Resources by kind and state, as the catalogue knows them", |all| {
        for (pid, picture) in seen {
            for (kind, summary) in &picture.whole.kinds {
                for (state, &count) in &summary.states {
                    let labels = [("pid", *pid), ("kind", kind.as_str()), ("state", state)];
                    all.add(&labels, count as f64);
                }
            }
        }
    });
    for (metric, name, help) in NUMBERS {
        samples.gauge(name, None, help, |all| {
            for (pid, picture) in seen {
                for (kind, summary) in &picture.whole.kinds {
                    let Some(&sum) = summary.totals.get(metric) else { continue };
                    // A sum of which a part could not be read would be too small.
                    if summary.unknown.get(metric).is_none_or(|&unknown| unknown == 0) {
                        all.add(&[("pid", pid), ("kind", kind)], float(sum));
                    }
                }
            }
        });
    }
    let fullest = "The fullest of the pools of the kind that have a limit: in use, of the limit";
    samples.gauge(
        "pyattach_resource_fullest",
        Some(Unit::Other("ratio".to_owned())),
        fullest,
        |all| {
            for (pid, picture) in seen {
                for (kind, ratio) in fullest_of(&picture.whole.resources) {
                    all.add(&[("pid", pid), ("kind", kind)], ratio);
                }
            }
        },
    );
}

/// Of each kind, the largest part of its limit that one of it has in use.
fn fullest_of(rows: &[ResourceRow]) -> BTreeMap<&str, f64> {
    let mut fullest: BTreeMap<&str, f64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.state.as_deref() != Some("closed")) {
        let number = |name: &str| row.metrics.get(name).copied().flatten().map(float);
        if let (Some(in_use), Some(limit)) = (number("in_use"), number("limit"))
            && limit > 0.0
        {
            let ratio = fullest.entry(&row.kind).or_default();
            *ratio = ratio.max(in_use / limit);
        }
    }
    fullest
}

fn asyncio(samples: &mut Samples, seen: &[Seen<'_>]) {
    by_label(samples, seen, "pyattach_tasks", "asyncio tasks by state", "state", |whole| {
        texts(&whole.tasks.totals)
    });
    let name = "pyattach_pending_tasks";
    samples.gauge(name, None, "Pending asyncio tasks by what they do", |all| {
        for (pid, picture) in seen {
            let rows = &picture.whole.tasks.rows;
            for task in rows.iter().filter(|task| task.state.as_deref() == Some("pending")) {
                let activity = task.activity.as_deref().unwrap_or("unknown");
                all.add(&[("pid", pid), ("activity", activity)], 1.0);
            }
        }
    });
    let name = "pyattach_event_loops";
    samples.gauge(name, None, "Event loops by state", |all| {
        for (pid, picture) in seen {
            for event_loop in &picture.whole.tasks.loops {
                let state = event_loop.state.as_deref().unwrap_or("unknown");
                all.add(&[("pid", pid), ("state", state)], 1.0);
            }
        }
    });
    let ready = "Callbacks that are due, over all event loops";
    each(samples, seen, "pyattach_event_loop_ready_callbacks", None, ready, |whole| {
        let loops = &whole.tasks.loops;
        let ready: Option<u64> = loops.iter().map(|event_loop| event_loop.ready).sum();
        ready.filter(|_| !loops.is_empty()).map(|ready| ready as f64)
    });
}

fn objects(samples: &mut Samples, seen: &[Seen<'_>], types: usize) {
    let total = "Objects that the collector tracks";
    each(samples, seen, "pyattach_objects", None, total, |whole| Some(whole.objects.total as f64));
    let shallow = "Sum of the shallow sizes of the objects that the collector tracks";
    let name = "pyattach_objects_shallow";
    each(samples, seen, name, Some(Unit::Bytes), shallow, |whole| {
        Some(whole.objects.shallow_bytes as f64)
    });
    let name = "pyattach_gc_objects";
    samples.gauge(name, None, "Tracked objects by the collector's generation", |all| {
        for (pid, picture) in seen {
            for collector in &picture.whole.collectors {
                for (generation, &count) in GENERATIONS.iter().zip(&collector.generations) {
                    all.add(&[("pid", pid), ("generation", generation)], count as f64);
                }
                let permanent = collector.permanent as f64;
                all.add(&[("pid", pid), ("generation", "permanent")], permanent);
            }
        }
    });
    let count = "Tracked objects of the most frequent types; all others are one type, (other)";
    let bytes = "Shallow sizes of the objects of the most frequent types";
    samples.gauge("pyattach_type_objects", None, count, |all| {
        by_type(all, seen, types, |row| row.count);
    });
    samples.gauge("pyattach_type_shallow", Some(Unit::Bytes), bytes, |all| {
        by_type(all, seen, types, |row| row.shallow_bytes);
    });
}

fn by_type(
    all: &mut Filling<'_>,
    seen: &[Seen<'_>],
    types: usize,
    number: impl Fn(&crate::snapshot::TypeRow) -> u64,
) {
    for (pid, picture) in seen {
        let mut rows: Vec<_> = picture.whole.objects.types.iter().collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        for (index, row) in rows.into_iter().enumerate() {
            let name = if index < types { row.name.as_str() } else { OTHER };
            all.add(&[("pid", pid), ("type", name)], number(row) as f64);
        }
    }
}

fn findings(samples: &mut Samples, seen: &[Seen<'_>]) {
    let name = "pyattach_findings";
    samples.gauge(name, None, "What the rules found in the last capture, by severity", |all| {
        for (pid, picture) in seen {
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                let found = &picture.diagnosis.findings;
                let count = found.iter().filter(|finding| finding.severity == severity).count();
                all.add(&[("pid", pid), ("severity", severity.name())], count as f64);
            }
        }
    });
    let name = "pyattach_finding_objects";
    samples.gauge(name, None, "Objects that the findings of a rule are about", |all| {
        for (pid, picture) in seen {
            for finding in &picture.diagnosis.findings {
                let severity = finding.severity.name();
                let labels = [("pid", *pid), ("rule", &finding.rule), ("severity", severity)];
                all.add(&labels, finding.objects.count as f64);
            }
        }
    });
    let name = "pyattach_rules_not_judged";
    samples.gauge(name, None, "Rules that had not enough data to judge the last capture", |all| {
        for (pid, picture) in seen {
            all.add(&[("pid", pid)], picture.diagnosis.not_judged.len() as f64);
        }
    });
}

fn float(number: Number) -> f64 {
    match number {
        Number::Int(value) => value as f64,
        Number::Float(value) => value,
    }
}

/// A time of RFC 3339 in seconds since 1970.
fn seconds(time: &str) -> Option<f64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_millisecond() as f64 / 1000.0)
}

/// The script or the module that runs, without its folder; no other argument.
fn program(command: &[String]) -> &str {
    let mut words = command.iter();
    let mut named = words.next();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-c" => break,
            "-m" => named = words.next(),
            option if option.starts_with('-') => continue,
            _ => named = Some(word),
        }
        break;
    }
    named.and_then(|word| word.rsplit('/').next()).unwrap_or_default()
}
