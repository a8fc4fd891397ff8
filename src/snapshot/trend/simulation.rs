//! How often the rules are wrong: simulated series of known shapes, with a fixed seed.

use super::super::statistics::Point;
use super::super::verdict::Verdict;
use super::test;

/// A small generator with good statistics (SplitMix64), so that the table is the same for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    /// Normal, by Box and Muller.
    fn noise(&mut self, deviation: f64) -> f64 {
        let (u, v) = (1.0 - self.next(), self.next());
        deviation * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Series by name; each is given the number of captures and makes as many values.
type Make = fn(&mut Random, usize) -> Vec<f64>;

const DECOYS: [(&str, Make); 6] = [
    ("steady", |random, n| (0..n).map(|_| 400.0 + random.noise(12.0)).collect()),
    ("garbage saw-tooth", |random, n| {
        let (period, phase) = (random.between(2.5, 6.0), random.next());
        let at = |i: usize| (i as f64 / period + phase).fract();
        (0..n).map(|i| 400.0 + 150.0 * at(i) + random.noise(6.0)).collect()
    }),
    ("cache warm-up", |random, n| {
        let rate = n as f64 / random.between(4.0, 8.0);
        let at = |i: usize| 1.0 - (-(i as f64) / rate).exp();
        (0..n).map(|i| 100.0 + 2000.0 * at(i) + random.noise(6.0)).collect()
    }),
    ("LRU filling to its limit", |random, n| {
        let full = n as f64 * random.between(0.3, 0.65);
        (0..n).map(|i| 50.0 + 1000.0 * (i as f64 / full).min(1.0)).collect()
    }),
    ("step (deploy)", |random, n| {
        let at = random.between(2.0, n as f64 - 2.0) as usize;
        (0..n).map(|i| if i < at { 400.0 } else { 520.0 } + random.noise(8.0)).collect()
    }),
    ("load cycle", |random, n| {
        let (period, phase) = (n as f64 * random.between(0.2, 0.7), random.next());
        let at = |i: usize| (std::f64::consts::TAU * (i as f64 / period + phase)).sin();
        (0..n).map(|i| 400.0 + 100.0 * at(i) + random.noise(10.0)).collect()
    }),
];

const LEAKS: [(&str, Make); 3] = [
    ("slow noisy leak", |random, n| {
        (0..n).map(|i| 400.0 + 4.0 * i as f64 + random.noise(12.0)).collect()
    }),
    ("fast leak", |random, n| {
        (0..n).map(|i| 400.0 + 25.0 * i as f64 + random.noise(12.0)).collect()
    }),
    ("bursty leak", |random, n| {
        let mut level = 400.0;
        (0..n)
            .map(|_| {
                level += if random.next() < 0.35 { 25.0 } else { 0.0 };
                level + random.noise(3.0)
            })
            .collect()
    }),
];

/// How many of so many series are called growing, in percent.
fn called_growing(make: Make, captures: usize, series: usize, seed: u64) -> f64 {
    let mut random = Random(seed);
    let growing = (0..series)
        .filter(|_| {
            let mut at = 0.0;
            let values = make(&mut random, captures);
            let points: Vec<Point> = values
                .into_iter()
                .map(|value| {
                    // A minute apart, now and then one was missed.
                    at += if random.next() < 0.1 { 2.0 } else { 1.0 } / 60.0;
                    Point { at, value: value.round() }
                })
                .collect();
            let tested = test(&points).unwrap();
            tested.verdict(captures, tested.numbers.p) == Verdict::Growing
        })
        .count();
    growing as f64 * 100.0 / series as f64
}

#[test]
fn false_alarms_and_power() {
    const SERIES: usize = 1500;
    let mut table = String::new();
    let mut wrong = Vec::new();
    for (names, least, most) in
        [(&DECOYS[..], 0.0, 3.0), (&LEAKS[..2], 85.0, 100.0), (&LEAKS[2..], 70.0, 100.0)]
    {
        for (name, make) in names {
            let row = [10, 20, 30].map(|captures| called_growing(*make, captures, SERIES, 7));
            table += &format!("{name:28}{:8.1}{:8.1}{:8.1}\n", row[0], row[1], row[2]);
            // Ten captures cannot tell a slow leak; a false alarm is one at any length.
            let bounded = if least > 0.0 { &row[1..] } else { &row[..] };
            if bounded.iter().any(|percent| !(least..=most).contains(percent)) {
                wrong.push(*name);
            }
        }
    }
    println!("called growing, in percent, at 10, 20 and 30 captures\n{table}");
    assert!(wrong.is_empty(), "{wrong:?}\n{table}");
}

#[test]
fn short_series_are_suspected_at_most() {
    for n in 0..8 {
        let points: Vec<Point> =
            (0..n).map(|i| Point { at: i as f64, value: 100.0 * i as f64 }).collect();
        let verdict = test(&points).map(|tested| tested.verdict(n, tested.numbers.p));
        let expected = if n < 3 { None } else { Some(Verdict::Suspected) };
        assert_eq!(verdict, expected, "{n} captures");
    }
}

#[test]
fn a_straight_line_is_growth_whatever_its_slope_and_its_rounding() {
    let mut random = Random(3);
    for n in 10..60 {
        for slope in [1.0, 6.0, 7.3, 4096.0 * 77.0] {
            let mut at = 0.0;
            let points: Vec<Point> = (0..n)
                .map(|i| {
                    at += random.between(0.9, 1.1) / 60.0;
                    Point { at, value: (1e8 + slope * 1e3 * f64::from(i)).round() }
                })
                .map(|point| Point { value: point.value - (1e8 - 17.0), ..point })
                .collect();
            let tested = test(&points).unwrap();
            let verdict = tested.verdict(points.len(), tested.numbers.p);
            assert_eq!(verdict, Verdict::Growing, "{n} points, slope {slope}");
        }
    }
}

#[test]
fn decoys_are_called_what_they_are() {
    let expected = [
        Verdict::Stable,
        Verdict::Cyclic,
        Verdict::Settling,
        Verdict::Settling,
        Verdict::Step,
        Verdict::Cyclic,
    ];
    for ((name, make), expected) in DECOYS.iter().zip(expected) {
        let mut random = Random(11);
        let named = (0..500)
            .filter(|_| {
                let points: Vec<Point> = make(&mut random, 24)
                    .into_iter()
                    .enumerate()
                    .map(|(i, value)| Point { at: i as f64, value })
                    .collect();
                let tested = test(&points).unwrap();
                // As one of twenty series.
                tested.verdict(24, (tested.numbers.p * 20.0).min(1.0)) == expected
            })
            .count();
        println!("{name}: {named} of 500 are {expected}");
        assert!(named >= 400, "{name}: {named} of 500 are {expected}");
    }
}
