//! What a page over time is made from: numbers at each capture, and what is said of them.

use crate::report::text::units::{milliseconds, number};
use crate::snapshot::file::Summary;
use crate::snapshot::retention::PathRow;
use crate::snapshot::trend::{Family, Numbers, ProcessTrend, SeriesRow};
use std::collections::BTreeMap;

/// The captures of one process.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// When each was taken, in milliseconds since 1970.
    pub times: Vec<i64>,
    /// What was followed, the worst first.
    pub lines: Vec<Line>,
    /// What was changed from outside: when, and what.
    pub changes: Vec<(Option<i64>, String)>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Facts for the last section: name and value.
    pub facts: Vec<(String, String)>,
}

/// One number over time.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What it is of: "process", "resource", "type", "memory", …
    pub family: String,
    /// Its name within the family.
    pub name: String,
    /// It counts bytes.
    pub bytes: bool,
    /// "growing", "stable", …; empty for what is shown and not judged.
    pub verdict: String,
    /// Why a rise is no leak all the same.
    pub apart: Option<String>,
    /// The slope per hour, and the ends of its interval.
    pub slope: Option<[f64; 3]>,
    /// How probable such a rise is without a leak.
    pub p: Option<f64>,
    /// The limit that it may reach.
    pub limit: Option<f64>,
    /// Hours until it does, from the last capture: expected, soonest, latest if ever.
    pub exhaustion: Option<(f64, f64, Option<f64>)>,
    /// The ways the objects are held that changed most.
    pub holders: Vec<PathRow>,
    /// At each capture.
    pub values: Vec<Option<f64>>,
}

impl Line {
    /// The first that is known.
    pub(super) fn first(&self) -> Option<f64> {
        self.values.iter().find_map(|value| *value)
    }

    /// The last that is known.
    pub(super) fn last(&self) -> Option<f64> {
        self.values.iter().rev().find_map(|value| *value)
    }

    /// It is said to grow, and nothing else explains that.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self.verdict.as_str(), "growing" | "suspected") && self.apart.is_none()
    }
}

impl Series {
    /// The series of a trend, and what only the summaries of its captures have.
    pub fn of(trend: &ProcessTrend, summaries: &[Summary]) -> Self {
        let mut lines: Vec<Line> = trend.series.iter().map(Line::of).collect();
        lines.extend(of_summaries(&trend.times, summaries));
        let time = |text: &str| Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond());
        let changes = trend.changes.iter().map(|change| {
            (time(&change.at), format!("{}: from {} to {}", change.what, change.from, change.to))
        });
        let not_shown = trend.not_shown.iter();
        let facts = [
            ("Host", trend.host.clone().unwrap_or_else(|| "unknown".to_owned())),
            ("Captures", number(trend.captures)),
            ("Incomplete captures", number(trend.incomplete)),
            ("First capture", trend.first.at.clone()),
            ("Last capture", trend.last.at.clone()),
            ("Pause of all captures", milliseconds(trend.total_pause_ms)),
            ("Longest pause", milliseconds(trend.longest_pause_ms)),
            (
                "Series judged",
                number(trend.series.len() as u64 + not_shown.map(|(_, n)| n).sum::<u64>()),
            ),
        ];
        Self {
            times: trend.times.clone(),
            lines,
            changes: changes.collect(),
            notes: trend.notes.clone(),
            facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }
}

impl Line {
    fn of(row: &SeriesRow) -> Self {
        let family = match row.family {
            Family::Process => "process",
            Family::Resource => "resource",
            Family::Task => "task",
            Family::Thread => "thread",
            Family::Type => "type",
            Family::Memory => "memory",
        };
        let slope =
            |numbers: Numbers| [numbers.slope_per_hour, numbers.slope_low, numbers.slope_high];
        Self {
            family: family.to_owned(),
            name: row.name.clone(),
            bytes: row.unit == "bytes",
            verdict: row.verdict.name().to_owned(),
            apart: row.apart.map(|apart| apart.text().to_owned()),
            slope: row.numbers.map(slope),
            p: row.numbers.map(|numbers| numbers.p_adjusted),
            limit: row.limit,
            exhaustion: row.exhaustion.map(|it| (it.hours, it.soonest, it.latest)),
            holders: row.holders.clone(),
            values: row.values.clone(),
        }
    }
}

/// The collector's generations, and the pauses: shown, and not judged.
fn of_summaries(times: &[i64], summaries: &[Summary]) -> Vec<Line> {
    let by_time: BTreeMap<i64, &Summary> =
        summaries.iter().map(|summary| (summary.taken.unix_ms, summary)).collect();
    let line = |family: &str, name: String, value: &dyn Fn(&Summary) -> Option<f64>| Line {
        family: family.to_owned(),
        name,
        values: times.iter().map(|time| value(by_time.get(time)?)).collect(),
        ..Line::default()
    };
    let deepest = summaries.iter().flat_map(|summary| &summary.collectors);
    let deepest = deepest.map(|collector| collector.generations.len()).max().unwrap_or(0);
    let mut lines: Vec<Line> = (0..deepest)
        .map(|generation| {
            line("collector", format!("generation {generation}"), &|summary| {
                let of = summary.collectors.iter().map(|it| it.generations.get(generation));
                of.sum::<Option<u64>>().map(|objects| objects as f64)
            })
        })
        .collect();
    lines.push(line("capture", "pause, in milliseconds".to_owned(), &|summary| {
        summary.capture.total_pause_ms
    }));
    lines.retain(|line| line.first().is_some());
    lines
}
