//! Checks in code, for what conditions over single resources cannot say. Their thresholds are
//! data all the same.

mod asyncio;
mod database;
mod kernel;
mod limits;
mod pools;
mod proven;
mod threads;

use super::super::whole::Whole;
use super::{Kinds, Outcome, Rule};

type Judge = fn(&Rule, &Kinds, &Whole) -> Outcome;

/// A check by its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check(Judge);

static CHECKS: [(&str, Judge); 21] = [
    ("event-loop-blocked", asyncio::blocked),
    ("tasks-piling-up", asyncio::piling_up),
    ("task-never-woken", proven::tasks),
    ("future-never-resolved", proven::futures),
    ("thread-never-woken", proven::threads),
    ("coroutines-never-awaited", asyncio::never_awaited),
    ("loops-leaked", asyncio::loops),
    ("session-unclosed", asyncio::sessions),
    ("gil-contention", threads::gil),
    ("threads-without-executor", threads::without_executor),
    ("pool-exhausted", pools::exhausted),
    ("idle-in-transaction", database::idle),
    ("io-in-transaction", database::requests),
    ("close-wait", kernel::close_wait),
    ("time-wait-churn", kernel::time_wait),
    ("descriptors-near-limit", kernel::near_limit),
    ("descriptors-without-owner", kernel::without_owner),
    ("sockets-unused", kernel::unused),
    ("open-but-unreachable", kernel::unreachable),
    ("zombies", kernel::zombies),
    ("catalog-limit", limits::catalog),
];

impl Check {
    pub(super) fn named(name: &str) -> Option<Self> {
        CHECKS.iter().find(|(known, _)| *known == name).map(|&(_, judge)| Self(judge))
    }

    pub(super) fn judge(self, rule: &Rule, kinds: &Kinds, whole: &Whole) -> Outcome {
        (self.0)(rule, kinds, whole)
    }
}

/// Why what needs the references between all objects could not be judged.
const NO_REFERENCES: &str = "the references between objects were not read (--holders always)";

/// A finding, or nothing.
fn found(finding: Option<super::Finding>) -> Outcome {
    Outcome { findings: finding.into_iter().collect(), not_judged: Vec::new() }
}

/// Not judged.
fn unjudged(rule: &Rule, reason: impl Into<String>) -> Outcome {
    Outcome { findings: Vec::new(), not_judged: vec![rule.not_judged(reason)] }
}
