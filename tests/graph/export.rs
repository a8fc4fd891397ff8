//! The heap snapshot is one: its arrays fit together, ids stay, names and leaks are those of the program, and dominators and
//! retained sizes are memlab's.

use super::not_run::not_run;
use super::support::{Fixture, Interpreter, for_each_of, pyattach, scratch, store};
use super::why::some;
use pyattach::heap::graph::dominators::{Dominators, NONE, Rows};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const FIELDS: usize = 6;
const WEAK: u64 = 6;

/// A file, read as DevTools reads it.
struct File {
    nodes: Vec<[u64; FIELDS]>,
    names: Vec<String>,
    rows: Vec<Vec<u32>>,
}

impl Rows for File {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn row(&self, node: u32) -> &[u32] {
        &self.rows[node as usize]
    }
}

impl File {
    fn export(pid: &str, name: &str) -> (PathBuf, Self) {
        let path = scratch().join(format!("{name}-{pid}.heapsnapshot"));
        let outcome = pyattach(&["graph", pid, "-o", &path.to_string_lossy()]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let file = Self::read(&path);
        (path, file)
    }

    fn read(path: &Path) -> Self {
        let read: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let meta = &read["snapshot"]["meta"];
        assert_eq!(meta["node_fields"][5], "detachedness");
        assert_eq!(meta["node_types"][0][8], "native");
        assert_eq!(meta["edge_types"][0][WEAK as usize], "weak");
        let numbers = |key: &str| -> Vec<u64> {
            read[key].as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).collect()
        };
        let (nodes, edges) = (numbers("nodes"), numbers("edges"));
        assert!(nodes.iter().chain(&edges).all(|&one| u32::try_from(one).is_ok()));
        assert_eq!(read["snapshot"]["node_count"], nodes.len() / FIELDS);
        assert_eq!(read["snapshot"]["edge_count"], edges.len() / 3);
        let strings: Vec<&str> =
            read["strings"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
        let nodes: Vec<[u64; FIELDS]> = nodes.as_chunks().0.to_vec();
        let mut edges = edges.as_chunks::<3>().0.iter();
        let mut rows = Vec::new();
        for node in &nodes {
            let mut row = Vec::new();
            for [kind, name, to] in edges.by_ref().take(node[4] as usize) {
                assert_eq!(to % FIELDS as u64, 0);
                assert!((*to as usize) < nodes.len() * FIELDS);
                assert!(*kind == 1 || (*name as usize) < strings.len());
                if *kind != WEAK {
                    row.push((to / FIELDS as u64) as u32);
                }
            }
            rows.push(row);
        }
        assert_eq!(edges.next(), None, "the counts of the nodes are those of all edges");
        let names = nodes.iter().map(|node| strings[node[1] as usize].to_owned()).collect();
        let ids: BTreeSet<u64> = nodes.iter().map(|node| node[2]).collect();
        assert_eq!(ids.len(), nodes.len(), "ids differ");
        Self { nodes, names, rows }
    }

    fn named<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = usize> + 'f {
        (0..self.names.len()).filter(move |&node| self.names[node].starts_with(prefix))
    }
}

#[test]
fn is_a_heap_snapshot() {
    for_each_of(some(&[(3, 8), (3, 12), (3, 14)]), |interpreter| {
        let arguments = ["--objects", "4000", "--leaks", "60"];
        let target = Fixture::start(interpreter, "held.py", &arguments);
        let (path, file) = File::export(&target.pid_text(), "first");
        assert_eq!(file.named("shop.gateway.Connection").count(), 66, "{interpreter}");
        assert_eq!(file.named("<concurrent.futures.thread.ThreadPoolExecutor ").count(), 6);
        assert_eq!(file.named("class shop.gateway.Gateway").count(), 1, "{interpreter}");

        let dominators = Dominators::of(&file, 0);
        assert_eq!(dominators.order.len(), file.nodes.len(), "{interpreter}: all are reached");
        let retained = dominators.retained(|node| file.nodes[node as usize][3]);
        let total: u64 = file.nodes.iter().map(|node| node[3]).sum();
        assert_eq!(retained[0], total, "{interpreter}");
        as_memlab_has_it(interpreter, &path, &file, &dominators, &retained);

        // The same objects have the same ids in another file.
        let (again, other) = File::export(&target.pid_text(), "second");
        let by_id = |file: &File| -> BTreeMap<u64, String> {
            file.nodes.iter().map(|node| node[2]).zip(file.names.iter().cloned()).collect()
        };
        let (first, second) = (by_id(&file), by_id(&other));
        let same = first.iter().filter(|(id, name)| second.get(id) == Some(*name)).count();
        assert!(same + 50 > first.len(), "{interpreter}: {same} of {}", first.len());
        for path in [path, again] {
            std::fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn shows_sockets_and_proven_leaks() {
    for_each_of(some(&[(3, 11), (3, 13)]), |interpreter| {
        let target = Fixture::start(interpreter, "wakers.py", &[]);
        let (path, file) = File::export(&target.pid_text(), "wakers");
        std::fs::remove_file(path).unwrap();
        let detached: BTreeSet<&str> = (0..file.nodes.len())
            .filter(|&node| file.nodes[node][5] == 2)
            .map(|node| file.names[node].as_str())
            .collect();
        let label = format!("{interpreter}: {detached:#?}");
        assert!(detached.iter().any(|name| name.contains("lost service")), "{label}");
        assert!(detached.iter().any(|name| name.contains("lost gathering")), "{label}");
        assert!(!detached.iter().any(|name| name.contains("kept")), "{label}");
        // All of them are native, or DevTools would not list them.
        assert!(file.nodes.iter().all(|node| node[5] == 0 || node[0] == 8), "{label}");
        let sockets: Vec<&str> =
            file.named("<socket.socket fd=").map(|node| file.names[node].as_str()).collect();
        assert!(sockets.len() >= 4, "{interpreter}: {sockets:?}");
        assert!(sockets.iter().all(|name| name.contains(" CONNECTED")), "{sockets:?}");
    });
}

/// Holds dominators and retained sizes against memlab's own.
fn as_memlab_has_it(
    interpreter: &Interpreter,
    path: &Path,
    file: &File,
    dominators: &Dominators,
    retained: &[u64],
) {
    let modules = store().join("memlab/node_modules");
    if !modules.is_dir() {
        not_run("memlab's own dominators: no memlab (tests/provision.sh --libraries)");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graph/memlab.js");
    // It makes folders of its own where temporary files are.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("node");
    command.arg("--max-old-space-size=2048").arg(script).arg(path);
    let output = command.env("NODE_PATH", modules).env("TMPDIR", folder.path()).output();
    let output = output.unwrap_or_else(|problem| panic!("node does not start: {problem}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs: BTreeMap<u64, (u64, u64)> = text
        .lines()
        .map(|line| {
            let numbers: Vec<u64> =
                line.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
            (numbers[0], (numbers[1], numbers[2]))
        })
        .collect();
    assert_eq!(theirs.len(), file.nodes.len(), "{interpreter}");
    for (node, fields) in file.nodes.iter().enumerate().skip(1) {
        let above = match dominators.parent[node] {
            NONE => 0,
            above => file.nodes[above as usize][2],
        };
        assert_eq!(
            theirs[&fields[2]],
            (above, retained[node]),
            "{interpreter}: {} {}",
            fields[2],
            file.names[node]
        );
    }
}
