//! Building the graph: every object is read once.
//!
//! The lists of the collector say which objects are tracked. These are visited in the order of
//! their addresses, so that memory is read page by page; what they refer to and was not met
//! before is visited next, again in the order of the addresses, until nothing new is met. Nodes
//! are numbered as they are visited: interpreters, threads and frames, everything tracked,
//! then the rest. No step depends on how deep structures are nested.

use super::edges::Edges;
use super::index::Place;
use super::plan::{Plan, SizeKind, Traversal, traverse_of};
use super::window::Window;
use super::{Graph, GraphType, IMMORTAL, NO_TYPE, Node, Special, ThreadNode, size};
use crate::cpython::{FrameWords, Interpreter, KeysTable, ObjectError, Python, ThreadState, Type};
use crate::heap::generations::collectors;
use crate::heap::walk::walk;
use crate::memory::Address;
use crate::memory::room::room;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Objects of one process that are followed.
const MAX_NODES: usize = 1 << 31;
/// Addresses below are never objects.
const LOWEST: u64 = 4096;
/// Addresses that were found to be no types, and are not looked at again.
const MAX_REJECTED: usize = 1 << 18;

/// Reads the graph of everything that `interpreters` hold.
pub fn build(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
) -> Result<Graph, ObjectError> {
    let mut graph = Graph::default();
    let (specials, unreadable) = specials(python, interpreters)?;
    graph.statistics.unreadable = unreadable;
    let mut builder = Builder::new(python, graph, specials);
    let mut tracked = Vec::new();
    for (_, state) in collectors(python, runtime, interpreters)? {
        builder.graph.statistics.collecting |= state.collecting;
        for generation in &state.generations {
            let broken = walk(python, generation.head, state.collecting, |object| {
                tracked.push(object.address.get());
                builder.meet_type(object.class.get());
            })?;
            builder.graph.statistics.broken_lists += u64::from(broken.is_some());
        }
    }
    builder.fatal()?;
    builder.plan_types();
    tracked.sort_unstable();
    tracked.dedup();
    builder.graph.statistics.tracked = tracked.len() as u64;
    builder.make_room(tracked.len());
    builder.track(&tracked);
    builder.special_rows(interpreters)?;
    builder.visit(tracked, true)?;
    loop {
        let mut fresh = std::mem::take(&mut builder.edges.fresh);
        if fresh.is_empty() {
            python.memory().settle();
            return Ok(builder.finish());
        }
        fresh.sort_unstable();
        builder.visit(fresh, false)?;
    }
}

/// A graph that is being built.
pub(super) struct Builder<'p, 'a> {
    pub(super) python: &'p Python<'a>,
    pub(super) graph: Graph,
    pub(super) edges: Edges<'a>,
    /// Where the objects are, in the order of their nodes.
    places: Vec<Place>,
    /// What the structs of the interpreter point to.
    pub(super) in_states: Vec<Place>,
    /// Types by address; `None` for what is no type.
    types: FxHashMap<u64, Option<u32>>,
    last_class: (u64, Option<u32>),
    pub(super) plans: Vec<Rc<Plan>>,
    traversal: Traversal,
    /// Variables of code objects.
    pub(super) slots: FxHashMap<Address, u64>,
    /// The keys of a dict that were read last.
    pub(super) last_keys: Option<(Address, KeysTable)>,
    pub(super) frame_words: Option<FrameWords>,
    pub(super) window: Window,
    pub(super) bytes: Vec<u8>,
}

impl<'p, 'a> Builder<'p, 'a> {
    fn new(python: &'p Python<'a>, mut graph: Graph, specials: Vec<(Special, Address)>) -> Self {
        (graph.specials, graph.special_addresses) = specials.into_iter().unzip();
        let count = graph.specials.len();
        graph.classes = vec![NO_TYPE; count];
        graph.refcounts = vec![IMMORTAL; count];
        graph.sizes = vec![0; count];
        Self {
            python,
            graph,
            edges: Edges::new(python.memory(), count),
            places: Vec::new(),
            in_states: Vec::new(),
            types: FxHashMap::default(),
            last_class: (0, None),
            plans: Vec::new(),
            traversal: Traversal::default(),
            slots: FxHashMap::default(),
            last_keys: None,
            frame_words: FrameWords::of(python.layout()),
            window: Window::default(),
            bytes: Vec::new(),
        }
    }

    fn fatal(&self) -> Result<(), ObjectError> {
        self.edges.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Keeps an error that ends the capture, counts any other.
    pub(super) fn note(&mut self, error: &ObjectError) {
        match error.fatal() {
            Some(fatal) => self.edges.error = self.edges.error.or(Some(fatal)),
            None => self.graph.statistics.unreadable += 1,
        }
    }

    // Types.

    fn meet_type(&mut self, raw: u64) -> Option<u32> {
        if self.last_class.0 != raw {
            self.last_class = (raw, self.type_index(raw));
        }
        self.last_class.1
    }

    /// The number of a type; `None` when there is none at the address.
    fn type_index(&mut self, raw: u64) -> Option<u32> {
        if let Some(&known) = self.types.get(&raw) {
            return known;
        }
        let found = match raw % 8 {
            0 if raw >= LOWEST => match self.python.type_at(Address::new(raw)) {
                Ok(class) => Some(self.add_type(class)),
                Err(error) => {
                    self.edges.error = self.edges.error.or(error.fatal());
                    None
                }
            },
            _ => None,
        };
        if found.is_some() || self.types.len() < MAX_REJECTED {
            self.types.insert(raw, found);
        }
        found
    }

    fn add_type(&mut self, class: Rc<Type>) -> u32 {
        let index = self.graph.types.len() as u32;
        self.graph.types.push(GraphType { class: Rc::clone(&class), inferred: false });
        if self.traversal.subtype != Address::NULL {
            self.plan(&class);
        }
        index
    }

    fn plan(&mut self, class: &Rc<Type>) {
        let plan = Plan::of(self.python, class, &self.traversal);
        if let Some(known) = self.graph.types.get_mut(self.plans.len()) {
            known.inferred = plan.inferred;
        }
        self.plans.push(Rc::new(plan));
    }

    /// Finds out which traversal is that of classes made by `class` statements, by far the most
    /// of all heap types, and plans for all types met so far.
    fn plan_types(&mut self) {
        let mut votes: FxHashMap<Address, u32> = FxHashMap::default();
        for known in &self.graph.types {
            if known.class.flags.heap_type() && known.class.flags.has_gc() {
                *votes.entry(traverse_of(self.python, known.class.address)).or_default() += 1;
            }
        }
        votes.remove(&Address::NULL);
        let most = votes.into_iter().max_by_key(|&(at, count)| (count, at));
        // Without any class, nothing must match.
        self.traversal.subtype = most.map_or(Address::new(u64::MAX), |(at, _)| at);
        let classes: Vec<Rc<Type>> =
            self.graph.types.iter().map(|known| Rc::clone(&known.class)).collect();
        for class in classes {
            self.plan(&class);
        }
    }

    // Objects.

    /// Makes room for what is usual: the collector tracks less than half of all objects.
    fn make_room(&mut self, tracked: usize) {
        /// Nodes, and references, for each tracked object.
        const NODES: usize = 4;
        const REFERENCES: usize = 6;
        let nodes = tracked.saturating_mul(NODES);
        for column in [&mut self.graph.classes, &mut self.graph.sizes, &mut self.graph.refcounts] {
            let begun = std::mem::replace(column, room(nodes));
            column.extend(begun);
        }
        self.places = room(nodes);
        self.edges.make_room(nodes, tracked.saturating_mul(REFERENCES));
    }

    /// Notes which objects are tracked, before any of them is visited.
    fn track(&mut self, tracked: &[u64]) {
        for &raw in tracked {
            if let Some(place) = self.edges.place(raw) {
                self.edges.index.ask(place);
                self.edges.index.know(place);
            }
        }
    }

    /// Visits what may be objects at these ascending addresses. Those that are become nodes.
    fn visit(&mut self, addresses: Vec<u64>, tracked: bool) -> Result<(), ObjectError> {
        let object = &self.python.layout().structs.object;
        let class_at = object.ob_type.offset as usize;
        let size_at = self.python.layout().structs.var_object.ob_size.offset as usize;
        for raw in addresses {
            self.fatal()?;
            if self.graph.classes.len() >= MAX_NODES {
                self.graph.statistics.unreadable += 1;
                continue;
            }
            let Some(place) = self.edges.index.place(raw) else {
                self.graph.statistics.unreadable += u64::from(tracked);
                continue;
            };
            let Some(head) = self.head(raw) else {
                self.graph.statistics.unreadable += u64::from(tracked);
                self.edges.index.forget(place);
                continue;
            };
            let class = self.meet_type(word(&head, class_at));
            let Some(class) = class.filter(|_| tracked || self.is_counted(&head)) else {
                self.graph.statistics.unreadable += u64::from(tracked);
                self.edges.index.forget(place);
                continue;
            };
            self.edges.index.know(place);
            self.places.push(place);
            self.graph.classes.push(class);
            self.graph.refcounts.push(self.refcount(word(&head, 0)));
            let length = u32::try_from(word(&head, size_at)).unwrap_or(0);
            self.references(raw, class, length);
            self.edges.end_row();
        }
        self.fatal()
    }

    /// Reference count, type, and the word behind it: the object may be the last before a hole.
    fn head(&mut self, raw: u64) -> Option<[u8; 24]> {
        let (memory, address) = (self.python.memory(), Address::new(raw));
        let mut head = [0; 24];
        for length in [24, 16] {
            match self.window.bytes(memory, address, length) {
                Ok(bytes) => {
                    head.get_mut(..length)?.copy_from_slice(bytes);
                    return Some(head);
                }
                Err(error) if error.is_fault() => {}
                Err(error) => {
                    self.edges.error = self.edges.error.or(Some(error));
                    return None;
                }
            }
        }
        None
    }

    fn refcount(&self, word: u64) -> u32 {
        let field = self.python.layout().structs.object.refcount;
        let raw = field.in_bytes(&word.to_le_bytes()).unwrap_or(0);
        if self.python.layout().traits.immortal_objects && (raw as u32 as i32) < 0 {
            return IMMORTAL;
        }
        u32::try_from(raw).unwrap_or(IMMORTAL)
    }

    /// The first word is a reference count. A freed block begins with a link to the next; a
    /// struct may begin with a pointer.
    fn is_counted(&self, head: &[u8; 24]) -> bool {
        let first = word(head, 0);
        let refcount = self.refcount(first);
        let field = self.python.layout().structs.object.refcount;
        let is_object =
            || self.edges.index.place(first).is_some_and(|at| self.edges.index.is_known(at));
        refcount != 0
            && (refcount != IMMORTAL || self.python.layout().traits.immortal_objects)
            && field.in_bytes(head).is_some_and(|raw| raw < 1 << 32)
            && !(first.is_multiple_of(8) && is_object())
    }

    /// The size of an object and what it refers to.
    fn references(&mut self, raw: u64, class: u32, length: u32) {
        let Some(plan) = self.plans.get(class as usize).map(Rc::clone) else {
            self.graph.push_size(0);
            return;
        };
        let size = match plan.kind {
            SizeKind::Integer => size::integer(self.python, &plan.class, length),
            _ => plan.fixed_size(length, 0),
        };
        if plan.is_leaf() && plan.kind != SizeKind::Text {
            self.graph.push_size(size);
            return;
        }
        let mut measured = size;
        if let Err(error) = self.object(Address::new(raw), &plan, length, &mut measured) {
            self.note(&error);
        }
        self.graph.push_size(measured);
    }

    fn finish(mut self) -> Graph {
        let first = self.graph.specials.len() as Node;
        self.edges.index.number(&self.places, first);
        let graph = &mut self.graph;
        graph.statistics.inferred = self.edges.resolve(&mut graph.refcounts);
        graph.statistics.references = self.edges.targets.len() as u64;
        graph.statistics.unreadable += self.edges.left_out;
        let index = &self.edges.index;
        let in_states = self.in_states.iter().filter_map(|&place| index.node(place));
        graph.in_states = in_states.collect();
        graph.places = self.places;
        graph.index = self.edges.index;
        graph.rows = self.edges.rows;
        graph.targets = self.edges.targets;
        graph.labels = self.edges.labels;
        graph.add_root();
        self.graph
    }
}

/// Interpreters, threads and their frames, and how many of these could not be read.
fn specials(
    python: &Python<'_>,
    interpreters: &[Interpreter],
) -> Result<(Vec<(Special, Address)>, u64), ObjectError> {
    let mut found: Vec<(Special, Address)> =
        interpreters.iter().map(|one| (Special::Interpreter { id: one.id }, one.address)).collect();
    let mut unreadable = 0;
    let mut threads: Vec<(ThreadState, ThreadNode)> = Vec::new();
    for interpreter in interpreters {
        let names = python.thread_names(interpreter).unwrap_or_default();
        for state in python.threads(interpreter)? {
            let known = names.iter().find(|known| known.ident == state.ident);
            let thread = ThreadNode {
                ident: state.ident,
                native_id: state.native_id.or(known.and_then(|known| known.native_id)),
                name: known.and_then(|known| known.name.clone()),
            };
            threads.push((state, thread));
        }
    }
    for (state, thread) in threads {
        let node = found.len() as Node;
        found.push((Special::Thread(thread), state.address));
        let stack = python.stack(&state)?;
        unreadable += u64::from(stack.cut.is_some());
        for frame in stack.frames {
            let address = frame.address;
            found.push((Special::Frame { thread: node, frame }, address));
        }
    }
    Ok((found, unreadable))
}

/// The word at an offset of a copy; 0 beyond it.
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_le_bytes)
}
