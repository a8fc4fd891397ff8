//! Transactions that stay open.

use super::super::places::{busy_threads, place, telling};
use super::super::{Kinds, Outcome, Rule};
use super::asyncio::is_request;
use super::{found, unjudged};
use crate::snapshot::findings::Objects;
use crate::snapshot::resources::{Number, Shown};
use crate::snapshot::secrets::mask_text;
use crate::snapshot::whole::{User, Whole};
use crate::snapshot::{FrameRow, ResourceRow};
use std::collections::BTreeSet;

/// Connections of drivers and frameworks that say whether they are in a transaction.
const CONNECTIONS: [&str; 3] = ["psycopg2_connection", "asyncpg_connection", "django_connection"];
/// Sentences about single connections.
const NAMED: usize = 5;

fn in_transaction(row: &ResourceRow) -> bool {
    matches!(row.state.as_deref(), Some("in_transaction" | "holding"))
}

fn count(whole: &Whole, kind: &str, state: &str) -> u64 {
    let fits = |row: &&ResourceRow| row.kind == kind && row.state.as_deref() == Some(state);
    whole.resources.iter().filter(fits).count() as u64
}

/// Connections in a transaction that no code can end: more than threads are at work, and than
/// SQLAlchemy has taken out for sessions, whose connections are not seen from their users.
pub(super) fn idle(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let candidates = whole.resources.iter().filter(|row| {
        CONNECTIONS.contains(&row.kind.as_str()) && row.state.as_deref() == Some("in_transaction")
    });
    let candidates: Vec<&ResourceRow> = candidates.collect();
    if candidates.is_empty() {
        return Outcome::default();
    }
    let Some(used) = &whole.used else {
        return unjudged(rule, "what running code has at hand is not known");
    };
    let idle = candidates.into_iter().filter(|row| {
        let at_hand = used.contains_key(&row.address) || thread_of(whole, row).is_some();
        !at_hand
    });
    let idle: Vec<&ResourceRow> = idle.collect();
    let explained = busy_threads(whole) + count(whole, "sqlalchemy_record", "in_use");
    let lost = (idle.len() as u64).saturating_sub(explained);
    if (lost as f64) < rule.threshold("least").max(1.0) {
        return Outcome::default();
    }
    let mut finding = rule.finding(format!(
        "{} database connections are in a transaction and no running code has them",
        idle.len()
    ));
    finding.evidence.numbers.insert("count".to_owned(), idle.len() as f64);
    finding.evidence.numbers.insert("explained".to_owned(), explained as f64);
    let named = idle.iter().take(NAMED).map(|row| format!("{} at {}", row.class, row.address));
    finding.evidence.sentences = named.collect();
    finding.objects = Objects::of(idle);
    found(Some(finding))
}

/// The frames of the thread that a connection of Django belongs to, if it runs and is at work.
fn thread_of<'w>(whole: &'w Whole, row: &ResourceRow) -> Option<&'w [FrameRow]> {
    let Some(Some(Shown::Number(Number::Int(ident)))) = row.show.get("thread") else { return None };
    let ident = format!("{ident:#x}");
    let thread = whole.threads.iter().find(|thread| thread.ident == ident)?;
    Some(&thread.frames)
}

/// A request over HTTP by code that has a transaction open.
pub(super) fn requests(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for row in whole.resources.iter().filter(|row| in_transaction(row)) {
        let mut stacks: Vec<&[FrameRow]> = Vec::new();
        if row.kind == "django_connection" {
            stacks.extend(thread_of(whole, row));
        }
        let used = whole.used.as_ref().and_then(|used| used.get(&row.address));
        for user in used.into_iter().flatten() {
            match user {
                User::Task(address) => {
                    let task = whole.tasks.rows.iter().find(|task| task.address == *address);
                    stacks.extend(task.map(|task| task.stack.as_slice()));
                }
                User::Thread(ident) => {
                    let thread = whole.threads.iter().find(|thread| thread.ident == *ident);
                    stacks.extend(thread.map(|thread| thread.frames.as_slice()));
                }
            }
        }
        let Some(stack) = stacks.into_iter().find(|stack| stack.iter().any(is_request)) else {
            continue;
        };
        let Some(frame) = telling(stack) else { continue };
        let at = place(frame);
        if !seen.insert(at.clone()) {
            continue;
        }
        let kind = row.kind.replace('_', " ");
        let mut finding =
            rule.finding(format!("A request over HTTP is made within a transaction ({kind})"));
        finding.evidence.sentences.push(format!("in {at}"));
        finding.evidence.sentences.extend(frame.source.as_deref().map(mask_text));
        finding.objects = Objects::of([row]);
        outcome.findings.push(finding);
    }
    outcome
}
