//! A user's own entries: what attributes can be read, the worked example of the guide, errors.

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use support::{Fixture, for_each_interpreter, for_each_of, pyattach, pyattach_json, scratch};

fn write(name: &str, text: &str) -> PathBuf {
    let path = scratch().join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Expressions with what they give; a string beginning with `!` is a part of the reason why it
/// is unknown, null means that there is none.
fn expressions() -> Vec<(&'static str, Value)> {
    vec![
        ("small", json!(7)),
        ("big", json!(1i64 << 62)),
        ("negative", json!(-(1i64 << 40))),
        ("huge", json!("!beyond 64 bits")),
        ("fraction", json!(2.5)),
        ("yes", json!(true)),
        ("nothing", Value::Null),
        ("nothing.anything", Value::Null),
        ("nothing + 1", Value::Null),
        ("text", json!("täxt")),
        ("shared", json!("of the class")),
        ("hidden", json!(1)),
        ("_Base__private", json!(11)),
        ("absent", json!("!has no attribute 'absent'")),
        ("renamed | small", json!(7)),
        ("renamed + 1", json!("!has no attribute 'renamed'")),
        ("hidden_by_property", json!("!would need code")),
        ("from_getter", json!("!would need code")),
        ("overridden", json!(12)),
        ("method", json!("!would need code")),
        ("cached", json!("!would need code")),
        ("colour._value_", json!(3)),
        ("flag", json!(5)),
        ("flag == 5", json!(true)),
        ("list[0] + list[-1]", json!(4)),
        ("list[3]", json!("!no item 3 of 3")),
        ("tuple[1]", json!(5)),
        ("sum(set)", json!(30)),
        ("dict[\"key\"][\"inner\"]", json!(21)),
        ("dict[\"lost\"]", json!("!no key 'lost'")),
        ("len(dict)", json!(2)),
        ("sum(values(ordered))", json!(6)),
        ("first(keys(ordered))", json!("a")),
        ("count(keys(ordered), it != 'b')", json!(2)),
        ("len(deque)", json!(210)),
        // 300 numbers rotated by 70: the last 70 come first, then 20 of the others go as well.
        ("deque[0]", json!(20)),
        ("deque[-1]", json!(229)),
        ("sum(deque)", json!((20..230).sum::<i64>())),
        ("bounded@maxlen", json!(17)),
        ("deref(alive) == kept[0]", json!(true)),
        ("deref(dead) == none", json!(true)),
        ("deref(list)", json!("!not a weak reference")),
        ("len(weak_set)", json!(2)),
        ("len(weak_values)", json!(1)),
        ("first(values(weak_values)) == kept[0]", json!(true)),
        ("sum(values(weak_keys))", json!(42)),
        ("count(keys(weak_keys), isa(it, '__main__.Base'))", json!(2)),
        ("code(function)", json!("Everything.method")),
        ("slots.filled", json!(51)),
        ("slots.extra", json!(52)),
        ("slots.empty", json!("!is not set")),
        ("type(colour)", json!("__main__.Colour")),
        ("isa(self, '__main__.Base')", json!(true)),
        ("global('__main__', 'Base') == none", json!(false)),
        ("global('__main__', 'nothing_there')", json!("!is not there")),
        ("7 // 2 * 2 - -1", json!(7)),
        ("-7 // 2", json!(-4)),
        ("7 / 2", json!(3.5)),
        ("1 // 0", json!("!division by zero")),
        ("big * 4", json!("!beyond 64 bits")),
        ("yes or absent", json!(true)),
        ("absent or yes", json!(true)),
        ("not yes and absent", json!(false)),
        ("yes and absent", json!("!has no attribute")),
        ("known(absent)", json!(false)),
        ("if(small > 3, 'many', absent)", json!("many")),
        ("small + ' of ' + big", json!(format!("7 of {}", 1i64 << 62))),
        ("list + 1", json!("!not a number")),
        ("list and yes", json!("!not a condition")),
        ("sum(list, it.lost)", json!("!has no attribute 'lost'")),
        ("password", json!("***")),
        ("renamed | password", json!("***")),
        ("headers['Authorization']", json!("***")),
        ("url", json!("https://app:***@host/path")),
        ("redact(url)", json!("https://app:***@host/path")),
        ("@fd", json!("!no struct with 'fd'")),
        ("peer(1000000)", json!("!is not open")),
        ("tcp_state(1)", json!("!is no socket")),
    ]
}

#[test]
fn attributes_are_read_as_they_are_kept() {
    let mut entry = "[[resource]]\nid = 'mine'\nkind = 'mine'\ntypes = ['__main__.Everything']\n\
                     [resource.show]\n"
        .to_owned();
    for (index, (expression, _)) in expressions().iter().enumerate() {
        entry += &format!("x{index} = '''{expression}'''\n");
    }
    let file = write("everything.toml", &entry);
    for_each_interpreter(|interpreter| {
        let mut fixture = Fixture::start(interpreter, "resources_attributes.py", &[]);
        let address = fixture.ask("values")["everything"].clone();
        let used = fixture.ask("values")["used"].clone();
        let pid = fixture.pid.to_string();
        let document =
            pyattach_json(&["resources", &pid, "--catalog", text(&file), "--kind", "mine"]);
        let rows = document["resources"].as_array().unwrap();
        let row = rows.iter().find(|row| row["address"] == address).unwrap();
        let mut wrong = Vec::new();
        for (index, (expression, expected)) in expressions().into_iter().enumerate() {
            let name = format!("x{index}");
            let (found, why) = (row["show"].get(&name), &row["unknown"][&name]);
            let fits = match &expected {
                Value::Null => found.is_none(),
                Value::String(reason) if reason.starts_with('!') => {
                    found == Some(&Value::Null)
                        && why.as_str().is_some_and(|why| why.contains(&reason[1..]))
                }
                expected => found == Some(expected),
            };
            if !fits {
                wrong.push(format!("{expression}: {found:?} ({why}), not {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(!document.to_string().contains("hunter2"), "a secret was printed");
        // What was computed once and kept in the instance is a value.
        let cached = expressions().iter().position(|(text, _)| *text == "cached").unwrap();
        let row = rows.iter().find(|row| row["address"] == used).unwrap();
        assert_eq!(row["show"][format!("x{cached}")], 31);
    });
}

/// The entry of docs/guide/catalog.md.
fn example() -> String {
    let guide = include_str!("../docs/guide/catalog.md");
    let start = guide.find("```toml\n").unwrap() + "```toml\n".len();
    let length = guide[start..].find("```").unwrap();
    guide[start..start + length].to_owned()
}

#[test]
fn the_guides_example_works() {
    let file = write("example.toml", &example());
    let checked = pyattach(&["catalog", "check", text(&file)]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("1 entry"));
    for_each_of(
        |interpreter| matches!(interpreter.version, (3, 8 | 11 | 14, _)),
        |interpreter| {
            let fixture = Fixture::start(interpreter, "resources_attributes.py", &[]);
            let pid = fixture.pid.to_string();
            let census = pyattach_json(&["census", &pid, "--catalog", text(&file)]);
            let jobs = &census["resources"]["job"];
            assert_eq!(jobs["count"], 13);
            assert_eq!(jobs["states"], json!({"failing": 8, "fresh": 1, "retried": 4}));
            assert_eq!(jobs["attempts"], 66 + 100);
            assert_eq!(jobs["level"], "warn", "more than ten jobs");
            assert_eq!(jobs["over_limit"], json!({"warn": 6, "critical": 1}));
            let tried = pyattach(&["catalog", "try", &pid, "app.job", "--catalog", text(&file)]);
            assert_eq!(tried.code, Some(0), "{tried:?}");
            assert!(tried.stdout.contains("13 of __main__.Job"), "{}", tried.stdout);
            assert!(tried.stdout.contains("team "), "{}", tried.stdout);
            let shown = pyattach(&["resources", &pid, "--kind", "job", "--catalog", text(&file)]);
            assert!(shown.stdout.contains("failing (critical)"), "{}", shown.stdout);
        },
    );
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let wrong = "[[resource]]\nid = 'a'\nkind = 'a'\ntypes = ['m.A']\n[resource.metrics]\n\
                 types = 'len(x)'\nsize = 'len(x'\nother = 'size(x)'\n";
    let file = write("wrong.toml", wrong);
    for arguments in
        [vec!["catalog", "check", text(&file)], vec!["catalog", "list", "--catalog", text(&file)]]
    {
        let outcome = pyattach(&arguments);
        assert_eq!(outcome.code, Some(6), "{outcome:?}");
        let name = file.display();
        for part in [
            format!("{name}:6:1: 'types' belongs under [[resource]]"),
            format!("{name}:7:14: expected ')'"),
            format!("{name}:8:10: no function 'size'"),
        ] {
            assert!(outcome.stderr.contains(&part), "{part}: {}", outcome.stderr);
        }
    }
    let missing = pyattach(&["catalog", "check", "/nowhere/catalog.toml"]);
    assert_eq!(missing.code, Some(6));
    assert!(missing.stderr.contains("/nowhere/catalog.toml"), "{}", missing.stderr);
}

#[test]
fn the_list_has_every_entry_with_its_expressions() {
    let rows = pyattach_json(&["catalog", "list"]);
    let rows = rows.as_array().unwrap();
    for id in ["socket", "aiohttp.session", "sqlalchemy.queue_pool", "django.database"] {
        let row = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no {id}"));
        assert!(!row["state"].as_array().unwrap().is_empty());
    }
    let tried = pyattach(&["catalog", "try", "1", "no.such.entry"]);
    assert_eq!(tried.code, Some(2));
    assert!(tried.stderr.contains("no entry 'no.such.entry'"), "{}", tried.stderr);
}

#[test]
fn the_users_own_folder_is_read() {
    let home = scratch().join(format!("{}-config", std::process::id()));
    let folder = home.join("pyattach/catalog.d");
    std::fs::create_dir_all(&folder).unwrap();
    let entry = "[[resource]]\nid = 'own'\nkind = 'own'\ntypes = ['app.Own']\n";
    std::fs::write(folder.join("own.toml"), entry).unwrap();
    std::fs::write(folder.join("ignored.txt"), "not TOML").unwrap();
    let list = |home: &Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pyattach"));
        let output = command.args(["catalog", "list"]).env("XDG_CONFIG_HOME", home).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list(&home).contains("app.Own"));
    assert!(!list(Path::new("/nowhere")).contains("app.Own"));
}
