//! The charts over time: one for each number of the process and each kind of resource.

use super::chart::{Drawing, draw, place};
use super::series::{Line, Series};
use super::words::{time_of_ms, value};

/// Charts of one family at most; what grows comes first.
const MOST: usize = 24;
/// Points of a chart.
const POINTS: usize = 200;

/// Charts that belong together.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) charts: Vec<Chart>,
    pub(super) hidden: usize,
    /// What stayed as it was, with its value.
    pub(super) unchanged: Vec<(String, String)>,
    /// First and last capture.
    pub(super) span: String,
}

/// One chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) name: String,
    pub(super) verdict: String,
    pub(super) bad: bool,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) low: String,
    pub(super) high: String,
    pub(super) limit: String,
    pub(super) drawing: Drawing,
}

const SECTIONS: [(&str, &[&str]); 4] = [
    ("Memory, files and threads", &["memory", "process"]),
    ("Resources", &["resource"]),
    ("Tasks and threads by place", &["task", "thread"]),
    ("Collector and captures", &["collector", "capture"]),
];

/// All charts.
pub(super) fn sections(series: &Series) -> Vec<Section> {
    let sections = SECTIONS.iter().map(|(title, families)| {
        let lines = series.lines.iter().filter(|line| families.contains(&line.family.as_str()));
        let (moving, still): (Vec<&Line>, Vec<&Line>) = lines.partition(|line| moves(line));
        let still = still.into_iter().filter_map(|line| {
            let last = line.last().filter(|&last| last != 0.0)?;
            Some((line.name.clone(), value(last, line.bytes)))
        });
        let mut charts: Vec<Chart> =
            moving.into_iter().filter_map(|line| chart(series, line)).collect();
        let hidden = charts.len().saturating_sub(MOST);
        charts.truncate(MOST);
        let unchanged = still.take(MOST).collect();
        Section { title, charts, hidden, unchanged, span: span(&series.times) }
    });
    sections.filter(|it| !it.charts.is_empty() || !it.unchanged.is_empty()).collect()
}

fn moves(line: &Line) -> bool {
    let mut known = line.values.iter().flatten();
    let first = known.next();
    known.any(|value| Some(value) != first)
}

fn span(times: &[i64]) -> String {
    let ends = times.first().zip(times.last());
    ends.map(|(&first, &last)| format!("{} to {}", time_of_ms(first), time_of_ms(last)))
        .unwrap_or_default()
}

fn chart(series: &Series, line: &Line) -> Option<Chart> {
    let mut drawing = draw(&series.times, &line.values, line.limit, POINTS)?;
    let changes = series.changes.iter().filter_map(|(at, _)| *at);
    drawing.marks = changes.filter_map(|at| place(&series.times, at)).collect();
    let text = |number: f64| value(number, line.bytes);
    Some(Chart {
        name: line.name.clone(),
        verdict: line.verdict.clone(),
        bad: line.is_bad(),
        first: line.first().map(text).unwrap_or_default(),
        last: line.last().map(text).unwrap_or_default(),
        low: text(drawing.low),
        high: text(
            line.limit
                .filter(|_| drawing.limit.is_some())
                .unwrap_or(drawing.high)
                .max(drawing.high),
        ),
        limit: line.limit.map(text).unwrap_or_default(),
        drawing,
    })
}
