//! What runs in the target: the script, wrapped so that nothing of it reaches the program but what
//! it does on purpose.
//!
//! A short statement ([`Texts::statement`]) is what the interpreter is given. The memory file holds
//! what it loads: the two halves of the wrapper ([`Compiled`], and their sources for an interpreter
//! with other bytecode), and the script. Behind them come the records ([`super::records`]): output,
//! exception, result. The script is compiled by the target's own compiler and runs in a fresh
//! namespace; then everything is put back and the memory files are closed.

use std::fmt::Write;

use super::Script;
use super::compiled::Compiled;

const WRAPPER: &str = include_str!("scripts/wrapper.py");
const REST: &str = include_str!("scripts/wrapper_rest.py");
/// The module that has the magic number of the bytecode, whose own name for itself is as old as 3.5.
const BOOTSTRAP: &str = "__import__('_frozen_importlib_external')";

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
    /// The file that the statement itself lies in, to be closed by it.
    pub(super) source: Option<MemoryFile>,
    /// The target, in its own PID namespace: a forked child must not run the script again.
    pub(super) pid: i32,
    /// Most bytes of output.
    pub(super) room: u64,
}

/// What does not depend on the target, made before it is stopped.
#[derive(Debug)]
pub(super) struct Texts {
    /// The start of the memory file: the parts that [`Self::ends`] tells apart.
    file: Vec<u8>,
    /// Where they end: both halves of the wrapper compiled, both as sources, the script.
    ends: [usize; 5],
    magic: Option<[u8; 4]>,
    /// Literals.
    name: String,
    argv: String,
    longest: u64,
}

impl Texts {
    /// For an interpreter with this bytecode; without, it compiles the wrapper itself.
    pub(super) fn new(script: &Script, compiled: Option<Compiled>) -> Self {
        let (core, rest) = compiled.map_or((&[][..], &[][..]), |it| (it.core, it.rest));
        let mut file = Vec::new();
        let parts = [core, rest, WRAPPER.as_bytes(), REST.as_bytes(), &script.source];
        let ends = parts.map(|part| {
            file.extend_from_slice(part);
            file.len()
        });
        let arguments: Vec<String> = script.arguments.iter().map(|text| literal(text)).collect();
        let argv = format!("[{}]", arguments.join(","));
        let magic = compiled.map(|it| it.magic);
        let mut texts = Self { file, ends, magic, name: literal(&script.name), argv, longest: 0 };
        let largest = MemoryFile { fd: i32::MIN, inode: u64::MAX };
        let setting =
            Setting { output: largest, source: Some(largest), pid: i32::MIN, room: u64::MAX };
        texts.longest = texts.statement(&setting).len() as u64;
        texts
    }

    /// The memory file before anything is recorded.
    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }

    /// Most bytes of the statement, whatever is filled in.
    pub(super) fn longest_statement(&self) -> u64 {
        self.longest
    }

    /// Where the records begin.
    pub(super) fn records(&self) -> u64 {
        self.file.len() as u64
    }

    /// The statement that the interpreter is given, as plain as can be, since it is compiled anew
    /// each time. It does nothing in a child that was forked with it, nor when the program has
    /// closed the descriptor; binds no name in `__main__`, and lets no exception out.
    pub(super) fn statement(&self, setting: &Setting) -> String {
        let Setting { output: MemoryFile { fd, inode }, source, pid, room } = setting;
        let spare = source.unwrap_or(MemoryFile { fd: -1, inode: 0 });
        let [core, rest, source, script, records] = self.ends;
        let sources = format!("p.pread({fd},{},{rest})", source - rest);
        let (compiled, code) = match self.magic {
            Some(magic) => (
                format!("{BOOTSTRAP}.MAGIC_NUMBER=={}", bytes_literal(&magic)),
                format!("m.loads(p.pread({fd},{core},0))if c else {sources}"),
            ),
            None => ("False".to_owned(), sources),
        };
        let ends = format!("({core},{rest},{source},{script},{records})");
        let spare = format!("({},{})", spare.fd, spare.inode);
        let (name, argv) = (&self.name, &self.argv);
        let given = format!("(p,m,c,{fd},{inode},{spare},{ends},{room},{name},{argv})");
        let guard = format!("p.getpid()=={pid} and p.fstat({fd}).st_ino=={inode}");
        format!(
            "try:\n (lambda p,m,c:{guard} and exec({code},{{'given':{given}}}))\
             (__import__('posix'),__import__('marshal'),{compiled})\nexcept:pass\n"
        )
    }
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

/// A bytes literal.
fn bytes_literal(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("b'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_are_what_python_reads() {
        assert_eq!(literal("a'b\\\n\0ä"), r"'a\'b\\\n\U00000000\U000000e4'");
    }

    fn texts(script: &Script) -> [String; 2] {
        let output = MemoryFile { fd: 7, inode: 9 };
        let setting = Setting { output, source: None, pid: 17, room: 2 };
        [Compiled::of(11), None].map(|compiled| Texts::new(script, compiled).statement(&setting))
    }

    #[test]
    fn a_statement_is_sure_of_its_process_and_file() {
        let script =
            Script { name: "x".to_owned(), source: Vec::new(), arguments: vec!["PID".to_owned()] };
        for text in texts(&script) {
            let guard = ":p.getpid()==17 and p.fstat(7).st_ino==9 and exec(";
            assert!(text.contains(guard) && text.contains(",'x',['PID'])"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_statement_is_three_lines_of_ascii(bytes: Vec<u8>, name: String, argument: String) {
            let script = Script { name, source: bytes, arguments: vec![argument] };
            for text in texts(&script) {
                let text = text.as_bytes();
                prop_assert!(text.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n'));
                prop_assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 3);
            }
        }
    }
}
