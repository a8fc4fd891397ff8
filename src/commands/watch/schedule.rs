//! When the next round is due, and being told to end.

use super::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Rounds at equal distances, by the clock that nobody sets.
pub(super) struct Schedule {
    every: Duration,
    due: Instant,
}

impl Schedule {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, due: Instant::now() }
    }

    /// Sets the next round; the rounds whose time has passed already are skipped and counted.
    pub(super) fn next(&mut self) -> u64 {
        self.due += self.every;
        let mut skipped = 0;
        while self.due < Instant::now() {
            self.due += self.every;
            skipped += 1;
        }
        skipped
    }

    /// Until the next round.
    pub(super) fn left(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }
}

/// Whether somebody asked us to end.
pub(super) struct Stop(Receiver<()>, std::cell::Cell<bool>);

impl Stop {
    /// From now on these signals do not end us; they are told here.
    pub(super) fn on_signals() -> Result<Self, Failure> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let (send, asked) = channel();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                if send.send(()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self(asked, std::cell::Cell::new(false)))
    }

    /// Waits so long, or until we are asked to end: then true.
    pub(super) fn wait(&self, time: Duration) -> bool {
        match self.0.recv_timeout(time) {
            _ if self.1.get() => true,
            Err(RecvTimeoutError::Timeout) => false,
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                self.1.set(true);
                true
            }
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.wait(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_are_past_are_skipped_and_the_beat_is_kept() {
        let hour = Duration::from_secs(3600);
        let begun = Instant::now().checked_sub(hour * 7 / 2);
        // A machine that was started just now has no such time.
        let Some(due) = begun else { return };
        let mut schedule = Schedule { every: hour, due };
        // Three and a half hours late: the rounds of one, two and three hours are past.
        assert_eq!(schedule.next(), 3);
        assert!(schedule.left() <= hour / 2 && schedule.left() > hour / 3);
        assert_eq!(schedule.next(), 0);
        assert!(schedule.left() > hour);
    }
}
