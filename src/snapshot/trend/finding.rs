//! A verdict as a finding: what alarms, continuous integration and commands of the user get.

use super::document::{Family, ProcessTrend, SeriesRow};
use super::verdict::Verdict;
use crate::snapshot::Finding;
use crate::snapshot::findings::{Confidence, Evidence, Holder, Objects, Severity};
use crate::snapshot::retention::PathRow;
use std::collections::BTreeMap;

/// So soon, running out is critical.
const SOON_HOURS: f64 = 24.0;

impl SeriesRow {
    /// True for what deserves somebody's attention.
    pub fn is_alarm(&self) -> bool {
        self.apart.is_none() && matches!(self.verdict, Verdict::Growing | Verdict::Suspected)
    }

    /// The verdict as a finding; `None` when there is nothing to find.
    pub fn finding(&self, process: &ProcessTrend) -> Option<Finding> {
        let numbers = self.numbers.filter(|_| self.is_alarm())?;
        let growing = self.verdict == Verdict::Growing;
        let soon = self.exhaustion.is_some_and(|it| it.hours < SOON_HOURS);
        let severity = match (growing, soon) {
            (true, true) => Severity::Critical,
            (true, false) => Severity::Warning,
            (false, _) => Severity::Info,
        };
        let (first, last) = (self.first.unwrap_or(0.0), self.last.unwrap_or(0.0));
        let what = match self.family {
            Family::Process | Family::Memory => self.name.clone(),
            Family::Resource => format!("resources: {}", self.name),
            Family::Task => format!("tasks waiting: {}", self.name),
            Family::Thread => format!("threads: {}", self.name),
            Family::Type => format!("instances of {}", self.name),
        };
        let word = match (growing, what.ends_with("memory")) {
            (true, false) => "keep growing",
            (true, true) => "keeps growing",
            (false, false) => "seem to grow",
            (false, true) => "seems to grow",
        };
        let of = |value: f64| amount(self.unit, value);
        let (then, now) = (of(first), of(last));
        let mut sentences = vec![format!(
            "{} captures in {:.2} hours: {then} at the first, {now} at the last, \
             {} an hour (90%: {} to {}), p = {:.2e}",
            process.captures,
            process.hours,
            change(self.unit, numbers.slope_per_hour),
            change(self.unit, numbers.slope_low),
            change(self.unit, numbers.slope_high),
            numbers.p_adjusted
        )];
        let mut all = BTreeMap::from([
            ("first".to_owned(), first),
            ("last".to_owned(), last),
            ("per_hour".to_owned(), numbers.slope_per_hour),
            ("per_hour_low".to_owned(), numbers.slope_low),
            ("per_hour_high".to_owned(), numbers.slope_high),
            ("p".to_owned(), numbers.p_adjusted),
            ("captures".to_owned(), process.captures as f64),
        ]);
        if let (Some(limit), Some(exhaustion)) = (self.limit, self.exhaustion) {
            let hours = exhaustion.hours;
            sentences.push(format!("the limit of {} is reached in {hours:.1} hours", of(limit)));
            all.insert("limit".to_owned(), limit);
            all.insert("exhausted_in_hours".to_owned(), hours);
        }
        if let Some(members) = self.members {
            let (stayed, first) = (members.stayed, members.first);
            sentences.push(format!("{stayed} of the first {first} are still there"));
        }
        Some(Finding {
            rule: format!("trend-{}", self.verdict),
            severity,
            title: format!("{what} {word}: {then} to {now}"),
            evidence: Evidence { numbers: all, sentences },
            objects: Objects {
                count: last.max(0.0) as u64,
                named: Vec::new(),
                addresses: Vec::new(),
            },
            holders: Some(self.holders.iter().filter_map(holder).collect())
                .filter(|holders: &Vec<Holder>| !holders.is_empty()),
            advice: advice(self),
            confidence: Confidence::Inferred,
        })
    }
}

/// A number for people.
fn amount(unit: &str, value: f64) -> String {
    match unit {
        "bytes" => format!("{:.1} MiB", value / f64::from(1 << 20)),
        _ => format!("{value:.0}"),
    }
}

/// The same with its sign.
fn change(unit: &str, value: f64) -> String {
    match unit {
        "bytes" => format!("{:+.1} MiB", value / f64::from(1 << 20)),
        _ => format!("{value:+.1}"),
    }
}

/// A path that holds some at the last capture.
fn holder(row: &PathRow) -> Option<Holder> {
    let count = row.last.filter(|&count| count > 0)?;
    Some(Holder { count, path: row.path.clone(), inferred: false })
}

fn advice(row: &SeriesRow) -> String {
    match (row.verdict, row.family) {
        (Verdict::Suspected, _) => "take more captures, over the usual load".to_owned(),
        (_, Family::Process | Family::Memory) => {
            "look which resources and types grow with it".to_owned()
        }
        (_, Family::Thread) => "look who starts these threads: pyattach dump".to_owned(),
        (_, Family::Task) => "look what these tasks wait for: pyattach tasks".to_owned(),
        (_, Family::Resource | Family::Type) => {
            "look who holds them, and where they are let go in the healthy case".to_owned()
        }
    }
}
