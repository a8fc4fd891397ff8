//! Lines as SVG paths, small enough that hundreds fit into one page.

use std::fmt::Write;

/// Size of the drawing, in its own units; the page stretches it.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 60.0;
/// Points of a path; longer lines are drawn by their lows and highs.
const MOST: usize = 240;

/// A drawn line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Drawing {
    /// The line.
    pub(super) path: String,
    /// Where the limit is, if it is in the picture.
    pub(super) limit: Option<String>,
    /// Where something changed.
    pub(super) marks: Vec<String>,
    /// Values at the bottom and at the top.
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Draws values at their times; a gap where one is not known. `None` when nothing is known.
pub(super) fn draw(
    times: &[i64],
    values: &[Option<f64>],
    limit: Option<f64>,
    points: usize,
) -> Option<Drawing> {
    let known: Vec<(i64, Option<f64>)> =
        times.iter().copied().zip(values.iter().copied()).collect();
    let numbers = || known.iter().filter_map(|(_, value)| *value);
    let (first, last) = (known.first()?.0, known.last()?.0);
    let top = numbers().fold(f64::NEG_INFINITY, f64::max);
    let least = numbers().fold(f64::INFINITY, f64::min);
    if !top.is_finite() || !least.is_finite() {
        return None;
    }
    // From zero, unless all that happens would be a flat line then.
    let low = if top - least < 0.2 * top && least > 0.0 { least } else { least.min(0.0) };
    // A limit far above is told in words.
    let limit = limit.filter(|&limit| limit <= 2.0 * top && limit > low);
    let high = limit.map_or(top, |limit| limit.max(top));
    let span = (last.saturating_sub(first)).max(1) as f64;
    let range = if high > low { high - low } else { 1.0 };
    let x = |at: i64| (at.saturating_sub(first)) as f64 / span * WIDTH;
    let flat = if high > low { 0.0 } else { HEIGHT / 2.0 };
    let y = |value: f64| HEIGHT - (value - low) / range * HEIGHT - flat;
    let mut path = String::new();
    let mut pen = false;
    let thinned = thin(&known, points.min(MOST));
    for (index, (at, value)) in thinned.iter().enumerate() {
        let Some(value) = value else {
            pen = false;
            continue;
        };
        let command = if pen { 'L' } else { 'M' };
        // Writing to a String cannot fail.
        let _ = write!(path, "{command}{} {}", short(x(*at)), short(y(*value)));
        let alone = !pen && thinned.get(index + 1).is_none_or(|(_, next)| next.is_none());
        if alone {
            path.push_str("h1");
        }
        pen = true;
    }
    let limit = limit.map(|limit| short(y(limit)));
    Some(Drawing { path, limit, marks: Vec::new(), low, high })
}

/// The place of a time on a line of these times.
pub(super) fn place(times: &[i64], at: i64) -> Option<String> {
    let (&first, &last) = (times.first()?, times.last()?);
    let span = last.saturating_sub(first).max(1) as f64;
    (first..=last).contains(&at).then(|| short(at.saturating_sub(first) as f64 / span * WIDTH))
}

/// Few points for many: of each part its lowest and its highest, in their order.
fn thin(points: &[(i64, Option<f64>)], most: usize) -> Vec<(i64, Option<f64>)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let part = points.len().div_ceil((most / 2).max(1));
    let mut thinned = Vec::with_capacity(most);
    for part in points.chunks(part) {
        let known = || part.iter().filter(|(_, value)| value.is_some());
        let by = |a: &&(i64, Option<f64>), b: &&(i64, Option<f64>)| {
            a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal)
        };
        match (known().min_by(by), known().max_by(by)) {
            (Some(low), Some(high)) => {
                let (first, second) = if low.0 <= high.0 { (low, high) } else { (high, low) };
                thinned.push(*first);
                if first.0 != second.0 {
                    thinned.push(*second);
                }
            }
            _ => thinned.extend(part.first().copied()),
        }
    }
    thinned
}

/// With one digit behind the point at most.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_gaps_and_limits() {
        let values = [Some(0.0), Some(50.0), None, Some(100.0)];
        let drawing = draw(&[0, 10, 20, 30], &values, Some(150.0), 99).unwrap();
        assert_eq!(drawing.path, "M0 60L100 40M300 20h1");
        assert_eq!(drawing.limit.as_deref(), Some("0"));
        assert_eq!(draw(&[0, 1], &[None, None], None, 99), None);
        assert_eq!(draw(&[], &[], None, 99), None);
        assert_eq!(draw(&[5], &[Some(7.0)], None, 99).unwrap().path, "M0 30h1");
    }

    #[test]
    fn long_lines_keep_their_spikes() {
        let times: Vec<i64> = (0..10_000).collect();
        let mut values: Vec<Option<f64>> = vec![Some(1.0); 10_000];
        values[7_777] = Some(9.0);
        let drawing = draw(&times, &values, None, 999).unwrap();
        assert_eq!((drawing.low, drawing.high), (0.0, 9.0));
        assert!(drawing.path.len() < 4_000, "{}", drawing.path.len());
        assert!(drawing.path.contains("L233.3 0"), "{}", drawing.path);
    }
}
