//! A clock for waits that the kernel puts no limit on: while it runs, system calls of its thread
//! end early (EINTR) every so often.
//!
//! A tracer that sleeps in `waitid` is woken by the stop itself, on the processor that the tracee
//! leaves; one that looks again and again keeps a processor busy or comes late.

use std::io;
use std::sync::Once;
use std::time::Duration;

use super::timer::{Timer, set_handler, unblock};

/// For the calling thread, until it is dropped.
#[derive(Debug)]
pub(in crate::process) struct Alarm {
    _timer: Timer,
}

impl Alarm {
    /// Rings so long from now, and every `period` again: one that comes just before a wait begins
    /// is made good by the next.
    pub(in crate::process) fn set(first: Duration, period: Duration) -> io::Result<Self> {
        install_handler()?;
        unblock(signal())?;
        let timer = Timer::for_this_thread(signal())?;
        timer.start(first, period)?;
        Ok(Self { _timer: timer })
    }
}

/// The one behind the watchdog's.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 1
}

extern "C" fn ring(_signal: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn install_handler() -> io::Result<()> {
    static INSTALLED: Once = Once::new();
    let mut result = Ok(());
    // Without SA_RESTART: that calls end is its purpose.
    INSTALLED.call_once(|| result = set_handler(signal(), ring, 0));
    result
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn waits_end_while_it_runs() {
        // As a supervisor may start us.
        // SAFETY: all-zero bytes are a valid sigset_t; the pointer is to a local that lives for the calls.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        }
        let alarm = Alarm::set(Duration::ZERO, Duration::from_millis(1)).unwrap();
        // Nothing else would end it.
        // SAFETY: takes and gives integers only.
        let paused = || Errno::result(unsafe { libc::pause() });
        assert_eq!([paused(), paused(), paused()], [Err(Errno::EINTR); 3]);
        drop(alarm);
    }
}
