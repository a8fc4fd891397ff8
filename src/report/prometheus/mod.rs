//! Captures as metrics, in OpenMetrics and in Prometheus' older text format.
//!
//! Names, units and labels follow Prometheus' conventions. Labels are bounded: kinds and states
//! of the catalogue, the most frequent types; never an address, a peer or a value. A number that
//! was not read is left out, and so is a sum of which a part was not read. Encoding is
//! `prometheus-client`'s; [`families`] says what is exported, [`text`] makes the older format.

mod families;
mod samples;
mod text;

use crate::snapshot::findings::Diagnosis;
use crate::snapshot::whole::Whole;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use samples::Samples;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The media type of OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of the older text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Buckets of pauses and of whole captures, in seconds.
const PAUSES: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
const WALLS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

type Labels = Vec<(&'static str, String)>;

/// How a capture ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As good as asked.
    Well,
    /// There is a picture, and a part of it is missing.
    Incomplete,
    /// There is no picture.
    Failed,
}

impl Ended {
    const ALL: [Self; 3] = [Self::Well, Self::Incomplete, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// A process that is watched.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// Its id.
    pub pid: i32,
    /// The last attempt to capture it gave a picture.
    pub up: bool,
    /// The last picture, unless it is too old to stand for the process.
    pub picture: Option<Picture<'a>>,
}

/// What was made of one capture.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// The capture.
    pub whole: &'a Whole,
    /// What the rules found in it.
    pub diagnosis: &'a Diagnosis,
}

/// Both formats of one state.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    /// OpenMetrics.
    pub openmetrics: String,
    /// Prometheus' text format.
    pub text: String,
}

/// The metrics of a fleet of processes: counters that go on, and gauges of the last captures.
pub struct Metrics {
    registry: Registry,
    captures: Family<Labels, Counter>,
    pauses: Family<Labels, Histogram>,
    walls: Family<Labels, Histogram>,
    gauges: Gauges,
    types: usize,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// No captures so far. `types`: how many types are named, the most frequent ones.
    pub fn new(types: usize) -> Self {
        let mut registry = Registry::default();
        let captures = Family::default();
        let pauses = Family::new_with_constructor((|| Histogram::new(PAUSES)) as fn() -> _);
        let walls = Family::new_with_constructor((|| Histogram::new(WALLS)) as fn() -> _);
        let gauges = Gauges::default();
        registry.register(
            "pyattach_captures",
            "Captures of the process by how they ended: ok, incomplete, failed",
            captures.clone(),
        );
        registry.register_with_unit(
            "pyattach_capture_pause",
            "How long a capture held the process",
            Unit::Seconds,
            pauses.clone(),
        );
        registry.register_with_unit(
            "pyattach_capture_wall",
            "How long a capture took, from its start to the end of the analysis",
            Unit::Seconds,
            walls.clone(),
        );
        registry.register_collector(Box::new(gauges.clone()));
        Self { registry, captures, pauses, walls, gauges, types }
    }

    /// Counts a capture that gave a picture.
    pub fn captured(&self, pid: i32, whole: &Whole) {
        let capture = &whole.capture;
        let ended = match capture.is_as_good_as_asked() {
            true => Ended::Well,
            false => Ended::Incomplete,
        };
        self.count(pid, ended);
        if let Some(pause) = capture.total_pause_ms {
            self.pauses.get_or_create(&of(pid)).observe(pause / 1000.0);
        }
        self.walls.get_or_create(&of(pid)).observe(capture.wall_ms / 1000.0);
    }

    /// Counts a capture that gave none.
    pub fn failed(&self, pid: i32) {
        self.count(pid, Ended::Failed);
    }

    fn count(&self, pid: i32, ended: Ended) {
        // All of them are there from the first capture on, so that a rate misses none.
        for one in Ended::ALL {
            let counter = self.captures.get_or_create(&counted(pid, one));
            if one == ended {
                counter.inc();
            }
        }
    }

    /// Forgets a process that is no longer watched.
    pub fn forget(&self, pid: i32) {
        for ended in Ended::ALL {
            self.captures.remove(&counted(pid, ended));
        }
        self.pauses.remove(&of(pid));
        self.walls.remove(&of(pid));
    }

    /// Everything, with the gauges of these processes.
    pub fn encode(&self, watched: &[Watched<'_>]) -> Result<Exposition, fmt::Error> {
        let mut samples = Samples::default();
        families::fill(&mut samples, watched, self.types);
        *self.gauges.0.lock().unwrap_or_else(PoisonError::into_inner) = samples;
        let mut openmetrics = String::new();
        encode(&mut openmetrics, &self.registry)?;
        let text = text::of_openmetrics(&openmetrics);
        Ok(Exposition { openmetrics, text })
    }
}

fn of(pid: i32) -> Labels {
    vec![("pid", pid.to_string())]
}

fn counted(pid: i32, ended: Ended) -> Labels {
    vec![("pid", pid.to_string()), ("result", ended.name().to_owned())]
}

/// The gauges that the registry asks for.
#[derive(Debug, Clone, Default)]
struct Gauges(Arc<Mutex<Samples>>);

impl Collector for Gauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).encode(encoder)
    }
}

#[cfg(test)]
mod tests;
