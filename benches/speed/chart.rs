//! Charts of the pauses: SVG files beside the document, each way a line, its limit beside it.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::coord::combinators::IntoLogRange;
use plotters::prelude::*;

use crate::cases::Place;
use crate::measure::Outcome;

/// Of a whole picture, in pixels.
const SIZE: (u32, u32) = (820, 420);

/// A chart: its file, title, axis, and the lines with their colours; what is bare is thin.
struct Chart {
    file: &'static str,
    title: &'static str,
    axis: &'static str,
    lines: &'static [(&'static str, RGBColor)],
    place: fn(Place) -> Option<f64>,
}

const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const GREEN: RGBColor = RGBColor(0x2c, 0xa0, 0x2c);
const ORANGE: RGBColor = RGBColor(0xe6, 0x7e, 0x22);
const GREY: RGBColor = RGBColor(0x77, 0x77, 0x77);

const CHARTS: [Chart; 2] = [
    Chart {
        file: "pause-by-memory.svg",
        title: "Pause of a census, by the memory of the process",
        axis: "memory, MB",
        lines: &[
            ("pyattach --capture copy", ORANGE),
            ("bare copy, touched memory", ORANGE),
            ("pyattach --capture fork", GREEN),
            ("bare fork", GREEN),
            ("pyattach --capture stop", BLUE),
        ],
        place: |place| match place {
            Place::Memory(megabytes) => Some(megabytes),
            Place::Threads(_) => None,
        },
    },
    Chart {
        file: "pause-by-threads.svg",
        title: "Pause, by the number of threads",
        axis: "threads",
        lines: &[
            ("pyattach", BLUE),
            ("pyattach --capture fork", GREEN),
            ("pyattach's stop and release", ORANGE),
            ("bare stop and release", GREY),
        ],
        place: |place| match place {
            Place::Threads(count) => Some(count),
            Place::Memory(_) => None,
        },
    },
];

type Lines = BTreeMap<usize, Vec<(f64, f64)>>;

/// Writes the charts that there are figures for, of the first interpreter that has them; the Markdown that shows them.
pub(crate) fn write(document: &Path, results: &[Outcome]) -> Result<String, String> {
    let mut text = String::new();
    for chart in &CHARTS {
        let places = |outcome: &&Outcome| outcome.case.place.and_then(chart.place).is_some();
        let Some(first) = results.iter().find(places) else { continue };
        let mut lines = Lines::new();
        for outcome in results.iter().filter(places).filter(|one| one.python == first.python) {
            let Some(place) = outcome.case.place.and_then(chart.place) else { continue };
            for (index, (name, _)) in chart.lines.iter().enumerate() {
                if let Some(value) = outcome.row(name).and_then(|row| row.held_ms().median()) {
                    lines.entry(index).or_default().push((place, value));
                }
            }
        }
        let folder = document.parent().unwrap_or(Path::new("."));
        draw(chart, &lines, &folder.join(chart.file), &first.python)
            .map_err(|problem| format!("{}: {problem}", chart.file))?;
        text += &format!("![{}]({})\n\n", chart.title, chart.file);
    }
    Ok(text)
}

fn draw(
    chart: &Chart,
    lines: &Lines,
    path: &Path,
    python: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.values().flatten();
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let low = points().map(of).fold(f64::INFINITY, f64::min);
        let high = points().map(of).fold(0.0, f64::max);
        (low / 1.3)..(high * 1.3)
    };
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut area = ChartBuilder::on(&root)
        .caption(format!("{} (CPython {python})", chart.title), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            bounds(|point| point.0).log_scale(),
            bounds(|point| point.1).log_scale(),
        )?;
    area.configure_mesh()
        .x_desc(chart.axis)
        .y_desc("pause, ms")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| short(*value))
        .light_line_style(RGBColor(0xf0, 0xf0, 0xf0))
        .draw()?;
    for (&index, points) in lines {
        let Some(&(name, colour)) = chart.lines.get(index) else { continue };
        let bare = name.starts_with("bare");
        let style = colour.stroke_width(if bare { 1 } else { 2 });
        area.draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        let size = if bare { 2 } else { 4 };
        area.draw_series(points.iter().map(|&point| Circle::new(point, size, colour.filled())))?;
    }
    area.configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(0xcc, 0xcc, 0xcc))
        .draw()?;
    root.present()?;
    Ok(())
}

fn short(value: f64) -> String {
    if value < 1.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
