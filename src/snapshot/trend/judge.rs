//! From one series to its verdict.
//!
//! A leak is a rise that time alone explains: it is no accident (Mann and Kendall), it is large
//! enough to matter, it still goes on, and neither a step, nor a level that was reached, nor a
//! wave explains it better.

use super::statistics::{Fits, MannKendall, Point, Slope, fits, mann_kendall, median, theil_sen};
use super::verdict::{Numbers, Verdict};

/// Fewer captures never give more than a suspicion.
pub(super) const ENOUGH: usize = 8;
/// Fewer captures give nothing.
pub(super) const LEAST: usize = 3;
/// Longer series are thinned to so many points by medians: no answer gets better by more.
const MOST: usize = 128;
/// A rise that is more probable than this without a trend is an accident.
const SURE: f64 = 0.01;
/// A rise that is less probable than this is worth a suspicion.
const DOUBTFUL: f64 = 0.1;
/// Growth of so many, and so large a part of where it began, is the least that is named.
const LEAST_GROWTH: f64 = 5.0;
const LEAST_PART: f64 = 0.05;
/// A late slope below this part of the whole one: it is ending.
const LATE: f64 = 0.3;
/// A fall of this part of the whole range: a wave, not a leak.
const FALL: f64 = 0.5;
/// Ups and downs of less than this part of the level are noise.
const WAVE: f64 = 0.2;
/// Two levels that leave less than this part of a line's misfit fit better.
const BETTER: f64 = 0.8;
/// A line that leaves less than this part of all differences is a line; what is left is rounding.
const LEFT: f64 = 1e-3;
/// Two levels that explain this part of all differences are two levels.
const EXPLAINED: f64 = 0.85;

/// What the tests say of a series, before others are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tested {
    pub(super) numbers: Numbers,
    shape: Shape,
    /// Growth large enough to be named.
    matters: bool,
}

/// What explains the series best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Constant,
    Rising,
    Settling,
    Step,
    Wave,
    Noise,
}

/// Tests a series. `None`: too short to say anything.
pub(super) fn test(points: &[Point]) -> Option<Tested> {
    if points.len() < LEAST {
        return None;
    }
    let thinned = thin(points);
    let points = thinned.as_slice();
    let (first, last) = (points.first()?, points.last()?);
    let range = range(points);
    if range == 0.0 {
        return Some(constant(points.len(), last.value));
    }
    let kendall = mann_kendall(points);
    let third = points.len().div_ceil(3);
    let values = |part: &[Point]| median(part.iter().map(|point| point.value).collect());
    let base = values(points.get(..third)?)?;
    let slope = theil_sen(points, kendall.variance)?;
    let growth = slope.middle * (last.at - first.at);
    let least = LEAST_GROWTH.max(LEAST_PART * base.abs());
    let shape = shape(points, &slope, &kendall, range, least);
    let numbers = Numbers {
        captures: points.len() as u64,
        p: kendall.p_rising,
        p_adjusted: kendall.p_rising,
        slope_per_hour: slope.middle,
        slope_low: slope.low,
        slope_high: slope.high,
        growth,
        fitted_last: slope.at(last.at),
    };
    Some(Tested { numbers, shape, matters: growth >= least })
}

/// Most types never change; nothing has to be tested then.
fn constant(captures: usize, value: f64) -> Tested {
    let numbers = Numbers {
        captures: captures as u64,
        p: 1.0,
        p_adjusted: 1.0,
        slope_per_hour: 0.0,
        slope_low: 0.0,
        slope_high: 0.0,
        growth: 0.0,
        fitted_last: value,
    };
    Tested { numbers, shape: Shape::Constant, matters: false }
}

impl Tested {
    /// The verdict, once the probability is corrected for the number of series looked at.
    pub(super) fn verdict(&self, captures: usize, p_adjusted: f64) -> Verdict {
        let rising = self.numbers.p;
        let low = self.numbers.slope_low > 0.0;
        match self.shape {
            Shape::Constant => Verdict::Stable,
            Shape::Step => Verdict::Step,
            Shape::Wave => Verdict::Cyclic,
            Shape::Settling => Verdict::Settling,
            Shape::Noise => Verdict::Stable,
            Shape::Rising if !self.matters => Verdict::Stable,
            Shape::Rising if captures < ENOUGH && rising < 2.0 * DOUBTFUL => Verdict::Suspected,
            Shape::Rising if captures < ENOUGH => Verdict::Stable,
            Shape::Rising if rising < SURE && p_adjusted < 5.0 * SURE && low => Verdict::Growing,
            Shape::Rising if rising < SURE || p_adjusted < DOUBTFUL => Verdict::Suspected,
            Shape::Rising => Verdict::Stable,
        }
    }
}

fn range(points: &[Point]) -> f64 {
    let (low, high) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| {
        (low.min(p.value), high.max(p.value))
    });
    high - low
}

fn shape(points: &[Point], slope: &Slope, kendall: &MannKendall, range: f64, least: f64) -> Shape {
    let fits = fits(points);
    let straight = fits.line < LEFT * fits.level;
    let larger = range >= least;
    let short = points.len() < ENOUGH;
    let rising = kendall.p_rising < if short { 2.0 * DOUBTFUL } else { DOUBTFUL / 2.0 };
    if larger && !straight && fits.step.0 < BETTER * fits.line && is_step(points, &fits, least) {
        return Shape::Step;
    }
    if rising && larger && falls(points) > FALL * range {
        return Shape::Wave;
    }
    if rising && larger && !straight && is_settling(points, slope, &fits) {
        return Shape::Settling;
    }
    if rising {
        return Shape::Rising;
    }
    let visible = range >= WAVE * slope.at(points.first().map_or(0.0, |point| point.at)).abs();
    if larger && visible && is_wave(points, range) { Shape::Wave } else { Shape::Noise }
}

/// Two levels explain it, and neither of them rises by itself.
fn is_step(points: &[Point], fits: &Fits, least: f64) -> bool {
    let (fit, at) = fits.step;
    let Some((before, after)) = points.split_at_checked(at) else { return false };
    let middle = |part: &[Point]| median(part.iter().map(|point| point.value).collect());
    let (Some(low), Some(high)) = (middle(before), middle(after)) else { return false };
    let level = |part: &[Point]| part.len() < 5 || mann_kendall(part).p_rising > 0.05;
    (high - low).abs() >= least
        && fit < (1.0 - EXPLAINED) * fits.level
        && level(before)
        && level(after)
}

/// It rose, and rises no more.
fn is_settling(points: &[Point], slope: &Slope, fits: &Fits) -> bool {
    let Some((_, late)) = points.split_at_checked(points.len() / 2) else { return false };
    let late_slope = theil_sen(late, 0.0).map_or(0.0, |slope| slope.middle);
    let n = points.len() as f64;
    // The bend has to earn its extra parameter, and the choice among all places (twice of what
    // Akaike's criterion asks for).
    let (bent, at) = fits.plateau;
    let reached = points.len() - at.min(points.len());
    let bend = bent < fits.line * (-8.0 / n).exp() && reached >= (points.len() / 6).max(3);
    late_slope < LATE * slope.middle || bend
}

/// The deepest fall from any point to a later one.
fn falls(points: &[Point]) -> f64 {
    let mut top = f64::NEG_INFINITY;
    let mut deepest: f64 = 0.0;
    for point in points {
        top = top.max(point.value);
        deepest = deepest.max(top - point.value);
    }
    deepest
}

/// It goes up and down by most of its range, again and again.
fn is_wave(points: &[Point], range: f64) -> bool {
    let mut turns = 0;
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut up = None;
    for point in points {
        (low, high) = (low.min(point.value), high.max(point.value));
        if up != Some(true) && point.value - low > FALL * range {
            (up, high) = (Some(true), point.value);
            turns += 1;
        } else if up != Some(false) && high - point.value > FALL * range {
            (up, low) = (Some(false), point.value);
            turns += 1;
        }
    }
    turns >= 2
}

/// A long series as the medians of equal parts.
fn thin(points: &[Point]) -> Vec<Point> {
    if points.len() <= MOST {
        return points.to_vec();
    }
    let middle = |part: &[Point], of: fn(&Point) -> f64| median(part.iter().map(of).collect());
    let part = points.len().div_ceil(MOST);
    points
        .chunks(part)
        .filter_map(|chunk| {
            let at = middle(chunk, |point| point.at)?;
            Some(Point { at, value: middle(chunk, |point| point.value)? })
        })
        .collect()
}

#[cfg(test)]
#[path = "simulation.rs"]
mod simulation;
