//! Limits that the catalogue's entries set, the user's own among them.

use super::super::{Kinds, Outcome, Rule};
use crate::snapshot::ResourceRow;
use crate::snapshot::findings::Objects;
use crate::snapshot::whole::Whole;

/// Sentences about single resources.
const NAMED: usize = 5;

/// What passes a limit of the rule's own level.
pub(super) fn catalog(rule: &Rule, _: &Kinds, whole: &Whole) -> Outcome {
    let level = if rule.id.ends_with("critical") { "critical" } else { "warn" };
    let mut outcome = Outcome::default();
    for (kind, summary) in &whole.kinds {
        let over = |row: &&ResourceRow| row.kind == *kind && row.level.as_deref() == Some(level);
        let rows: Vec<&ResourceRow> = whole.resources.iter().filter(over).collect();
        if !rows.is_empty() {
            let noun = if rows.len() == 1 { "passes" } else { "pass" };
            let name = kind.replace('_', " ");
            let title = format!("{} {name} {noun} a limit of the catalogue", rows.len());
            let mut finding = rule.finding(title);
            finding.evidence.numbers.insert("count".to_owned(), rows.len() as f64);
            finding.evidence.sentences = rows.iter().take(NAMED).map(|row| sentence(row)).collect();
            finding.objects = Objects::of(rows);
            outcome.findings.push(finding);
        }
        if summary.level.as_deref() == Some(level) {
            let name = kind.replace('_', " ");
            let title = format!("{} {name} together pass a limit of the catalogue", summary.count);
            let mut finding = rule.finding(title);
            finding.evidence.numbers.insert("count".to_owned(), summary.count as f64);
            let totals: Vec<String> =
                summary.totals.iter().map(|(name, total)| format!("{name} {total}")).collect();
            finding.evidence.sentences.push(totals.join(", "));
            finding.objects.count = summary.count;
            outcome.findings.push(finding);
        }
    }
    outcome
}

fn sentence(row: &ResourceRow) -> String {
    let known = row.metrics.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let metrics: Vec<String> = known.map(|(name, value)| format!("{name} {value}")).collect();
    format!("{} at {}: {}", row.class, row.address, metrics.join(", "))
}
