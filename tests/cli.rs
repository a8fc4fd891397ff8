//! The command line: help, version, completions, manual pages, the shape of documents, what goes to which stream, and
//! the commands `doctor` and `demo`.

mod support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{
    Fixture, Flavour, for_each_interpreter, for_each_of, interpreters, pyattach, pyattach_json,
    scratch,
};

const COMMANDS: [&str; 8] =
    ["report", "dump", "census", "doctor", "demo", "layout", "completions", "man"];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyattach"));
    command.stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

#[test]
fn help_and_version_are_answers() {
    let version = pyattach(&["--version"]);
    assert_eq!(version.stdout, format!("pyattach {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""));
    let help = pyattach(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}: {}", help.stdout);
        let own = pyattach(&[command, "--help"]);
        assert_eq!((own.code, own.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(own.stdout.contains("Usage: pyattach"), "{}", own.stdout);
    }
    assert!(help.stdout.contains("Exit codes: 0 fine, 1 findings"), "{}", help.stdout);
}

#[test]
fn wrong_usage_is_told_on_stderr() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["--nonsense"],
        &["dump"],
        &["dump", "me"],
        &["dump", "0"],
        &["dump", "-1"],
        &["dump", "99999999999999"],
        &["dump", "1", "--nonsense"],
        &["dump", "1", "--capture", "fast"],
        &["census", "1", "--top", "many"],
        &["census", "1", "--max-pause", "soon"],
        &["census", "1", "--max-pause", "0s"],
        &["census", "1", "--max-memory", "lots"],
        &["census", "1", "--filter", "a[b"],
        &["report"],
        &["report", "1", "--fail-on", "sometimes"],
        &["report", "1", "--server-limit", "here"],
        &["doctor"],
        &["doctor", "1", "2"],
        &["layout"],
        &["layout", "extract"],
        &["completions", "edlin"],
        &["man", "nonsense"],
        &["demo", "--python", "/nonexistent/python"],
    ] {
        let outcome = pyattach(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!outcome.stderr.is_empty() && !outcome.stderr.contains("panicked"), "{outcome:?}");
        assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    }
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, arguments, word) in [
        ("bash", &["-n"][..], "complete -F _pyattach"),
        ("zsh", &["-n"], "#compdef pyattach"),
        ("fish", &["--no-execute"], "complete -c pyattach"),
    ] {
        let outcome = pyattach(&["completions", shell]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        assert!(outcome.stdout.contains(word), "{shell}");
        assert!(COMMANDS.iter().all(|command| outcome.stdout.contains(command)), "{shell}");
        let check = Command::new(shell).args(arguments).stdin(Stdio::piped()).spawn();
        let Ok(mut check) = check else {
            eprintln!("not run: there is no {shell} to check its script");
            continue;
        };
        check.stdin.take().unwrap().write_all(outcome.stdout.as_bytes()).unwrap();
        assert!(check.wait().unwrap().success(), "{shell} reads its script");
    }
}

#[test]
fn manual_pages() {
    let outcome = pyattach(&["man"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(outcome.stdout.contains(".TH pyattach 1"), "{}", outcome.stdout);
    for command in COMMANDS {
        let page = pyattach(&["man", command]);
        assert_eq!((page.code, page.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(page.stdout.contains(".SH SYNOPSIS"), "{command}: {}", page.stdout);
    }
}

fn is_hex(value: &Value) -> bool {
    value.as_str().and_then(|text| text.strip_prefix("0x")).is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// What every document says of the process and of how it was captured.
fn assert_head(document: &Value, schema: &str, target: &Fixture) {
    assert_eq!(document["schema"], schema);
    assert_eq!(document["pyattach"], env!("CARGO_PKG_VERSION"));
    let process = &document["process"];
    assert_eq!(process["pid"], target.pid);
    let start = process["start_time"].as_str().unwrap();
    assert!(start.ends_with('Z') && start.contains('T'), "RFC 3339: {start}");
    assert!(process["cmdline"].as_array().unwrap().iter().all(Value::is_string));
    for key in ["exe", "cwd", "user"] {
        assert!(process[key].is_string(), "{key}: {process:#}");
    }
    for key in ["uid", "rss_bytes", "os_threads", "fds"] {
        assert!(process[key].is_u64(), "{key}: {process:#}");
    }
    let python = &process["python"];
    assert_eq!(python["version"], target.facts["version"]);
    assert!(python["build"].as_array().unwrap().iter().any(|word| word == "gil"), "{python:#}");
    assert!(python["executable"].is_string() && python["layout"]["origin"].is_array());
    assert!(python["layout"].as_object().unwrap().contains_key("table"));
    let capture = &document["capture"];
    for key in ["bytes_read", "reads", "attempts"] {
        assert!(capture[key].as_u64().is_some_and(|number| number > 0), "{key}: {capture:#}");
    }
    for key in ["pause_ms", "total_pause_ms", "wall_ms"] {
        assert!(capture[key].as_f64().is_some_and(|number| number > 0.0), "{key}: {capture:#}");
    }
    assert_eq!(capture["consistent"], true, "{capture:#}");
    assert_eq!(capture["coverage"]["unreadable"], 0, "{capture:#}");
    assert!(capture["mode"].is_string() && capture["notes"].is_array());
}

#[test]
fn documents_have_the_agreed_keys() {
    for_each_interpreter(|python| {
        let target = Fixture::start(python, "stacks.py", &["--only", "locals"]);
        let pid = target.pid_text();
        let dump = pyattach_json(&["dump", &pid, "--locals"]);
        assert_head(&dump, "pyattach.dump/1", &target);
        for thread in dump["threads"].as_array().unwrap() {
            assert!(thread["interpreter"].is_i64() && thread["tid"].is_i64(), "{thread:#}");
            assert!(is_hex(&thread["ident"]) && thread["main"].is_boolean());
            assert!(thread["name"].is_string() && thread["state"].is_string(), "{thread:#}");
            assert!(thread["holds_gil"].is_boolean());
            for frame in thread["frames"].as_array().unwrap() {
                assert!(frame["function"].is_string() && frame["file"].is_string());
                assert!(frame["line"].is_u64() && frame["locals"].is_array(), "{frame:#}");
                assert!(frame.as_object().unwrap().contains_key("qualname"));
            }
        }
        let census = pyattach_json(&["census", &pid]);
        assert_head(&census, "pyattach.census/1", &target);
        let objects = &census["objects"];
        let types = objects["types"].as_array().unwrap();
        assert_eq!(objects["types_not_shown"], 0, "JSON has all of them");
        let count = |row: &Value| row["count"].as_u64().unwrap();
        let sum: u64 = types.iter().map(count).sum();
        assert_eq!(objects["total"], sum);
        for row in types {
            assert!(row["name"].is_string() && row["shallow_bytes"].is_u64(), "{row:#}");
            assert!(is_hex(&row["type_address"]), "{row:#}");
        }
        let resources = census["resources"].as_object().unwrap();
        for kind in ["aiohttp_session", "asyncio_task", "socket", "thread_pool_executor"] {
            assert!(resources.contains_key(kind), "{kind} is there, also with none");
        }
        assert!(resources.values().all(|one| one["count"].is_u64() && one["states"].is_object()));
        let live = pyattach(&["dump", &pid, "--capture", "live", "--json"]);
        let live: Value = serde_json::from_str(&live.stdout).unwrap();
        assert_eq!(
            (&live["capture"]["mode"], &live["capture"]["pause_ms"]),
            (&"live".into(), &Value::Null)
        );
        assert_eq!(live["capture"]["consistent"], false, "live is approximate");
    });
}

#[test]
fn the_top_and_the_filter() {
    let Some(python) = interpreters().iter().find(|one| one.root.is_none()) else { return };
    let target = Fixture::start(python, "census.py", &[]);
    let pid = target.pid_text();
    let all = pyattach_json(&["census", &pid]);
    let few = pyattach_json(&["census", &pid, "--top", "3"]);
    assert_eq!(few["objects"]["types"].as_array().unwrap().len(), 3);
    let total = all["objects"]["type_count"].as_u64().unwrap();
    assert_eq!(few["objects"]["types_not_shown"], total - 3);
    assert_eq!(few["objects"]["total"], all["objects"]["total"], "the total is of everything");
    let found = pyattach_json(&["census", &pid, "--filter", "__main__.Outer*"]);
    let names = found["objects"]["types"].as_array().unwrap();
    let names: Vec<&str> = names.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let expected = ["__main__.Outer.Inner.Innermost", "__main__.Outer.Inner", "__main__.Outer"];
    assert_eq!(names, expected);
    let text = pyattach(&["census", &pid, "--filter", "OUTER"]);
    assert!(text.stdout.contains("__main__.Outer.Inner") && !text.stdout.contains("builtins.dict"));
}

#[test]
fn escape_codes_only_where_they_are_wanted() {
    let Some(python) = interpreters().iter().find(|one| one.root.is_none()) else { return };
    let target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
    let pid = target.pid_text();
    for arguments in
        [&["dump", pid.as_str()][..], &["census", &pid], &["doctor", &pid], &["dump", "2147483647"]]
    {
        let run = |name: &str, value: &str| {
            let output = program().args(arguments).env(name, value).output().unwrap();
            [output.stdout, output.stderr].concat()
        };
        assert!(run("CLICOLOR_FORCE", "1").contains(&0x1b), "{arguments:?}: there are styles");
        assert!(!run("NO_COLOR", "1").contains(&0x1b), "{arguments:?}");
        assert!(!run("TERM", "xterm-256color").contains(&0x1b), "{arguments:?}: no terminal");
    }
    // On a terminal, unless NO_COLOR says otherwise. script(1) makes one.
    let on_terminal = |environment: &str| {
        let line = format!("{environment} {} dump {pid}", env!("CARGO_BIN_EXE_pyattach"));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        command.stdin(Stdio::null()).output().ok().map(|output| output.stdout)
    };
    if let Some(styled) = on_terminal("") {
        assert!(styled.contains(&0x1b), "styles on a terminal");
        assert!(!on_terminal("NO_COLOR=1").unwrap().contains(&0x1b));
    }
}

#[test]
fn a_closed_pipe_is_quiet() {
    let Some(python) = interpreters().iter().find(|one| one.root.is_none()) else { return };
    let target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
    let pid = target.pid_text();
    for arguments in [
        &["dump", pid.as_str()][..],
        &["dump", &pid, "--json"],
        &["dump", &pid, &pid],
        &["census", &pid, "--top", "0"],
        &["census", &pid, "--json"],
        &["doctor", &pid],
        &["doctor", &pid, "--json"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child =
            program().args(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.as_ref()), (Some(0), ""), "{arguments:?}");
    }
    // One that takes the first line, as head(1) does.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = program();
    command.args(["census", &pid, "--json"]).stdout(writer).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // It holds the end that is written to.
    drop(command);
    reader.read_exact(&mut [0; 2]).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    // A disk that is full is an error, and no panic.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program().args(["dump", &pid]).stdout(full).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.starts_with("error: No space left"), "{told}");
}

#[test]
fn doctor_on_a_healthy_process() {
    for_each_interpreter(|python| {
        let target = Fixture::start(python, "stacks.py", &["--only", "lock"]);
        let pid = target.pid_text();
        let document = pyattach_json(&["doctor", &pid]);
        assert_eq!(document["schema"], "pyattach.doctor/1");
        assert_eq!(
            (&document["pid"], &document["pyattach"]),
            (&target.pid.into(), &env!("CARGO_PKG_VERSION").into())
        );
        assert_eq!(document["python"]["version"], target.facts["version"]);
        let checks = document["checks"].as_array().unwrap();
        assert!(checks.iter().all(|check| check["verdict"] != "fail"), "{document:#}");
        let named = |name: &str| checks.iter().find(|check| check["name"] == name);
        for name in ["process", "read memory", "stop threads", "interpreter", "layout", "validated"]
        {
            let check = named(name).unwrap_or_else(|| panic!("no {name}: {document:#}"));
            assert_eq!(check["verdict"], "ok", "{check:#}");
        }
        let inside = matches!(python.flavour, Flavour::OtherRoot | Flavour::Debug);
        let namespaces = named("namespaces").map(|check| check["detail"].as_str().unwrap());
        assert_eq!(namespaces.is_some_and(|text| text.contains("mount")), inside, "{namespaces:?}");
        let commands = document["commands"].as_array().unwrap();
        assert!(commands.iter().all(|one| one["verdict"] != "fail"), "{document:#}");
        let text = pyattach(&["doctor", &pid]);
        assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
        let version = target.facts["version"].as_str().unwrap();
        assert!(text.stdout.contains(&format!("CPython {version}")), "{}", text.stdout);
    });
}

#[test]
fn demo_shows_all_and_leaves_nothing() {
    for_each_of(
        |one| one.root.is_none(),
        |python| {
            let folder = tempfile::tempdir_in(scratch()).unwrap();
            let mut command = program();
            command.args(["demo", "--python"]).arg(&python.executable).env("TMPDIR", folder.path());
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{text}");
            let pid = text.split("running as process ").nth(1).unwrap();
            let pid: i32 = pid.split(':').next().unwrap().parse().unwrap();
            for part in [
                format!("$ pyattach dump {pid}"),
                format!("$ pyattach census {pid}"),
                format!("$ pyattach report {pid}"),
                "[executor-not-shut-down, inferred]".to_owned(),
                "thread_pool_executor".to_owned(),
                "__main__.Connection".to_owned(),
                "leaky_service.py".to_owned(),
                "more types".to_owned(),
            ] {
                assert!(text.contains(&part), "{part}: {text}");
            }
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the service is ended");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
        },
    );
}

#[test]
fn demo_without_a_python_that_fits() {
    for (python, text) in [("/nonexistent/python", "could not start"), ("false", "did not start")] {
        let outcome = pyattach(&["demo", "--python", python]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        assert!(
            outcome.stderr.contains(text) && outcome.stderr.contains("\nhint: "),
            "{outcome:?}"
        );
    }
}
