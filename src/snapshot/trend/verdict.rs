//! What can be said of a series.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What can be said of a series, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It rises, and nothing but a leak explains it.
    Growing,
    /// It seems to rise; there is not enough to be sure.
    Suspected,
    /// It rose, and rises no more: a cache that has filled, a warm-up.
    Settling,
    /// It went from one level to another: a deploy, a change of configuration.
    Step,
    /// It goes up and down: load, garbage between collections.
    Cyclic,
    /// As many as before, but others.
    Churn,
    /// It does not change, or not by enough.
    Stable,
    /// Too few captures to say anything.
    Unknown,
}

impl Verdict {
    /// All of them, the worst first.
    pub const ALL: [Self; 8] = [
        Self::Growing,
        Self::Suspected,
        Self::Settling,
        Self::Step,
        Self::Cyclic,
        Self::Churn,
        Self::Stable,
        Self::Unknown,
    ];

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Suspected => "suspected",
            Self::Settling => "settling",
            Self::Step => "step",
            Self::Cyclic => "cyclic",
            Self::Churn => "churn",
            Self::Stable => "stable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The numbers behind a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Points tested; long series are thinned.
    pub captures: u64,
    /// How probable such a rise is if there is none (Mann-Kendall, one-sided).
    pub p: f64,
    /// The same, corrected for the number of series looked at (Benjamini-Hochberg).
    pub p_adjusted: f64,
    /// The slope (Theil-Sen), per hour.
    pub slope_per_hour: f64,
    /// The lower end of its 90% interval.
    pub slope_low: f64,
    /// The upper end.
    pub slope_high: f64,
    /// By how much it grew over the series, by the slope.
    pub growth: f64,
    /// Where the line ends.
    pub fitted_last: f64,
}
