//! Which kernel thread a thread state belongs to.
//!
//! From 3.11 the thread state says so. Before, `threading` knows the threads it started, except
//! that the main thread of a forked child still carries its parent's id; and glibc keeps the id
//! in the thread's descriptor, whose address is the ident. Where in the descriptor differs by
//! libc, so the place is found by looking for the main thread's id, which is known. That may be
//! a small number found in several places (1 in a PID namespace): the right one is where the
//! descriptors of all threads have ids, each another one. Every answer is checked against the
//! list of threads that exist.

use super::dump::OsThreads;
use crate::cpython::{Python, Runtime, ThreadName, ThreadState};
use crate::memory::Address;
use std::collections::BTreeSet;

/// Bytes of the thread descriptor that are searched; `tid` is at 720 in glibc 2.36 and 2.43.
const DESCRIPTOR: u64 = 2048;

pub(super) struct KernelIds<'p, 'a> {
    python: &'p Python<'a>,
    main_ident: u64,
    os: &'p OsThreads,
    names: &'p [ThreadName],
    /// Offset of `tid` in the libc's thread descriptor.
    offset: Option<u64>,
}

impl<'p, 'a> KernelIds<'p, 'a> {
    pub(super) fn new(
        python: &'p Python<'a>,
        runtime: &Runtime,
        os: &'p OsThreads,
        names: &'p [ThreadName],
        threads: &[ThreadState],
    ) -> Self {
        let mut ids = Self { python, main_ident: runtime.main_thread, os, names, offset: None };
        if python.layout().structs.thread.native_thread_id.is_none() {
            ids.offset = ids.find_offset(threads);
        }
        ids
    }

    /// The thread's id in our pid namespace.
    pub(super) fn of(&self, thread: &ThreadState) -> Option<i32> {
        if thread.ident == self.main_ident {
            return Some(self.os.main);
        }
        let named = || self.names.iter().find(|name| name.ident == thread.ident)?.native_id;
        let described = || self.described(thread, self.offset?);
        let inner = thread.native_id.or_else(described).or_else(named)?;
        self.os.by_inner_id.get(&inner).copied()
    }

    /// The id in a thread's descriptor, if it is there.
    fn described(&self, thread: &ThreadState, offset: u64) -> Option<u64> {
        let at = Address::new(thread.ident).add(offset);
        self.python.memory().read_u32(at).ok().map(u64::from)
    }

    fn find_offset(&self, threads: &[ThreadState]) -> Option<u64> {
        let (&main, _) = self.os.by_inner_id.iter().find(|&(_, &tid)| tid == self.os.main)?;
        let descriptor = Address::new(self.main_ident);
        let bytes = self.python.memory().read_vec(descriptor, DESCRIPTOR as usize).ok()?;
        let words = bytes
            .chunks_exact(4)
            .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
        let matches = words.enumerate().filter(|&(_, word)| word == main);
        let offsets = matches.map(|(index, _)| index as u64 * 4);
        let threads_told_apart = |&offset: &u64| -> usize {
            let ids = threads.iter().filter_map(|thread| self.described(thread, offset));
            let known = ids.filter(|id| self.os.by_inner_id.contains_key(id));
            known.collect::<BTreeSet<u64>>().len()
        };
        // `min_by_key` takes the first of equals.
        offsets.min_by_key(|offset| std::cmp::Reverse(threads_told_apart(offset)))
    }
}
