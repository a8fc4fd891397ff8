//! The cards: what the rules found, and what grows.

use super::chart::{Drawing, draw};
use super::series::{Line, Series};
use super::words::{hours, per_hour, value};
use crate::snapshot::findings::{Confidence, Diagnosis, Finding};

/// Cards of lines that grow.
const GROWING: usize = 12;
/// Points of a card's line.
const POINTS: usize = 120;

/// One thing that is wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Card {
    /// "critical", "warning", "info", "growing", "suspected".
    pub(super) level: String,
    pub(super) title: String,
    /// What it is known by: the rule, or the family.
    pub(super) origin: String,
    pub(super) sentences: Vec<String>,
    pub(super) numbers: Vec<(String, String)>,
    pub(super) holders: Vec<Held>,
    pub(super) objects: Vec<[String; 3]>,
    pub(super) objects_hidden: u64,
    pub(super) advice: String,
    pub(super) spark: Option<Drawing>,
    pub(super) spark_label: String,
}

/// Who holds objects.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) count: u64,
    pub(super) steps: Vec<String>,
    pub(super) inferred: bool,
}

/// A card for each finding.
pub(super) fn of_findings(diagnosis: &Diagnosis, series: Option<&Series>) -> Vec<Card> {
    diagnosis.findings.iter().map(|finding| of_finding(finding, series)).collect()
}

fn of_finding(finding: &Finding, series: Option<&Series>) -> Card {
    let numbers = finding.evidence.numbers.iter();
    let origin = match finding.confidence {
        Confidence::Read => format!("rule {}", finding.rule),
        Confidence::Inferred => format!("rule {}, inferred", finding.rule),
    };
    let holders = finding.holders.iter().flatten().map(|holder| Held {
        count: holder.count,
        steps: holder.path.split(" › ").map(str::to_owned).collect(),
        inferred: holder.inferred,
    });
    let objects: Vec<[String; 3]> = finding
        .objects
        .named
        .iter()
        .map(|object| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            [object.class.clone(), text(&object.label), text(&object.address)]
        })
        .collect();
    let mut card = Card {
        level: finding.severity.name().to_owned(),
        title: finding.title.clone(),
        origin,
        sentences: finding.evidence.sentences.clone(),
        numbers: numbers.map(|(name, &n)| (name.replace('_', " "), value(n, false))).collect(),
        holders: holders.collect(),
        objects_hidden: finding.objects.count.saturating_sub(objects.len() as u64),
        advice: finding.advice.clone(),
        ..Card::default()
    };
    // The type of the objects over time, when there is one.
    if let (Some(series), Some([class, ..])) = (series, objects.first()) {
        let line = series.lines.iter().find(|line| line.family == "type" && line.name == *class);
        if let Some(line) = line {
            draw_into(&mut card, series, line, &format!("{class} objects"));
        }
    }
    card.objects = objects;
    card
}

/// A card for each line that grows, and how many more there are.
pub(super) fn of_lines(series: &Series) -> (Vec<Card>, usize) {
    let bad: Vec<&Line> = series.lines.iter().filter(|line| line.is_bad()).collect();
    let cards = bad.iter().take(GROWING).map(|line| of_line(series, line)).collect();
    (cards, bad.len().saturating_sub(GROWING))
}

fn of_line(series: &Series, line: &Line) -> Card {
    let text = |number: Option<f64>| number.map_or("?".to_owned(), |n| value(n, line.bytes));
    let mut sentences =
        vec![format!("{} at first, {} at last", text(line.first()), text(line.last()))];
    if let Some((expected, soonest, latest)) = line.exhaustion {
        let limit = text(line.limit);
        let latest = latest.map_or("never".to_owned(), hours);
        let (expected, soonest) = (hours(expected), hours(soonest));
        let about = format!("At this pace the limit of {limit} is reached in {expected}");
        sentences.push(match soonest == latest {
            true => about,
            false => format!("{about} (between {soonest} and {latest})"),
        });
    }
    let mut numbers = Vec::new();
    if let Some([slope, low, high]) = line.slope {
        let per_hour = |slope: f64| per_hour(slope, line.bytes);
        numbers.push(("slope".to_owned(), per_hour(slope)));
        numbers
            .push(("90% between".to_owned(), format!("{} and {}", per_hour(low), per_hour(high))));
    }
    if let Some(p) = line.p {
        let p = if p < 0.001 { "< 0.001".to_owned() } else { format!("{p:.3}") };
        numbers.push(("p".to_owned(), p));
    }
    let mut card = Card {
        level: line.verdict.clone(),
        title: line.name.clone(),
        origin: line.family.clone(),
        sentences,
        numbers,
        ..Card::default()
    };
    super::paths::add(&mut card, &line.holders);
    draw_into(&mut card, series, line, &line.name);
    card
}

fn draw_into(card: &mut Card, series: &Series, line: &Line, what: &str) {
    card.spark = draw(&series.times, &line.values, line.limit, POINTS);
    if let (Some(first), Some(last)) = (line.first(), line.last()) {
        let (first, last) = (value(first, line.bytes), value(last, line.bytes));
        card.spark_label = format!("{what} over time, from {first} to {last}");
    }
}
