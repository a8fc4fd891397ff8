//! The hard deadline: two timers of the kernel that end our process when it still holds the
//! target, whatever state it is in.
//!
//! The first sends a real-time signal whose handler says what happened and exits; the second
//! sends SIGKILL, which works on a process that is stopped (SIGSTOP, Ctrl-Z) or hangs with
//! signals blocked. When we end, the kernel releases what we trace.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::timer::{Timer, set_handler, unblock};

/// The exit code for a capture that is over its pause budget.
const EXIT_OVER_BUDGET: libc::c_int = 5;

const MESSAGE: &[u8] = b"error: the process was held for too long; pyattach ends to let it run\n";

/// Stops that are under way, each in a slot by its own number, which says the slot too: a
/// signal that was already on its way when its timer was taken down must not end us.
static ARMED: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
const SLOTS: usize = 64;
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// Armed from its making until it is dropped.
#[derive(Debug)]
pub(super) struct Watchdog {
    // Dropped in this order.
    _slot: Slot,
    _exit: Timer,
    _kill: Timer,
}

impl Watchdog {
    /// Ends our process `deadline` from now, unless dropped before.
    pub(super) fn arm(deadline: Duration) -> io::Result<Self> {
        install_handler()?;
        unblock(libc::SIGRTMIN())?;
        let slot = Slot::take()?;
        let number = slot.0;
        let kill = Timer::for_process(libc::SIGKILL, number)?;
        kill.start(deadline, Duration::ZERO)?;
        // Earlier by a tenth, at most by 100 ms, so that the message comes before the end.
        let margin = (deadline / 10).min(Duration::from_millis(100));
        let exit = Timer::for_process(libc::SIGRTMIN(), number)?;
        exit.start(deadline.saturating_sub(margin), Duration::ZERO)?;
        Ok(Self { _exit: exit, _kill: kill, _slot: slot })
    }
}

/// The number of a stop under way.
#[derive(Debug)]
struct Slot(usize);

impl Slot {
    /// Finds a free slot and puts a new number into it.
    fn take() -> io::Result<Self> {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(SLOTS);
        for index in 0..SLOTS {
            let number = turn.wrapping_add(index);
            let free = slot(number).compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst);
            if free.is_ok() {
                return Ok(Self(number));
            }
        }
        Err(io::Error::other("too many stops at a time"))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        slot(self.0).store(0, Ordering::SeqCst);
    }
}

fn slot(number: usize) -> &'static AtomicUsize {
    &ARMED[number % SLOTS]
}

/// Only calls that are safe in a signal handler.
extern "C" fn over_budget(
    _signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO.
    let (code, value) = unsafe { ((*info).si_code, (*info).si_value().sival_ptr as usize) };
    if code != libc::SI_TIMER || slot(value).load(Ordering::SeqCst) != value {
        return;
    }
    // SAFETY: write and _exit may be called in a handler; the message is a constant.
    unsafe {
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(EXIT_OVER_BUDGET);
    }
}

fn install_handler() -> io::Result<()> {
    static INSTALLED: Once = Once::new();
    let mut result = Ok(());
    INSTALLED.call_once(|| result = set_handler(libc::SIGRTMIN(), over_budget, libc::SA_RESTART));
    result
}
