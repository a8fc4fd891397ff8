//! The kernel's timers, and the handlers of the signals that they send.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

/// What a signal calls.
pub(super) type Handler =
    extern "C" fn(libc::c_int, *mut libc::siginfo_t, context: *mut libc::c_void);

/// A POSIX timer that sends a signal; not before it is started.
#[derive(Debug)]
pub(super) struct Timer(libc::timer_t);

impl Timer {
    /// For our process, with a value for the handler.
    pub(super) fn for_process(signal: libc::c_int, value: usize) -> io::Result<Self> {
        let mut event = event(signal, libc::SIGEV_SIGNAL);
        event.sigev_value = libc::sigval { sival_ptr: value as *mut libc::c_void };
        Self::new(event)
    }

    /// For the calling thread.
    pub(super) fn for_this_thread(signal: libc::c_int) -> io::Result<Self> {
        let mut event = event(signal, libc::SIGEV_THREAD_ID);
        event.sigev_notify_thread_id = nix::unistd::gettid().as_raw();
        Self::new(event)
    }

    fn new(mut event: libc::sigevent) -> io::Result<Self> {
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are to locals that live for the call.
        Errno::result(unsafe {
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id)
        })?;
        Ok(Self(id))
    }

    /// Sends its signal so long from now, and then again and again if `every` is not zero.
    pub(super) fn start(&self, after: Duration, every: Duration) -> io::Result<()> {
        // Zero would disarm the timer.
        let after = after.max(Duration::from_nanos(1));
        let setting = libc::itimerspec { it_interval: timespec(every), it_value: timespec(after) };
        // SAFETY: the timer exists, the setting lives for the call, no old value is asked for.
        Errno::result(unsafe {
            libc::timer_settime(self.0, 0, &raw const setting, std::ptr::null_mut())
        })?;
        Ok(())
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer exists and is deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

fn event(signal: libc::c_int, notify: libc::c_int) -> libc::sigevent {
    // SAFETY: all-zero bytes are a valid sigevent.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = notify;
    event.sigev_signo = signal;
    event
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// Lets a signal through to the calling thread, whoever started us with it blocked.
pub(super) fn unblock(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sigset_t, which sigemptyset makes an empty one; the pointers
    // are to a local that lives for the calls, no old set is asked for.
    let refused = unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, std::ptr::null_mut())
    };
    if refused == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(refused)) }
}

/// Has a signal call this; `flags` beside `SA_SIGINFO`.
pub(super) fn set_handler(
    signal: libc::c_int,
    handler: Handler,
    flags: libc::c_int,
) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sigaction (no flags, empty mask).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | flags;
    // SAFETY: the action lives for the call, no old one is asked for; the handlers of this layer
    // call only what may be called in one.
    Errno::result(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}
