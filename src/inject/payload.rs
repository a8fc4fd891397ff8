//! The text that runs in the target: the script, wrapped so that nothing of it reaches the
//! program but what it does on purpose.
//!
//! The wrapper (`scripts/wrapper.py`) compiles the script with the target's own compiler, runs it
//! in a fresh namespace, turns its output, its exception and its result into records in the
//! memory file ([`super::records`]), puts everything back and closes the memory files.

use std::fmt::Write;

use super::Script;

const WRAPPER: &str = include_str!("scripts/wrapper.py");

/// A memory file of ours in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryFile {
    /// Its number in the target.
    pub(super) fd: i32,
    /// Its inode, by which the wrapper knows it.
    pub(super) inode: u64,
}

/// What the wrapper needs to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) output: MemoryFile,
    /// The file the wrapper itself lies in, to be closed by it.
    pub(super) source: Option<MemoryFile>,
    /// The target, in its own PID namespace: a forked child must not run the script again.
    pub(super) pid: i32,
    /// Most bytes of output.
    pub(super) room: u64,
}

/// The wrapper with the script in it, as the text of a Python file.
pub(super) fn source(script: &Script, setting: &Setting) -> String {
    let Setting { output, source, pid, room } = setting;
    let spare = source.unwrap_or(MemoryFile { fd: -1, inode: 0 });
    let mut argv = String::from("[");
    for argument in &script.arguments {
        argv.push_str(&literal(argument.as_bytes()));
        argv.push_str(".decode('utf-8', 'replace'), ");
    }
    argv.push(']');
    format!(
        "ARGS = ({}, {}, {}, {}, {pid}, {room}, {}.decode('utf-8', 'replace'), {argv}, {})\n{WRAPPER}",
        output.fd,
        output.inode,
        spare.fd,
        spare.inode,
        literal(script.name.as_bytes()),
        literal(&script.source),
    )
}

/// The same for `PyRun_SimpleString`, which runs it in `__main__`: binds no name there, and lets
/// no exception out. Ends with NUL.
pub(super) fn statement(source: &str) -> Vec<u8> {
    let mut text = format!("try:\n exec({}, {{}})\nexcept: pass\n", literal(source.as_bytes()));
    text.push('\0');
    text.into_bytes()
}

/// A bytes literal of printable ASCII characters only.
fn literal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    text.push_str("b'");
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\'' => text.push_str("\\'"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_are_what_python_reads() {
        assert_eq!(literal(b"a'b\\\n\0\xff"), r"b'a\'b\\\n\x00\xff'");
    }

    proptest! {
        #[test]
        fn a_statement_is_one_c_string_of_ascii(bytes: Vec<u8>, name: String, argument: String) {
            let script = Script { name, source: bytes, arguments: vec![argument] };
            let output = MemoryFile { fd: 7, inode: 9 };
            let setting = Setting { output, source: None, pid: 1, room: 2 };
            let text = statement(&source(&script, &setting));
            let (last, rest) = text.split_last().unwrap();
            prop_assert_eq!(*last, 0);
            prop_assert!(rest.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n'));
            prop_assert_eq!(rest.iter().filter(|&&byte| byte == b'\n').count(), 3);
        }
    }
}
