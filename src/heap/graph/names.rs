//! What the steps of a path are called: names read from the objects, for the paths that are
//! shown.

use super::paths::Paths;
use super::{Graph, Kind, Label, Node, Special};
use crate::cpython::{Code, DictTable, Entries, Interpreter, Python, Type};
use crate::memory::Address;
use rustc_hash::FxHashMap;
use std::rc::Rc;

/// Longest name shown, in characters.
const MAX_NAME: usize = 120;
/// Longest dict key shown, in characters.
const MAX_KEY: usize = 40;
/// Members of a class that are looked through.
const MAX_MEMBERS: u64 = 1024;
/// `Py_T_OBJECT_EX` and `_Py_T_OBJECT` (Include/descrobject.h).
const OBJECT_MEMBERS: [u64; 2] = [16, 6];

/// What kind of step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepKind {
    /// A module.
    Module,
    /// A global variable.
    Global,
    /// A class.
    Class,
    /// A function.
    Function,
    /// An attribute.
    Attribute,
    /// Any item of a container.
    Item,
    /// The value under one key.
    Key,
    /// A variable of a closure.
    Closure,
    /// A local variable.
    Local,
    /// A thread.
    Thread,
    /// An event loop, with what it will call.
    EventLoop,
    /// A frame.
    Frame,
    /// A reference without a name.
    Field,
    /// The interpreter's own structs.
    Interpreter,
    /// C code.
    HeldFromC,
}

impl StepKind {
    /// As documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Global => "global",
            Self::Class => "class",
            Self::Function => "function",
            Self::Attribute => "attribute",
            Self::Item => "item",
            Self::Key => "key",
            Self::Closure => "closure",
            Self::Local => "local",
            Self::Thread => "thread",
            Self::EventLoop => "event_loop",
            Self::Frame => "frame",
            Self::Field => "field",
            Self::Interpreter => "interpreter",
            Self::HeldFromC => "c",
        }
    }
}

/// A step of a path, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// What kind.
    pub kind: StepKind,
    /// The text.
    pub text: String,
    /// It was found by looking for pointers.
    pub inferred: bool,
}

/// Reads names for one graph.
pub struct Names<'n, 'm> {
    python: &'n Python<'m>,
    pub(super) graph: &'n Graph,
    modules: Vec<Node>,
    fields: FxHashMap<(u32, u64), Option<String>>,
    /// The table of the dict that was asked for last.
    table: Option<(Node, Option<DictTable>)>,
}

impl<'n, 'm> Names<'n, 'm> {
    /// Names for `graph`, which was read from `python`.
    pub fn new(python: &'n Python<'m>, interpreters: &[Interpreter], graph: &'n Graph) -> Self {
        let modules = interpreters.iter().filter_map(|one| graph.node_at(one.modules)).collect();
        Self { python, graph, modules, fields: FxHashMap::default(), table: None }
    }

    /// The step that leads to `node` on its best path; `None` where it adds nothing to the one
    /// before (the `__dict__` of an object, the tuple of a closure). `literal`: keys of a dict
    /// are told apart.
    pub fn step(
        &mut self,
        paths: &Paths,
        node: Node,
        literal: &dyn Fn(Node) -> bool,
    ) -> Option<Step> {
        let (from, label) = paths.parent(node)?;
        let step = |kind, text| {
            Some(Step {
                kind,
                text,
                inferred: label.is_inferred() && kind != StepKind::Interpreter,
            })
        };
        match self.graph.special(from) {
            Some(Special::Root) => return self.root_step(node, label),
            Some(Special::Interpreter { .. }) if self.modules.contains(&node) => return None,
            Some(Special::Interpreter { .. }) => {
                return step(StepKind::Interpreter, "interpreter state".to_owned());
            }
            Some(Special::Thread(_)) => {
                let Some(Special::Frame { frame, .. }) = self.graph.special(node) else {
                    return step(StepKind::Interpreter, "thread state".to_owned());
                };
                let name = frame.qualname().unwrap_or(&frame.code.name);
                return step(StepKind::Frame, format!("frame {name}"));
            }
            _ => {}
        }
        match label.kind() {
            Kind::Namespace | Kind::Frame => None,
            Kind::Value if self.modules.contains(&from) => {
                let name = self.key_text(from, label.place()).unwrap_or_default();
                step(StepKind::Module, format!("module {name}"))
            }
            Kind::Value => {
                let owner = paths.parent(from).filter(|(_, to)| to.kind() == Kind::Namespace);
                match owner {
                    Some((owner, _)) => {
                        let name = self.key_text(from, label.place())?;
                        let step = self.variable(owner, node, name, label);
                        Some(step)
                    }
                    None if literal(from) => match self.plain_key(from, label.place()) {
                        Some(key) => {
                            step(StepKind::Key, self.with_code(node, format!("['{key}']")))
                        }
                        None => step(StepKind::Item, self.with_code(node, "[key]".to_owned())),
                    },
                    None => step(StepKind::Item, self.with_code(node, "[key]".to_owned())),
                }
            }
            Kind::Key => step(StepKind::Item, "(a key)".to_owned()),
            Kind::Item => match self.closure_of(paths, from) {
                Some((code, cells)) => {
                    let place = label.place() as usize;
                    let name = self.python.closure_name(&code, cells, place);
                    let name = name.unwrap_or_else(|| "?".to_owned());
                    step(StepKind::Closure, format!("closure {name}"))
                }
                None => step(StepKind::Item, self.with_code(node, "[item]".to_owned())),
            },
            Kind::Member => step(StepKind::Item, self.with_code(node, "[item]".to_owned())),
            Kind::Attribute => {
                let name = self.shared_key(from, label.place())?;
                step(StepKind::Attribute, self.with_code(node, format!(".{name}")))
            }
            Kind::Field => self.field_step(from, node, label),
            Kind::Type => step(StepKind::Class, "(its class)".to_owned()),
            Kind::Local => {
                let name = self.local(from, label.place()).unwrap_or_else(|| "?".to_owned());
                step(StepKind::Local, self.with_code(node, format!("local {name}")))
            }
            Kind::Stack => {
                let awaited = self.is_suspended(from);
                let text = if awaited { "(awaits)" } else { "(on the stack)" };
                step(StepKind::Local, self.with_code(node, text.to_owned()))
            }
            Kind::Function => step(StepKind::Function, self.with_code(node, "its function".into())),
            Kind::Code => step(StepKind::Function, "its code".to_owned()),
            Kind::Thread | Kind::Interpreter | Kind::Static | Kind::HeldFromC => {
                self.root_step(node, label)
            }
        }
    }

    fn root_step(&self, node: Node, label: Label) -> Option<Step> {
        let class = self.class_name(node);
        let (kind, text) = match (self.graph.special(node), label.kind()) {
            (Some(Special::Interpreter { id: 0 }), _) => return None,
            (Some(Special::Interpreter { id }), _) => {
                (StepKind::Interpreter, format!("interpreter {id}"))
            }
            (Some(Special::Thread(thread)), _) => {
                let name = thread.name.clone().unwrap_or_else(|| format!("{:#x}", thread.ident));
                (StepKind::Thread, format!("thread {name}"))
            }
            (_, Kind::Interpreter) => {
                (StepKind::Interpreter, format!("interpreter state: {class}"))
            }
            (_, Kind::HeldFromC) => (StepKind::HeldFromC, format!("held from C: {class}")),
            _ if self.is_class(node) => (StepKind::Class, self.class_text(node)),
            _ => (StepKind::Interpreter, format!("immortal {class}")),
        };
        Some(Step { kind, text, inferred: false })
    }

    /// A variable of a module or class, or an attribute.
    fn variable(&mut self, owner: Node, node: Node, name: String, label: Label) -> Step {
        let is_module = self.graph.class(owner).is_some_and(|class| is_module(self.python, class));
        let owner_is_class = self.is_class(owner);
        let kind = match () {
            () if self.is_class(node) => StepKind::Class,
            () if is_module && self.is_function(node) => StepKind::Function,
            () if is_module => StepKind::Global,
            () => StepKind::Attribute,
        };
        let text = match kind {
            StepKind::Class => self.class_text(node),
            StepKind::Function => format!("function {name}"),
            StepKind::Attribute if !owner_is_class => self.with_code(node, format!(".{name}")),
            _ => self.with_code(node, name),
        };
        Step { kind, text, inferred: label.is_inferred() }
    }

    fn field_step(&mut self, from: Node, node: Node, label: Label) -> Option<Step> {
        let class = Rc::clone(self.graph.class(from)?);
        let name = self.field_name(from, &class, label.place());
        let inferred = label.is_inferred();
        let text = match (class.name(), name.as_deref()) {
            ("builtins.cell", _) | ("builtins.function", Some("__closure__")) => return None,
            ("builtins.method", Some("__func__")) => return None,
            (_, Some(name)) => format!(".{name}"),
            ("builtins.traceback", None) if self.class_name(node) == "builtins.traceback" => {
                ".tb_next".to_owned()
            }
            (_, None) => match self.class_name(node).as_str() {
                "builtins.traceback" => ".__traceback__".to_owned(),
                _ => format!("(inside {})", short(class.name())),
            },
        };
        let kind = if name.is_some() { StepKind::Attribute } else { StepKind::Field };
        Some(Step { kind, text: self.with_code(node, text), inferred })
    }

    /// The name of the word at `place` in instances of a class: that of a slot or member, or of
    /// a field that we know.
    pub(super) fn field_name(&mut self, from: Node, class: &Type, place: u64) -> Option<String> {
        let number = self.graph.type_number(from)?;
        if let Some(known) = self.fields.get(&(number, place)) {
            return known.clone();
        }
        let name =
            self.member_name(class, place * 8).or_else(|| self.known_field(class, place * 8));
        self.fields.insert((number, place), name.clone());
        name
    }

    fn known_field(&self, class: &Type, offset: u64) -> Option<String> {
        let structs = &self.python.layout().structs;
        let mut known: Vec<(u64, &str)> = Vec::new();
        if self.python.is_task_class(class)
            && let Some(task) = &structs.task
        {
            known.push((task.coroutine.offset, "_coro"));
            known.push((task.waiter.offset, "_fut_waiter"));
            known.push((task.name.offset, "_name"));
            known.push((task.event_loop.offset, "_loop"));
        }
        if self.python.is_future_class(class)
            && let Some(future) = &structs.future
        {
            known.push((future.callback.offset, "_callbacks"));
            known.push((future.callbacks.offset, "_callbacks"));
            known.push((future.exception.offset, "_exception"));
        }
        if class.name() == "builtins.function" {
            let closure = structs.function.closure.offset;
            known.push((closure, "__closure__"));
            // They come before it, in every version (Include/cpython/funcobject.h).
            known.push((closure.saturating_sub(8), "__kwdefaults__"));
            known.push((closure.saturating_sub(16), "__defaults__"));
        }
        if self.python.is_weak_reference(class) {
            known.push((structs.weakref.referent.end(), "__callback__"));
        }
        let found = known.into_iter().find(|&(at, _)| at == offset);
        found.map(|(_, name)| name.to_owned())
    }

    fn member_name(&self, class: &Type, offset: u64) -> Option<String> {
        let fields = &self.python.layout().structs.member_def;
        let memory = self.python.memory();
        for &base in &class.mro {
            let Ok(base) = self.python.type_at(base) else { continue };
            if base.members.is_null() {
                continue;
            }
            for index in 0..MAX_MEMBERS {
                let at = base.members.add(index * fields.size);
                let Ok(text) = fields.name.read_pointer(memory, at) else { break };
                if text.is_null() {
                    break;
                }
                let kind = fields.kind.read(memory, at).unwrap_or(0);
                if OBJECT_MEMBERS.contains(&kind) && fields.offset.read(memory, at) == Ok(offset) {
                    let name = memory.read_c_string(text, MAX_NAME).ok()?;
                    return Some(String::from_utf8_lossy(&name).into_owned());
                }
            }
        }
        None
    }

    /// The code of the function whose closure this tuple is, and the number of cells.
    fn closure_of(&self, paths: &Paths, tuple: Node) -> Option<(Rc<Code>, u64)> {
        let (function, label) = paths.parent(tuple)?;
        let closure = self.python.layout().structs.function.closure;
        if label.kind() != Kind::Field || label.place() * 8 != closure.offset {
            return None;
        }
        let code = self.python.function_code(self.graph.address(function)).ok()?;
        let cells = self.python.length(self.graph.address(tuple), "closure").ok()?;
        Some((code, cells))
    }

    /// The text, and which function it is when the node is one, or runs one.
    fn with_code(&self, node: Node, text: String) -> String {
        match self.code_of(node) {
            Some((name, _)) => format!("{text} ({name})"),
            None => text,
        }
    }

    /// Name and code of a function, bound method, generator or coroutine.
    pub fn code_of(&self, node: Node) -> Option<(String, Rc<Code>)> {
        let class = self.graph.class(node)?;
        let address = self.graph.address(node);
        match class.name() {
            "builtins.function" => {
                let name = self.python.function_name(address).ok()?;
                Some((format!("function {name}"), self.python.function_code(address).ok()?))
            }
            "builtins.method" => {
                let field = self.python.layout().structs.method.function;
                let function = field.read_pointer(self.python.memory(), address).ok()?;
                let name = self.python.function_name(function).ok()?;
                Some((format!("method {name}"), self.python.function_code(function).ok()?))
            }
            "builtins.coroutine" | "builtins.generator" | "builtins.async_generator" => {
                let name = self.python.generator_name(address).ok()?.qualname;
                let kind = class.name().rsplit(['.', '_']).next().unwrap_or_default();
                let frame = self.python.suspension(address).ok()?.frame?;
                Some((format!("{kind} {name}"), frame.code))
            }
            _ => None,
        }
    }

    fn is_function(&self, node: Node) -> bool {
        let class = self.graph.class(node);
        class.is_some_and(|class| matches!(class.name(), "builtins.function" | "builtins.method"))
    }

    fn is_suspended(&self, node: Node) -> bool {
        self.graph.class(node).is_some_and(|class| {
            matches!(class.name(), "builtins.coroutine" | "builtins.generator")
        })
    }

    /// The name of a local variable of a frame, frame object, generator or coroutine.
    pub(super) fn local(&self, node: Node, place: u64) -> Option<String> {
        let slot = usize::try_from(place).ok()?;
        if let Some(Special::Frame { frame, .. }) = self.graph.special(node) {
            return self.python.slot_name(&frame.code, slot);
        }
        let code = match self.code_of(node) {
            Some((_, code)) => code,
            None => self.frame_code(node)?,
        };
        self.python.slot_name(&code, slot)
    }

    /// The code of a frame object.
    pub fn frame_code(&self, node: Node) -> Option<Rc<Code>> {
        let address = self.graph.address(node);
        if self.class_name(node) != "builtins.frame" {
            return None;
        }
        let fields = &self.python.layout().structs.frame;
        let memory = self.python.memory();
        let code = match fields.code {
            Some(code) => code.read_pointer(memory, address).ok()?,
            None => {
                let record = memory.read_pointer(address.add(fields.back.end())).ok()?;
                let words = crate::cpython::FrameWords::of(self.python.layout())?;
                let code = memory.read_u64(record.add(words.code)).ok()?;
                self.python.stack_reference(code).object
            }
        };
        self.python.code_at(code).ok()
    }

    /// The text of the key of an entry.
    pub(super) fn key_text(&mut self, dict: Node, place: u64) -> Option<String> {
        self.python.text(self.key(dict, place)?, MAX_NAME).ok()
    }

    /// The key of an entry when it is a name: anything else may be data.
    pub(super) fn plain_key(&mut self, dict: Node, place: u64) -> Option<String> {
        let key = self.python.text(self.key(dict, place)?, MAX_KEY + 1).ok()?;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let begins = key.starts_with(|c: char| c.is_alphabetic() || c == '_');
        (begins && key.chars().count() <= MAX_KEY && key.chars().all(plain)).then_some(key)
    }

    /// The key of an entry of a dict.
    pub fn key(&mut self, dict: Node, place: u64) -> Option<Address> {
        let table = match self.table {
            Some((known, table)) if known == dict => table,
            _ => {
                let table = self.python.dict_table(self.graph.address(dict)).ok();
                self.table = Some((dict, table));
                table
            }
        };
        let entries = match table? {
            DictTable::Combined(entries) => entries,
            DictTable::Split { keys, .. } => keys,
        };
        self.entry(&entries, place)
    }

    fn entry(&self, entries: &Entries, place: u64) -> Option<Address> {
        if place >= entries.count {
            return None;
        }
        let at = entries.first.add(place * entries.stride + entries.key);
        self.python.memory().read_pointer(at).ok()?.non_null()
    }

    /// The name of an attribute that is kept inside the instance.
    pub(super) fn shared_key(&self, instance: Node, place: u64) -> Option<String> {
        let class = self.graph.class(instance)?;
        let entries = self.python.keys_table(class.cached_keys).ok()?.entries;
        self.python.text(self.entry(&entries, place)?, MAX_NAME).ok()
    }

    /// The name of a node's type.
    pub fn class_name(&self, node: Node) -> String {
        self.graph.class(node).map_or_else(String::new, |class| class.name().to_owned())
    }

    /// What an event loop will call, by the step that leads there: it is a root of its own,
    /// whoever has the loop. Of uvloop's only what its struct has is known.
    pub fn of_event_loop(&self, node: Node, step: &Step) -> Option<&'static str> {
        let class = self.graph.class(node)?;
        let handles = match step.text.as_str() {
            "._ready" => "ready handles",
            "._scheduled" => "scheduled handles",
            "._selector" => "selector",
            "._signal_handlers" => "signal handlers",
            _ if step.kind == StepKind::Field && class.name().starts_with("uvloop.") => {
                "(inside uvloop)"
            }
            _ => return None,
        };
        let is_loop = self.python.is_subtype(class, "asyncio.events.AbstractEventLoop");
        is_loop.then_some(handles)
    }

    /// True for the dict `sys.modules`.
    pub fn is_modules(&self, node: Node) -> bool {
        self.modules.contains(&node)
    }

    /// True for classes.
    pub fn is_class(&self, node: Node) -> bool {
        self.graph.class(node).is_some_and(|class| class.flags.type_subclass())
    }

    /// True for modules.
    pub fn is_module(&self, node: Node) -> bool {
        self.graph.class(node).is_some_and(|class| is_module(self.python, class))
    }

    fn class_text(&self, node: Node) -> String {
        match self.python.type_at(self.graph.address(node)) {
            Ok(class) => format!("class {}", short(class.name())),
            Err(_) => "a class".to_owned(),
        }
    }

    /// The module that a class says it is of.
    pub fn home_of_class(&self, class: Address) -> Option<String> {
        let dict = self.python.layout().structs.type_object.dict;
        let dict = dict.read_pointer(self.python.memory(), class).ok()?.non_null()?;
        let module = self.python.dict_get(dict, "__module__").ok()??;
        self.python.text(module, MAX_NAME).ok()
    }

    /// `len()` of a builtin container, or of a class built on one.
    pub fn length(&self, node: Node) -> Option<u64> {
        let class = self.graph.class(node)?;
        let address = self.graph.address(node);
        let flags = class.flags;
        let is = |name| self.python.is_subtype(class, name);
        if flags.list_subclass() || flags.tuple_subclass() || is("collections.deque") {
            self.python.length(address, "length").ok()
        } else if self.python.is_dict(class.address, flags).unwrap_or(false) {
            self.python.dict_length(address).ok()
        } else if is("builtins.set") || is("builtins.frozenset") {
            self.python.set_length(address).ok()
        } else {
            None
        }
    }
}

fn is_module(python: &Python<'_>, class: &Type) -> bool {
    python.is_subtype(class, "builtins.module")
}

/// The name without its module: what a class is called where it is used.
pub fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
