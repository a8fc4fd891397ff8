//! The tables: resources by kind, objects by type.

use super::chart::draw;
use super::series::{Line, Series};
use super::words::{per_hour, value};
use crate::report::text::units::{bytes, number};
use crate::snapshot::whole::Whole;
use std::collections::BTreeMap;

/// Types shown, and of these, those with a line over time.
const TYPES: usize = 1000;
const LINES: usize = 150;
/// Points of such a line.
const POINTS: usize = 60;

/// All resources of one kind.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) states: String,
    pub(super) numbers: String,
    pub(super) level: String,
}

/// The resources by kind, the most first.
pub(super) fn kinds(whole: &Whole) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = whole
        .kinds
        .iter()
        .map(|(name, summary)| {
            let joined = |parts: Vec<String>| parts.join(", ");
            let states =
                summary.states.iter().map(|(name, count)| format!("{} {name}", number(*count)));
            let numbers = summary.totals.iter().map(|(name, sum)| {
                let partly = match summary.unknown.get(name) {
                    Some(&unknown) if unknown > 0 => format!(" ({unknown} unknown)"),
                    _ => String::new(),
                };
                format!("{} {sum}{partly}", name.replace('_', " "))
            });
            Kind {
                name: name.clone(),
                count: summary.count,
                states: joined(states.collect()),
                numbers: joined(numbers.collect()),
                level: summary.level.as_deref().unwrap_or_default().to_owned(),
            }
        })
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    kinds
}

/// A type.
#[derive(Debug, Clone)]
pub(super) struct Type {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) count_text: String,
    pub(super) bytes: u64,
    pub(super) bytes_text: String,
    /// Part of the instances in the oldest generation, in percent.
    pub(super) old: String,
    pub(super) over_time: Option<OverTime>,
}

/// What became of a type.
#[derive(Debug, Clone, Default)]
pub(super) struct OverTime {
    pub(super) first: String,
    pub(super) first_sort: f64,
    pub(super) slope: String,
    pub(super) slope_sort: f64,
    pub(super) verdict: String,
    pub(super) apart: String,
    pub(super) path: String,
}

/// Types, those that grow first, then the most frequent; and how many are left out.
pub(super) fn types(whole: &Whole, series: Option<&Series>) -> (Vec<Type>, usize) {
    let lines: BTreeMap<&str, (usize, &Line)> = series
        .into_iter()
        .flat_map(|series| series.lines.iter().enumerate())
        .filter(|(_, line)| line.family == "type")
        .map(|(rank, line)| (line.name.as_str(), (rank, line)))
        .collect();
    let names = names(whole);
    let mut rows: Vec<_> = whole.objects.types.iter().zip(names).collect();
    let rank = |name: &str| match lines.get(name) {
        Some((rank, line)) if line.is_bad() => *rank,
        _ => usize::MAX,
    };
    rows.sort_by_key(|(row, name)| (rank(name), std::cmp::Reverse(row.count)));
    let hidden = rows.len().saturating_sub(TYPES);
    let mut drawn = 0;
    let types = rows.into_iter().take(TYPES).map(|(row, name)| {
        let old = row.generations.map(|[_, _, old, permanent]| {
            (old.saturating_add(permanent)).saturating_mul(100) / row.count.max(1)
        });
        let over_time = lines.get(name.as_str()).map(|&(_, line)| {
            let times = series.map_or(&[][..], |series| &series.times);
            let moves = line.first() != line.last() || line.is_bad();
            let drawing =
                (moves && drawn < LINES).then(|| draw(times, &line.values, None, POINTS)).flatten();
            drawn += usize::from(drawing.is_some());
            OverTime {
                first: line.first().map(|first| value(first, false)).unwrap_or_default(),
                first_sort: line.first().unwrap_or(0.0),
                slope: line
                    .slope
                    .filter(|slope| slope[0] != 0.0)
                    .map(|slope| per_hour(slope[0], false))
                    .unwrap_or_default(),
                slope_sort: line.slope.map_or(0.0, |slope| slope[0]),
                verdict: line.verdict.clone(),
                apart: line.apart.clone().unwrap_or_default(),
                path: drawing.map(|drawing| drawing.path).unwrap_or_default(),
            }
        });
        let over_time = over_time.or(series.map(|_| OverTime::default()));
        Type {
            name,
            count: row.count,
            count_text: number(row.count),
            bytes: row.shallow_bytes,
            bytes_text: bytes(row.shallow_bytes),
            old: old.map(|percent| format!("{percent} %")).unwrap_or_default(),
            over_time,
        }
    });
    (types.collect(), hidden)
}

/// The types' names; the second class of a name, by its address, has "#2" behind it, as in the
/// series.
fn names(whole: &Whole) -> Vec<String> {
    let types = &whole.objects.types;
    let mut order: Vec<usize> = (0..types.len()).collect();
    order.sort_by_key(|&index| types.get(index).map(|row| (&row.name, &row.address)));
    let mut names = vec![String::new(); types.len()];
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for index in order {
        let (Some(row), Some(name)) = (types.get(index), names.get_mut(index)) else { continue };
        let times = seen.entry(&row.name).or_default();
        *times += 1;
        *name = if *times == 1 { row.name.clone() } else { format!("{}#{times}", row.name) };
    }
    names
}
