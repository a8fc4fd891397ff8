//! Event loops, tasks, coroutines, client sessions of asyncio.

use super::super::places::{is, place, telling};
use super::super::template::plain;
use super::super::{Kinds, Outcome, Rule};
use super::{found, unjudged};
use crate::snapshot::findings::{Confidence, FoundObject, Objects, Severity};
use crate::snapshot::secrets::mask_text;
use crate::snapshot::tasks::{LoopRow, TaskRow};
use crate::snapshot::whole::{LoopSample, Sample, Whole};
use crate::snapshot::{Finding, FrameRow, ResourceRow};
use std::collections::BTreeMap;

/// Places named in a finding.
const PLACES: usize = 5;

/// A loop that is in one turn for too long, seen in looks one after the other.
pub(super) fn blocked(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let mut outcome = Outcome::default();
    let busy = whole.tasks.loops.iter().filter(|row| row.state.as_deref() == Some("busy"));
    for row in busy {
        let Some(thread) = row.thread else { continue };
        if whole.samples.len() < 2 {
            let reason = "a loop was busy, and nobody looked again";
            return unjudged(rule, reason);
        }
        outcome.findings.extend(blocked_loop(rule, whole, row, thread));
    }
    outcome
}

fn blocked_loop(rule: &Rule, whole: &Whole, row: &LoopRow, thread: i32) -> Option<Finding> {
    let of = |sample: &Sample| -> Option<LoopSample> {
        sample.loops.iter().find(|one| one.thread == thread).cloned()
    };
    let first = of(whole.samples.first()?)?;
    let mut last = (0.0, first.clone());
    let mut looks = 1;
    for sample in whole.samples.iter().skip(1) {
        let Some(now) = of(sample).filter(|now| first.is_same_turn(now)) else { break };
        looks += 1;
        last = (sample.at_ms, now);
    }
    let (lasted, now) = last;
    if lasted < rule.threshold("least_ms") {
        return None;
    }
    let frame = telling(&row.stack)?;
    let name = row.thread_name.as_ref();
    let whose = match name {
        Some(name) => format!("thread {thread} \"{name}\""),
        None => format!("thread {thread}"),
    };
    let took = plain(lasted.round());
    // A turn may also be long because very many callbacks were due.
    let same_place = telling(&now.stack)
        .is_some_and(|later| (&later.file, &later.function) == (&frame.file, &frame.function));
    let mut finding = match same_place {
        true => {
            let what = frame.source.as_deref().map_or_else(|| place(frame), mask_text);
            rule.finding(format!(
                "The event loop of {whose} stands still for at least {took} ms: {what}"
            ))
        }
        false => {
            let title = format!("One turn of the event loop of {whose} takes {took} ms or more");
            softened_to(rule.finding(title), Severity::Warning)
        }
    };
    // Without a mark of the turn, equal stacks may be of two turns.
    let asleep = now.syscall.is_some() && now.syscall == first.syscall;
    if first.turn.is_none() && !asleep {
        finding.confidence = Confidence::Inferred;
    }
    let numbers = &mut finding.evidence.numbers;
    numbers.insert("lasted_ms".to_owned(), lasted);
    numbers.insert("looks".to_owned(), f64::from(looks));
    let sentences = &mut finding.evidence.sentences;
    sentences.push(format!("in {}", place(frame)));
    if let Some(inner) = row.stack.first().filter(|inner| *inner != frame) {
        sentences.push(format!("innermost: {}", place(inner)));
    }
    match &now.syscall {
        Some(call) => sentences.push(format!("in the system call {call} at the last look")),
        None => sentences.push("computing at the last look".to_owned()),
    }
    let task = row.current_task.as_ref();
    let task = task.and_then(|at| whole.tasks.rows.iter().find(|task| task.address == *at));
    if let Some(task) = task {
        sentences.push(format!("the task that runs: {}", describe(task)));
        finding.objects.add(object(task));
    }
    if let Some(ready) = row.ready.filter(|&ready| ready > 0) {
        sentences.push(format!("{ready} callbacks are due and wait"));
        finding.evidence.numbers.insert("ready".to_owned(), ready as f64);
    }
    Some(finding)
}

fn describe(task: &TaskRow) -> String {
    let name = task.name.as_deref().unwrap_or("(no name)");
    match &task.coroutine {
        Some(coroutine) => format!("{name}, {coroutine}"),
        None => name.to_owned(),
    }
}

pub(super) fn object(task: &TaskRow) -> FoundObject {
    FoundObject {
        address: Some(task.address.clone()),
        class: task.class.clone(),
        label: task.name.clone(),
    }
}

/// File, function and line of a frame.
type Line<'a> = (&'a str, &'a str, Option<u32>);

/// Very many tasks suspended at the same place, more than there are connections to serve.
pub(super) fn piling_up(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let mut groups: BTreeMap<Vec<Line<'_>>, Vec<&TaskRow>> = BTreeMap::new();
    for task in whole.tasks.rows.iter().filter(|task| task.state.as_deref() == Some("pending")) {
        let key = task
            .stack
            .iter()
            .map(|frame| (frame.file.as_str(), frame.function.as_str(), frame.line))
            .collect();
        groups.entry(key).or_default().push(task);
    }
    let sockets = whole.sockets.summary.descriptors.get("socket").copied().unwrap_or(0);
    let least = rule.threshold("least").max(sockets as f64 * rule.threshold("per_socket"));
    let mut findings = Vec::new();
    for tasks in groups.into_values().filter(|tasks| tasks.len() as f64 >= least) {
        let Some(first) = tasks.first() else { continue };
        let name = first.coroutine.as_deref().unwrap_or("(unknown)");
        let mut finding =
            rule.finding(format!("{} tasks of {name} wait at the same place", tasks.len()));
        finding.evidence.numbers.insert("count".to_owned(), tasks.len() as f64);
        finding.evidence.numbers.insert("sockets".to_owned(), sockets as f64);
        let sentences = &mut finding.evidence.sentences;
        match telling(&first.stack) {
            Some(frame) => sentences.push(format!("suspended in {}", place(frame))),
            None => sentences.push("not started yet".to_owned()),
        }
        if let Some(waiting) = first.waiting_for.as_ref().and_then(|future| future.class.as_ref()) {
            sentences.push(format!("waiting for {waiting}"));
        }
        sentences.push(format!("{sockets} sockets are open"));
        for task in tasks {
            finding.objects.add(object(task));
        }
        findings.push(finding);
    }
    Outcome { findings, not_judged: Vec::new() }
}

/// Coroutines made and not awaited. While code runs they may be on their way.
pub(super) fn never_awaited(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let least = rule.threshold("least");
    let rows = whole.tasks.not_started.iter().filter(|row| row.count as f64 >= least);
    let rows: Vec<_> = rows.collect();
    let running = whole.tasks.loops.iter().any(|row| row.state.as_deref() == Some("busy"));
    if running && !rows.is_empty() {
        return unjudged(rule, "a loop ran code: coroutines made by it may be on their way");
    }
    let finding = |row: &&crate::snapshot::tasks::NotStartedRow| {
        let mut finding = rule
            .finding(format!("{} coroutines of {} were never awaited", row.count, row.coroutine));
        finding.evidence.numbers.insert("count".to_owned(), row.count as f64);
        let sentence = format!("defined at {}:{}", row.file, row.line);
        finding.evidence.sentences.push(sentence);
        finding.objects.count = row.count;
        finding
    };
    Outcome { findings: rows.iter().map(finding).collect(), not_judged: Vec::new() }
}

/// Loops that nobody runs and nobody closed.
pub(super) fn loops(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let lost = |row: &&LoopRow| row.running == Some(false) && row.closed == Some(false);
    let lost: Vec<&LoopRow> = whole.tasks.loops.iter().filter(lost).collect();
    // A thread may keep a loop for itself and run it now and then.
    let few = (lost.len() as f64) < rule.threshold("least").max(1.0);
    if few || lost.len() <= whole.threads.len() {
        return Outcome::default();
    }
    let mut finding =
        rule.finding(format!("{} event loops do not run and were never closed", lost.len()));
    finding.evidence.numbers.insert("count".to_owned(), lost.len() as f64);
    for row in &lost {
        let class = row.class.clone();
        let address = Some(row.address.clone());
        finding.objects.add(FoundObject { address, class, label: None });
    }
    let pending: u64 = lost.iter().filter_map(|row| row.tasks.get("pending")).sum();
    if pending > 0 {
        finding.evidence.numbers.insert("pending_tasks".to_owned(), pending as f64);
        finding.evidence.sentences.push(format!("{pending} tasks of theirs will never go on"));
    }
    found(Some(finding))
}

/// Client sessions whose loop has ended, or which are there by the dozen without a connection.
pub(super) fn sessions(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let open = whole
        .resources
        .iter()
        .filter(|row| row.kind == "aiohttp_session" && row.state.as_deref() == Some("open"));
    let ended: Vec<&str> = whole
        .tasks
        .loops
        .iter()
        .filter(|row| row.closed == Some(true) || row.running == Some(false))
        .map(|row| row.address.as_str())
        .collect();
    let number = |row: &ResourceRow, name: &str| match row.metrics.get(name) {
        Some(Some(value)) => Some(super::super::condition::as_f64(value)),
        _ => None,
    };
    let (mut orphans, mut empty) = (Vec::new(), Vec::new());
    for row in open {
        let at_hand = whole.used.as_ref().is_none_or(|used| used.contains_key(&row.address));
        if row.links.get("loop").is_some_and(|at| ended.contains(&at.as_str())) {
            orphans.push(row);
        } else if number(row, "in_use") == Some(0.0) && number(row, "idle") == Some(0.0) && !at_hand
        {
            empty.push(row);
        }
    }
    let mut outcome = Outcome::default();
    if !orphans.is_empty() {
        let count = orphans.len();
        let noun = if count == 1 { "session was" } else { "sessions were" };
        let title = format!("{count} client {noun} not closed before the loop ended");
        outcome.findings.push(about(rule, title, &orphans, Confidence::Read));
    }
    if !empty.is_empty() && empty.len() as f64 >= rule.threshold("least") {
        let count = empty.len();
        let title = format!("{count} client sessions are open, without a connection or a user");
        outcome.findings.push(about(rule, title, &empty, Confidence::Inferred));
    }
    outcome
}

fn about(rule: &Rule, title: String, rows: &[&ResourceRow], confidence: Confidence) -> Finding {
    let mut finding = rule.finding(title);
    finding.confidence = confidence;
    finding.evidence.numbers.insert("count".to_owned(), rows.len() as f64);
    let named = rows.iter().take(PLACES);
    finding.evidence.sentences =
        named.map(|row| format!("{} at {}", row.class, row.address)).collect();
    finding.objects = Objects::of(rows.iter().copied());
    finding
}

/// No graver than info, unless it is grave.
pub(super) fn softened(finding: Finding, grave: bool) -> Finding {
    if grave { finding } else { softened_to(finding, Severity::Info) }
}

fn softened_to(finding: Finding, most: Severity) -> Finding {
    Finding { severity: finding.severity.min(most), ..finding }
}

/// A frame of code that makes a request over HTTP.
pub(super) fn is_request(frame: &FrameRow) -> bool {
    const PACKAGES: [&str; 6] =
        ["/requests/", "/urllib3/", "/httpx/", "/httpcore/", "/aiohttp/client", "/botocore/"];
    PACKAGES.iter().any(|part| frame.file.contains(part))
        || frame.file.ends_with("/http/client.py")
        || is(frame, ("urlopen", "/urllib/request.py"))
}
