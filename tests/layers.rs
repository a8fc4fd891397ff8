//! The layers of `src`, and that each `use` points the right way.
//!
//! Reads our own source text: a layer may use those before it in the list, `snapshot` uses none
//! of them (it is plain data), `report` uses only `snapshot`, only `commands` uses `inject`.

use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: [&str; 12] = [
    "process",
    "memory",
    "binary",
    "layout",
    "cpython",
    "heap",
    "resources",
    "snapshot",
    "attach",
    "inject",
    "report",
    "commands",
];

fn allowed(from: &str, to: &str) -> bool {
    let rank = |layer: &str| LAYERS.iter().position(|&known| known == layer);
    match (from, to) {
        _ if from == to => true,
        ("snapshot", _) => false,
        ("report", _) => to == "snapshot",
        // Running code in the target stands beside the reading path.
        (_, "inject") => from == "commands",
        _ => rank(to) < rank(from),
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Layers named by `crate::NAME` in a file, with the line.
fn named_layers(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split(['{', '}', ',']).map(str::trim).collect(),
                None => vec![rest],
            };
            for name in names {
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                let name = &name[..end.unwrap_or(name.len())];
                if LAYERS.contains(&name) {
                    found.push((number + 1, name.to_owned()));
                }
            }
        }
    }
    found
}

#[test]
fn every_arrow_points_to_an_earlier_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for layer in LAYERS {
        let mut files = Vec::new();
        rust_files(&root.join(layer), &mut files);
        assert!(!files.is_empty(), "layer {layer} has no files");
        for file in files {
            for (line, used) in named_layers(&fs::read_to_string(&file).unwrap()) {
                arrows += 1;
                if !allowed(layer, &used) {
                    wrong.push(format!("{}:{line}: {layer} uses {used}", file.display()));
                }
            }
        }
    }
    assert!(arrows > 50, "only {arrows} uses found: this test no longer reads the source right");
    assert!(wrong.is_empty(), "wrong arrows:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_of_src_is_a_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(LAYERS.contains(&name.as_str()), "src/{name} is not in the list of layers");
        }
    }
}

#[test]
fn a_wrong_arrow_is_seen() {
    assert!(!allowed("memory", "cpython"));
    assert!(!allowed("report", "attach"));
    assert!(!allowed("attach", "inject") && !allowed("report", "inject"));
    assert!(allowed("commands", "inject"));
    assert_eq!(named_layers("use crate::{heap::walk, memory::Address};").len(), 2);
    assert!(named_layers("// crate::heap is not a use").is_empty());
}
