//! A report as one HTML file: nothing is loaded from elsewhere, and all of it can be read with
//! scripts off, in the dark, and on paper.
//!
//! Templates (`templates/`) hold the page, `askama` fills them and escapes every text on the way
//! ([`escaping`]); the lines are SVG paths of our own ([`chart`]). The content security policy of
//! the page allows our one script, by its hash, and no other.

mod cards;
mod chart;
mod charts;
mod escaping;
mod groups;
mod paths;
pub mod series;
mod tables;
mod words;

use crate::report::text::units::{bytes, milliseconds, number};
use crate::snapshot::findings::{Diagnosis, NotJudged, Severity};
use crate::snapshot::whole::{CollectorRow, Whole};
use crate::snapshot::{CaptureInfo, VERSION};
use askama::Template;
use cards::Card;
use charts::Section;
use groups::Groups;
use series::Series;
use std::collections::BTreeMap;
use tables::{Kind, Type};
use words::{cut, hours, time};

const STYLE: &str = include_str!("templates/page.css");
const SCRIPT: &str = include_str!("templates/page.js");
/// Of [`SCRIPT`]; a test says what it must be.
const SCRIPT_SHA256: &str = "9HCBuWmMUHYiDgFHI96J2hLIZG/4/sv9BUA4d5IUtPI=";

/// Longest command line in the heading.
const COMMAND: usize = 90;

/// The page.
#[derive(Debug, Template)]
#[template(path = "page.html", config = "src/report/html/askama.toml")]
struct Page {
    title: String,
    heading: String,
    subtitle: String,
    verdict: Verdict,
    facts: Vec<(String, String)>,
    bars: Vec<Bar>,
    findings: Vec<Card>,
    growing: Vec<Card>,
    growing_hidden: usize,
    over_time: bool,
    sections: Vec<Section>,
    kinds: Vec<Kind>,
    types: Vec<Type>,
    types_hidden: usize,
    threads: Groups,
    tasks: Groups,
    evidence: Vec<(String, String)>,
    changes: Vec<String>,
    notes: Vec<String>,
    not_judged: Vec<NotJudged>,
}

/// The line that everybody reads.
#[derive(Debug)]
struct Verdict {
    /// "bad", "warn", "good".
    class: &'static str,
    headline: String,
    lines: Vec<String>,
}

/// How much of a limit is used.
#[derive(Debug)]
struct Bar {
    name: String,
    text: String,
    percent: u64,
    class: &'static str,
}

/// A page on one capture, or on several: then `whole` is the last one, and `series` all.
pub fn page(
    whole: &Whole,
    diagnosis: &Diagnosis,
    series: Option<&Series>,
) -> Result<String, askama::Error> {
    let command = whole.process.cmdline.join(" ");
    let (growing, growing_hidden) = series.map(cards::of_lines).unwrap_or_default();
    let (types, types_hidden) = tables::types(whole, series);
    let page = Page {
        title: format!("Process {}: {}", whole.process.pid, cut(&command, COMMAND)),
        heading: format!("Process {}", whole.process.pid),
        subtitle: cut(&command, 2 * COMMAND),
        verdict: verdict(diagnosis, series),
        facts: facts(whole, series),
        bars: bars(whole),
        findings: cards::of_findings(diagnosis, series),
        growing,
        growing_hidden,
        over_time: series.is_some(),
        sections: series.map(charts::sections).unwrap_or_default(),
        kinds: tables::kinds(whole),
        types,
        types_hidden,
        threads: groups::threads(whole),
        tasks: groups::tasks(whole),
        evidence: evidence(whole, series),
        changes: series.map(changes).unwrap_or_default(),
        notes: notes(&whole.capture, series),
        not_judged: diagnosis.not_judged.clone(),
    };
    page.render()
}

fn verdict(diagnosis: &Diagnosis, series: Option<&Series>) -> Verdict {
    let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
    for finding in &diagnosis.findings {
        *counts.entry(finding.severity).or_default() += 1;
    }
    let verdicts = |verdict: &str| match series {
        Some(series) => {
            series.lines.iter().filter(|line| line.is_bad() && line.verdict == verdict).count()
        }
        None => 0,
    };
    let (growing, suspected) = (verdicts("growing"), verdicts("suspected"));
    let mut parts = Vec::new();
    if growing > 0 {
        parts.push(format!("{growing} growing"));
    }
    if suspected > 0 {
        parts.push(format!("{suspected} suspected"));
    }
    for (severity, count) in counts.iter().rev() {
        parts.push(format!("{count} {severity}"));
    }
    let gravest = diagnosis.gravest();
    let class = match gravest {
        Some(Severity::Critical) => "bad",
        _ if growing > 0 => "bad",
        Some(Severity::Warning) => "warn",
        _ if suspected > 0 => "warn",
        _ => "good",
    };
    let headline = match (parts.is_empty(), series.is_some()) {
        (false, _) => parts.join(", "),
        (true, true) => "Nothing grows, and nothing was found".to_owned(),
        (true, false) => "Nothing was found".to_owned(),
    };
    let mut lines = Vec::new();
    let limits = series.into_iter().flat_map(|series| &series.lines);
    let soonest = limits
        .filter(|line| line.is_bad())
        .filter_map(|line| Some((line.exhaustion?.0, line)))
        .min_by(|(a, _), (b, _)| a.total_cmp(b));
    if let Some((left, line)) = soonest {
        let limit = line.limit.map(|limit| words::value(limit, line.bytes)).unwrap_or_default();
        let name = &line.name;
        let reach = if name.ends_with('s') { "reach their" } else { "reaches its" };
        lines.push(format!("{name} {reach} limit of {limit} in {}", hours(left)));
    }
    lines.extend(diagnosis.findings.iter().take(3).map(|finding| finding.title.clone()));
    if !diagnosis.not_judged.is_empty() {
        lines.push(format!("{} rules had not enough data to judge", diagnosis.not_judged.len()));
    }
    Verdict { class, headline, lines }
}

fn facts(whole: &Whole, series: Option<&Series>) -> Vec<(String, String)> {
    let process = &whole.process;
    let mut build = process.python.build.clone();
    build.retain(|part| part != "gil");
    build.insert(0, process.python.version.clone());
    let unknown = || "unknown".to_owned();
    let count = |count: Option<u64>| count.map_or_else(unknown, number);
    let mut facts = vec![
        ("Python".to_owned(), build.join(", ")),
        ("Resident memory".to_owned(), process.rss_bytes.map_or_else(unknown, bytes)),
        ("Threads".to_owned(), count(process.os_threads)),
        ("Open files".to_owned(), count(process.fds)),
        ("Tracked objects".to_owned(), number(whole.objects.total)),
        ("Captured".to_owned(), time(&whole.taken)),
        ("Pause".to_owned(), pause(&whole.capture)),
    ];
    let begun = process.start_time.as_ref().and_then(|time| time.parse::<jiff::Timestamp>().ok());
    if let (Some(begun), Ok(taken)) = (begun, whole.taken.parse::<jiff::Timestamp>()) {
        let seconds = taken.duration_since(begun).as_secs_f64();
        facts.insert(1, ("Running for".to_owned(), hours(seconds / 3600.0)));
    }
    if let Some(series) = series {
        let captures = number(series.times.len() as u64);
        facts.push(("Captures".to_owned(), captures));
    }
    facts
}

fn pause(capture: &CaptureInfo) -> String {
    capture.total_pause_ms.map_or_else(|| "never paused".to_owned(), milliseconds)
}

/// Everything that has a limit, the fullest first.
fn bars(whole: &Whole) -> Vec<Bar> {
    let mut used: Vec<(String, f64, f64)> = Vec::new();
    if let Some(limit) = whole.limits.descriptors.filter(|&limit| limit > 0) {
        let open = whole.open_descriptors();
        used.push(("open files".to_owned(), open as f64, limit as f64));
    }
    let mut pools: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in &whole.resources {
        let number = |name: &str| row.metrics.get(name).copied().flatten().map(|it| it.as_f64());
        let (Some(in_use), Some(limit)) = (number("in_use"), number("limit")) else { continue };
        if limit > 0.0 && row.state.as_deref() != Some("closed") {
            let fullest = pools.entry(&row.kind).or_insert((in_use, limit));
            if in_use / limit > fullest.0 / fullest.1 {
                *fullest = (in_use, limit);
            }
        }
    }
    used.extend(pools.into_iter().map(|(kind, (in_use, limit))| {
        (format!("fullest {}", kind.replace('_', " ")), in_use, limit)
    }));
    used.sort_by(|a, b| (b.1 / b.2).total_cmp(&(a.1 / a.2)));
    let bar = |(name, used, limit): (String, f64, f64)| {
        let percent = (used / limit * 100.0).round() as u64;
        let text = format!("{} of {}", words::value(used, false), words::value(limit, false));
        let class = match percent {
            90.. => "bad",
            75.. => "warn",
            _ => "good",
        };
        Bar { name, text, percent, class }
    };
    used.into_iter().take(12).map(bar).collect()
}

fn changes(series: &Series) -> Vec<String> {
    let when = |at: &Option<i64>| at.map(words::time_of_ms).unwrap_or_default();
    series
        .changes
        .iter()
        .map(|(at, what)| format!("{} {what}", when(at)).trim().to_owned())
        .collect()
}

fn notes(capture: &CaptureInfo, series: Option<&Series>) -> Vec<String> {
    let of_series = series.map(|series| series.notes.clone()).unwrap_or_default();
    of_series.into_iter().chain(capture.notes.clone()).collect()
}

fn evidence(whole: &Whole, series: Option<&Series>) -> Vec<(String, String)> {
    let (process, capture) = (&whole.process, &whole.capture);
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        ("pyattach".to_owned(), VERSION.to_owned()),
        ("Captured".to_owned(), whole.taken.clone()),
        ("Started".to_owned(), process.start_time.clone().unwrap_or_else(unknown)),
        ("Executable".to_owned(), process.exe.clone().unwrap_or_else(unknown)),
        ("Working folder".to_owned(), process.cwd.clone().unwrap_or_else(unknown)),
        ("User".to_owned(), process.user.clone().unwrap_or_else(unknown)),
        ("Interpreter".to_owned(), process.python.executable.clone()),
        ("Layout from".to_owned(), process.python.layout.origin.join(", ")),
        ("Boot".to_owned(), whole.same.boot_id.clone()),
    ];
    let reason = capture.mode_reason.as_ref().map(|reason| format!(": {reason}"));
    let mode = format!("{}{}", capture.mode, reason.unwrap_or_default());
    rows.push(("Mode".to_owned(), mode));
    rows.push(("Pause, all attempts".to_owned(), pause(capture)));
    let last = capture.pause_ms.map_or_else(unknown, milliseconds);
    rows.push(("Pause, this picture".to_owned(), last));
    rows.push(("Time in all".to_owned(), milliseconds(capture.wall_ms)));
    rows.push(("Attempts".to_owned(), capture.attempts.to_string()));
    let read = format!("{} in {} calls", bytes(capture.bytes_read), number(capture.reads));
    rows.push(("Read".to_owned(), read));
    let consistent = if capture.consistent { "yes" } else { "no" };
    rows.push(("Of one instant, and whole".to_owned(), consistent.to_owned()));
    let coverage = &capture.coverage;
    rows.push(("Objects visited".to_owned(), coverage.objects.map_or_else(unknown, number)));
    rows.push(("Not readable".to_owned(), number(coverage.unreadable)));
    let broken = coverage.broken_lists.map_or_else(unknown, number);
    rows.push(("Lists that did not close".to_owned(), broken));
    rows.extend(whole.collectors.iter().filter_map(collector));
    rows.extend(series.map(|series| series.facts.clone()).unwrap_or_default());
    rows
}

/// What a garbage collector is set to, and what it did.
fn collector(of: &CollectorRow) -> Option<(String, String)> {
    let list = |numbers: Vec<String>| numbers.join(", ");
    let mut parts = vec![if of.enabled? { "on" } else { "off" }.to_owned()];
    if let Some(thresholds) = &of.thresholds {
        parts.push(format!("thresholds {}", list(thresholds.iter().map(i64::to_string).collect())));
    }
    if let Some(stats) = &of.stats {
        let ran = stats.iter().map(|row| number(row.collections)).collect();
        let collected = stats.iter().map(|row| row.collected).sum();
        parts.push(format!("ran {} times, freed {}", list(ran), number(collected)));
    }
    if of.permanent > 0 {
        parts.push(format!("{} frozen", number(of.permanent)));
    }
    parts.extend(of.garbage.filter(|&it| it > 0).map(|it| format!("{} in gc.garbage", number(it))));
    let name = match of.interpreter {
        0 => "Garbage collector".to_owned(),
        other => format!("Garbage collector of interpreter {other}"),
    };
    Some((name, parts.join("; ")))
}

#[cfg(test)]
mod tests;
