//! Sending a thread through functions of its process and back to where it was.
//!
//! Its stack is prepared so that the functions return into one another and the last into
//! `rt_sigreturn`, below a frame that restores the thread ([`super::super::fork::frame`]). What is
//! underneath in the process (locks, the GIL) is the caller's affair.

use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::super::fork::frame::Frames;
use super::super::fork::injection::{signal_mask, xstate};
use super::super::fork::memory::TaskMemory;
use super::super::fork::steps;
use super::super::{Mapping, read_bounded};
use super::{Held, InjectError, InjectPlan, POP_RDI};

/// Stack that functions run on a thread must find: what CPython itself gives a thread at least,
/// and room for what is put there.
const LEAST_STACK: u64 = 256 << 10;

/// A thread that was sent away: what its first function returns through, and where.
#[derive(Debug, Clone, Copy)]
pub struct Away {
    at: u64,
    links: [u64; 4],
}

impl Held<'_> {
    /// Sends a thread that waits in a system call through functions of the process, each with an
    /// argument, before it goes back to waiting. `bytes` lie on its stack until then;
    /// `functions` is asked with their address. A call whose remaining time only the kernel knows
    /// ends with EINTR instead.
    ///
    /// # Errors
    /// The thread cannot be used; then it was not touched.
    pub fn send_away<const COUNT: usize>(
        &mut self,
        tid: i32,
        bytes: &[u8],
        functions: impl FnOnce(u64) -> [(u64, u64); COUNT],
    ) -> Result<Away, InjectError> {
        let away = self.try_send_away(tid, bytes, functions);
        away.ok_or(InjectError::NoThread { pid: self.tracer.pid() })
    }

    fn try_send_away<const COUNT: usize>(
        &mut self,
        tid: i32,
        text: &[u8],
        functions: impl FnOnce(u64) -> [(u64, u64); COUNT],
    ) -> Option<Away> {
        let gadgets = self.plan.gadgets;
        let memory = TaskMemory(tid);
        let saved = ptrace::getregs(Pid::from_raw(tid)).ok()?;
        let mask = signal_mask(tid).ok()?;
        let frames = Frames::build(&saved, mask, &xstate(tid)?, &gadgets, text.len() as u64)?;
        let mut pop_rdi = [0; POP_RDI.len()];
        if !gadgets.hold(memory)
            || !memory.read(self.plan.pop_rdi, &mut pop_rdi)
            || pop_rdi != POP_RDI
            || !self.has_stack(saved.rsp)
        {
            return None;
        }
        let functions = functions(frames.room_at);
        let (&(first, argument), rest) = functions.split_first()?;
        let chain = chain(&self.plan, rest);
        let stack = frames.stack.checked_sub(chain.len() as u64 * 8)?;
        let start = usize::try_from(frames.stack.checked_sub(frames.at)?).ok()?;
        let mut bytes: Vec<u8> = chain.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(frames.bytes.get(start..)?);
        (memory.write(frames.room_at, text) && memory.write(stack, &bytes)).then_some(())?;
        steps::reached("chain written");
        let regs = user_regs_struct {
            rip: first,
            rdi: argument,
            rsp: stack,
            rbp: 0,
            rax: 0,
            orig_rax: u64::MAX,
            // Trap flag, direction flag.
            eflags: saved.eflags & !0x500,
            ..saved
        };
        ptrace::setregs(Pid::from_raw(tid), regs).ok()?;
        steps::reached("sent away");
        Some(Away { at: stack, links: *chain.first_chunk()? })
    }

    /// Gives another argument to the second function of a thread that was sent away; false when
    /// that has begun. The second one's stack overwrites what led to it.
    ///
    /// # Errors
    /// When the stack cannot be written.
    pub fn redirect(&mut self, away: &Away, argument: u64) -> Result<bool, InjectError> {
        let in_first = away.links.iter().zip(0_u64..).all(|(link, index)| {
            let mut word = [0; 8];
            self.read(away.at + index * 8, &mut word) && u64::from_le_bytes(word) == *link
        });
        if in_first {
            // Behind the instruction that loads it, see `chain`.
            self.write(away.at + 8, &argument.to_le_bytes())?;
        }
        Ok(in_first)
    }

    /// True when enough stack lies below this address. The main thread's grows by itself.
    fn has_stack(&self, pointer: u64) -> bool {
        if self.plan.main_stack.is_some_and(|(start, end)| (start..end).contains(&pointer)) {
            return true;
        }
        let Ok(text) = read_bounded(&format!("/proc/{}/maps", self.pid())) else {
            return false;
        };
        let maps = Mapping::parse_all(&text);
        let Some(map) = maps.iter().find(|map| map.contains(pointer)) else { return false };
        is_main_stack(map) || pointer - map.start >= LEAST_STACK
    }
}

/// What a chain of functions returns through. Where a function begins, the stack pointer is 8
/// above a multiple of 16, as behind a `call`; the second `ret` sees to that.
fn chain(plan: &InjectPlan, functions: &[(u64, u64)]) -> Vec<u64> {
    let link =
        |&(function, argument): &(u64, u64)| [plan.pop_rdi, argument, plan.gadgets.ret, function];
    functions.iter().flat_map(link).collect()
}

pub(super) fn is_main_stack(map: &Mapping) -> bool {
    map.path.as_os_str() == "[stack]"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::fork::gadgets::Gadgets;

    #[test]
    fn functions_begin_with_the_stack_as_behind_a_call() {
        let gadgets = Gadgets::for_tests();
        let plan = InjectPlan { gadgets, pop_rdi: 0x7000, main_stack: None };
        let words = chain(&plan, &[(0xa, 1), (0xb, 2)]);
        assert_eq!(words.len() % 2, 0, "keeps the alignment of the frame behind it");
        // Walks the chain as the processor does.
        let (mut at, mut argument, mut begun) = (0, 0, Vec::new());
        while at < words.len() {
            let target = words[at];
            at += 1;
            match target {
                0x7000 => {
                    argument = words[at];
                    at += 1;
                }
                target if target == gadgets.ret => {}
                function => {
                    begun.push((function, argument));
                    assert_eq!(at % 2, 0, "stack alignment at {function:#x}");
                }
            }
        }
        assert_eq!(begun, [(0xa, 1), (0xb, 2)]);
    }
}
