//! asyncio futures and tasks, in C (Modules/_asynciomodule.c) and in Python
//! (Lib/asyncio/futures.py, tasks.py).
//!
//! Both have the same parts; the C ones in a struct, the Python ones as attributes, of which
//! those that still have their initial value are attributes of the class, so that a missing
//! one means "as it was made".

use super::{ObjectError, Python, Result, Type};
use crate::layout::structs::FutureObject;
use crate::memory::Address;

/// Longest task name kept, in characters.
const MAX_NAME: usize = 200;
const MAX_STATE: usize = 16;
/// Callbacks of one future that are read.
const MAX_CALLBACKS: u64 = 100_000;
/// Futures that wait for one future.
const MAX_WAITERS: usize = 100_000;
/// Longest module and function name compared.
const MAX_FUNCTION: usize = 128;

/// asyncio's own callbacks that hand a result on: module, function, and the variable of the
/// closure that holds the future handed on to.
const FORWARDING: &[(&str, &str, &str)] = &[
    ("asyncio.tasks", "gather.<locals>._done_callback", "outer"),
    // 3.9 has an inner function for the sake of a deprecated argument.
    ("asyncio.tasks", "_gather.<locals>._done_callback", "outer"),
    ("asyncio.tasks", "shield.<locals>._inner_done_callback", "outer"),
    ("asyncio.tasks", "_wait.<locals>._on_completion", "waiter"),
];

/// The state of a future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FutureState {
    /// No result yet.
    Pending,
    /// Cancelled.
    Cancelled,
    /// It has a result or an exception.
    Finished,
}

/// A future, as far as both implementations have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Future {
    /// Its state.
    pub state: FutureState,
    /// Its event loop; an object of any kind.
    pub event_loop: Option<Address>,
    /// Its exception, an object.
    pub exception: Option<Address>,
}

/// What a task has beyond a future.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// `get_name()`, cut at 200 characters.
    pub name: Option<String>,
    /// What it runs; gone when an eager task has ended.
    pub coroutine: Option<Address>,
    /// The future it waits for.
    pub waits_for: Option<Address>,
}

/// How a class of futures is implemented.
enum Kind<'a> {
    Native(&'a FutureObject),
    Python,
}

impl<'a> Python<'a> {
    /// True for tasks, in C or in Python, and for subclasses.
    pub fn is_task_class(&self, class: &Type) -> bool {
        ["_asyncio.Task", "asyncio.tasks.Task"].iter().any(|name| self.is_subtype(class, name))
    }

    /// True for asyncio's futures, tasks among them.
    pub fn is_future_class(&self, class: &Type) -> bool {
        ["_asyncio.Future", "asyncio.futures.Future"]
            .iter()
            .any(|name| self.is_subtype(class, name))
    }

    /// State, loop and exception of a future or task.
    pub fn future(&self, future: Address) -> Result<Future> {
        let memory = self.memory;
        match self.future_kind(future)? {
            Kind::Native(fields) => Ok(Future {
                state: match fields.state.read(memory, future)? {
                    0 => FutureState::Pending,
                    1 => FutureState::Cancelled,
                    2 => FutureState::Finished,
                    _ => return Err(ObjectError::malformed("state of a future", future)),
                },
                event_loop: fields.event_loop.read_pointer(memory, future)?.non_null(),
                exception: fields.exception.read_pointer(memory, future)?.non_null(),
            }),
            Kind::Python => Ok(Future {
                state: match self.attribute(future, "_state")?.found() {
                    None => FutureState::Pending,
                    Some(state) => match self.text(state, MAX_STATE)?.as_str() {
                        "PENDING" => FutureState::Pending,
                        "CANCELLED" => FutureState::Cancelled,
                        "FINISHED" => FutureState::Finished,
                        _ => return Err(ObjectError::malformed("state of a future", future)),
                    },
                },
                event_loop: self.attribute_not_none(future, "_loop")?,
                exception: self.attribute_not_none(future, "_exception")?,
            }),
        }
    }

    /// Name, coroutine and awaited future of a task.
    pub fn task(&self, task: Address) -> Result<Task> {
        let (name, coroutine, waits_for) = match self.future_kind(task)? {
            Kind::Native(_) => {
                let fields = self.structs().task.as_ref();
                let fields = fields.ok_or_else(|| ObjectError::malformed("task layout", task))?;
                let read = |field: crate::layout::Field| field.read_pointer(self.memory, task);
                let coroutine = read(fields.coroutine)?.non_null();
                (read(fields.name)?.non_null(), coroutine, read(fields.waiter)?.non_null())
            }
            Kind::Python => (
                self.attribute_not_none(task, "_name")?,
                self.attribute_not_none(task, "_coro")?,
                self.attribute_not_none(task, "_fut_waiter")?,
            ),
        };
        let is_something = |object: &Address| !self.is_none(*object).unwrap_or(true);
        Ok(Task {
            name: match name {
                Some(name) => self.unless_unreadable(self.task_name(name))?,
                None => None,
            },
            coroutine: coroutine.filter(is_something),
            waits_for: waits_for.filter(is_something),
        })
    }

    /// A number until somebody asks for the name (3.12+, `_asyncio_Task_get_name_impl`).
    fn task_name(&self, name: Address) -> Result<String> {
        if self.type_of(name)?.flags.long_subclass() {
            return Ok(format!("Task-{}", self.small_integer(name)?));
        }
        self.text(name, MAX_NAME)
    }

    /// The futures and tasks that wait for a future, as it knows them itself (3.14+, C only):
    /// null, one object, or a set. `None` where futures do not know.
    pub fn future_awaited_by(&self, future: Address) -> Result<Option<Vec<Address>>> {
        let Some(fields) = &self.structs().future else { return Ok(None) };
        let (Some(field), Some(is_set)) = (fields.awaited_by, fields.awaited_by_is_set) else {
            return Ok(None);
        };
        if let Kind::Python = self.future_kind(future)? {
            return Ok(None);
        }
        match field.read_pointer(self.memory, future)?.non_null() {
            None => Ok(Some(Vec::new())),
            Some(set) if is_set.read(self.memory, future)? != 0 => {
                Ok(Some(self.set_items(set, MAX_WAITERS)?.items))
            }
            Some(one) => Ok(Some(vec![one])),
        }
    }

    /// The futures that one of asyncio's own callbacks of this future will give its result to:
    /// `gather`, `shield`, `wait`, `wait_for` and `TaskGroup` wait for a future of their own
    /// this way. How to know who waits before 3.14.
    pub fn forwarded_to(&self, future: Address) -> Result<Vec<Address>> {
        let mut found = Vec::new();
        for callback in self.future_callbacks(future)? {
            found.extend(self.unless_unreadable(self.forwards_to(callback))?.flatten());
        }
        Ok(found)
    }

    fn future_callbacks(&self, future: Address) -> Result<Vec<Address>> {
        let mut found = Vec::new();
        let rest = match self.future_kind(future)? {
            Kind::Native(fields) => {
                found.extend(fields.callback.read_pointer(self.memory, future)?.non_null());
                fields.callbacks.read_pointer(self.memory, future)?.non_null()
            }
            Kind::Python => self.attribute_not_none(future, "_callbacks")?,
        };
        if let Some(rest) = rest
            && self.type_of(rest)?.flags.list_subclass()
        {
            for pair in self.list_items(rest, MAX_CALLBACKS)? {
                // `(callback, context)`
                found.extend(self.tuple_items(pair, 1)?);
            }
        }
        Ok(found)
    }

    fn forwards_to(&self, callback: Address) -> Result<Option<Address>> {
        let memory = self.memory;
        match self.type_of(callback)?.name() {
            "builtins.function" => self.forwarding_closure(callback),
            // `wait_for` up to 3.11: partial(_release_waiter, waiter).
            "functools.partial" => {
                let Some(fields) = &self.structs().partial else { return Ok(None) };
                let function = fields.function.read_pointer(memory, callback)?;
                if !self.is_function(function, "asyncio.tasks", "_release_waiter")? {
                    return Ok(None);
                }
                let arguments = fields.arguments.read_pointer(memory, callback)?;
                Ok(self.tuple_items(arguments, 1)?.first().copied())
            }
            "builtins.method" => {
                let fields = &self.structs().method;
                let function = fields.function.read_pointer(memory, callback)?;
                let module = "asyncio.taskgroups";
                if !self.is_function(function, module, "TaskGroup._on_task_done")? {
                    return Ok(None);
                }
                let group = fields.instance.read_pointer(memory, callback)?;
                self.attribute_not_none(group, "_on_completed_fut")
            }
            _ => Ok(None),
        }
    }

    fn forwarding_closure(&self, function: Address) -> Result<Option<Address>> {
        let fields = &self.structs().function;
        for &(module, name, variable) in FORWARDING {
            if self.is_function(function, module, name)? {
                let code = self.code_at(fields.code.read_pointer(self.memory, function)?)?;
                let closure = fields.closure.read_pointer(self.memory, function)?;
                let Some(closure) = closure.non_null() else { return Ok(None) };
                let cells = self.tuple_items(closure, MAX_FUNCTION as u64)?;
                // The variables of the closure come last among those of the code.
                let free = code.variables.iter().rev().zip(cells.iter().rev());
                for (free, &cell) in free {
                    if self.text_is(free.name, variable)? {
                        let value = self.structs().cell.value.read_pointer(self.memory, cell)?;
                        return Ok(value.non_null().filter(|&v| !self.is_none(v).unwrap_or(true)));
                    }
                }
            }
        }
        Ok(None)
    }

    fn is_function(&self, function: Address, module: &str, qualname: &str) -> Result<bool> {
        if self.type_of(function)?.name() != "builtins.function" {
            return Ok(false);
        }
        let fields = &self.structs().function;
        let name = fields.qualname.read_pointer(self.memory, function)?;
        let of = fields.module.read_pointer(self.memory, function)?;
        Ok(self.text_is(name, qualname)? && self.text_is(of, module)?)
    }

    /// C futures begin with one struct, whose size must be that of the class: an extension of
    /// another build is not read with the wrong fields.
    fn future_kind(&self, future: Address) -> Result<Kind<'a>> {
        let class = self.type_of(future)?;
        for &base in &class.mro {
            let Ok(base) = self.type_at(base) else { continue };
            let structs = &self.layout.structs;
            let size = match base.name() {
                "_asyncio.Task" => structs.task.as_ref().map(|fields| fields.size),
                "_asyncio.Future" => structs.future.as_ref().map(|fields| fields.size),
                "asyncio.futures.Future" => return Ok(Kind::Python),
                _ => continue,
            };
            return match &structs.future {
                Some(fields) if size == Some(base.basicsize) => Ok(Kind::Native(fields)),
                _ => Err(ObjectError::malformed("size of the C future", base.address)),
            };
        }
        Err(ObjectError::malformed("future", future))
    }

    /// The stack that a C future or task was made by, where asyncio is in debug mode: one of
    /// the first words behind the exception, which differ in number.
    pub fn future_source(&self, future: Address) -> Result<Option<Address>> {
        const WORDS: u64 = 4;
        let Some(fields) = &self.structs().future else { return Ok(None) };
        if !self.is_future_class(&*self.type_of(future)?) {
            return Ok(None);
        }
        for word in 0..WORDS {
            let at = future.add(fields.exception.end() + word * 8);
            let found = self.memory.read_pointer(at)?;
            if self.type_of(found).is_ok_and(|class| class.name() == "traceback.StackSummary") {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// An attribute that is there and is not `None`.
    pub fn attribute_not_none(&self, object: Address, name: &str) -> Result<Option<Address>> {
        match self.attribute(object, name)?.found() {
            Some(value) if !self.is_none(value)? => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// `None` for what cannot be read; errors that end the capture stay errors.
    pub fn unless_unreadable<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.fatal().is_some() => Err(error),
            Err(_) => Ok(None),
        }
    }
}
