//! Is a series of numbers rising? The tests behind a verdict.
//!
//! All of them are of ranks or medians, so that an outlier decides nothing, and take the real
//! times of the captures, so that they may be spaced in any way.

use std::cmp::Ordering;

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Hours.
    pub(super) at: f64,
    pub(super) value: f64,
}

/// Longest series for which the exact distribution is used.
const EXACT: usize = 10;
/// The normal quantile of a two-sided 90% interval.
const QUANTILE: f64 = 1.644_853_626_951_472_2;

/// What the test of Mann and Kendall says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MannKendall {
    /// Rises less falls, over all pairs.
    pub(super) score: f64,
    /// Of the score if there were no trend, with the correction for ties.
    pub(super) variance: f64,
    /// How probable such a rise is if there is none.
    pub(super) p_rising: f64,
    /// How probable such a fall is if there is none.
    pub(super) p_falling: f64,
}

/// The test of Mann and Kendall, exact for short series without ties.
pub(super) fn mann_kendall(points: &[Point]) -> MannKendall {
    let n = points.len();
    let mut score = 0i64;
    for (index, later) in points.iter().enumerate() {
        for earlier in points.iter().take(index) {
            score += match later.value.total_cmp(&earlier.value) {
                Ordering::Greater => 1,
                Ordering::Less => -1,
                Ordering::Equal => 0,
            };
        }
    }
    let mut sorted: Vec<f64> = points.iter().map(|point| point.value).collect();
    sorted.sort_by(f64::total_cmp);
    let spread = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let ties: Vec<f64> =
        sorted.chunk_by(|a, b| a == b).map(|tie| tie.len() as f64).filter(|&t| t > 1.0).collect();
    let tied: f64 = ties.iter().map(|&t| spread(t)).sum();
    let variance = (spread(n as f64) - tied) / 18.0;
    let (p_rising, p_falling) = if n <= EXACT && ties.is_empty() {
        (exact(n, score), exact(n, -score))
    } else {
        (normal(score, variance), normal(-score, variance))
    };
    MannKendall { score: score as f64, variance, p_rising, p_falling }
}

/// The probability of a score of at least so much, by the normal distribution with continuity
/// correction.
fn normal(score: i64, variance: f64) -> f64 {
    if variance <= 0.0 {
        return 1.0;
    }
    upper_tail((score - 1) as f64 / variance.sqrt())
}

/// The same from the distribution itself: of all orders of `n` numbers, how many have so many
/// rises (Mahonian numbers).
fn exact(n: usize, score: i64) -> f64 {
    let mut orders = vec![1.0f64];
    for length in 2..=n {
        let mut next = vec![0.0; orders.len() + length - 1];
        for (rises, count) in orders.iter().enumerate() {
            next.iter_mut().skip(rises).take(length).for_each(|sum| *sum += count);
        }
        orders = next;
    }
    let pairs = (n * n.saturating_sub(1) / 2) as i64;
    let least = ((pairs + score) / 2).max(0) as usize;
    let all: f64 = orders.iter().sum();
    orders.iter().skip(least).sum::<f64>() / all
}

/// 1 - Φ(z)
fn upper_tail(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
}

/// A slope and the interval that holds it with a probability of 90%.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    pub(super) middle: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// The line through the middle of the points.
    pub(super) intercept: f64,
}

impl Slope {
    /// The value of the line at a time.
    pub(super) fn at(&self, hours: f64) -> f64 {
        self.intercept + self.middle * hours
    }
}

/// The slope by Theil and Sen: the median over all pairs, with Sen's interval.
pub(super) fn theil_sen(points: &[Point], variance: f64) -> Option<Slope> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, later) in points.iter().enumerate() {
        for earlier in points.iter().take(index) {
            let apart = later.at - earlier.at;
            if apart > 0.0 {
                slopes.push((later.value - earlier.value) / apart);
            }
        }
    }
    let last = slopes.len().checked_sub(1)?;
    let count = slopes.len() as f64;
    let reach = QUANTILE * variance.max(0.0).sqrt();
    let mut at = |place: f64| {
        let place = (place.max(0.0) as usize).min(last);
        *slopes.select_nth_unstable_by(place, f64::total_cmp).1
    };
    let (below, above) = (at((count - 1.0) / 2.0), at(count / 2.0));
    let middle = f64::midpoint(below, above);
    let rest: Vec<f64> = points.iter().map(|point| point.value - middle * point.at).collect();
    Some(Slope {
        middle,
        low: at(((count - reach) / 2.0).floor()),
        high: at(((count + reach) / 2.0).ceil()),
        intercept: median(rest)?,
    })
}

/// The median; `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    median_of_sorted(&values)
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len() % 2 {
        1 => Some(upper),
        _ => Some(f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper)),
    }
}

/// How well shapes fit: sums of squared differences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fits {
    /// One level.
    pub(super) level: f64,
    /// A straight line.
    pub(super) line: f64,
    /// Two levels, and the index where the second begins.
    pub(super) step: (f64, usize),
    /// A straight line up to an index, then the level it has reached.
    pub(super) plateau: (f64, usize),
}

/// Fits the shapes that a series may have, by least squares.
pub(super) fn fits(points: &[Point]) -> Fits {
    // From the first value on: squares of large numbers leave no digits for the differences.
    let base = points.first().map_or(0.0, |point| point.value);
    let moved: Vec<Point> =
        points.iter().map(|point| Point { value: point.value - base, ..*point }).collect();
    let points = moved.as_slice();
    let n = points.len();
    let whole = Sums::of(points);
    let (mut step, mut plateau) = ((f64::INFINITY, 0), (f64::INFINITY, 0));
    let mut before = Sums::default();
    for (index, point) in points.iter().enumerate() {
        // A level needs two points to be one.
        if index >= 2 && n - index >= 2 {
            let fit = before.level() + whole.less(&before).level();
            if fit < step.0 {
                step = (fit, index);
            }
        }
        if index >= 2 && n - index >= 3 {
            let fit = bent(points, point.at);
            if fit < plateau.0 {
                plateau = (fit, index);
            }
        }
        before.add(point);
    }
    Fits { level: whole.level(), line: whole.line(), step, plateau }
}

/// The fit of a line that turns level at a time: a straight line over the times, none later than
/// that.
fn bent(points: &[Point], until: f64) -> f64 {
    let mut sums = Sums::default();
    for point in points {
        sums.add(&Point { at: point.at.min(until), value: point.value });
    }
    sums.line()
}

/// Sums for least squares.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: f64,
    t: f64,
    tt: f64,
    v: f64,
    vv: f64,
    tv: f64,
}

impl Sums {
    fn of(points: &[Point]) -> Self {
        let mut sums = Self::default();
        points.iter().for_each(|point| sums.add(point));
        sums
    }

    fn add(&mut self, point: &Point) {
        let (t, v) = (point.at, point.value);
        self.n += 1.0;
        self.t += t;
        self.tt += t * t;
        self.v += v;
        self.vv += v * v;
        self.tv += t * v;
    }

    fn less(&self, part: &Self) -> Self {
        Self {
            n: self.n - part.n,
            t: self.t - part.t,
            tt: self.tt - part.tt,
            v: self.v - part.v,
            vv: self.vv - part.vv,
            tv: self.tv - part.tv,
        }
    }

    /// Squared differences from the mean.
    fn level(&self) -> f64 {
        (self.vv - self.v * self.v / self.n).max(0.0)
    }

    /// Squared differences from the best line.
    fn line(&self) -> f64 {
        let spread = self.tt - self.t * self.t / self.n;
        if spread <= 0.0 {
            return self.level();
        }
        let common = self.tv - self.t * self.v / self.n;
        (self.level() - common * common / spread).max(0.0)
    }
}

/// Which of these probabilities stay below `level` when so many were looked at, by the rule of
/// Benjamini and Hochberg; the adjusted ones, in the order given. `tests` is the number of series
/// looked at, those without any change included.
pub(super) fn adjusted(probabilities: &[f64], tests: usize) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    let p = |index: usize| probabilities.get(index).copied().unwrap_or(1.0);
    order.sort_by(|&a, &b| p(a).total_cmp(&p(b)));
    let tests = tests.max(probabilities.len()) as f64;
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut least: f64 = 1.0;
    for (rank, &index) in order.iter().enumerate().rev() {
        least = least.min(p(index) * tests / (rank + 1) as f64);
        if let Some(place) = adjusted.get_mut(index) {
            *place = least;
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        let points = values.iter().enumerate();
        points.map(|(index, &value)| Point { at: index as f64, value }).collect()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1e-3), "{a} is not {b}");
    }

    #[test]
    fn mann_kendall_against_tables() {
        // Kendall's table: n = 5, S = 8 has p = 0.042; S = 10 has 1/120.
        close(exact(5, 8), 5.0 / 120.0);
        close(exact(5, 10), 1.0 / 120.0);
        close(exact(4, 0), 15.0 / 24.0);
        let rising = mann_kendall(&points(&[1.0, 2.0, 3.0, 4.0, 5.0]));
        assert_eq!((rising.score, rising.variance), (10.0, 50.0 / 3.0));
        close(rising.p_rising, 1.0 / 120.0);
        close(rising.p_falling, 1.0);
        // With ties (Helsel and Hirsch): the variance shrinks.
        let tied = mann_kendall(&points(&[1.0, 1.0, 2.0, 2.0, 2.0]));
        close(tied.variance, (5.0 * 4.0 * 15.0 - 2.0 * 9.0 - 3.0 * 2.0 * 11.0) / 18.0);
        let constant = mann_kendall(&points(&[3.0; 20]));
        assert_eq!((constant.score, constant.p_rising), (0.0, 1.0));
    }

    #[test]
    fn tails_of_the_normal_distribution() {
        for (z, p) in [
            (0.0, 0.5),
            (1.0, 0.158_655_3),
            (1.644_854, 0.05),
            (2.326_348, 0.01),
            (-1.0, 0.841_344_7),
        ] {
            assert!((upper_tail(z) - p).abs() < 2e-7, "{z}");
        }
        assert!((upper_tail(6.0) / 9.865_876e-10 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn slopes_take_the_real_times() {
        let irregular: Vec<Point> = [0.0, 0.1, 0.5, 3.0, 10.0]
            .into_iter()
            .map(|at| Point { at, value: 5.0 + 7.0 * at })
            .collect();
        let slope = theil_sen(&irregular, 50.0 / 3.0).unwrap();
        close(slope.middle, 7.0);
        close(slope.at(2.0), 19.0);
        let outlier = points(&[1.0, 2.0, 3.0, 400.0, 5.0, 6.0, 7.0, 8.0]);
        let slope = theil_sen(&outlier, mann_kendall(&outlier).variance).unwrap();
        assert!((slope.middle - 1.0).abs() < 0.01 && slope.low <= 1.0 && slope.high >= 1.0);
        assert_eq!(theil_sen(&[], 0.0), None);
    }

    #[test]
    fn shapes_are_told_apart() {
        let step = fits(&points(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0]));
        assert_eq!(step.step, (0.0, 3));
        let bent = fits(&points(&[1.0, 3.0, 5.0, 7.0, 7.0, 7.0, 7.0]));
        assert!(bent.plateau.0 < 1e-9 && bent.plateau.1 == 3 && bent.line > 1.0);
        assert!(fits(&points(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).line < 1e-9);
    }

    #[test]
    fn many_looks_need_stronger_signs() {
        let adjusted = adjusted(&[0.01, 0.04, 0.03], 3);
        for (ours, expected) in adjusted.into_iter().zip([0.03, 0.04, 0.04]) {
            close(ours, expected);
        }
        close(super::adjusted(&[0.001], 100)[0], 0.1);
    }
}
