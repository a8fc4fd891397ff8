//! The thread that a stop lives on, and its end.
//!
//! The end of a tracer releases whatever it still holds, but joining a thread is not enough to
//! see that: the kernel wakes the joining side in `exit_mm` and detaches the tracees later, in
//! `exit_notify` (`do_exit`, kernel/exit.c). Until then another stop of the same process finds
//! it traced. The thread leaves our own list of threads after it has detached everything.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The longest wait for the kernel to take an ended thread off the list.
const UNLISTED_WITHIN: Duration = Duration::from_secs(30);

/// A thread that traces.
#[derive(Debug)]
pub(in crate::process) struct TracerThread<T> {
    handle: JoinHandle<T>,
    /// The kernel's number of the thread; 0 before it has run.
    tid: Arc<AtomicI32>,
}

impl<T: Send + 'static> TracerThread<T> {
    /// Starts it.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(in crate::process) fn spawn(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let tid = Arc::new(AtomicI32::new(0));
        let own = Arc::clone(&tid);
        let handle = Builder::new().name("tracer".to_owned()).spawn(move || {
            own.store(nix::unistd::gettid().as_raw(), Ordering::Release);
            work()
        })?;
        Ok(Self { handle, tid })
    }

    /// Waits for its end, after which it holds nothing any more; `None` when it has panicked.
    pub(in crate::process) fn join(self) -> Option<T> {
        let value = self.handle.join().ok();
        let tid = self.tid.load(Ordering::Acquire);
        let listed = format!("/proc/self/task/{tid}");
        let until = Instant::now() + UNLISTED_WITHIN;
        while tid != 0 && Path::new(&listed).exists() && Instant::now() < until {
            std::thread::yield_now();
        }
        value
    }
}
