//! Building the graph: nodes and edges, in one pass over the nodes.
//!
//! Nodes get their numbers as they are met: threads, frames and interpreters, then everything
//! tracked, then what these refer to. Edges are found node by node in the order of the numbers,
//! so that the rows of the forward table follow each other without being sorted. No step
//! depends on how deep structures are nested.

use super::label::{Kind, Label};
use super::plan::{Plan, SizeKind, Table, Traversal, traverse_of};
use super::size;
use super::{Graph, GraphType, IMMORTAL, Node, Special, Statistics, ThreadNode};
use crate::cpython::{
    DictTable, Entries, FrameWords, Interpreter, ObjectError, Python, ThreadState, Type,
};
use crate::heap::generations::collectors;
use crate::heap::walk::{GC_HEAD, TrackedObject, walk};
use crate::layout::traits::FrameChain;
use crate::memory::{Address, MemoryError};
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;

/// Objects of one process that are followed.
const MAX_NODES: usize = 1 << 31;
/// References that are kept: several dicts that claim the same large table are a forgery.
const MAX_EDGES: usize = 1 << 28;
/// Addresses below are never objects.
const LOWEST: u64 = 4096;
/// Words fetched by one read.
const CHUNK: u64 = 2048;
/// Addresses that were found to be no objects, and are not looked at again.
const MAX_REJECTED: usize = 1 << 18;
/// `owner` of a frame record that lies in a generator, and in a frame object
/// (Include/internal/pycore_frame.h, 3.11+).
const OWNED_BY_GENERATOR: u64 = 1;
const OWNED_BY_FRAME_OBJECT: u64 = 2;
/// Bytes of a deque's block before and after its items, and the items of one.
const DEQUE_BLOCK: u64 = 64;
/// Largest interpreter state scanned, in bytes.
const MAX_STATE: u64 = 1 << 20;

/// Reads the graph of everything that `interpreters` hold.
pub fn build(
    python: &Python<'_>,
    runtime: Address,
    interpreters: &[Interpreter],
) -> Result<Graph, ObjectError> {
    let mut builder = Builder::new(python);
    builder.specials(interpreters)?;
    for (_, state) in collectors(python, runtime, interpreters)? {
        builder.graph.statistics.collecting |= state.collecting;
        for generation in &state.generations {
            let broken = walk(python, generation.head, state.collecting, |object| {
                builder.tracked(&object);
            })?;
            builder.graph.statistics.broken_lists += u64::from(broken.is_some());
        }
    }
    builder.fatal()?;
    builder.graph.statistics.tracked = (builder.graph.len() - builder.special_count()) as u64;
    // As a rule there are twice as many that are not tracked.
    builder.graph.index.reserve(builder.graph.len().saturating_mul(2));
    builder.plan_types();
    builder.edges(interpreters)?;
    builder.fatal()?;
    Ok(builder.finish())
}

struct Builder<'p, 'a> {
    python: &'p Python<'a>,
    graph: Graph,
    /// `ob_size` of each node, as far as it matters.
    lengths: Vec<u32>,
    /// Types by address; `None` for what is no type.
    types: FxHashMap<u64, Option<u32>>,
    plans: Vec<Rc<Plan>>,
    traversal: Traversal,
    rejected: FxHashSet<u64>,
    slots: FxHashMap<Address, u64>,
    frame_words: Option<FrameWords>,
    error: Option<MemoryError>,
    bytes: Vec<u8>,
    last_class: (u64, u32),
}

impl<'p, 'a> Builder<'p, 'a> {
    fn new(python: &'p Python<'a>) -> Self {
        Self {
            python,
            graph: Graph::default(),
            lengths: Vec::new(),
            types: FxHashMap::default(),
            plans: Vec::new(),
            traversal: Traversal::default(),
            rejected: FxHashSet::default(),
            slots: FxHashMap::default(),
            frame_words: FrameWords::of(python.layout()),
            error: None,
            bytes: Vec::new(),
            last_class: (0, 0),
        }
    }

    fn fatal(&self) -> Result<(), ObjectError> {
        self.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Keeps an error that ends the capture, counts any other.
    fn note(&mut self, error: &ObjectError) {
        match error.fatal() {
            Some(fatal) => self.error = self.error.or(Some(fatal)),
            None => self.graph.statistics.unreadable += 1,
        }
    }

    fn special_count(&self) -> usize {
        self.graph.specials.len()
    }

    // Nodes.

    fn push(&mut self, address: Address, class: u32, refcount: u32, length: u32) -> Node {
        let node = self.graph.addresses.len() as Node;
        self.graph.addresses.push(address);
        self.graph.classes.push(class);
        self.graph.refcounts.push(refcount);
        self.graph.explained.push(0);
        self.graph.sizes.push(0);
        self.lengths.push(length);
        node
    }

    fn special(&mut self, special: Special, address: Address) -> Node {
        self.graph.specials.push(special);
        self.push(address, super::NO_TYPE, IMMORTAL, 0)
    }

    /// Nodes for interpreters, threads and their frames.
    fn specials(&mut self, interpreters: &[Interpreter]) -> Result<(), ObjectError> {
        for interpreter in interpreters {
            let special = Special::Interpreter { id: interpreter.id };
            self.special(special, interpreter.address);
        }
        let mut threads: Vec<(ThreadState, ThreadNode)> = Vec::new();
        for interpreter in interpreters {
            let names = self.python.thread_names(interpreter).unwrap_or_default();
            for state in self.python.threads(interpreter)? {
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
            let node = self.special(Special::Thread(thread), state.address);
            let stack = self.python.stack(&state)?;
            if stack.cut.is_some() {
                self.graph.statistics.unreadable += 1;
            }
            for frame in stack.frames {
                let address = frame.address;
                self.special(Special::Frame { thread: node, frame }, address);
            }
        }
        Ok(())
    }

    fn tracked(&mut self, object: &TrackedObject) {
        if self.graph.len() >= MAX_NODES {
            return;
        }
        let raw = object.class.get();
        let class = match self.last_class {
            (last, class) if last == raw => Some(class),
            _ => self.type_index(raw),
        };
        let Some(class) = class else {
            self.graph.statistics.unreadable += 1;
            return;
        };
        self.last_class = (raw, class);
        let refcount = self.refcount(object.refcount_word);
        let node = self.push(object.address, class, refcount, narrow(object.size_word));
        self.graph.index.insert(object.address.get(), node);
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
                    self.error = self.error.or(error.fatal());
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

    fn refcount(&self, word: u64) -> u32 {
        let field = self.python.layout().structs.object.refcount;
        let raw = field.in_bytes(&word.to_le_bytes()).unwrap_or(0);
        if self.python.layout().traits.immortal_objects && (raw as u32 as i32) < 0 {
            return IMMORTAL;
        }
        u32::try_from(raw).unwrap_or(IMMORTAL)
    }

    /// The node of the object at `raw`, which may be met for the first time; `None` when there
    /// is no object.
    fn node(&mut self, raw: u64) -> Option<Node> {
        if raw < LOWEST || !raw.is_multiple_of(8) {
            return None;
        }
        match self.graph.index.get(&raw) {
            Some(&node) => Some(node),
            None => self.discover(raw),
        }
    }

    fn discover(&mut self, raw: u64) -> Option<Node> {
        if self.graph.len() >= MAX_NODES || self.rejected.contains(&raw) {
            return None;
        }
        let found = self.look(raw);
        if found.is_none() && self.rejected.len() < MAX_REJECTED {
            self.rejected.insert(raw);
        }
        found
    }

    fn look(&mut self, raw: u64) -> Option<Node> {
        let address = Address::new(raw);
        let mut bytes = [0; 24];
        let memory = self.python.memory();
        if let Err(error) = memory.read(address, &mut bytes) {
            if !error.is_fault() {
                self.error = self.error.or(Some(error));
                return None;
            }
            // The object may be the last before a hole.
            memory.read(address, bytes.get_mut(..16)?).ok()?;
        }
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        let object = &self.python.layout().structs.object;
        let class = self.type_index(word(object.ob_type.offset as usize))?;
        let refcount_word = word(0);
        let refcount = self.refcount(refcount_word);
        // A freed block begins with a link to the next; a struct may begin with a pointer.
        let is_count = refcount != 0
            && (refcount != IMMORTAL || self.python.layout().traits.immortal_objects)
            && !self.graph.index.contains_key(&refcount_word)
            && object.refcount.in_bytes(&bytes).is_some_and(|raw| raw < 1 << 32);
        if !is_count {
            return None;
        }
        let size = word(self.python.layout().structs.var_object.ob_size.offset as usize);
        let node = self.push(address, class, refcount, narrow(size));
        self.graph.index.insert(raw, node);
        Some(node)
    }

    // Edges.

    fn refer(&mut self, raw: u64, label: Label) {
        self.refer_as(raw, label, true);
    }

    /// `counted`: it is part of the object's reference count.
    fn refer_as(&mut self, raw: u64, label: Label, counted: bool) {
        let Some(node) = self.node(raw) else { return };
        self.link(node, label, counted);
    }

    fn link(&mut self, node: Node, label: Label, counted: bool) {
        if self.graph.targets.len() >= MAX_EDGES {
            self.graph.statistics.unreadable += 1;
            return;
        }
        self.graph.targets.push(node);
        self.graph.labels.push(label);
        self.graph.statistics.inferred += u64::from(label.is_inferred());
        if counted && let Some(explained) = self.graph.explained.get_mut(node as usize) {
            *explained = explained.saturating_add(1);
        }
    }

    fn edges(&mut self, interpreters: &[Interpreter]) -> Result<(), ObjectError> {
        self.graph.rows.push(0);
        let mut node = 0;
        while node < self.graph.len() {
            let outcome = match self.graph.specials.get(node).cloned() {
                Some(special) => self.special_edges(node, &special, interpreters),
                None => self.object_edges(node),
            };
            if let Err(error) = outcome {
                self.note(&error);
            }
            self.graph.rows.push(self.graph.targets.len() as u64);
            self.fatal()?;
            node += 1;
        }
        Ok(())
    }

    fn object_edges(&mut self, node: usize) -> Result<(), ObjectError> {
        let (Some(&address), Some(&class)) =
            (self.graph.addresses.get(node), self.graph.classes.get(node))
        else {
            return Ok(());
        };
        let Some(plan) = self.plans.get(class as usize).map(Rc::clone) else { return Ok(()) };
        let length = self.lengths.get(node).copied().unwrap_or(0);
        if let Some(size) = self.graph.sizes.get_mut(node) {
            *size = match plan.kind {
                SizeKind::Text => size::text(self.python, &plan.class, address),
                SizeKind::Integer => size::integer(self.python, &plan.class, length),
                SizeKind::Tracked | SizeKind::Untracked => {
                    let object = TrackedObject {
                        address,
                        class: plan.class.address,
                        size_word: u64::from(length),
                        refcount_word: 0,
                    };
                    let head = if plan.kind == SizeKind::Untracked { GC_HEAD } else { 0 };
                    plan.sizing.measure(self.python, &object).saturating_sub(head)
                }
            };
        }
        if plan.is_leaf() {
            return Ok(());
        }
        if plan.owns_type {
            self.refer(plan.class.address.get(), Label::new(Kind::Type, 0));
        }
        self.words(address, &plan)?;
        if let Some(items) = plan.items {
            self.row(address.add(u64::from(items)), u64::from(length), |place| {
                let label = Label::new(Kind::Item, place);
                if plan.inferred { label.inferred() } else { label }
            })?;
        }
        if plan.attributes {
            self.attributes(address, &plan)?;
        }
        match plan.table {
            Table::None | Table::Type => Ok(()),
            Table::List => {
                let (items, length) = self.python.list_table(address)?;
                self.row(items, length, |place| Label::new(Kind::Item, place))
            }
            Table::Dict => self.dict(address),
            Table::Set => {
                let table = self.python.set_table(address)?;
                self.records(&table, |this, place, key, hash| {
                    if key != 0 && hash != u64::MAX {
                        this.refer(key, Label::new(Kind::Member, place));
                    }
                })
            }
            Table::Deque => self.deque(address, u64::from(length)),
            Table::Queue => {
                for (place, item) in (0..).zip(self.python.simple_queue_items(address, u64::MAX)?) {
                    self.refer(item.get(), Label::new(Kind::Item, place));
                }
                Ok(())
            }
            Table::Generator => self.generator(address),
            Table::Frame => self.frame_object(address),
        }
    }

    /// The words of the struct itself.
    fn words(&mut self, address: Address, plan: &Plan) -> Result<(), ObjectError> {
        let body = plan.body();
        if body == 0 {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(body, 0);
        let mut read = self.python.memory().read(address, &mut bytes);
        // A static type is smaller than one made at run time.
        if read.is_err() && plan.table == Table::Type {
            let size = self.python.layout().structs.type_object.size as usize;
            bytes.fill(0);
            read = match bytes.get_mut(..size) {
                Some(part) => self.python.memory().read(address, part),
                None => read,
            };
        }
        if read.is_ok() {
            let mut end = u32::MAX;
            if plan.table == Table::Type {
                let fields = &self.python.layout().structs.type_object;
                let flags = fields.flags.in_bytes(&bytes).unwrap_or(0);
                if !crate::cpython::TypeFlags::new(flags).heap_type() {
                    end = fields.size as u32;
                }
            }
            for &offset in plan.words.iter().take_while(|&&offset| offset < end) {
                let at = offset as usize;
                let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
                let label = Label::new(Kind::Field, u64::from(offset / 8));
                let label = if plan.inferred { label.inferred() } else { label };
                self.refer(word.map_or(0, u64::from_le_bytes), label);
            }
        }
        self.bytes = bytes;
        Ok(read?)
    }

    /// `count` references in a row.
    fn row(
        &mut self,
        first: Address,
        count: u64,
        label: impl Fn(u64) -> Label,
    ) -> Result<(), ObjectError> {
        let mut done = 0;
        while done < count {
            let step = (count - done).min(CHUNK);
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize(step as usize * 8, 0);
            let at = first.add(done.saturating_mul(8));
            let read = self.python.memory().read(at, &mut bytes);
            if read.is_ok() {
                for (place, word) in bytes.chunks_exact(8).enumerate() {
                    let word = word.try_into().map_or(0, u64::from_le_bytes);
                    if word != 0 {
                        self.refer(word, label(done + place as u64));
                    }
                }
            }
            self.bytes = bytes;
            read?;
            done += step;
        }
        Ok(())
    }

    /// Records of a key and the word behind it.
    fn records(
        &mut self,
        table: &Entries,
        mut each: impl FnMut(&mut Self, u64, u64, u64),
    ) -> Result<(), ObjectError> {
        let mut done = 0;
        while done < table.count {
            let step = (table.count - done).min(CHUNK);
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize((step * table.stride) as usize, 0);
            let at = table.first.add(done * table.stride);
            let read = self.python.memory().read(at, &mut bytes);
            if read.is_ok() {
                for (place, record) in bytes.chunks_exact(table.stride as usize).enumerate() {
                    let word = |at: usize| {
                        let word = record.get(at..at + 8).and_then(|word| word.try_into().ok());
                        word.map_or(0, u64::from_le_bytes)
                    };
                    let key = table.key as usize;
                    each(self, done + place as u64, word(key), word(key + 8));
                }
            }
            self.bytes = bytes;
            read?;
            done += step;
        }
        Ok(())
    }

    fn dict(&mut self, dict: Address) -> Result<(), ObjectError> {
        match self.python.dict_table(dict)? {
            DictTable::Combined(table) => self.records(&table, |this, place, key, value| {
                if key != 0 && value != 0 {
                    this.refer(key, Label::new(Kind::Key, place));
                    this.refer(value, Label::new(Kind::Value, place));
                }
            }),
            DictTable::Split { keys, values } => {
                self.row(values, keys.count, |place| Label::new(Kind::Value, place))
            }
        }
    }

    fn attributes(&mut self, object: Address, plan: &Plan) -> Result<(), ObjectError> {
        let storage = self.python.attribute_storage(object, &plan.class)?;
        if let Some(dict) = storage.dict {
            self.refer(dict.get(), Label::new(Kind::Namespace, 0));
        }
        match storage.values {
            Some(values) => {
                self.row(values, plan.values, |place| Label::new(Kind::Attribute, place))
            }
            None => Ok(()),
        }
    }

    /// A chain of blocks of 64 items: left link, items, right link
    /// (Modules/_collectionsmodule.c).
    fn deque(&mut self, deque: Address, length: u64) -> Result<(), ObjectError> {
        let wrong = || ObjectError::malformed("deque", deque);
        let fields = self.python.layout().structs.deque.ok_or_else(wrong)?;
        let memory = self.python.memory();
        let mut block = fields.left_block.read_pointer(memory, deque)?;
        let mut index = fields.left_index.read(memory, deque)?;
        let mut done = 0;
        while done < length {
            if block.is_null() || index >= DEQUE_BLOCK {
                return Err(wrong());
            }
            let count = (length - done).min(DEQUE_BLOCK - index);
            self.row(block.add(8 + index * 8), count, |place| {
                Label::new(Kind::Item, done + place)
            })?;
            done += count;
            block = memory.read_pointer(block.add(8 + DEQUE_BLOCK * 8))?;
            index = 0;
        }
        Ok(())
    }

    fn generator(&mut self, generator: Address) -> Result<(), ObjectError> {
        // Up to 3.10 the frame is an object, and one of the words.
        let Some(iframe) = self.python.layout().structs.generator.iframe else { return Ok(()) };
        let structs = &self.python.layout().structs;
        let state = match structs.generator.frame_state {
            Some(field) => field.read_signed(self.python.memory(), generator)?,
            None => return Ok(()),
        };
        match state < self.python.layout().traits.frame_states.cleared {
            true => self.frame_record(iframe.at(generator)),
            false => {
                // The code outlives the rest (3.12+).
                let Some(words) = self.frame_words else { return Ok(()) };
                let code = self.python.memory().read_u64(iframe.at(generator).add(words.code))?;
                let code = self.python.stack_reference(code);
                self.refer_as(code.object.get(), Label::new(Kind::Code, 0), code.counted);
                Ok(())
            }
        }
    }

    /// What a frame record owns (`_PyFrame_Traverse` in Python/frame.c).
    fn frame_record(&mut self, frame: Address) -> Result<(), ObjectError> {
        let Some(words) = self.frame_words else { return Ok(()) };
        let memory = self.python.memory();
        let kinds = [
            (words.code, Kind::Code),
            (words.function, Kind::Function),
            (words.namespace, Kind::Namespace),
            (words.object, Kind::Frame),
        ];
        for (offset, kind) in kinds {
            let reference = self.python.stack_reference(memory.read_u64(frame.add(offset))?);
            self.refer_as(reference.object.get(), Label::new(kind, 0), reference.counted);
        }
        let code = self.python.stack_reference(memory.read_u64(frame.add(words.code))?).object;
        let slots = self.code_slots(code)?;
        self.frame_slots(frame.add(words.locals), slots, self.python.frame_depth(frame)?)
    }

    fn code_slots(&mut self, code: Address) -> Result<u64, ObjectError> {
        if let Some(&slots) = self.slots.get(&code) {
            return Ok(slots);
        }
        let slots = self.python.code_slots(code)?;
        self.slots.insert(code, slots);
        Ok(slots)
    }

    fn frame_slots(
        &mut self,
        first: Address,
        slots: u64,
        depth: Option<u64>,
    ) -> Result<(), ObjectError> {
        let memory = self.python.memory();
        let count = depth.unwrap_or(slots).max(slots);
        let (count, bytes) = match memory.read_vec(first, count as usize * 8) {
            Ok(bytes) => (count, bytes),
            Err(error) if error.is_fault() => (slots, memory.read_vec(first, slots as usize * 8)?),
            Err(error) => return Err(error.into()),
        };
        for (place, word) in (0..count).zip(bytes.chunks_exact(8)) {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            let reference = self.python.stack_reference(word);
            let label = match place < slots {
                true => Label::new(Kind::Local, place),
                false => Label::new(Kind::Stack, place - slots),
            };
            self.refer_as(reference.object.get(), label, reference.counted);
        }
        Ok(())
    }

    fn frame_object(&mut self, object: Address) -> Result<(), ObjectError> {
        let fields = self.python.layout().structs.frame;
        match (fields.locals, fields.code) {
            (Some(locals), Some(code)) => {
                let code = code.read_pointer(self.python.memory(), object)?;
                let slots = self.code_slots(code)?;
                let depth = self.python.frame_depth(object)?;
                self.frame_slots(locals.at(object), slots, depth)
            }
            _ => {
                let record = self.python.memory().read_pointer(object.add(fields.back.end()))?;
                match self.owner(record)? {
                    OWNED_BY_FRAME_OBJECT => self.frame_record(record),
                    _ => Ok(()),
                }
            }
        }
    }

    fn owner(&self, record: Address) -> Result<u64, ObjectError> {
        let fields = self.python.layout().structs.interpreter_frame.as_ref();
        let fields = fields.ok_or_else(|| ObjectError::malformed("frame layout", record))?;
        Ok(fields.owner.read(self.python.memory(), record)?)
    }

    // Special nodes.

    fn special_edges(
        &mut self,
        node: usize,
        special: &Special,
        interpreters: &[Interpreter],
    ) -> Result<(), ObjectError> {
        match special {
            Special::Interpreter { .. } => match interpreters.get(node) {
                Some(interpreter) => self.interpreter(interpreter),
                None => Ok(()),
            },
            Special::Thread(_) => {
                let frames = self.graph.specials.iter().enumerate().skip(node + 1);
                let frames: Vec<usize> = frames
                    .take_while(|(_, special)| matches!(special, Special::Frame { .. }))
                    .map(|(frame, _)| frame)
                    .collect();
                for (place, frame) in frames.into_iter().enumerate() {
                    self.link(frame as Node, Label::new(Kind::Thread, place as u64), false);
                }
                let size = self.python.layout().structs.thread.size;
                let Some(&state) = self.graph.addresses.get(node) else { return Ok(()) };
                // The frame of 3.8 to 3.10 among them.
                self.scan_state(state, size)
            }
            Special::Frame { frame, .. } => self.stack_frame(frame.address),
            Special::Root => Ok(()),
        }
    }

    fn stack_frame(&mut self, frame: Address) -> Result<(), ObjectError> {
        if self.python.layout().traits.frame_chain == FrameChain::HeapFrames {
            self.refer_as(frame.get(), Label::new(Kind::Frame, 0), false);
            return Ok(());
        }
        if self.owner(frame)? == OWNED_BY_GENERATOR {
            let iframe = self.python.layout().structs.generator.iframe;
            let generator = frame.sub(iframe.map_or(0, |iframe| iframe.offset));
            self.refer_as(generator.get(), Label::new(Kind::Frame, 0), false);
            return Ok(());
        }
        self.frame_record(frame)
    }

    fn interpreter(&mut self, interpreter: &Interpreter) -> Result<(), ObjectError> {
        let size = self.python.layout().structs.interpreter.size.min(MAX_STATE);
        // `sys.modules` first: it is what names are found by.
        let label = |place| Label::new(Kind::Interpreter, place);
        self.refer(interpreter.modules.get(), label(0));
        self.refer(interpreter.sysdict.get(), label(1));
        self.scan_state(interpreter.address, size)
    }

    /// Notes pointers to tracked objects in a struct of the interpreter. Many are borrowed
    /// (caches of functions and types): they explain references that no object has, and add none.
    fn scan_state(&mut self, state: Address, size: u64) -> Result<(), ObjectError> {
        let step = 4096;
        let specials = self.special_count() as Node;
        let last = specials as u64 + self.graph.statistics.tracked;
        let mut done = 0;
        while done < size {
            let count = (size - done).min(step);
            let bytes = match self.python.memory().read_vec(state.add(done), count as usize) {
                Ok(bytes) => bytes,
                Err(error) if error.is_fault() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for word in bytes.chunks_exact(8) {
                let word = word.try_into().map_or(0, u64::from_le_bytes);
                let Some(&node) = self.graph.index.get(&word) else { continue };
                // Untracked ones may lie on a list of free objects.
                if node >= specials && u64::from(node) < last {
                    self.graph.in_states.insert(node);
                }
            }
            done += count;
        }
        Ok(())
    }

    fn finish(mut self) -> Graph {
        let statistics: &mut Statistics = &mut self.graph.statistics;
        statistics.references = self.graph.targets.len() as u64;
        self.graph.add_root();
        self.graph
    }
}

/// The word in four bytes; what does not fit is no length anyway.
fn narrow(word: u64) -> u32 {
    u32::try_from(word).unwrap_or(0)
}
