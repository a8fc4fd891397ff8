//! Medians and spreads.

/// The values of one figure, a run each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The middle value; `None` without any.
    pub(crate) fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The value below which this part of the others lies.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        sorted.get((last as f64 * part).round() as usize).copied()
    }

    /// "12.3 (11.9–13.0)": the median and the middle half; "–" without values.
    pub(crate) fn shown(&self) -> String {
        match (self.median(), self.quantile(0.25), self.quantile(0.75)) {
            (Some(median), Some(low), Some(high)) => {
                format!("{} ({}–{})", number(median), number(low), number(high))
            }
            _ => "–".to_owned(),
        }
    }
}

/// Three digits.
pub(crate) fn number(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
