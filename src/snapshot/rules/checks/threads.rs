//! The GIL, and worker threads whose executor is gone.

use super::super::condition::as_f64;
use super::super::places::{is, place, telling};
use super::super::template::plain;
use super::super::{Kinds, Outcome, Rule};
use super::{found, unjudged};
use crate::snapshot::ThreadRow;
use crate::snapshot::findings::FoundObject;
use crate::snapshot::whole::Whole;

/// The loop of a worker of `ThreadPoolExecutor`.
const WORKER: (&str, &str) = ("_worker", "/concurrent/futures/thread.py");
/// Sentences about single threads.
const NAMED: usize = 5;

/// Threads that wait for the GIL, look after look.
pub(super) fn gil(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let Some(first) = whole.samples.first() else {
        return unjudged(rule, "it takes several looks at the threads, and there was none");
    };
    if (first.waiting_for_gil as f64) < 2.0 {
        return Outcome::default();
    }
    let looks = whole.samples.len() as f64;
    if looks < 3.0 {
        return unjudged(rule, "threads wait for the GIL, but there were too few looks");
    }
    let waiting: Vec<f64> =
        whole.samples.iter().map(|sample| sample.waiting_for_gil as f64).collect();
    let average = waiting.iter().sum::<f64>() / looks;
    let share = waiting.iter().filter(|&&count| count >= 2.0).count() as f64 / looks;
    if average < rule.threshold("least") || share < rule.threshold("share") {
        return Outcome::default();
    }
    let title = format!("{} threads wait for the GIL at any moment", plain(average.round()));
    let mut finding = rule.finding(title);
    let numbers = &mut finding.evidence.numbers;
    numbers.insert("average".to_owned(), average);
    numbers.insert("looks".to_owned(), looks);
    numbers.insert("share".to_owned(), share);
    let span = whole.samples.last().map_or(0.0, |sample| sample.at_ms);
    finding.evidence.sentences.push(format!(
        "in {} looks within {} ms: {} threads of {}",
        plain(looks),
        plain(span.round()),
        waiting.iter().map(|&count| plain(count)).collect::<Vec<_>>().join(", "),
        first.threads
    ));
    let contenders = whole.threads.iter().filter(|thread| {
        thread.holds_gil == Some(true) || thread.state.as_deref() == Some("waiting for the GIL")
    });
    for thread in contenders {
        add(&mut finding, thread);
    }
    found(Some(finding))
}

fn add(finding: &mut crate::snapshot::Finding, thread: &ThreadRow) {
    let name = thread.name.clone().unwrap_or_else(|| thread.ident.clone());
    if finding.evidence.sentences.len() <= NAMED
        && let Some(frame) = telling(&thread.frames)
    {
        finding.evidence.sentences.push(format!("thread \"{name}\": {}", place(frame)));
    }
    finding.objects.add(FoundObject {
        address: None,
        class: "thread".to_owned(),
        label: Some(match thread.tid {
            Some(tid) => format!("{tid} {name}"),
            None => name,
        }),
    });
}

/// More worker threads than the executors that there are have made.
pub(super) fn without_executor(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let is_worker = |thread: &&ThreadRow| {
        let outer = thread.frames.iter().rev().take(6);
        outer.into_iter().any(|frame| is(frame, WORKER))
    };
    let workers: Vec<&ThreadRow> = whole.threads.iter().filter(is_worker).collect();
    let mut owned = 0.0;
    for row in whole.resources.iter().filter(|row| row.kind == "thread_pool_executor") {
        match row.metrics.get("created") {
            Some(Some(created)) => owned += as_f64(created),
            _ => {
                let reason = "an executor's number of threads could not be read";
                return unjudged(rule, reason);
            }
        }
    }
    let orphans = workers.len() as f64 - owned;
    if orphans < rule.threshold("least").max(1.0) {
        return Outcome::default();
    }
    let count = plain(orphans);
    let mut finding =
        rule.finding(format!("{count} worker threads outlive the executor that made them"));
    let numbers = &mut finding.evidence.numbers;
    numbers.insert("count".to_owned(), orphans);
    numbers.insert("workers".to_owned(), workers.len() as f64);
    numbers.insert("of_executors".to_owned(), owned);
    finding.evidence.sentences.push(format!(
        "{} worker threads, and executors that have {} together",
        workers.len(),
        plain(owned)
    ));
    // Those that wait for work still have an executor, or would end.
    let at_work = workers.iter().filter(|thread| {
        let inner = thread.frames.first();
        inner.is_some_and(|frame| !is(frame, WORKER))
    });
    for thread in at_work {
        add(&mut finding, thread);
    }
    found(Some(finding))
}
