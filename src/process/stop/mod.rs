//! Holding every thread of a process still, for a bounded time, and letting it go unharmed.
//!
//! A ptrace attachment belongs to the thread that made it, and the kernel undoes it when that
//! thread ends. So each stop gets a tracer thread of its own ([`tracer`]): whatever could not
//! be released by hand (a thread that never came to its stop) is released by its end, and the
//! caller reads on its own thread with whatever types it likes. What needs ptrace itself
//! ([`super::fork`]) is sent to that thread as a [`Job`]. No ptrace option is set here: nothing
//! can end the target.
//!
//! If we hang, or are stopped ourselves, [`watchdog`] ends us at the hard deadline, and the
//! kernel lets the target run; the same happens when we are killed.

mod alarm;
mod error;
mod priority;
mod thread;
mod timer;
mod tracer;
mod watchdog;

pub use error::StopError;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::Process;
pub(in crate::process) use alarm::Alarm;
pub(in crate::process) use priority::Hurry;
pub(in crate::process) use thread::TracerThread;
use tracer::Held;
pub(in crate::process) use tracer::{StopEvent, Tracer, next_stop, swallow_stop, wait_for_stop};

/// How long a stop may take.
#[derive(Debug, Clone, Copy)]
pub struct StopOptions {
    /// From the first interrupt until every thread must stand still.
    pub stop_within: Duration,
    /// From the first interrupt until the release, whatever happens: our own process is ended
    /// when it is still holding the target then.
    pub hard_deadline: Duration,
}

impl Default for StopOptions {
    fn default() -> Self {
        Self { stop_within: Duration::from_secs(20), hard_deadline: Duration::from_secs(60) }
    }
}

/// What the target's pause really was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// When the first thread was interrupted; `None` when nothing was held.
    pub since: Option<Instant>,
    /// From before the first interrupt until after the last release.
    pub total: Duration,
    /// From before the first interrupt until every thread stood still.
    pub until_all_stopped: Duration,
    /// From the request to release until after the last release.
    pub release: Duration,
    /// Threads that were held.
    pub threads: usize,
}

impl Pause {
    /// Nothing was held.
    pub(in crate::process) fn none() -> Self {
        let zero = Duration::ZERO;
        Self { since: None, total: zero, until_all_stopped: zero, release: zero, threads: 0 }
    }
}

/// A thread that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedThread {
    /// The thread's number.
    pub tid: i32,
    /// How it is held.
    pub hold: Hold,
    /// The system call it is in; `None` when it runs code of its own, and for a thread in the
    /// kernel whose call could not be read.
    pub syscall: Option<Syscall>,
}

/// How a thread is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// By our interrupt.
    Interrupted,
    /// It was about to receive this signal, which it gets at its release.
    Signal(i32),
    /// It had been stopped by this signal (SIGSTOP, SIGTSTP, …) and stays stopped afterwards.
    GroupStop(i32),
    /// Not stopped: it sleeps uninterruptibly in the kernel (a parent in `vfork`, a disk that
    /// does not answer) or never leaves it (a worker of io_uring). It will run into our
    /// interrupt before it runs code of the program again, but what it is doing in the kernel
    /// may still write to the program's memory.
    InKernel,
}

/// A system call that a thread is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syscall {
    /// Its number (x86_64).
    pub number: u64,
    /// Its arguments; those that the call does not have are what the registers held.
    pub args: [u64; 6],
}

/// A process whose threads are all held. They are released by [`Self::release`], when this
/// value is dropped (also by a panic), and when our process ends.
#[derive(Debug)]
pub struct Stopped<'p> {
    process: &'p Process,
    held: Held,
    orders: Option<Sender<Job>>,
    tracer: Option<TracerThread<Released>>,
    hurry: Option<Hurry>,
}

/// Work for the tracer thread while it holds the process. The process is released after it.
pub(in crate::process) type Job = Box<dyn FnOnce(&mut Tracer) + Send>;

/// The tracer thread's end of a stop whose release has become its own business.
#[derive(Debug)]
pub(in crate::process) struct HandedOver {
    pub(in crate::process) thread: TracerThread<Released>,
    /// When the first interrupt was sent.
    pub(in crate::process) since: Instant,
    pub(in crate::process) until_all_stopped: Duration,
    pub(in crate::process) threads: usize,
}

/// What the tracer thread tells at its end.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct Released {
    at: Instant,
}

impl Process {
    /// Stops every thread of the process.
    ///
    /// The reading that follows must be short; [`StopOptions::hard_deadline`] ends *our*
    /// process when it is not.
    ///
    /// # Errors
    /// Somebody else traces it, no permission, a thread that did not stop in time (everything
    /// is released then), or the process has ended.
    pub fn stop(&self, options: StopOptions) -> Result<Stopped<'_>, StopError> {
        self.check()?;
        let (stopped, all_stopped) = channel();
        let (orders, received) = channel();
        let pid = self.pid();
        // The tracer thread inherits it.
        let hurry = Hurry::begin();
        let usual = hurry.as_ref().map(Hurry::usual);
        let tracer = TracerThread::spawn(move || {
            trace(Tracer::new(pid, options, None, usual), &stopped, &received)
        })
        .map_err(StopError::Thread)?;
        match all_stopped.recv() {
            Ok(Ok(held)) => {
                let (orders, tracer) = (Some(orders), Some(tracer));
                let stopped = Stopped { process: self, held, orders, tracer, hurry };
                // The threads were found by number: only now is it sure whose they are.
                self.check()?;
                Ok(stopped)
            }
            Ok(Err(error)) => {
                drop(orders);
                // It has nothing left to do; after its end nothing is attached any more.
                let _ = tracer.join();
                // "Gone" from the tracer's view may be more precise in ours.
                self.check()?;
                Err(error)
            }
            Err(_) => {
                let _ = tracer.join();
                Err(StopError::Thread(std::io::Error::other("the tracer thread failed")))
            }
        }
    }

    /// Stops the process, runs `read`, releases the process, and says how long it was held.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub fn while_stopped<T>(
        &self,
        options: StopOptions,
        read: impl FnOnce(&Stopped<'_>) -> T,
    ) -> Result<(T, Pause), StopError> {
        let stopped = self.stop(options)?;
        let value = read(&stopped);
        Ok((value, stopped.release()))
    }
}

impl<'p> Stopped<'p> {
    /// The process.
    pub fn process(&self) -> &'p Process {
        self.process
    }

    /// Every thread of the process that had not ended, in the kernel's order.
    pub fn threads(&self) -> &[StoppedThread] {
        &self.held.threads
    }

    /// How long the process has been held by now.
    pub fn elapsed(&self) -> Duration {
        self.held.since.elapsed()
    }

    /// Gives the tracer thread its last work, after which it releases what it still holds.
    pub(in crate::process) fn hand_over(mut self, job: Job) -> Option<HandedOver> {
        let orders = self.orders.take()?;
        let thread = self.tracer.take()?;
        // A thread that does not receive it has failed, which joining it will tell.
        let _ = orders.send(job);
        let Held { since, until_all_stopped, ref threads } = self.held;
        Some(HandedOver { thread, since, until_all_stopped, threads: threads.len() })
    }

    /// Lets the process run and waits until every thread does.
    pub fn release(mut self) -> Pause {
        self.let_go()
    }

    fn let_go(&mut self) -> Pause {
        let asked = Instant::now();
        drop(self.orders.take());
        let released = self.tracer.take().and_then(TracerThread::join);
        drop(self.hurry.take());
        // Without an answer the thread's end was the release, and it has ended.
        let at = released.map_or_else(Instant::now, |released| released.at);
        Pause {
            since: Some(self.held.since),
            total: at.saturating_duration_since(self.held.since),
            until_all_stopped: self.held.until_all_stopped,
            release: at.saturating_duration_since(asked),
            threads: self.held.threads.len(),
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if self.tracer.is_some() {
            self.let_go();
        }
    }
}

/// The life of the tracer thread.
fn trace(
    mut tracer: Tracer,
    stopped: &Sender<Result<Held, StopError>>,
    orders: &Receiver<Job>,
) -> Released {
    let held = tracer.stop_all();
    let holding = held.is_ok();
    // The other side waits for this answer before anything else.
    let sent = stopped.send(held);
    if holding && sent.is_ok() {
        // Ends with an error when the other side drops its end: that is the release.
        if let Ok(job) = orders.recv() {
            job(&mut tracer);
        }
    }
    let at = tracer.release_all();
    Released { at }
}
