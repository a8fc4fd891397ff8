//! Pools that have nothing left to give.

use super::super::condition::as_f64;
use super::super::places::{place, telling};
use super::super::template::plain;
use super::super::{Kinds, Outcome, Rule};
use crate::snapshot::ResourceRow;
use crate::snapshot::findings::{FoundObject, Holder, Severity};
use crate::snapshot::whole::{User, Whole};
use std::collections::BTreeMap;

/// What is taken out of a pool, by kind, and the link that leads to its pool where there is one.
const CHECKOUTS: [(&str, &str); 3] = [
    ("sqlalchemy_checkout", "owner"),
    ("asyncpg_checkout", "pool"),
    ("psycopg_connection", "owner"),
];

/// Pools at their limit with somebody waiting, or which cannot wait.
pub(super) fn exhausted(rule: &Rule, kinds: &Kinds, whole: &Whole) -> Outcome {
    let mut outcome = Outcome::default();
    let mut unknown = 0;
    for row in whole.resources.iter().filter(|row| kinds.include(&row.kind)) {
        let number = |name: &str| match row.metrics.get(name) {
            Some(Some(value)) => Ok(Some(as_f64(value))),
            Some(None) => Err(()),
            None => Ok(None),
        };
        let (in_use, limit, waiters) = match (number("in_use"), number("limit"), number("waiters"))
        {
            (Ok(in_use), Ok(limit), Ok(waiters)) => (in_use, limit, waiters),
            _ => {
                unknown += u64::from(row.kind.contains("pool"));
                continue;
            }
        };
        let (Some(in_use), Some(limit)) = (in_use, limit) else { continue };
        let enough = waiters.is_none_or(|waiters| waiters >= rule.threshold("waiters"));
        // A limiter whose users do not wait, and which is no pool, is just in use.
        let pool = waiters.is_some() || row.kind.ends_with("_pool");
        if limit < 1.0 || in_use < limit || !enough || !pool {
            continue;
        }
        outcome.findings.push(finding(rule, whole, row, (in_use, limit, waiters)));
    }
    if unknown > 0 && outcome.findings.is_empty() {
        let reason = format!("the numbers of {unknown} pools could not be read");
        outcome.not_judged.push(rule.not_judged(reason));
    }
    outcome
}

fn finding(
    rule: &Rule,
    whole: &Whole,
    row: &ResourceRow,
    (in_use, limit, waiters): (f64, f64, Option<f64>),
) -> crate::snapshot::Finding {
    let name = row.show.get("name").and_then(Option::as_ref).map(|name| format!(" \"{name}\""));
    let name = name.unwrap_or_default();
    let waiting = match waiters {
        Some(waiters) => format!(", {} waiting", plain(waiters)),
        None => String::new(),
    };
    let mut finding = rule.finding(format!(
        "{}{name} is exhausted: {} of {} connections in use{waiting}",
        row.kind.replace('_', " "),
        plain(in_use),
        plain(limit)
    ));
    let numbers = &mut finding.evidence.numbers;
    numbers.insert("in_use".to_owned(), in_use);
    numbers.insert("limit".to_owned(), limit);
    waiters.map(|waiters| numbers.insert("waiters".to_owned(), waiters));
    finding.evidence.sentences.push(format!("{} at {}", row.class, row.address));
    finding.objects.add(FoundObject::resource(row));
    let held = checkouts(whole, row);
    let unused = held.iter().filter(|one| users(whole, one).is_empty()).count();
    let known = !held.is_empty() && whole.used.is_some();
    if known {
        finding.evidence.numbers.insert("held_by_no_code".to_owned(), unused as f64);
        if unused > 0 {
            finding.evidence.sentences.push(format!(
                "{unused} of its {} connections are at hand of no running code",
                held.len()
            ));
        }
        finding.holders = Some(holders(whole, &held));
        held.iter().for_each(|one| finding.objects.add(FoundObject::resource(one)));
    }
    let queue = waiters.unwrap_or(0.0) >= limit * rule.threshold("critical_waiters");
    let lost = known && unused * 2 >= held.len();
    if !queue && !lost {
        finding.severity = finding.severity.min(Severity::Warning);
    }
    finding
}

/// What was taken out of a pool and not returned.
fn checkouts<'w>(whole: &'w Whole, pool: &ResourceRow) -> Vec<&'w ResourceRow> {
    let of_pool = |row: &&ResourceRow| {
        CHECKOUTS.iter().any(|(kind, link)| {
            row.kind == *kind
                && row.links.get(*link).is_some_and(|to| *to == pool.address)
                && matches!(row.state.as_deref(), Some("held" | "open" | "in_transaction"))
        })
    };
    whole.resources.iter().filter(of_pool).collect()
}

fn users<'w>(whole: &'w Whole, row: &ResourceRow) -> &'w [User] {
    let used = whole.used.as_ref().and_then(|used| used.get(&row.address));
    used.map(Vec::as_slice).unwrap_or_default()
}

/// The code that has the connections at hand, by place.
fn holders(whole: &Whole, held: &[&ResourceRow]) -> Vec<Holder> {
    let mut by_place: BTreeMap<String, u64> = BTreeMap::new();
    for row in held {
        let path = match users(whole, row).first() {
            Some(User::Task(address)) => {
                let task = whole.tasks.rows.iter().find(|task| task.address == *address);
                let frame = task.and_then(|task| telling(&task.stack));
                format!("a task in {}", frame.map_or_else(|| address.clone(), place))
            }
            Some(User::Thread(ident)) => {
                let thread = whole.threads.iter().find(|thread| thread.ident == *ident);
                let frame = thread.and_then(|thread| telling(&thread.frames));
                format!("a thread in {}", frame.map_or_else(|| ident.clone(), place))
            }
            None => "no running code".to_owned(),
        };
        *by_place.entry(path).or_default() += 1;
    }
    let mut holders: Vec<Holder> =
        by_place.into_iter().map(|(path, count)| Holder { count, path, inferred: true }).collect();
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.count));
    holders
}
