//! Who holds what grows: the paths of a card.

use super::cards::{Card, Held};
use super::words::value;
use crate::snapshot::holders::ARROW;
use crate::snapshot::retention::{PathChange, PathRow};

/// Paths of one card.
const PATHS: usize = 4;

/// Adds the ways the objects of a card are held, and a sentence on each that changed.
pub(super) fn add(card: &mut Card, rows: &[PathRow]) {
    for row in rows.iter().take(PATHS) {
        card.sentences.extend(sentence(row));
        let Some(count) = row.last.filter(|&count| count > 0) else { continue };
        card.holders.push(Held {
            count,
            steps: row.path.split(ARROW).map(str::to_owned).collect(),
            inferred: false,
        });
    }
}

fn sentence(row: &PathRow) -> Option<String> {
    let count = |count: u64| value(count as f64, false);
    let last = row.path.rsplit(ARROW).nth(1).unwrap_or(&row.path);
    let mut text = match (row.change, row.grown) {
        (PathChange::Grew, Some(grown)) => {
            format!("The same path, by {last}, holds {} more", count(grown.unsigned_abs()))
        }
        (PathChange::Grew, None) => {
            let least = row.grown_at_least?;
            format!("The same path, by {last}, holds at least {} more", count(least))
        }
        (PathChange::New, Some(grown)) => {
            let since = row.since.map(|it| format!(" since capture {it}")).unwrap_or_default();
            format!("A new path{since}, by {last}, holds {}", count(grown.unsigned_abs()))
        }
        _ => return None,
    };
    if let Some(container) = &row.container
        && let (Some(first), Some(last)) = (container.first, container.last)
    {
        text += &format!("; its {} went from {} to {}", container.class, count(first), count(last));
    }
    if let Some(owner) = &row.owner {
        text += &format!("; {} {}", owner.kind, owner.name);
        if let Some(place) = &owner.location {
            let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
            text += &format!(" at {}{line}", place.file);
        }
    }
    Some(text)
}
