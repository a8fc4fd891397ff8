//! Scripts that raise, exit, loop for ever, print megabytes, do not compile: the target goes on,
//! ours ends with a clear result.

use serde_json::{Value, json};

use crate::states::{exec, start};
use crate::support::{for_each_interpreter, for_each_of, pyattach};

#[test]
fn no_script_reaches_the_program() {
    for_each_interpreter(|interpreter| {
        let mut target = start(interpreter);
        target.ask("enter cpu");
        let before = target.ask("residue");
        let pid = target.pid;
        let run = |code: &str| exec(pid, &["--timeout", "60s"], code, &["first", "ä second"]);
        let detail = |document: &Value| document["detail"].as_str().unwrap_or_default().to_owned();

        let raised = run("def inner():\n    raise ValueError('käse')\ninner()");
        assert_eq!(raised["ending"], "raised", "{raised}");
        assert!(detail(&raised).ends_with("ValueError: käse\n"), "{raised}");
        assert!(detail(&raised).contains("\"<string>\", line 2, in inner"), "{raised}");
        assert!(!detail(&raised).contains("wrapper"), "{raised}");
        let exited = run("import sys; sys.exit(3)");
        assert_eq!((&exited["ending"], &exited["detail"]), (&json!("exited"), &json!("3")));
        assert_eq!(run("raise KeyboardInterrupt")["ending"], "raised");
        assert_eq!(run("raise GeneratorExit")["ending"], "raised");
        let syntax = run("def f(:\n  pass");
        assert_eq!(syntax["ending"], "not-compiled", "{syntax}");
        assert!(detail(&syntax).contains("SyntaxError"), "{syntax}");
        let large = run("for i in range(3000): print('x' * 999)");
        assert_eq!(large["stdout"].as_str().unwrap().len(), 3_000_000);
        let recursion = run("def f(): f()\nf()");
        assert!(detail(&recursion).contains("RecursionError"), "{recursion}");
        let streams = run("import sys; print('to stderr', file=sys.stderr); sys.stdout.flush()");
        assert_eq!(streams["stderr"], "to stderr\n");
        let odd = run("print('\\udcff')");
        assert_eq!(odd["stdout"], "\\udcff\n");
        assert_eq!(run("result = argv")["result"], json!(["first", "ä second"]));
        let opaque = run("result = object()");
        assert_eq!(opaque["result"], Value::Null);
        assert!(opaque["result_error"].as_str().unwrap().contains("TypeError"), "{opaque}");
        assert_eq!(run("result = sorted(globals())")["result"].as_array().unwrap().len(), 3);

        // On a loaded machine it takes its time until a script begins.
        let mut limits = ["200ms", "2s", "20s"].iter();
        let endless = loop {
            let limit = limits.next().expect("it begins within 20 s");
            let endless = exec(pid, &["--timeout", limit], "while True: pass", &[]);
            if endless["ending"] != "taken-back" {
                break endless;
            }
        };
        assert_eq!(endless["ending"], "stopped", "{endless}");
        assert_eq!(endless["left_behind"], json!([]));

        let found = target.ask("leave");
        assert_eq!(found["problems"], json!([]));
        let after = target.ask("residue");
        for kind in ["descriptors", "threads", "names", "streams"] {
            assert_eq!(after[kind], before[kind], "{kind}");
        }
        assert_eq!(target.stderr(), "", "nothing of it is on its own stderr");
        target.end();
    });
}

#[test]
fn files_of_any_bytes_and_exit_codes() {
    for_each_of(
        |one| [(3, 8), (3, 13), (3, 15)].contains(&(one.version.0, one.version.1)),
        |interpreter| {
            let mut target = start(interpreter);
            target.ask("enter sleep");
            let folder = tempfile::tempdir().unwrap();
            let pid = target.pid_text();
            let run = |bytes: &[u8]| {
                let path = folder.path().join("script.py");
                std::fs::write(&path, bytes).unwrap();
                let path = path.to_str().unwrap().to_owned();
                pyattach(&["exec", &pid, "--timeout", "60s", &path, "-x", "--flag"])
            };
            let nul = run(b"print(1)\0print(2)");
            assert_eq!((nul.code, nul.stdout.as_str()), (Some(1), ""), "{nul:?}");
            assert!(nul.stderr.contains("does not compile"), "{nul:?}");
            assert_eq!(run(b"print('\xff')").code, Some(1));
            let latin = run(b"# coding: latin-1\nprint('\xe4', argv)");
            let expected = "ä ['-x', '--flag']\n";
            assert_eq!((latin.code, latin.stdout.as_str()), (Some(0), expected), "{latin:?}");
            assert!(latin.stderr.contains("audit: "), "{latin:?}");
            assert_eq!(run(b"").code, Some(0));
            let raised = run(b"1/0");
            assert_eq!(raised.code, Some(1));
            assert!(raised.stderr.contains("ZeroDivisionError"), "{raised:?}");

            // More than a stack has room for.
            let long = "ä".repeat(50_000);
            let code = "print(len(argv[0]), set(argv[0]))";
            let long = pyattach(&["exec", &pid, "--timeout", "60s", "-c", code, &long]);
            assert_eq!((long.code, long.stdout.as_str()), (Some(0), "50000 {'ä'}\n"), "{long:?}");

            let log = folder.path().join("audit.json");
            let log = log.to_str().unwrap();
            let outcome = pyattach(&["exec", &pid, "--audit", log, "-c", "result = [1]"]);
            assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
            assert_eq!(outcome.stdout, "[\n  1\n]\n");
            let text = std::fs::read_to_string(log).unwrap();
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 2);
            assert_eq!(lines[0]["source"], "result = [1]");
            assert_eq!(lines[0]["pid"], target.pid);
            assert!(lines[1]["outcome"].as_str().unwrap().ends_with("done"), "{text}");

            let dry = pyattach(&["exec", &pid, "--dry-run", "-c", "import sys; sys.seen = [1]"]);
            assert_eq!(dry.code, Some(0));
            assert!(dry.stderr.contains("nothing was changed"), "{dry:?}");
            assert_eq!(target.ask("residue")["seen"], json!([]));
            target.ask("leave");
            target.end();
        },
    );
}
