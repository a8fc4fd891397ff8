//! The GIL, and worker threads whose executor is gone.

use super::super::places::{place, telling};
use super::super::template::plain;
use super::super::{Kinds, Outcome, Rule};
use super::{found, unjudged};
use crate::snapshot::findings::FoundObject;
use crate::snapshot::whole::{Whole, WorkerRow};
use crate::snapshot::{Finding, ThreadRow};
use std::collections::{BTreeMap, BTreeSet};

/// Places named in a finding.
const NAMED: usize = 5;

/// Threads that wait for the GIL, look after look.
pub(super) fn gil(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let Some(first) = whole.samples.first() else {
        return unjudged(rule, "it takes several looks at the threads, and there was none");
    };
    if first.waiting_for_gil == 0 {
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
    add(&mut finding, contenders);
    found(Some(finding))
}

/// Names the threads, those at one place together.
fn add<'w>(finding: &mut Finding, threads: impl Iterator<Item = &'w ThreadRow>) {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for thread in threads {
        let name = thread.name.clone().unwrap_or_else(|| thread.ident.clone());
        let at = telling(&thread.frames).map_or_else(|| "no Python frame".to_owned(), place);
        places.entry(at).or_default().push(name.clone());
        finding.objects.add(FoundObject {
            address: None,
            class: "thread".to_owned(),
            label: Some(match thread.tid {
                Some(tid) => format!("{tid} {name}"),
                None => name,
            }),
        });
    }
    let mut places: Vec<(String, Vec<String>)> = places.into_iter().collect();
    places.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    for (at, names) in places.into_iter().take(NAMED) {
        finding.evidence.sentences.push(match names.as_slice() {
            [name] => format!("thread \"{name}\" in {at}"),
            names => format!("{} threads in {at}", names.len()),
        });
    }
}

/// Worker threads at work for an executor that is not there any more.
pub(super) fn without_executor(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let mut queues: BTreeSet<&str> = BTreeSet::new();
    for row in whole.resources.iter().filter(|row| row.kind == "thread_pool_executor") {
        match row.links.get("queue") {
            Some(queue) => queues.insert(queue),
            None => return unjudged(rule, "an executor's queue could not be read"),
        };
    }
    // One that waits for a job ends as soon as it sees that its executor is gone.
    let orphans = whole
        .workers
        .iter()
        .filter(|worker| !worker.idle && !queues.contains(worker.queue.as_str()));
    let orphans: Vec<&WorkerRow> = orphans.collect();
    if orphans.is_empty() || (orphans.len() as f64) < rule.threshold("least") {
        return Outcome::default();
    }
    let title = format!("{} worker threads are at work for executors that are gone", orphans.len());
    let mut finding = rule.finding(title);
    finding.evidence.numbers.insert("count".to_owned(), orphans.len() as f64);
    finding.evidence.numbers.insert("workers".to_owned(), whole.workers.len() as f64);
    let threads = orphans
        .iter()
        .filter_map(|worker| whole.threads.iter().find(|thread| thread.ident == worker.thread));
    add(&mut finding, threads);
    found(Some(finding))
}
