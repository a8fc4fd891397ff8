//! The texts that run in the target: the script, wrapped so that nothing of it reaches the
//! program but what it does on purpose.
//!
//! A short text ([`first`]) is what the interpreter is given. The memory file begins with the
//! rest of the wrapper and the script itself ([`Texts`]); behind them come the records
//! ([`super::records`]): output, exception, result. The script is compiled by the target's own
//! compiler and runs in a fresh namespace; then everything is put back and the memory files are
//! closed.

use std::fmt::{Display, Write};

use super::Script;

const WRAPPER: &str = include_str!("scripts/wrapper.py");
const REST: &str = include_str!("scripts/wrapper_rest.py");

/// A memory file of ours in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryFile {
    /// Its number in the target.
    pub(super) fd: i32,
    /// Its inode, by which the wrapper knows it.
    pub(super) inode: u64,
}

/// What the wrapper needs to know of the target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) output: MemoryFile,
    /// The file that the first text itself lies in, to be closed by it.
    pub(super) source: Option<MemoryFile>,
    /// The target, in its own PID namespace: a forked child must not run the script again.
    pub(super) pid: i32,
    /// Most bytes of output.
    pub(super) room: u64,
}

/// What does not depend on the target, made before it is stopped.
#[derive(Debug)]
pub(super) struct Texts {
    /// The start of the memory file.
    file: Vec<u8>,
    /// The first text, to be filled in with what the target decides and the user has given.
    first: String,
    name: String,
    argv: String,
    longest: u64,
}

impl Texts {
    pub(super) fn new(script: &Script) -> Self {
        let mut file = without_comments(REST).into_bytes();
        let rest = file.len();
        file.extend_from_slice(&script.source);
        let arguments: Vec<String> = script.arguments.iter().map(|text| literal(text)).collect();
        let argv = format!("[{}]", arguments.join(","));
        let known: [(&str, &dyn Display); 2] = [("REST_LENGTH", &rest), ("RECORDS", &file.len())];
        let first = fill(&without_comments(WRAPPER), &known);
        let mut texts = Self { file, first, name: literal(&script.name), argv, longest: 0 };
        let largest = MemoryFile { fd: i32::MIN, inode: u64::MAX };
        let setting =
            Setting { output: largest, source: Some(largest), pid: i32::MIN, room: u64::MAX };
        texts.longest = statement(&texts.first(&setting)).len() as u64;
        texts
    }

    /// The memory file before anything is recorded.
    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Bytes that the first text needs as a statement, whatever is filled in.
    pub(super) fn longest_statement(&self) -> u64 {
        self.longest
    }

    /// Where the records begin.
    pub(super) fn records(&self) -> u64 {
        self.file.len() as u64
    }

    /// The text that the interpreter is given, as that of a Python file.
    pub(super) fn first(&self, setting: &Setting) -> String {
        let Setting { output, source, pid, room } = setting;
        let spare = source.unwrap_or(MemoryFile { fd: -1, inode: 0 });
        let (fd, inode) = (output.fd, output.inode);
        let arguments = format!("({fd}, {inode}, {}, {}, {room})", spare.fd, spare.inode);
        let names: [(&str, &dyn Display); 6] = [
            ("ARGUMENTS", &arguments),
            ("INODE", &inode),
            ("PID", pid),
            ("FD", &fd),
            ("NAME", &self.name),
            ("ARGV", &self.argv),
        ];
        fill(&self.first, &names)
    }
}

/// The first text for `PyRun_SimpleString`, which runs it in `__main__`: binds no name there, and
/// lets no exception out. Ends with NUL.
pub(super) fn statement(first: &str) -> Vec<u8> {
    let mut text = format!("try:\n exec({}, {{}})\nexcept: pass\n", literal(first));
    text.push('\0');
    text.into_bytes()
}

/// A text with words replaced, each where it stands alone; what is put in is not looked at again.
fn fill(text: &str, words: &[(&str, &dyn Display)]) -> String {
    let is_word = |one: char| one.is_ascii_uppercase() || one == '_';
    let mut filled = String::with_capacity(text.len() + 256);
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|one| !is_word(one)).unwrap_or(from.len()));
        filled.push_str(before);
        match words.iter().find(|(name, _)| *name == word) {
            // Writing to a String cannot fail.
            Some((_, value)) => drop(write!(filled, "{value}")),
            None => filled.push_str(word),
        }
        rest = after;
    }
    filled + rest
}

/// The same program: every byte of it is read before the script's first line.
fn without_comments(program: &str) -> String {
    let is_comment = |line: &&str| line.trim_start().starts_with('#') || line.trim().is_empty();
    let mut text = String::with_capacity(program.len());
    for line in program.lines().filter(|line| !is_comment(line)) {
        let code = line.trim_start();
        // One space for each level.
        text.extend(std::iter::repeat_n(' ', (line.len() - code.len()) / 4));
        text.push_str(code);
        text.push('\n');
    }
    text
}

/// A text literal of printable ASCII characters only.
fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    quoted.push('\'');
    for one in text.chars() {
        match one {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            ' '..='~' => quoted.push(one),
            // Writing to a String cannot fail.
            _ => drop(write!(quoted, "\\U{:08x}", u32::from(one))),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_are_what_python_reads() {
        assert_eq!(literal("a'b\\\n\0ä"), r"'a\'b\\\n\U00000000\U000000e4'");
    }

    #[test]
    fn every_word_of_the_wrapper_is_filled_in() {
        let script = Script {
            name: "FD".to_owned(),
            source: Vec::new(),
            arguments: vec!["NAME".to_owned(), "PID".to_owned()],
        };
        let output = MemoryFile { fd: 7, inode: 9 };
        let setting = Setting { output, source: None, pid: 17, room: 2 };
        let first = Texts::new(&script).first(&setting);
        assert!(first.contains("['NAME','PID']") && first.contains("'FD'"), "{first}");
        assert!(first.contains("posix.getpid() == 17 and posix.fstat(7).st_ino == 9"), "{first}");
        for word in ["ARGUMENTS", "RECORDS", "REST_LENGTH", "INODE", "ARGV", "#"] {
            assert!(!first.contains(word), "{word}: {first}");
        }
    }

    proptest! {
        #[test]
        fn a_statement_is_one_c_string_of_ascii(bytes: Vec<u8>, name: String, argument: String) {
            let script = Script { name, source: bytes, arguments: vec![argument] };
            let output = MemoryFile { fd: 7, inode: 9 };
            let setting = Setting { output, source: None, pid: 1, room: 2 };
            let text = statement(&Texts::new(&script).first(&setting));
            let (last, rest) = text.split_last().unwrap();
            prop_assert_eq!(*last, 0);
            prop_assert!(rest.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n'));
            prop_assert_eq!(rest.iter().filter(|&&byte| byte == b'\n').count(), 3);
        }
    }
}
