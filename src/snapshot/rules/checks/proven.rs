//! Tasks, futures and threads that nothing alive can ever wake: one capture proves it.

use super::super::{Kinds, Outcome, Rule};
use super::asyncio::object;
use super::{NO_REFERENCES, unjudged};
use crate::snapshot::findings::FoundObject;
use crate::snapshot::holders::Proven;
use crate::snapshot::whole::Whole;

/// Tasks that wait for what nothing alive can ever complete.
pub(super) fn tasks(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    judge(rule, whole, "task")
}

/// Futures that nothing alive can ever resolve.
pub(super) fn futures(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    judge(rule, whole, "future")
}

/// Threads that wait for a lock which nothing alive can ever release.
pub(super) fn threads(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    judge(rule, whole, "thread")
}

fn judge(rule: &Rule, whole: &Whole, kind: &str) -> Outcome {
    let Some(held) = &whole.held else {
        return unjudged(rule, NO_REFERENCES);
    };
    let least = rule.threshold("least");
    let proven = held.proven.iter().filter(|one| one.kind == kind && one.count as f64 >= least);
    let mut findings = Vec::new();
    for proven in proven {
        let mut finding = rule.finding(title(proven));
        let numbers = &mut finding.evidence.numbers;
        numbers.insert("count".to_owned(), proven.count as f64);
        numbers.insert("waiting".to_owned(), proven.waiting as f64);
        let sentences = &mut finding.evidence.sentences;
        if let Some(location) = &proven.location {
            let line = location.line.map_or_else(String::new, |line| format!(":{line}"));
            sentences.push(format!("suspended at {}{line}", location.file));
        }
        sentences.push(proven.reason.clone());
        for (place, address) in proven.objects.iter().enumerate() {
            let task = whole.tasks.rows.iter().find(|task| task.address == *address);
            let thread = proven.threads.get(place);
            finding.objects.add(task.map_or_else(
                || FoundObject {
                    address: Some(address.clone()),
                    class: class(kind).to_owned(),
                    label: thread.and_then(|thread| thread.name.clone()),
                },
                object,
            ));
        }
        findings.push(finding);
    }
    // What C code hides is said in place of a verdict.
    let hidden = held.hidden.iter().filter(|one| one.kind == kind);
    let not_judged = hidden.map(|one| {
        let kind = if one.waiting == 1 { kind.to_owned() } else { format!("{kind}s") };
        rule.not_judged(format!(
            "of {} of {} waiting {kind}, {}",
            one.count, one.waiting, one.reason
        ))
    });
    Outcome { findings, not_judged: not_judged.collect() }
}

fn class(kind: &str) -> &'static str {
    match kind {
        "task" => "asyncio task",
        "thread" => "threading.Thread",
        _ => "future",
    }
}

fn title(proven: &Proven) -> String {
    let name = proven.waits_in.as_deref().unwrap_or("(unknown)");
    let count = proven.count;
    match (proven.kind.as_str(), count) {
        ("future", 1) => "1 future that nothing can ever resolve".to_owned(),
        ("future", _) => format!("{count} futures that nothing can ever resolve"),
        ("thread", 1) => format!("1 thread waits in {name} for a lock that nothing can release"),
        ("thread", _) => {
            format!("{count} threads wait in {name} for locks that nothing can release")
        }
        (_, 1) => format!("1 task waits in {name} for what never comes"),
        _ => format!("{count} tasks wait in {name} for what never comes"),
    }
}
