//! What is handed out: finished pages, and when the last round ended.

use hyper::body::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rounds that may be missed before we call ourselves stuck.
const MISSED: u32 = 3;
/// What a round may take beyond that.
const GRACE: Duration = Duration::from_secs(60);

/// Pages of one round.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    /// `/metrics`, as OpenMetrics.
    pub(super) openmetrics: Bytes,
    /// `/metrics`, in the older text format.
    pub(super) text: Bytes,
    /// `/report.json`
    pub(super) report: Bytes,
    /// Processes that are watched, and of these, those captured.
    pub(super) watched: usize,
    pub(super) up: usize,
}

/// Where the pages of the last round hang.
#[derive(Debug)]
pub(super) struct Board {
    every: Duration,
    hung: Mutex<Hung>,
}

#[derive(Debug)]
struct Hung {
    pages: Arc<Pages>,
    at: Instant,
    rounds: u64,
}

impl Board {
    /// Nothing was captured so far.
    pub(super) fn new(every: Duration) -> Self {
        let hung = Hung { pages: Arc::default(), at: Instant::now(), rounds: 0 };
        Self { every, hung: Mutex::new(hung) }
    }

    /// Replaces the pages at the end of a round.
    pub(super) fn hang(&self, pages: Pages) {
        let mut hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = hung.rounds + 1;
        *hung = Hung { pages: Arc::new(pages), at: Instant::now(), rounds };
    }

    /// The pages of the last round; `None` before the end of the first.
    pub(super) fn pages(&self) -> Option<Arc<Pages>> {
        let hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        (hung.rounds > 0).then(|| Arc::clone(&hung.pages))
    }

    /// Whether rounds go on, and a line about it. A process that is gone is no fault of ours.
    pub(super) fn health(&self) -> (bool, String) {
        let hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        let since = hung.at.elapsed();
        let well = since < self.every * MISSED + GRACE;
        let state = if well { "ok" } else { "stuck" };
        let ago = since.as_secs();
        let line = match hung.rounds {
            0 => format!("{state}: the first round began {ago} s ago\n"),
            rounds => format!(
                "{state}: round {rounds} ended {ago} s ago, {} of {} processes captured\n",
                hung.pages.up, hung.pages.watched
            ),
        };
        (well, line)
    }
}
