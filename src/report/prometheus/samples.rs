//! Gauges in the order and with the labels they are written with; no series twice.

use crate::report::escape::escape;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;
use std::fmt;

/// Longest value of a label, in characters.
const LONGEST: usize = 128;
/// Series of one family at most: a bound, not a measure. What would be beyond is left out.
const MOST: usize = 10_000;

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Samples {
    families: Vec<SampledFamily>,
}

#[derive(Debug)]
struct SampledFamily {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    series: BTreeMap<Vec<(&'static str, String)>, f64>,
}

/// A family that is being filled.
pub(super) struct Filling<'a>(&'a mut SampledFamily);

impl Samples {
    /// A gauge. The unit is added to its name.
    pub(super) fn gauge(
        &mut self,
        name: &'static str,
        unit: Option<Unit>,
        help: &'static str,
        fill: impl FnOnce(&mut Filling<'_>),
    ) {
        self.family(name, unit, help, MetricType::Gauge, fill);
    }

    /// Texts that stay as they are: `_info` is added to its name.
    pub(super) fn info(
        &mut self,
        name: &'static str,
        help: &'static str,
        fill: impl FnOnce(&mut Filling<'_>),
    ) {
        self.family(name, None, help, MetricType::Info, fill);
    }

    fn family(
        &mut self,
        name: &'static str,
        unit: Option<Unit>,
        help: &'static str,
        kind: MetricType,
        fill: impl FnOnce(&mut Filling<'_>),
    ) {
        let mut family = SampledFamily { name, help, unit, kind, series: BTreeMap::new() };
        fill(&mut Filling(&mut family));
        if !family.series.is_empty() {
            self.families.push(family);
        }
    }

    /// Writes them.
    pub(super) fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.families {
            let mut metric = encoder.encode_descriptor(
                family.name,
                family.help,
                family.unit.as_ref(),
                family.kind,
            )?;
            for (labels, &value) in &family.series {
                match family.kind {
                    MetricType::Info => metric.encode_info(labels)?,
                    _ if labels.is_empty() => metric.encode_gauge(&Value(value))?,
                    _ => metric.encode_family(labels)?.encode_gauge(&Value(value))?,
                }
            }
        }
        Ok(())
    }
}

impl Filling<'_> {
    /// Adds to the series with these labels. Values that differ only in what is not shown are
    /// one series.
    pub(super) fn add(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let labels: Vec<(&'static str, String)> =
            labels.iter().map(|&(name, value)| (name, shown(value))).collect();
        if self.0.series.len() < MOST || self.0.series.contains_key(&labels) {
            *self.0.series.entry(labels).or_default() += value;
        }
    }

    /// The same for a number that may be unknown.
    pub(super) fn add_known(&mut self, labels: &[(&'static str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }
}

/// A value of a label: nothing that acts on a terminal, and not too long.
fn shown(value: &str) -> String {
    let value = escape(value);
    match value.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &value[..cut]),
        None => value.into_owned(),
    }
}

/// A number, without a point where it is whole.
struct Value(f64);

impl prometheus_client::encoding::EncodeGaugeValue for Value {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::GaugeValueEncoder<'_>,
    ) -> fmt::Result {
        let whole = self.0 as i64;
        match whole as f64 == self.0 {
            true => whole.encode(encoder),
            false => self.0.encode(encoder),
        }
    }
}
