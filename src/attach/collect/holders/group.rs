//! Paths that read the same, and where they part.

use crate::heap::graph::names::{Names, Step, StepKind};
use crate::heap::graph::paths::Paths;
use crate::heap::graph::{Graph, GraphType, Kind, Node, Special};
use crate::snapshot::holders::{Accumulation, HolderGroup, PathStep};
use crate::snapshot::secrets::mask_text;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// A dict in which more keys than this lead to objects is a registry: its keys are data.
const LITERAL_KEYS: u32 = 3;
/// Steps that read the same, one after the other, before the rest is left out.
const REPEATS: usize = 2;

/// A path as it is shown; paths that begin the same share their beginning.
pub(super) struct Shown {
    pub(super) parent: u32,
    pub(super) step: Step,
    pub(super) class: String,
}

/// Groups of objects, the largest first.
pub(super) struct Groups {
    shown: Vec<Shown>,
    /// The path of each group, and its members.
    groups: Vec<(u32, Vec<Node>)>,
}

/// Makes the paths.
pub(super) struct Trie<'t, 'n, 'm> {
    pub(super) names: &'t mut Names<'n, 'm>,
    graph: &'t Graph,
    paths: &'t Paths,
    /// The first one is empty: that of the root.
    pub(super) shown: Vec<Shown>,
    known: FxHashMap<(u32, Step), u32>,
    /// Paths by what their last steps are made of.
    by_sign: FxHashMap<Sign, u32>,
    /// Of each type: no step to an instance depends on which one it is.
    alike: Vec<bool>,
    /// Of each node, its path plus one.
    of_node: Vec<u32>,
    /// How many best paths to the targets part at each node, and [`SEEN`].
    fan_out: Vec<u32>,
}

/// Marks a node that a path was followed to.
const SEEN: u32 = 1 << 31;

/// What makes up the text of a step: where all of it is the same, so is the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Sign {
    /// The path before it.
    path: u32,
    kind: Kind,
    inferred: bool,
    /// The key object of a dict's entry, or the place in a struct.
    detail: u64,
    /// The types of the node, of what refers to it, and of whose namespace that is.
    types: [u32; 3],
}

impl Groups {
    /// Groups `targets` by their best paths.
    pub(super) fn of(
        names: &mut Names<'_, '_>,
        graph: &Graph,
        paths: &Paths,
        targets: &[Node],
    ) -> Self {
        let mut fan_out = vec![0u32; graph.len()];
        for &target in targets {
            let mut at = target;
            while let Some(count) = fan_out.get_mut(at as usize) {
                if *count & SEEN != 0 {
                    break;
                }
                *count |= SEEN;
                let Some((parent, _)) = paths.parent(at) else { break };
                if let Some(count) = fan_out.get_mut(parent as usize) {
                    *count += 1;
                }
                at = parent;
            }
        }
        let of_node = vec![0u32; graph.len()];
        let mut trie = Trie { fan_out, of_node, ..Trie::new(names, graph, paths) };
        let mut members: FxHashMap<u32, Vec<Node>> = FxHashMap::default();
        for &target in targets {
            let path = trie.path(target);
            members.entry(path).or_default().push(target);
        }
        let mut groups: Vec<(u32, Vec<Node>)> = members.into_iter().collect();
        groups.sort_unstable_by_key(|(path, members)| (Reverse(members.len()), *path));
        Self { shown: trie.shown, groups }
    }

    /// The members of all groups.
    pub(super) fn members(&self) -> Vec<&[Node]> {
        self.groups.iter().map(|(_, members)| members.as_slice()).collect()
    }

    /// The members of one group.
    pub(super) fn group(&self, index: usize) -> Option<&[Node]> {
        self.groups.get(index).map(|(_, members)| members.as_slice())
    }

    fn steps(&self, mut path: u32) -> Vec<&Shown> {
        let mut steps = Vec::new();
        while path != 0 {
            let Some(shown) = self.shown.get(path as usize) else { break };
            steps.push(shown);
            path = shown.parent;
        }
        steps.reverse();
        steps
    }

    /// A group as data, without what else holds it.
    pub(super) fn describe(
        &mut self,
        names: &mut Names<'_, '_>,
        graph: &Graph,
        paths: &Paths,
        index: usize,
        depth: usize,
    ) -> HolderGroup {
        let Some((path, members)) = self.groups.get(index) else { return HolderGroup::default() };
        let steps = self.steps(*path);
        let first = steps.first().map_or(StepKind::Field, |shown| shown.step.kind);
        let from_c = match (first, members.first()) {
            (StepKind::HeldFromC, Some(&member)) => {
                let chain = paths.chain(member);
                chain.first().map(|&node| u64::from(graph.surplus(node)))
            }
            _ => None,
        };
        let container = self.container(names, graph, paths, index);
        HolderGroup {
            count: members.len() as u64,
            root: first.name().to_owned(),
            path: line(&steps, depth),
            inferred: steps.iter().any(|shown| shown.step.inferred),
            steps: steps
                .iter()
                .map(|shown| PathStep {
                    kind: shown.step.kind.name().to_owned(),
                    text: mask_text(&shown.step.text),
                    class: shown.class.clone(),
                })
                .collect(),
            accumulation: container.map(|node| self.accumulation(names, graph, paths, node, depth)),
            from_c,
            ..HolderGroup::default()
        }
    }

    fn accumulation(
        &self,
        names: &mut Names<'_, '_>,
        graph: &Graph,
        paths: &Paths,
        node: Node,
        depth: usize,
    ) -> Accumulation {
        let steps = Self::of(names, graph, paths, &[node]);
        let path = steps.groups.first().map_or(0, |(path, _)| *path);
        Accumulation {
            class: names.class_name(node),
            address: graph.address(node).to_string(),
            length: names.length(node),
            path: line(&steps.steps(path), depth),
        }
    }

    /// Where the paths of the members part; of one member, the container nearest to it.
    pub(super) fn container(
        &self,
        names: &Names<'_, '_>,
        graph: &Graph,
        paths: &Paths,
        index: usize,
    ) -> Option<Node> {
        let members = self.group(index)?;
        let (&first, rest) = members.split_first()?;
        let chain = paths.chain(first);
        // The last node that all pass, counted from the root; never a member itself.
        let mut shared = chain.len().checked_sub(1)?;
        let mut place: FxHashMap<Node, usize> =
            chain.iter().enumerate().map(|(place, &node)| (node, place)).collect();
        let mut climbed = Vec::new();
        for &member in rest {
            let mut at = member;
            loop {
                match place.get(&at) {
                    Some(&here) => {
                        shared = shared.min(here + 1);
                        // Not to be climbed again: members may be below each other.
                        place.extend(climbed.drain(..).map(|node| (node, here)));
                        break;
                    }
                    None => match paths.parent(at) {
                        Some((parent, _)) => {
                            climbed.push(at);
                            at = parent;
                        }
                        None => {
                            shared = 0;
                            break;
                        }
                    },
                }
            }
        }
        let common = chain.get(..shared)?;
        if members.len() > 1 {
            return common.last().copied().filter(|&node| graph.class(node).is_some());
        }
        let is_container = |node: &&Node| {
            names.length(**node).is_some_and(|_| {
                let label = paths.parent(**node).map(|(_, label)| label.kind());
                label.is_some_and(|kind| kind != Kind::Namespace)
                    && graph.class(**node).is_some_and(|class| {
                        !matches!(class.name(), "builtins.tuple" | "builtins.str")
                    })
            })
        };
        common
            .iter()
            .rev()
            .find(is_container)
            .or_else(|| {
                common.iter().rev().find(|&&node| {
                    !matches!(
                        graph.special(node),
                        Some(Special::Interpreter { .. } | Special::Thread(_) | Special::Root)
                    )
                })
            })
            .copied()
    }
}

impl<'t, 'n, 'm> Trie<'t, 'n, 'm> {
    /// Only the path of the root.
    pub(super) fn new(names: &'t mut Names<'n, 'm>, graph: &'t Graph, paths: &'t Paths) -> Self {
        let empty = Step { kind: StepKind::Field, text: String::new(), inferred: false };
        let root = Shown { parent: 0, step: empty, class: String::new() };
        Self {
            names,
            graph,
            paths,
            shown: vec![root],
            known: FxHashMap::default(),
            by_sign: FxHashMap::default(),
            alike: graph.types().iter().map(is_alike).collect(),
            of_node: Vec::new(),
            fan_out: Vec::new(),
        }
    }

    /// The path of a node; those of the nodes before it are made, or known.
    fn path(&mut self, target: Node) -> u32 {
        let mut chain = Vec::new();
        let mut at = target;
        let mut path = 0;
        loop {
            if let Some(known) = self.of_node.get(at as usize).and_then(|path| path.checked_sub(1))
            {
                path = known;
                break;
            }
            let Some((parent, _)) = self.paths.parent(at) else { break };
            chain.push(at);
            at = parent;
        }
        while let Some(node) = chain.pop() {
            path = self.next(path, node);
            if let Some(slot) = self.of_node.get_mut(node as usize) {
                *slot = path + 1;
            }
        }
        path
    }

    /// The path of a node, when `path` is the one of the node before it.
    fn next(&mut self, path: u32, node: Node) -> u32 {
        let sign = self.sign(path, node);
        if let Some(&known) = sign.and_then(|sign| self.by_sign.get(&sign)) {
            return known;
        }
        let fan_out = &self.fan_out;
        let literal = |dict: Node| is_literal(fan_out, dict);
        let Some(mut step) = self.names.step(self.paths, node, &literal) else { return path };
        if let Some((event_loop, handles)) = self.event_loop(node, &step) {
            let text = "event loop".to_owned();
            let kind = StepKind::EventLoop;
            let path = self.add(0, Step { kind, text, inferred: false }, event_loop);
            step.text = handles.to_owned();
            return self.add(path, step, node);
        }
        // Whether the others lead out of an event loop is to be asked each time.
        let sign = sign.filter(|_| step.kind != StepKind::Field && !step.text.starts_with("._"));
        let path = self.add(path, step, node);
        if let Some(sign) = sign {
            self.by_sign.insert(sign, path);
        }
        path
    }

    /// What the step to a node is made of; `None` where that is the node itself.
    fn sign(&mut self, path: u32, node: Node) -> Option<Sign> {
        const NONE: u32 = u32::MAX;
        let (from, label) = self.paths.parent(node)?;
        let (own, before) = (self.graph.type_number(node)?, self.graph.type_number(from)?);
        if self.alike.get(own as usize) != Some(&true) {
            return None;
        }
        let mut owner = NONE;
        let detail = match label.kind() {
            Kind::Value if self.names.is_modules(from) => return None,
            Kind::Value => {
                let above = self.paths.parent(from);
                let named = match above.filter(|(_, label)| label.kind() == Kind::Namespace) {
                    Some((above, _)) => {
                        owner = self.graph.type_number(above)?;
                        true
                    }
                    None => is_literal(&self.fan_out, from),
                };
                if named { self.names.key(from, label.place())?.get() } else { 0 }
            }
            // The variables of a closure lie in a tuple, and their names in its function.
            Kind::Item => match self.paths.parent(from) {
                Some((_, label)) if label.kind() == Kind::Field => return None,
                _ => 0,
            },
            Kind::Attribute | Kind::Field => label.place(),
            Kind::Member | Kind::Key => 0,
            _ => return None,
        };
        let types = [own, before, owner];
        Some(Sign { path, kind: label.kind(), inferred: label.is_inferred(), detail, types })
    }

    /// The event loop that has a node among what it will call, and what it has there.
    fn event_loop(&self, node: Node, step: &Step) -> Option<(Node, &'static str)> {
        let mut from = self.paths.parent(node)?.0;
        // The attributes of an instance are in it, or in a dict that is its own.
        for _ in 0..2 {
            if let Some(handles) = self.names.of_event_loop(from, step) {
                return Some((from, handles));
            }
            from = self.paths.parent(from)?.0;
        }
        None
    }

    /// The path that goes on from `parent` by a step to a node.
    pub(super) fn add(&mut self, parent: u32, step: Step, node: Node) -> u32 {
        let parent = self.home(parent, &step, node);
        let same = |path: u32| self.shown.get(path as usize).filter(|shown| shown.step == step);
        let mut repeats = 0;
        let mut up = parent;
        while let Some(shown) = same(up) {
            repeats += 1;
            if repeats == REPEATS {
                return parent;
            }
            up = shown.parent;
        }
        if let Some(&known) = self.known.get(&(parent, step.clone())) {
            return known;
        }
        let path = self.shown.len() as u32;
        let class = self.names.class_name(node);
        self.shown.push(Shown { parent, step: step.clone(), class });
        self.known.insert((parent, step), path);
        path
    }

    /// A class belongs to the module it says, not to the one that imported it first.
    fn home(&mut self, parent: u32, step: &Step, node: Node) -> u32 {
        if step.kind != StepKind::Class {
            return parent;
        }
        let Some(shown) = self.shown.get(parent as usize) else { return parent };
        if shown.step.kind != StepKind::Module {
            return parent;
        }
        let Some(module) = self.names.home_of_class(self.graph.address(node)) else {
            return parent;
        };
        let text = format!("module {module}");
        if shown.step.text == text {
            return parent;
        }
        let (above, class) = (shown.parent, shown.class.clone());
        let step = Step { kind: StepKind::Module, text, inferred: false };
        if let Some(&known) = self.known.get(&(above, step.clone())) {
            return known;
        }
        let path = self.shown.len() as u32;
        self.shown.push(Shown { parent: above, step: step.clone(), class });
        self.known.insert((above, step), path);
        path
    }
}

/// Keys of the dict are told apart.
fn is_literal(fan_out: &[u32], dict: Node) -> bool {
    fan_out.get(dict as usize).is_none_or(|&count| count & !SEEN <= LITERAL_KEYS)
}

/// Instances are not called by names of their own, as classes and functions are.
fn is_alike(known: &GraphType) -> bool {
    let code = [
        "builtins.function",
        "builtins.method",
        "builtins.coroutine",
        "builtins.generator",
        "builtins.async_generator",
    ];
    !known.class.flags.type_subclass() && !code.contains(&known.class.name())
}

/// The steps as one line, at most `depth` of them: the middle is left out.
fn line(steps: &[&Shown], depth: usize) -> String {
    let texts: Vec<String> = steps.iter().map(|shown| mask_text(&shown.step.text)).collect();
    crate::snapshot::holders::line(&texts, depth)
}
