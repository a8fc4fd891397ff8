//! Declarative rules: which resources fit, in groups, and how many there have to be.

use super::super::findings::{FoundObject, Objects, Severity};
use super::super::whole::Whole;
use super::super::{Finding, ResourceRow};
use super::condition::as_f64;
use super::template::{fill, plain};
use super::{Outcome, Rule, Selection, places};
use std::collections::{BTreeMap, BTreeSet};

/// Sentences of a finding that are about single resources.
const SENTENCES: usize = 5;

/// Something to be more than, counted in the same capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    /// Threads that run code of the program: what they have at hand may be in thread-local
    /// storage, where it is not seen.
    BusyThreads,
    /// Threads that stay: each may have one of its own.
    Threads,
}

impl Beyond {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "busy_threads" => Some(Self::BusyThreads),
            "threads" => Some(Self::Threads),
            _ => None,
        }
    }

    fn count(self, whole: &Whole) -> u64 {
        match self {
            Self::BusyThreads => places::busy_threads(whole),
            Self::Threads => places::lasting_threads(whole),
        }
    }
}

/// Judges by a selection of resources.
pub(super) fn judge(rule: &Rule, selection: &Selection, whole: &Whole) -> Outcome {
    let mut outcome = Outcome::default();
    let mut groups: BTreeMap<Vec<String>, Vec<&ResourceRow>> = BTreeMap::new();
    let mut reasons: BTreeSet<String> = BTreeSet::new();
    let mut unknown = 0u64;
    let mut fits = |row: &ResourceRow| match fits(rule, selection, whole, row) {
        Ok(fits) => fits,
        Err(reason) => {
            unknown += 1;
            reasons.insert(reason);
            false
        }
    };
    let rows = whole.resources.iter().filter(|row| selection.kinds.include(&row.kind));
    for row in rows.filter(|row| fits(row)) {
        let key = selection.by.iter().map(|name| group_key(row, name)).collect();
        groups.entry(key).or_default().push(row);
    }
    let least = selection.at_least.as_ref().map_or(1.0, |name| rule.threshold(name));
    let beyond = selection.beyond.map_or(0, |beyond| beyond.count(whole));
    for rows in groups.into_values() {
        let count = rows.len() as u64;
        if (count as f64) < least || count <= beyond {
            continue;
        }
        outcome.findings.push(finding(rule, selection, &rows));
    }
    if unknown > 0 && outcome.findings.is_empty() && rule.severity > Severity::Info {
        let reason: Vec<String> = reasons.into_iter().take(2).collect();
        let reason = format!("{unknown} resources could not be judged ({})", reason.join("; "));
        outcome.not_judged.push(rule.not_judged(reason));
    }
    outcome
}

fn fits(
    rule: &Rule,
    selection: &Selection,
    whole: &Whole,
    row: &ResourceRow,
) -> Result<bool, String> {
    if !selection.states.is_empty() {
        match &row.state {
            Some(state) if selection.states.contains(state) => {}
            Some(_) => return Ok(false),
            None => {
                let reason = row.unknown.get("state").map_or("not read", String::as_str);
                return Err(format!("state: {reason}"));
            }
        }
    }
    for condition in &selection.conditions {
        if !condition.holds(row, &rule.thresholds)? {
            return Ok(false);
        }
    }
    if selection.unused {
        let used = whole.used.as_ref();
        let used = used.ok_or_else(|| "what running code has at hand is not known".to_owned())?;
        return Ok(!used.contains_key(&row.address));
    }
    Ok(true)
}

/// What a resource is grouped by; numbers inside names (`report-12`) do not tell groups apart.
fn group_key(row: &ResourceRow, name: &str) -> String {
    match name {
        "kind" => row.kind.clone(),
        "type" => row.class.clone(),
        _ => {
            let value = row.show.get(name).and_then(Option::as_ref).map(ToString::to_string);
            let mut folded = String::new();
            for character in value.unwrap_or_default().chars() {
                match character {
                    '0'..='9' if folded.ends_with('#') => {}
                    '0'..='9' => folded.push('#'),
                    other => folded.push(other),
                }
            }
            folded
        }
    }
}

fn finding(rule: &Rule, selection: &Selection, rows: &[&ResourceRow]) -> Finding {
    let count = rows.len() as u64;
    let value = |name: &str| match name {
        "count" => Some(count.to_string()),
        "kind" => rows.first().map(|row| row.kind.replace('_', " ")),
        "type" => rows.first().map(|row| row.class.clone()),
        _ => match name.strip_prefix("sum.") {
            Some(metric) => Some(plain(sum(rows, metric))),
            None => rule.thresholds.get(name).map(|threshold| plain(*threshold)),
        },
    };
    let mut finding = rule.finding(fill(&selection.title, count, &value));
    let numbers = &mut finding.evidence.numbers;
    numbers.insert("count".to_owned(), count as f64);
    let metrics: BTreeSet<&String> = rows.iter().flat_map(|row| row.metrics.keys()).collect();
    for metric in metrics.into_iter().filter(|name| name.as_str() != "fd") {
        numbers.insert(metric.clone(), sum(rows, metric));
    }
    finding.evidence.sentences =
        rows.iter().take(SENTENCES).map(|row| sentence(selection, row)).collect();
    if rows.len() > SENTENCES {
        finding.evidence.sentences.push(format!("and {} more", rows.len() - SENTENCES));
    }
    finding.objects = Objects::of(rows.iter().copied());
    finding
}

fn sum(rows: &[&ResourceRow], metric: &str) -> f64 {
    let values = rows.iter().filter_map(|row| row.metrics.get(metric)?.as_ref());
    values.map(as_f64).sum()
}

fn sentence(selection: &Selection, row: &ResourceRow) -> String {
    let label = || FoundObject::resource(row).label.unwrap_or_else(|| row.address.clone());
    fill(&selection.sentence, 1, &|name| match name {
        "address" => Some(row.address.clone()),
        "type" => Some(row.class.clone()),
        "state" => row.state.clone(),
        "label" => Some(label()),
        _ => match row.metrics.get(name) {
            Some(number) => number.map(|number| number.to_string()),
            None => row.show.get(name)?.as_ref().map(ToString::to_string),
        },
    })
}
