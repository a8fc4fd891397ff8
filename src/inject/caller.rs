//! Whose code waits in a system call: the interpreter's own, which is written for calls that end
//! early (PEP 475), or somebody else's.

use std::path::Path;

use crate::process::{Held, HeldThread, Mapping};

/// How far up the stack a return address is looked for, in words.
const WORDS: usize = 256;
/// Longest `call` instruction with its operand.
const LONGEST_CALL: usize = 7;

/// The code of a process, by address.
#[derive(Debug, Clone)]
pub(super) struct Code {
    maps: Vec<Mapping>,
    /// File that holds the interpreter.
    module: String,
}

impl Code {
    pub(super) fn new(maps: &[Mapping], module: &str) -> Self {
        let maps = maps.iter().filter(|map| map.executable).cloned().collect();
        Self { maps, module: module.to_owned() }
    }

    /// True when a waiting thread was sent into the kernel by the interpreter or a module of the
    /// standard library: the first return address on its stack that lies outside of the library
    /// with the system call. When in doubt: false.
    pub(super) fn waits_for_python(&self, held: &Held<'_>, thread: &HeldThread) -> bool {
        let Some(libc) = self.at(thread.instruction) else { return false };
        let mut bytes = vec![0; WORDS * 8];
        while !held.read(thread.stack, &mut bytes) {
            // The stack ends.
            let half = bytes.len() / 2;
            bytes.truncate(half);
            if half < 8 {
                return false;
            }
        }
        let words = bytes
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)));
        let caller = words.into_iter().find_map(|word| {
            let map = self.at(word).filter(|map| map.path != libc.path)?;
            follows_a_call(held, word).then_some(map)
        });
        caller.is_some_and(|map| self.is_python(&map.path))
    }

    fn at(&self, address: u64) -> Option<&Mapping> {
        self.maps.iter().find(|map| map.contains(address))
    }

    fn is_python(&self, path: &Path) -> bool {
        path == Path::new(&self.module)
            || path.parent().is_some_and(|folder| folder.ends_with("lib-dynload"))
    }
}

/// True when the instruction before this address is a call: `e8` with a distance, or `ff` with
/// a register or memory operand (2 to 7 bytes).
fn follows_a_call(held: &Held<'_>, address: u64) -> bool {
    let mut before = [0; LONGEST_CALL];
    let Some(start) = address.checked_sub(LONGEST_CALL as u64) else { return false };
    held.read(start, &mut before) && is_call(&before)
}

fn is_call(before: &[u8; LONGEST_CALL]) -> bool {
    let indirect = |length: usize| {
        let at = LONGEST_CALL - length;
        // The middle bits of the second byte say which `ff` it is: 2 is a near call.
        matches!(before.get(at..at + 2), Some(&[0xff, operand]) if operand >> 3 & 7 == 2)
    };
    before[2] == 0xe8 || (2..=LONGEST_CALL).any(indirect)
}

#[cfg(test)]
mod tests {
    use super::is_call;

    #[test]
    fn calls_are_known() {
        // call rel32; call *%rax; call *8(%rdi); call *disp32(%rip)
        assert!(is_call(&[0x90, 0x90, 0xe8, 1, 2, 3, 4]));
        assert!(is_call(&[0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0]));
        assert!(is_call(&[0x90, 0x90, 0x90, 0x90, 0xff, 0x57, 8]));
        assert!(is_call(&[0x90, 0xff, 0x15, 1, 2, 3, 4]));
        assert!(!is_call(&[0x90; 7]));
        // jmp *%rax
        assert!(!is_call(&[0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0]));
    }
}
