//! Interpreters built by hand in synthetic memory, for any built-in layout: types, objects, GC lists, threads with frames.
//!
//! What is built here is well-formed; tests then break it where they like.

use pyattach::layout::traits::{DictEntries, FrameChain, GcHome};
use pyattach::layout::{Field, Flavour, Layout, Structs, Traits, Version, tables};
use pyattach::memory::{Address, MemorySource, SyntheticMemory};

/// Flag bits of types (Include/object.h).
pub(crate) const HEAP: u64 = 1 << 9;
pub(crate) const READY: u64 = 1 << 12;
pub(crate) const LONG: u64 = 1 << 24;
pub(crate) const LIST: u64 = 1 << 25;
pub(crate) const UNICODE: u64 = 1 << 28;
pub(crate) const DICT: u64 = 1 << 29;
pub(crate) const TYPE: u64 = 1 << 31;

/// Bytes before an object: two words of pre-header and the GC head.
const BEFORE: u64 = 32;
/// More than any struct has behind its fixed part.
const SLACK: u64 = 64;

/// An interpreter in memory.
pub(crate) struct Image {
    pub(crate) memory: SyntheticMemory,
    pub(crate) layout: Layout,
    pub(crate) runtime: Address,
    pub(crate) interpreter: Address,
    /// Where the collector's state is.
    pub(crate) gc: Address,
    pub(crate) types: Types,
    tracked: u64,
    last_thread: Address,
}

/// The types every image has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Types {
    pub(crate) r#type: Address,
    pub(crate) object: Address,
    pub(crate) tuple: Address,
    pub(crate) list: Address,
    pub(crate) dict: Address,
    pub(crate) set: Address,
    pub(crate) text: Address,
    pub(crate) bytes: Address,
    pub(crate) int: Address,
    pub(crate) float: Address,
    pub(crate) code: Address,
    pub(crate) frame: Address,
    pub(crate) module: Address,
    pub(crate) queue: Address,
}

/// Every built-in layout, by the names of its table.
pub(crate) fn layouts() -> Vec<Layout> {
    let flavours = [("gil", Flavour::Gil), ("debug", Flavour::Debug)];
    let series = (tables::OLDEST.1..=tables::NEWEST.1).map(|minor| (minor, format!("3.{minor}")));
    let mut found = Vec::new();
    for (minor, series) in series {
        for (name, flavour) in flavours {
            let Some(table) = tables::named(&series, name) else { continue };
            let version = Version::release(3, minor, 0);
            let origin = pyattach::layout::Origin {
                sources: vec![format!("{series} {name}")],
                table: Some(series.clone()),
                checks: Vec::new(),
                warnings: Vec::new(),
            };
            let structs = Structs::from_table(&table).expect("tables are complete");
            let traits = Traits::of(version, flavour);
            found.push(Layout { version, flavour, structs, traits, origin });
        }
    }
    found
}

impl Image {
    /// A runtime with one interpreter that has no thread and no object yet.
    pub(crate) fn new(layout: &Layout) -> Image {
        let mut image = Image {
            memory: SyntheticMemory::new(),
            layout: layout.clone(),
            runtime: Address::NULL,
            interpreter: Address::NULL,
            gc: Address::NULL,
            types: Types::default(),
            tracked: 0,
            last_thread: Address::NULL,
        };
        let structs = layout.structs.clone();
        image.runtime = image.memory.alloc(structs.runtime.size, 16);
        image.interpreter = image.memory.alloc(structs.interpreter.size, 16);
        image.make_types();
        let (runtime, interpreter) = (image.runtime, image.interpreter);
        for field in [structs.runtime.interpreters_head, structs.runtime.interpreters_main] {
            image.put(runtime, field, interpreter.get());
        }
        image.put(runtime, structs.runtime.initialized, 1);
        image.put(runtime, structs.runtime.main_thread, 0x7000);
        let gil = image.memory.alloc(structs.gil.size, 16);
        if let Some(field) = structs.interpreter.gil {
            image.put(interpreter, field, gil.get());
        }
        let (home, base) = match layout.traits.gc_home {
            GcHome::Runtime => (structs.runtime.gc, runtime),
            GcHome::Interpreter => (structs.interpreter.gc, interpreter),
        };
        image.gc = home.expect("a collector").at(base);
        let gc = image.gc;
        for head in image.heads() {
            image.link(head, head);
        }
        if let Some(field) = structs.gc.generation0 {
            let first = image.heads()[0];
            image.put(gc, field, first.get());
        }
        let (sysdict, modules) = (image.dict(&[]), image.dict(&[]));
        image.put(interpreter, structs.interpreter.sysdict, sysdict.get());
        image.put(interpreter, structs.interpreter.modules, modules.get());
        image
    }

    fn make_types(&mut self) {
        let structs = self.layout.structs.clone();
        self.types.r#type = self.memory.alloc(structs.heap_type.size, 16);
        self.types.tuple = self.memory.alloc(structs.heap_type.size, 16);
        self.types.object = self.static_type("object", 0, structs.object.size);
        let (of_type, of_tuple) = (self.types.r#type, self.types.tuple);
        self.fill_type(of_type, "type", TYPE, structs.heap_type.size);
        self.fill_type(of_tuple, "tuple", 1 << 26, structs.tuple.items.offset);
        self.types.list = self.static_type("list", LIST, structs.list.size);
        self.types.dict = self.static_type("dict", DICT, structs.dict.size);
        self.types.set = self.static_type("set", 0, structs.set.size);
        self.types.text = self.static_type("str", UNICODE, structs.ascii.size);
        self.types.bytes = self.static_type("bytes", 1 << 27, structs.bytes.data.offset);
        self.types.int = self.static_type("int", LONG, structs.long.digits.offset);
        self.types.float = self.static_type("float", 0, structs.float.size);
        self.types.code = self.static_type("code", 0, structs.code.size);
        self.types.frame = self.static_type("frame", 0, structs.frame.size);
        self.types.module = self.static_type("module", 0, 32);
        let (dictoffset, module) = (structs.type_object.dictoffset, self.types.module);
        self.put(module, dictoffset, 16);
        let queue = structs.simple_queue.as_ref().map_or(64, |queue| queue.size);
        self.types.queue = self.static_type("_queue.SimpleQueue", 0, queue);
    }

    /// Heads of the three generations and of the permanent one.
    pub(crate) fn heads(&self) -> [Address; 4] {
        let fields = &self.layout.structs.gc;
        let first = fields.generations.at(self.gc);
        let size = self.layout.structs.gc_generation.size;
        [first, first.add(size), first.add(2 * size), fields.permanent.at(self.gc)]
    }

    /// Writes one field of the struct at `base`.
    pub(crate) fn put(&mut self, base: Address, field: Field, value: u64) {
        let size = field.size.clamp(1, 8) as usize;
        let mut bytes = [0; 8];
        let at = field.at(base);
        let value = match field.bits {
            None => value,
            Some((first, width)) => {
                self.memory.read(at, &mut bytes[..size]).expect("the struct is there");
                let mask = ((1u64 << width) - 1) << first;
                u64::from_le_bytes(bytes) & !mask | (value << first) & mask
            }
        };
        self.memory.put(at, &value.to_le_bytes()[..size]);
    }

    /// Makes `next` follow `head` in a GC list.
    fn link(&mut self, head: Address, next: Address) {
        let gc_head = self.layout.structs.gc_head;
        self.put(head, gc_head.next, next.get());
        self.put(next, gc_head.prev, head.get());
    }

    /// Puts an object on the list of a generation.
    pub(crate) fn track(&mut self, object: Address, generation: usize) {
        let head = self.heads()[generation];
        let gc_head = self.layout.structs.gc_head;
        let next = gc_head.next.read_pointer(&self.memory, head).expect("a list");
        let own = object.sub(16);
        self.link(own, next);
        self.link(head, own);
        self.tracked += 1;
        if let Some(field) = self.layout.structs.gc.heap_size {
            self.put(self.gc, field, self.tracked);
        }
    }

    /// An object of `size` bytes with room for a GC head and a pre-header.
    pub(crate) fn object(&mut self, class: Address, size: u64) -> Address {
        let object = self.memory.alloc(BEFORE + size + SLACK, 16).add(BEFORE);
        let head = self.layout.structs.object;
        self.put(object, head.refcount, 1);
        self.put(object, head.ob_type, class.get());
        object
    }

    fn c_string(&mut self, text: &str) -> Address {
        // Read in steps of 64 bytes, which real memory has room for.
        let at = self.memory.alloc((text.len() as u64 + 1).next_multiple_of(64), 64);
        self.memory.put(at, text.as_bytes());
        at
    }

    fn fill_type(&mut self, class: Address, name: &str, flags: u64, basicsize: u64) {
        let (fields, head) = (self.layout.structs.type_object, self.layout.structs.object);
        let name = self.c_string(name);
        self.put(class, head.refcount, 1);
        self.put(class, head.ob_type, self.types.r#type.get());
        self.put(class, fields.name, name.get());
        self.put(class, fields.flags, flags | READY);
        self.put(class, fields.basicsize, basicsize);
        let mro = [class, self.types.object];
        let mro =
            if self.types.object.is_null() { self.tuple(&mro[..1]) } else { self.tuple(&mro) };
        self.put(class, fields.mro, mro.get());
    }

    /// A type made in C; a name without a dot belongs to `builtins`.
    pub(crate) fn static_type(&mut self, name: &str, flags: u64, basicsize: u64) -> Address {
        let class = self.memory.alloc(self.layout.structs.heap_type.size, 16);
        self.fill_type(class, name, flags, basicsize);
        class
    }

    /// A class whose instances have a `__dict__` behind their head.
    pub(crate) fn class(&mut self, module: &str, qualname: &str) -> Address {
        let size = self.layout.structs.object.size;
        let class = self.static_type(qualname, HEAP, size + 8);
        let (module, name) = (self.text(module), self.text(qualname));
        let dict = self.dict(&[("__module__", module)]);
        let fields = self.layout.structs.type_object;
        self.put(class, self.layout.structs.heap_type.qualname, name.get());
        self.put(class, fields.dict, dict.get());
        self.put(class, fields.dictoffset, size);
        class
    }

    /// An instance of a [`Self::class`].
    pub(crate) fn instance(&mut self, class: Address, attributes: &[(&str, Address)]) -> Address {
        let size = self.layout.structs.object.size;
        let dict = self.dict(attributes);
        let object = self.object(class, size + 8);
        self.memory.put_pointer(object.add(size), dict);
        object
    }

    /// A module object with these globals; in the image its dict is at offset 16.
    pub(crate) fn module(&mut self, globals: &[(&str, Address)]) -> Address {
        let dict = self.dict(globals);
        let object = self.object(self.types.module, 32);
        self.memory.put_pointer(object.add(16), dict);
        object
    }

    pub(crate) fn text(&mut self, text: &str) -> Address {
        assert!(text.is_ascii());
        let ascii = self.layout.structs.ascii;
        let object = self.object(self.types.text, ascii.size + text.len() as u64 + 1);
        self.put(object, ascii.length, text.len() as u64);
        for (field, value) in [(ascii.kind, 1), (ascii.compact, 1), (ascii.ascii, 1)] {
            self.put(object, field, value);
        }
        self.memory.put(object.add(ascii.size), text.as_bytes());
        object
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Address {
        let data = self.layout.structs.bytes.data;
        let object = self.object(self.types.bytes, data.offset + bytes.len() as u64 + 1);
        self.put(object, self.layout.structs.var_object.ob_size, bytes.len() as u64);
        self.memory.put(data.at(object), bytes);
        object
    }

    /// An int from 1 to 2³⁰-1.
    pub(crate) fn int(&mut self, value: u32) -> Address {
        let long = self.layout.structs.long;
        let object = self.object(self.types.int, long.size);
        match long.tag {
            Some(tag) => self.put(object, tag, 1 << 3),
            None => self.put(object, self.layout.structs.var_object.ob_size, 1),
        }
        self.memory.put_u32(long.digits.at(object), value);
        object
    }

    fn array(&mut self, items: &[Address]) -> Address {
        let array = self.memory.alloc(items.len() as u64 * 8, 16);
        for (at, item) in (0..).step_by(8).zip(items) {
            self.memory.put_pointer(array.add(at), *item);
        }
        array
    }

    pub(crate) fn tuple(&mut self, items: &[Address]) -> Address {
        let first = self.layout.structs.tuple.items;
        let object = self.object(self.types.tuple, first.offset + items.len() as u64 * 8);
        self.put(object, self.layout.structs.var_object.ob_size, items.len() as u64);
        for (at, item) in (0..).step_by(8).zip(items) {
            self.memory.put_pointer(first.at(object).add(at), *item);
        }
        object
    }

    pub(crate) fn list(&mut self, items: &[Address]) -> Address {
        let list = self.layout.structs.list;
        let array = self.array(items);
        let object = self.object(self.types.list, list.size);
        self.put(object, self.layout.structs.var_object.ob_size, items.len() as u64);
        self.put(object, list.allocated, items.len() as u64);
        self.put(object, list.items, array.get());
        object
    }

    pub(crate) fn set(&mut self, items: &[Address]) -> Address {
        let set = self.layout.structs.set;
        let slots = (items.len() as u64 + 1).next_power_of_two().max(8);
        let table = self.memory.alloc(slots * 16, 16);
        for (at, item) in (0..).step_by(16).zip(items) {
            self.memory.put_pointer(table.add(at), *item);
            self.memory.put_u64(table.add(at + 8), 7);
        }
        let object = self.object(self.types.set, set.size);
        self.put(object, set.used, items.len() as u64);
        self.put(object, set.mask, slots - 1);
        self.put(object, set.table, table.get());
        object
    }

    pub(crate) fn dict(&mut self, items: &[(&str, Address)]) -> Address {
        let items: Vec<_> = items.iter().map(|(key, value)| (self.text(key), *value)).collect();
        self.dict_of(&items)
    }

    pub(crate) fn dict_of(&mut self, items: &[(Address, Address)]) -> Address {
        let (dict, keys) = (self.layout.structs.dict, self.layout.structs.dict_keys);
        let slots = (items.len() as u64 + 1).next_power_of_two().max(8);
        let entries = items.len() as u64;
        let table = self.memory.alloc(keys.indices.offset + slots * 2 + slots * 24, 16);
        self.memory.put_u64(table, 1);
        let index_bytes = match self.layout.traits.dict_entries {
            DictEntries::Uniform => {
                self.put(table, keys.size_slots.expect("dk_size"), slots);
                if slots > 0xFF { slots * 2 } else { slots }
            }
            DictEntries::ByKind => {
                self.put(table, keys.log2_size.expect("dk_log2_size"), slots.ilog2().into());
                let bytes = keys.log2_index_bytes.expect("dk_log2_index_bytes");
                self.put(table, bytes, slots.ilog2().into());
                self.put(table, keys.kind.expect("dk_kind"), 0);
                slots
            }
        };
        self.put(table, keys.nentries, entries);
        let first = keys.indices.at(table).add(index_bytes);
        for (at, (key, value)) in (0..).step_by(24).zip(items) {
            self.memory.put_u64(first.add(at), 7);
            self.memory.put_pointer(first.add(at + 8), *key);
            self.memory.put_pointer(first.add(at + 16), *value);
        }
        let object = self.object(self.types.dict, dict.size);
        self.put(object, dict.used, entries);
        self.put(object, dict.keys, table.get());
        object
    }

    /// A `_queue.SimpleQueue` in which `items` wait.
    pub(crate) fn queue(&mut self, items: &[Address]) -> Address {
        let Some(queue) = self.layout.structs.simple_queue else { return Address::NULL };
        let object = self.object(self.types.queue, queue.size);
        match (queue.list, queue.position) {
            (Some(list), Some(position)) => {
                let waiting = self.list(items);
                self.put(object, list, waiting.get());
                self.put(object, position, 0);
            }
            _ => {
                let ring = self.array(items);
                self.put(object, queue.items.expect("items"), ring.get());
                self.put(object, queue.capacity.expect("capacity"), items.len() as u64);
                self.put(object, queue.get_index.expect("index"), 0);
                self.put(object, queue.count.expect("count"), items.len() as u64);
            }
        }
        object
    }

    /// The code of a function `name` whose local variables have these names.
    pub(crate) fn code(&mut self, name: &str, variables: &[&str]) -> Address {
        let code = self.layout.structs.code;
        let object = self.object(self.types.code, code.size);
        let (name, file, table) = (self.text(name), self.text("/app/main.py"), self.bytes(&[]));
        let names: Vec<Address> = variables.iter().map(|name| self.text(name)).collect();
        let (names, none) = (self.tuple(&names), self.tuple(&[]));
        let kinds = self.bytes(&vec![0x20; variables.len()]);
        self.put(object, code.first_line, 7);
        for (field, value) in [
            (Some(code.name), name),
            (code.qualname, name),
            (Some(code.filename), file),
            (Some(code.line_table), table),
            (code.localsplus_names, names),
            (code.localsplus_kinds, kinds),
            (code.varnames, names),
            (code.cellvars, none),
            (code.freevars, none),
        ] {
            if let Some(field) = field {
                self.put(object, field, value.get());
            }
        }
        object
    }

    /// A frame that executes `code`, called from `back`.
    pub(crate) fn frame(&mut self, code: Address, locals: &[Address], back: Address) -> Address {
        let structs = self.layout.structs.clone();
        let room = locals.len() as u64 * 8;
        let (frame, first) = match (self.layout.traits.frame_chain, structs.interpreter_frame) {
            (FrameChain::CFrame | FrameChain::Direct, Some(fields)) => {
                let frame = self.memory.alloc(fields.size + room, 16);
                self.put(frame, fields.code, code.get());
                self.put(frame, fields.previous, back.get());
                (frame, fields.locals.at(frame))
            }
            _ => {
                let frame = self.object(self.types.frame, structs.frame.size + room);
                self.put(frame, structs.frame.code.expect("f_code"), code.get());
                self.put(frame, structs.frame.back, back.get());
                self.put(frame, structs.frame.last_instruction.expect("f_lasti"), u64::MAX);
                (frame, structs.frame.locals.expect("f_localsplus").at(frame))
            }
        };
        for (at, local) in (0..).step_by(8).zip(locals) {
            self.memory.put_pointer(first.add(at), *local);
        }
        frame
    }

    /// The field of a frame that leads to its caller.
    pub(crate) fn previous_of(&self) -> Field {
        match (self.layout.traits.frame_chain, self.layout.structs.interpreter_frame) {
            (FrameChain::CFrame | FrameChain::Direct, Some(fields)) => fields.previous,
            _ => self.layout.structs.frame.back,
        }
    }

    /// A thread whose innermost frame is `frame`.
    pub(crate) fn thread(&mut self, ident: u64, frame: Address) -> Address {
        let structs = self.layout.structs.clone();
        let fields = structs.thread;
        let thread = self.memory.alloc(fields.size, 16);
        self.put(thread, fields.interp, self.interpreter.get());
        self.put(thread, fields.thread_id, ident);
        match self.layout.traits.frame_chain {
            FrameChain::HeapFrames => self.put(thread, fields.frame.expect("frame"), frame.get()),
            FrameChain::Direct => {
                self.put(thread, fields.current_frame.expect("current_frame"), frame.get());
            }
            FrameChain::CFrame => {
                let c_frame = structs.c_frame.expect("_PyCFrame");
                let at = self.memory.alloc(c_frame.size, 16);
                self.put(at, c_frame.current_frame, frame.get());
                self.put(thread, fields.cframe.expect("cframe"), at.get());
            }
        }
        // The newest comes first.
        let (newest, interpreter) = (self.last_thread, self.interpreter);
        self.put(thread, fields.next, newest.get());
        if !newest.is_null() {
            self.put(newest, fields.prev, thread.get());
        }
        self.put(interpreter, structs.interpreter.threads_head, thread.get());
        self.last_thread = thread;
        thread
    }
}
