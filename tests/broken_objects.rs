//! Objects built by hand for every built-in layout: the readers answer rightly while they are whole, and within bounds
//! when they are cyclic, dangling, unaligned, half-built or absurdly large.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use pyattach::attach::collect::dump::{DumpOptions, OsThreads, Stacks};
use pyattach::attach::collect::{Problem, census, dump};
use pyattach::cpython::{Python, ValueLimits};
use pyattach::heap::census::{Census, take};
use pyattach::layout::Layout;
use pyattach::memory::{Address, MemoryError, MemorySource, ReadStats};
use pyattach::resources::{Answer, Catalog, Describer, Detail, Resource};
use pyattach::snapshot::ThreadRow;
use support::image::{Image, LIST, UNICODE, layouts};

/// Absurd numbers, as lengths, counts and addresses.
const ABSURD: [u64; 9] = [
    1 << 20,
    1 << 28,
    (1 << 28) + 1,
    1 << 40,
    (1 << 40) - 1,
    1 << 61,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Memory where there is much: zeros as far as one cares to read, beside an image. Ends a reader that reads for ever.
struct Vast<'i> {
    image: &'i Image,
    reads: std::cell::Cell<u64>,
}

/// Zeros without an end are here.
const ZEROS: std::ops::Range<u64> = 1 << 40..1 << 45;
const MOST_READS: u64 = 5_000_000;

impl MemorySource for Vast<'_> {
    fn read(&self, address: Address, buffer: &mut [u8]) -> Result<(), MemoryError> {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < MOST_READS, "this never ends");
        assert!(buffer.len() <= 8 << 20, "{} bytes at once", buffer.len());
        let end = address.get().saturating_add(buffer.len() as u64);
        if ZEROS.contains(&address.get()) && ZEROS.contains(&end) {
            buffer.fill(0);
            return Ok(());
        }
        self.image.memory.read(address, buffer)
    }

    fn stats(&self) -> ReadStats {
        ReadStats::default()
    }
}

impl<'i> Vast<'i> {
    fn around(image: &'i Image) -> Self {
        Self { image, reads: std::cell::Cell::new(0) }
    }
}

fn for_each_layout(check: impl Fn(&Layout)) {
    for layout in layouts() {
        let begun = Instant::now();
        check(&layout);
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(180), "{:?}: {taken:?}", layout.origin.sources);
    }
}

/// What a dump would show.
#[derive(Debug)]
struct Shown {
    threads: Vec<ThreadRow>,
    unreadable: u64,
    complete: bool,
}

impl From<Stacks> for Shown {
    fn from(stacks: Stacks) -> Self {
        let (unreadable, complete) = (stacks.unreadable, stacks.complete);
        Self { threads: stacks.into_rows(), unreadable, complete }
    }
}

fn stacks(image: &Image) -> Result<Shown, Problem> {
    let memory = Vast::around(image);
    let python = Python::new(&memory, &image.layout);
    let runtime = python.runtime(image.runtime)?;
    let interpreters = python.interpreters(image.runtime)?;
    let options = DumpOptions { locals: true };
    let os = OsThreads::default();
    dump::collect(&python, &runtime, &interpreters, &os, options).map(Shown::from)
}

fn heap(image: &Image) -> Result<Census, Problem> {
    let memory = Vast::around(image);
    let python = Python::new(&memory, &image.layout);
    let interpreters = python.interpreters(image.runtime)?;
    let describer = Describer::new(&python, &interpreters, Catalog::shared_builtin(), None);
    let wanted = |class: &_| matches!(describer.entry_for(class), Ok(Some(_)));
    take(&python, image.runtime, &interpreters, &wanted)
}

/// The object as the catalogue's entry of this id describes it, whatever it is.
fn described<'p>(
    python: &'p Python<'_>,
    id: &str,
    place: Address,
) -> pyattach::cpython::Result<Resource<'p>> {
    let catalog = Catalog::shared_builtin();
    let describer = Describer::new(python, &[], catalog, None);
    describer.describe(catalog.entry(id).unwrap(), place, Detail::Everything)
}

/// A number of a resource; `None` when it is unknown.
fn metric(resource: &Resource<'_>, name: &str) -> Option<i64> {
    let found = resource.metrics.iter().find(|(known, _)| *known == name);
    found.unwrap().1.as_int()
}

/// An interpreter with a bit of everything, and where its parts are.
struct World {
    image: Image,
    parts: BTreeMap<&'static str, Address>,
}

fn world(layout: &Layout) -> World {
    let mut image = Image::new(layout);
    let mut parts = BTreeMap::new();
    let (one, text) = (image.int(41), image.text("a text"));
    let list = image.list(&[one, text]);
    let nested = image.list(&[list]);
    let dict = image.dict(&[("key", list), ("password", text)]);
    let set = image.set(&[one, text]);
    let tuple = image.tuple(&[dict, set]);
    let class = image.class("app.models", "Order");
    let order = image.instance(class, &[("total", one)]);
    let pool = image.class("concurrent.futures.thread", "ThreadPoolExecutor");
    let queue = image.queue(&[order, order, order]);
    let threads = image.set(&[order]);
    let executor = image
        .instance(pool, &[("_max_workers", one), ("_threads", threads), ("_work_queue", queue)]);
    for (number, object) in
        [list, nested, dict, set, tuple, order, executor].into_iter().enumerate()
    {
        image.track(object, number % 4);
    }
    let outer = image.code("main", &["items"]);
    let inner = image.code("handle", &["order", "table", "numbers"]);
    let outer = image.frame(outer, &[nested], Address::NULL);
    let inner = image.frame(inner, &[order, dict, set], outer);
    let thread = image.thread(0x7000, inner);
    parts.extend([("list", list), ("dict", dict), ("set", set), ("tuple", tuple), ("text", text)]);
    parts.extend([("one", one), ("class", class), ("order", order), ("executor", executor)]);
    parts.extend([("queue", queue), ("outer", outer), ("inner", inner), ("thread", thread)]);
    parts.extend([("nested", nested)]);
    World { image, parts }
}

/// What is built is what is read: the rest of this file breaks something that works.
#[test]
fn whole_objects_are_read() {
    for_each_layout(|layout| {
        let World { image, parts } = world(layout);
        let stacks = stacks(&image).unwrap();
        assert!(stacks.complete && stacks.unreadable == 0, "{stacks:#?}");
        let frames = &stacks.threads[0].frames;
        let names: Vec<&str> = frames.iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(names, ["handle", "main"]);
        let locals = frames.iter().flat_map(|frame| frame.locals.as_ref().unwrap());
        let locals: Vec<String> = locals
            .map(|local| format!("{} = {}", local.name, local.value.as_ref().unwrap()))
            .collect();
        assert_eq!(locals[1], "table = {'key': [41, 'a text'], 'password': '***'}");
        assert_eq!(locals[2..], ["numbers = {41, 'a text'}", "items = [[41, 'a text']]"]);
        assert!(locals[0].starts_with("order = <app.models.Order at 0x"), "{}", locals[0]);

        let census = heap(&image).unwrap();
        assert!(census.is_consistent(), "{census:?}");
        assert_eq!((census.objects, census.permanent, census.untyped), (7, 1, 0));
        let python = Python::new(&image.memory, layout);
        let executor = described(&python, "thread_pool_executor", parts["executor"]).unwrap();
        let metric = |name: &str| metric(&executor, name);
        assert_eq!((metric("limit"), metric("created")), (Some(41), Some(1)));
        assert_eq!(metric("queued"), layout.structs.simple_queue.map(|_| 3));
        assert_eq!(metric("idle"), None, "not there is not known");
        assert!(matches!(executor.state, Answer::Missing(_)), "{:?}", executor.state);
    });
}

/// The frame between the call of a class and its `__init__` (`_Py_InitCleanup`, 3.12+).
#[test]
fn shims_are_not_shown() {
    for_each_layout(|layout| {
        if layout.structs.interpreter_frame.is_none() {
            return;
        }
        let World { mut image, parts } = world(layout);
        let (shim, fields) = (image.code("__init__", &[]), layout.structs.code);
        let name = fields.name.read_pointer(&image.memory, shim).unwrap();
        image.put(shim, fields.filename, name.get());
        image.put(shim, fields.first_line, 0);
        let between = image.frame(shim, &[], parts["outer"]);
        image.put(parts["inner"], image.previous_of(), between.get());
        let stacks = stacks(&image).unwrap();
        let frames = stacks.threads[0].frames.iter();
        let names: Vec<&str> = frames.map(|frame| frame.function.as_str()).collect();
        assert_eq!(names, ["handle", "main"]);
    });
}

#[test]
fn a_type_that_needs_itself_to_be_read() {
    for_each_layout(|layout| {
        let World { mut image, parts } = world(layout);
        let (class, fields) = (parts["class"], layout.structs.type_object);
        let name = image.text("Name");
        let object = layout.structs.object;
        // Its own name, and its dict, are its instances.
        image.put(class, fields.flags, 1 << 9 | 1 << 12 | 1 << 28 | 1 << 29);
        image.put(class, layout.structs.heap_type.qualname, name.get());
        image.put(name, object.ob_type, class.get());
        let dict = fields.dict.read_pointer(&image.memory, class).unwrap();
        image.put(dict, object.ob_type, class.get());
        heap(&image).unwrap();
        stacks(&image).unwrap();
        // A chain of types, each needed to read the one before.
        let mut next = class;
        for _ in 0..3000 {
            let link = image.static_type("Link", 1 << 9 | 1 << 28, 32);
            let qualname = image.text("Link");
            image.put(qualname, object.ob_type, next.get());
            image.put(link, layout.structs.heap_type.qualname, qualname.get());
            next = link;
        }
        image.put(parts["order"], object.ob_type, next.get());
        heap(&image).unwrap();
        // It is its own class, and its own base.
        image.put(class, object.ob_type, class.get());
        image.put(class, fields.mro, class.get());
        heap(&image).unwrap();
    });
}

#[test]
fn lists_of_objects_that_run_in_circles() {
    for_each_layout(|layout| {
        for collecting in [0, 1] {
            for (from, to) in [(1, 1), (4, 2), (5, 0), (6, 6), (6, 1)] {
                let mut image = Image::new(layout);
                let objects: Vec<Address> = (0..7).map(|_| image.list(&[])).collect();
                objects.iter().rev().for_each(|object| image.track(*object, 0));
                image.put(image.gc, layout.structs.gc.collecting, collecting);
                let next = layout.structs.gc_head.next;
                image.put(objects[from].sub(16), next, objects[to].sub(16).get());
                let census = heap(&image).unwrap();
                assert_eq!(census.breaks.len(), 1, "{from} to {to}: {census:?}");
                assert!(!census.is_consistent());
                assert!(census.objects < 40, "{}", census.objects);
            }
            for wild in [0, 1, 4, 8, 0xdead_0000, ZEROS.start, u64::MAX, u64::MAX - 7, 1 << 63] {
                let World { mut image, parts } = world(layout);
                image.put(image.gc, layout.structs.gc.collecting, collecting);
                image.put(parts["dict"].sub(16), layout.structs.gc_head.next, wild);
                let census = heap(&image).unwrap();
                assert_eq!(census.breaks.len(), 1, "{wild:#x}: {census:?}");
            }
        }
    });
}

#[test]
fn chains_of_frames_and_threads_that_run_in_circles() {
    for_each_layout(|layout| {
        for length in [1, 2, 3, 1000] {
            let mut image = Image::new(layout);
            let code = image.code("turn", &[]);
            let first = image.frame(code, &[], Address::NULL);
            let last = (1..length).fold(first, |back, _| image.frame(code, &[], back));
            image.put(first, image.previous_of(), last.get());
            // Every thread is in the same circle.
            for number in 0..20 {
                image.thread(0x7000 + number, last);
            }
            let stacks = stacks(&image).unwrap();
            assert_eq!((stacks.threads.len(), stacks.unreadable, stacks.complete), (20, 20, false));
            for thread in &stacks.threads {
                assert!(thread.truncated.as_ref().unwrap().contains("circle"), "{thread:?}");
                assert!(thread.frames.len() <= 4 * length, "{}", thread.frames.len());
            }
        }
        let World { mut image, parts } = world(layout);
        let (thread, threads) = (parts["thread"], layout.structs.thread);
        image.put(thread, threads.next, thread.get());
        assert!(stacks(&image).is_err(), "a circle of threads");
        let World { mut image, .. } = world(layout);
        let interpreter = image.interpreter;
        image.put(interpreter, layout.structs.interpreter.next, interpreter.get());
        assert!(stacks(&image).is_err() && heap(&image).is_err(), "a circle of interpreters");
    });
}

/// Containers in themselves, and lengths that nothing has.
#[test]
fn absurd_containers() {
    for_each_layout(|layout| {
        let structs = &layout.structs;
        for absurd in ABSURD {
            let World { mut image, parts } = world(layout);
            let (list, dict, set) = (parts["list"], parts["dict"], parts["set"]);
            let (tuple, text, one) = (parts["tuple"], parts["text"], parts["one"]);
            for object in [list, tuple, one, parts["nested"]] {
                image.put(object, structs.var_object.ob_size, absurd);
            }
            let items = structs.list.items.read_pointer(&image.memory, list).unwrap();
            image.memory.put_pointer(items, list);
            image.memory.put_pointer(items.add(8), parts["nested"]);
            image.put(list, structs.list.allocated, absurd);
            image.put(text, structs.ascii.length, absurd);
            image.put(set, structs.set.mask, absurd.wrapping_sub(1));
            image.put(set, structs.set.table, ZEROS.start);
            image.put(set, structs.set.used, absurd.min(77));
            let keys = structs.dict.keys.read_pointer(&image.memory, dict).unwrap();
            image.put(keys, structs.dict_keys.nentries, absurd);
            for field in
                [structs.dict_keys.size_slots, structs.dict_keys.log2_size].into_iter().flatten()
            {
                image.put(keys, field, if field.size == 8 { absurd } else { 40 });
            }
            if let Some(tag) = structs.long.tag {
                image.put(one, tag, absurd);
            }
            if let Some(position) = structs.simple_queue.and_then(|queue| queue.position) {
                image.put(parts["queue"], position, absurd);
            }
            if let Some(queue) = structs.simple_queue
                && let (Some(count), Some(capacity)) = (queue.count, queue.capacity)
            {
                image.put(parts["queue"], count, absurd);
                image.put(parts["queue"], capacity, absurd);
            }
            let census = heap(&image).unwrap();
            assert_eq!(census.objects, 7);
            stacks(&image).unwrap();
            let memory = Vast::around(&image);
            let python = Python::new(&memory, layout);
            for part in parts.values() {
                python.value(*part, ValueLimits::default()).unwrap();
                let _ = (python.set_items(*part, 100), python.dict_items(*part, 100));
                let _ = (python.list_items(*part, 100), python.tuple_items(*part, 100));
                let _ = (python.integer(*part), python.text(*part, 100), python.bytes(*part, 100));
            }
            let executor = described(&python, "thread_pool_executor", parts["executor"]).unwrap();
            assert_eq!(metric(&executor, "queued"), None, "{absurd:#x}");
        }
    });
}

/// The entries lie in endless zeros: a dict or a set that has lost nearly everything.
#[test]
fn containers_of_nothing_but_room() {
    for_each_layout(|layout| {
        let structs = &layout.structs;
        let World { mut image, parts } = world(layout);
        let (set, list) = (parts["set"], parts["list"]);
        image.put(set, structs.set.mask, (1 << 30) - 1);
        image.put(set, structs.set.table, ZEROS.start);
        image.put(list, structs.list.items, ZEROS.start);
        image.put(list, structs.var_object.ob_size, 1 << 40);
        let stacks = stacks(&image).unwrap();
        let locals: Vec<_> = stacks.threads[0].frames[0].locals.iter().flatten().collect();
        assert_eq!(locals[2].value.as_deref(), Some("{… 2 more}"));
        let dict = image.dict(&[]);
        let keys = structs.dict.keys.read_pointer(&image.memory, dict).unwrap();
        image.put(keys, structs.dict_keys.nentries, 1 << 27);
        if let Some(slots) = structs.dict_keys.size_slots {
            image.put(keys, slots, 1 << 28);
        }
        if let (Some(slots), Some(bytes)) =
            (structs.dict_keys.log2_size, structs.dict_keys.log2_index_bytes)
        {
            image.put(keys, slots, 28);
            image.put(keys, bytes, 40);
        }
        let memory = Vast::around(&image);
        let python = Python::new(&memory, layout);
        let _ = (python.dict_get(dict, "key"), python.dict_items(dict, 8));
        let interpreters = python.interpreters(image.runtime).unwrap();
        let catalog = Catalog::shared_builtin();
        let census = census::collect(&python, image.runtime, &interpreters, catalog, None);
        assert_eq!(census.unwrap().objects.total, 7);
    });
}

#[test]
fn types_with_absurd_sizes_and_members() {
    for_each_layout(|layout| {
        let fields = layout.structs.type_object;
        for absurd in ABSURD {
            for field in [fields.basicsize, fields.itemsize, fields.dictoffset] {
                let World { mut image, parts } = world(layout);
                image.put(parts["class"], field, absurd);
                image.put(image.types.list, field, absurd);
                let census = heap(&image).unwrap();
                let counted: u64 = census.types.iter().map(|row| row.count).sum();
                assert_eq!((census.objects, counted + census.untyped), (7, 7));
                stacks(&image).unwrap();
            }
            for field in [fields.mro, fields.members, fields.name, fields.dict] {
                let World { mut image, parts } = world(layout);
                image.put(parts["class"], field, absurd);
                heap(&image).unwrap();
                let memory = Vast::around(&image);
                let python = Python::new(&memory, layout);
                let _ = python.attribute(parts["order"], "total");
                let _ = python.attribute(parts["order"], "nothing");
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Anything may be overwritten with anything.
    #[test]
    fn anything_overwritten(
        which in 0..64_usize,
        writes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..40_u64, word(), any::<prop::sample::Index>()),
            1..24,
        ),
        holes in prop::collection::vec((any::<prop::sample::Index>(), 0..256_u64, 1..64_u64), 0..3),
    ) {
        let layouts = layouts();
        let layout = &layouts[which % layouts.len()];
        let World { mut image, parts } = world(layout);
        let mut places: Vec<Address> = parts.values().copied().collect();
        places.extend([image.types.r#type, image.types.list, image.types.text, image.types.code]);
        places.extend([image.types.dict, image.gc, image.interpreter, image.runtime]);
        for (place, word, value, target) in &writes {
            let value = match value {
                Some(value) => *value,
                None => target.get(&places).get(),
            };
            // From the head before an object on.
            image.memory.put_u64(place.get(&places).sub(16).add(word * 8), value);
        }
        for (place, from, length) in &holes {
            image.memory.remove(place.get(&places).add(*from), *length);
        }
        if let Ok(census) = heap(&image) {
            let counted: u64 = census.types.iter().map(|row| row.count).sum();
            prop_assert_eq!(census.objects, counted + census.untyped);
        }
        if let Ok(stacks) = stacks(&image) {
            let cut = stacks.threads.iter().any(|thread| thread.truncated.is_some());
            prop_assert!(!cut || !stacks.complete);
        }
        let memory = Vast::around(&image);
        let python = Python::new(&memory, layout);
        let catalog = Catalog::shared_builtin();
        let describer = Describer::new(&python, &[], catalog, None);
        for place in places {
            let _ = python.value(place, ValueLimits { text: 50, items: 5, depth: 4 });
            for entry in catalog.entries() {
                let _ = describer.describe(entry, place, Detail::Everything);
            }
            let _ = (python.code_at(place).is_ok(), python.generator_name(place).is_ok());
        }
    }
}

/// A word to write; `None` for the address of some part.
fn word() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        prop::sample::select(ABSURD.to_vec()).prop_map(Some),
        (0..300_u64).prop_map(Some),
        Just(Some(ZEROS.start)),
        Just(Some(LIST | UNICODE | 1 << 12)),
        any::<u64>().prop_map(Some),
    ]
}
