//! Graphs made by hand: written, read back, cut, bent, asked and compared.

use super::answer::{Selected, Show};
use super::compare::compare;
use super::{NONE, SECTION, StoredGraph, StoredOwner, StoredPath, StoredStep, StoredType};
use crate::snapshot::file::SnapshotFile;
use crate::snapshot::holders::Owner;
use std::collections::BTreeMap;
use std::path::Path;

/// A module with a list of so many things of 64 bytes, each with a name of 50 that nothing else
/// holds, and a class that all of them know.
fn service(things: u32) -> StoredGraph {
    let step = |kind: &str, text: &str| StoredStep {
        kind: kind.to_owned(),
        text: text.to_owned(),
        inferred: false,
    };
    let class = |name: &str, kind: Option<&str>| StoredType {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        entry: None,
        garbage: u64::from(name == "shop.Thing") * 2,
        garbage_bytes: 128,
    };
    let path = |parent, step, class, owner| StoredPath { parent, step, class, owner };
    let mut graph = StoredGraph {
        types: vec![
            class("builtins.module", None),
            class("builtins.list", None),
            class("shop.Thing", Some("thing")),
            class("builtins.str", None),
        ],
        steps: vec![
            step("module", "module shop"),
            step("global", "LIVE"),
            step("item", "[item]"),
            step("attribute", ".name"),
        ],
        paths: vec![
            path(0, NONE, NONE, NONE),
            path(0, 0, 0, NONE),
            path(1, 1, 1, 0),
            path(2, 2, 2, NONE),
            path(3, 3, 3, NONE),
        ],
        owners: vec![StoredOwner {
            owner: Some(Owner {
                kind: "module".to_owned(),
                name: "shop".to_owned(),
                location: None,
            }),
            live: None,
        }],
        ..StoredGraph::default()
    };
    let nodes = &mut graph.nodes;
    let mut add = |parent: u32, path: u32, class: u32, size: u64, address: u64, length: u64| {
        let own = nodes.parent.len() as u32;
        nodes.parent.push(parent);
        nodes.path.push(path);
        nodes.class.push(class);
        nodes.size.push(size);
        nodes.address.push(address);
        nodes.dominator.push(parent);
        nodes.holder.push(parent);
        nodes.length.push(length);
        own
    };
    let none = u64::MAX;
    let root = add(0, 0, NONE, 0, 0, none);
    let module = add(root, 1, 0, 72, 0x7000, none);
    let list = add(module, 2, 1, 500, 0x7100, things.into());
    for thing in 0..u64::from(things) {
        let thing = add(list, 3, 2, 64, 0x10000 + thing * 64, none);
        add(thing, 4, 3, 50, 0x80000 + u64::from(thing) * 32, none);
    }
    nodes.surplus.push((1, 2));
    graph
}

fn parts(graph: &StoredGraph) -> BTreeMap<String, Vec<u8>> {
    let sections = graph.sections().unwrap();
    sections.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

fn things(graph: &StoredGraph) -> crate::snapshot::Holders {
    let selected = Selected::Resources { name: "thing", addresses: None };
    graph.holders(&selected, Show { groups: 8, depth: 16 })
}

#[test]
fn a_graph_reads_back_as_it_was() {
    for graph in [service(1), service(700)] {
        assert_eq!(StoredGraph::from_sections(&parts(&graph)).unwrap(), graph);
    }
    // Paths that no node is on are not kept.
    let empty = StoredGraph::from_sections(&parts(&service(0))).unwrap();
    assert_eq!((empty.nodes, empty.paths.len()), (service(0).nodes, 3));
    // What repeats costs next to nothing.
    let sections = service(10_000).sections().unwrap();
    let bytes: usize = sections.iter().map(|(_, text)| text.len()).sum();
    assert!(bytes < 20_000 / 4, "{bytes}");
}

#[test]
fn a_graph_of_the_first_version_stays_readable() {
    // As the first version wrote it; not to be made again.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/graph-1.pysnap");
    let graph = SnapshotFile::open(&path).unwrap().graph().unwrap().unwrap();
    let now = service(40);
    assert_eq!((&graph.nodes.address, &graph.nodes.size), (&now.nodes.address, &now.nodes.size));
    assert_eq!((&graph.paths, &graph.steps), (&now.paths, &now.steps));
    assert_eq!(things(&graph), things(&now));
    // Written again, it is what it was.
    assert_eq!(StoredGraph::from_sections(&parts(&graph)).unwrap(), graph);
}

#[test]
fn a_graph_that_contradicts_itself_is_refused() {
    let mut graph = service(3);
    graph.nodes.dominator[4] = 6;
    assert!(graph.sections().is_err());
    let mut newer = parts(&service(3));
    newer.insert(SECTION.to_owned(), b"{\"version\":3}\n".to_vec());
    let error = StoredGraph::from_sections(&newer).unwrap_err();
    assert!(error.to_string().contains("version 3"), "{error}");
}

#[test]
fn no_bent_byte_and_no_missing_one_ends_us() {
    let whole = parts(&service(6));
    let show = Show { groups: 8, depth: 16 };
    let mut read = 0;
    for name in whole.keys() {
        for at in 0..whole[name].len() {
            let mut cut = whole.clone();
            cut.insert(name.clone(), whole[name][..at].to_vec());
            // A line without its end.
            let may = name == "graph" && at + 1 == whole[name].len();
            assert!(StoredGraph::from_sections(&cut).is_err() || may, "{name} cut at {at}");
            let mut bent = whole.clone();
            bent.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let Ok(graph) = StoredGraph::from_sections(&bent) else { continue };
            // Whatever it says now, it can be asked, compared and written.
            read += 1;
            graph.holders(&Selected::Object(0x10000), show);
            things(&graph);
            compare(&graph, &service(3), true, 5);
            compare(&service(3), &graph, false, 5);
            let _ = graph.sections();
        }
        let mut without = whole.clone();
        without.remove(name);
        assert!(StoredGraph::from_sections(&without).is_err(), "{name}");
    }
    assert!(read > 20, "{read}");
}

#[test]
fn who_holds_them_is_told_with_what_goes_with_them() {
    let holders = things(&service(40));
    assert_eq!((holders.total, holders.garbage), (42, 2));
    assert_eq!(holders.retained_bytes, 40 * 114);
    assert_eq!(holders.retained.get("thing"), Some(&40));
    let [group] = &holders.groups[..] else { panic!("{holders:#?}") };
    assert_eq!((group.count, group.total), (40, 42));
    assert_eq!(group.path, "module shop › LIVE › [item]");
    assert_eq!(group.steps[1].class, "builtins.list");
    let container = group.accumulation.as_ref().unwrap();
    assert_eq!((container.length, container.path.as_str()), (Some(40), "module shop › LIVE"));
    assert_eq!(group.owner.as_ref().unwrap().name, "shop");
    assert!(group.only_holder);
    // One alone: the list is the nearest container.
    let one = service(40).holders(&Selected::Object(0x10040), Show { groups: 8, depth: 16 });
    assert_eq!(one.groups[0].accumulation.as_ref().unwrap().address, "0x7100");
    // Held by something else as well.
    let mut shared = service(40);
    shared.nodes.dominator[5] = 0;
    shared.nodes.holder[5] = 1;
    assert!(!things(&shared).groups[0].only_holder);
}

#[test]
fn what_grew_is_named_once() {
    let found = compare(&service(10), &service(40), true, 20);
    assert_eq!((found.stayed, found.appeared), (Some(22), Some(60)));
    let [row] = &found.grew[..] else { panic!("{found:#?}") };
    assert_eq!(row.path, "module shop › LIVE › [item]");
    assert_eq!((row.count, row.retained_bytes, row.stayed), ([10, 40], [1140, 4560], Some(10)));
    assert_eq!(row.owner.as_ref().unwrap().name, "shop");
    let [largest] = &found.largest[..] else { panic!("{found:#?}") };
    assert_eq!((largest.address.as_str(), largest.length), ("0x7100", Some(40)));
    assert_eq!(largest.retained_bytes, [500 + 1140, 500 + 4560]);
    let back = compare(&service(40), &service(10), false, 20);
    assert!(back.grew.is_empty() && back.stayed.is_none() && back.largest.is_empty());
    assert_eq!(back.shrank[0].count, [40, 10]);
}
