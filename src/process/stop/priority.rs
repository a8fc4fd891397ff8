//! Our own priority while a process stands still for us.
//!
//! On a busy machine a pause is made of waiting for a processor far more than of work: a copy of
//! 50 ms takes seconds when twenty others want to run. For as long as we hold the target, which
//! does not run meanwhile, we go first, where we may (`CAP_SYS_NICE`; without it nothing changes).

use nix::unistd::gettid;

/// The highest priority of the ordinary scheduler.
const FIRST: libc::c_int = -20;

/// The calling thread goes first, with the threads it makes, until this is dropped.
#[derive(Debug)]
pub(in crate::process) struct Hurry {
    thread: libc::id_t,
    usual: libc::c_int,
}

impl Hurry {
    /// `None` when it is not allowed.
    pub(in crate::process) fn begin() -> Option<Self> {
        let thread = libc::id_t::try_from(gettid().as_raw()).ok()?;
        // SAFETY: takes and gives integers only. (An error looks like -1, which is a priority as
        // well; taking it for one is harmless.)
        let usual = unsafe { libc::getpriority(libc::PRIO_PROCESS, thread) };
        set(thread, FIRST).then_some(Self { thread, usual })
    }

    /// For a thread made meanwhile, which outlives this: the priority that it would have had.
    pub(in crate::process) fn usual(&self) -> Usual {
        Usual(self.usual)
    }
}

/// A thread's priority when nothing stands still for us.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct Usual(libc::c_int);

impl Usual {
    /// Gives it to the calling thread.
    pub(super) fn take(self) {
        if let Ok(thread) = libc::id_t::try_from(gettid().as_raw()) {
            set(thread, self.0);
        }
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        // Lowering one's priority is always allowed.
        set(self.thread, self.usual);
    }
}

/// Linux has a priority for each thread (setpriority(2), "C library/kernel differences").
fn set(thread: libc::id_t, priority: libc::c_int) -> bool {
    // SAFETY: takes integers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, priority) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority() -> libc::c_int {
        // SAFETY: takes and gives integers only.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn it_ends_with_the_value() {
        let before = priority();
        let hurry = Hurry::begin();
        assert_eq!(priority(), if hurry.is_some() { FIRST } else { before });
        drop(hurry);
        assert_eq!(priority(), before);
    }

    #[test]
    fn a_thread_that_outlives_it_goes_back_by_itself() {
        let before = priority();
        let hurry = Hurry::begin();
        let usual = hurry.as_ref().map(Hurry::usual);
        let (inherited, afterwards) = std::thread::spawn(move || {
            let inherited = priority();
            if let Some(usual) = usual {
                usual.take();
            }
            (inherited, priority())
        })
        .join()
        .unwrap();
        assert_eq!(inherited, if hurry.is_some() { FIRST } else { before });
        assert_eq!(afterwards, before);
    }
}
