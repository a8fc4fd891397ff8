//! The compiled wrapper is of the source and of each interpreter's bytecode, and the source still
//! works where it is another interpreter's.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use crate::states::{exec, start};
use crate::support::{Fixture, Interpreter, for_each_interpreter, for_each_of};

/// What the interpreter itself says of a cache file: its bytecode, its source, its code.
const JUDGE: &str = "
import importlib.util, marshal, sys
cached, source = map(bytes.fromhex, sys.argv[1:])
assert cached[:4] == importlib.util.MAGIC_NUMBER, 'another bytecode'
assert cached[8:16] == importlib.util.source_hash(source), 'another source'
# Within a series compilers come to differ in the instructions, not in these.
def names(code):
    inner = [names(one) for one in code.co_consts if hasattr(one, 'co_code')]
    return code.co_name, code.co_names, code.co_varnames, code.co_freevars, inner
code = compile(source, '<pyattach>', 'exec', 0, True, 0)
assert names(marshal.loads(cached[16:])) == names(code), 'another code'
print(len(cached))
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn series(interpreter: &Interpreter) -> String {
    format!("{}.{}", interpreter.version.0, interpreter.version.1)
}

#[test]
fn the_compiled_wrapper_is_every_interpreters_own() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/inject/scripts");
    for_each_interpreter(|interpreter| {
        for name in ["wrapper", "wrapper_rest"] {
            let cached = format!("{folder}/compiled/{name}-{}.pyc", series(interpreter));
            let cached = fs::read(cached).unwrap();
            let source = fs::read(format!("{folder}/{name}.py")).unwrap();
            let arguments = ["-c", JUDGE, &hex(&cached), &hex(&source)];
            let output = interpreter.command(&arguments).output().unwrap();
            assert!(
                output.stdout == format!("{}\n", cached.len()).as_bytes(),
                "{name} on {interpreter}: run src/inject/scripts/compile.py with it\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    });
}

#[test]
fn an_interpreter_with_other_bytecode_gets_the_source() {
    for_each_interpreter(|interpreter| {
        let mut target = start(interpreter);
        target.ask("enter cpu");
        let pretend = "import _frozen_importlib_external as boot\n\
                       result, boot.MAGIC_NUMBER = boot.MAGIC_NUMBER.hex(), b'else'";
        let magic = exec(target.pid, &[], pretend, &[]);
        let restore = format!(
            "import sys, _frozen_importlib_external as boot\n\
             print(boot.MAGIC_NUMBER, file=sys.stderr)\n\
             boot.MAGIC_NUMBER = bytes.fromhex({})\nresult = argv",
            magic["result"]
        );
        let by_source = exec(target.pid, &[], &restore, &["one"]);
        assert_eq!(by_source["stderr"], "b'else'\n", "{by_source}");
        assert_eq!(by_source["result"], json!(["one"]), "{by_source}");
        assert_eq!(target.ask("leave")["problems"], json!([]));
        target.end();
    });
}

/// Asked for an import without a module it raises.
const FILTER: &str = "
import json, os, sys
sys.set_lazy_imports_filter(lambda importing, name, names=(): not importing.startswith('legacy.'))
print('READY ' + json.dumps({'pid': os.getpid()}), flush=True)
sys.stdin.read()
";

/// Lazy imports everywhere (PEP 810): the wrapper's own are none of the program's business.
#[test]
fn the_programs_filter_of_lazy_imports_is_not_asked() {
    for_each_of(
        |one| one.at_least((3, 15)),
        |interpreter| {
            let command = interpreter.command(&["-X", "lazy_imports=all", "-c", FILTER]);
            let target = Fixture::run("lazy imports", command);
            let document = exec(target.pid, &["--timeout", "60s"], "print(argv)", &["one"]);
            assert_eq!(document["stdout"], "['one']\n", "{document}");
            assert_eq!(document["left_behind"], json!([]), "{document}");
            target.end();
        },
    );
}
