//! A line on stderr when something takes longer than a second, on terminals only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long we stay quiet.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows that work goes on until it is dropped.
pub(super) struct Progress {
    done: Option<Sender<()>>,
    shown: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to wait; `what` is shown after a second.
    pub(super) fn start(what: String) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { done: None, shown: None };
        }
        let (done, finished) = channel::<()>();
        let shown = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            use std::sync::mpsc::RecvTimeoutError::Timeout;
            if finished.recv_timeout(PATIENCE) != Err(Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_message(what);
            while finished.recv_timeout(Duration::from_millis(100)) == Err(Timeout) {
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Self { done: Some(done), shown: shown.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(shown) = self.shown.take() {
            // A progress line that failed must not fail the command.
            let _ = shown.join();
        }
    }
}
