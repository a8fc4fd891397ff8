//! The functions of the language.

use super::operators::{not_a_number, number};
use super::{Evaluator, Scope, Value};
use crate::cpython::Result;
use crate::memory::Address;
use crate::resources::expression::{Arithmetic, Function, Node};
use crate::resources::redact::redact;
use std::rc::Rc;

impl Evaluator<'_, '_> {
    pub(super) fn call(
        &self,
        function: Function,
        arguments: &[Node],
        scope: Scope<'_>,
    ) -> Result<Value> {
        let names = || {
            arguments.iter().filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                _ => None,
            })
        };
        if function == Function::Global {
            let mut names = names();
            let (module, name) = (names.next().unwrap_or(""), names.next().unwrap_or(""));
            return self.global(module, name);
        }
        let Some(first) = arguments.first() else { return Ok(Value::None) };
        let value = self.value(first, scope)?;
        match function {
            Function::Len => self.len(value),
            Function::Items => self.items(value),
            Function::Keys => self.keys(value),
            Function::Values => self.values(value),
            Function::Count | Function::Sum | Function::First => {
                self.over_items(function, value, arguments.get(1), scope)
            }
            Function::Isa => self.is_a(value, &names().collect::<Vec<_>>()),
            Function::Deref => self.on_object(value, |object| self.target_of(object)),
            Function::Global => Ok(Value::None),
            Function::Fd => self.descriptor(value),
            Function::Peer | Function::TcpState => self.kernel(function, value),
            Function::Code => self.on_object(value, |object| self.code_name(object)),
            Function::Where => self.on_object(value, |object| self.place(object)),
            Function::Redact => Ok(match self.decoded(value)? {
                Value::Text(text) => Value::text(redact(&text)),
                Value::None => Value::None,
                Value::Missing(reason) => Value::Missing(reason),
                _ => Value::missing("not a text"),
            }),
            Function::Type => {
                self.on_object(value, |object| Ok(Value::text(self.python.type_of(object)?.name())))
            }
            Function::Known => Ok(Value::Bool(!self.decoded(value)?.is_missing())),
            Function::If => {
                let (Some(then), Some(otherwise)) = (arguments.get(1), arguments.get(2)) else {
                    return Ok(Value::None);
                };
                match self.truth(value)? {
                    Value::Bool(true) => self.value(then, scope),
                    Value::Bool(false) => self.value(otherwise, scope),
                    missing => Ok(missing),
                }
            }
        }
    }

    /// `count`, `sum` and `first`. One item of which the answer is missing makes the whole
    /// missing: a part is never the answer for the whole.
    fn over_items(
        &self,
        function: Function,
        collection: Value,
        each: Option<&Node>,
        scope: Scope<'_>,
    ) -> Result<Value> {
        let items = match self.items(collection)? {
            Value::List(items) => items,
            other => return Ok(other),
        };
        let mut sum = Value::Int(0);
        let mut count = 0;
        for item in items.iter() {
            let value = match each {
                Some(each) => self.value(each, Scope { it: Some(item), ..scope })?,
                None => item.clone(),
            };
            if function == Function::Sum {
                let value = self.decoded(value)?;
                if number(&value).is_none() {
                    return Ok(match value {
                        Value::None => Value::missing("none is not a number"),
                        other => not_a_number(other),
                    });
                }
                sum = self.arithmetic(Arithmetic::Add, sum, value)?;
                continue;
            }
            match if each.is_some() { self.truth(value)? } else { Value::Bool(true) } {
                Value::Bool(true) if function == Function::First => return Ok(item.clone()),
                Value::Bool(true) => count += 1,
                Value::Bool(false) => {}
                missing => return Ok(missing),
            }
        }
        Ok(match function {
            Function::Sum => sum,
            Function::First => Value::None,
            _ => Value::Int(count),
        })
    }

    fn is_a(&self, value: Value, names: &[&str]) -> Result<Value> {
        if value == Value::None {
            return Ok(Value::Bool(false));
        }
        self.on_object(value, |object| {
            let class = self.python.type_of(object)?;
            Ok(Value::Bool(names.iter().any(|name| self.python.is_subtype(&class, name))))
        })
    }

    fn target_of(&self, object: Address) -> Result<Value> {
        let class = self.python.type_of(object)?;
        if !self.python.is_weak_reference(&class) {
            return Ok(Value::missing(format!("{} is not a weak reference", class.name())));
        }
        Ok(self.python.weak_target(object)?.map_or(Value::None, Value::Object))
    }

    /// The descriptor that a number, a socket, a file or a wrapper of one has; none when closed.
    fn descriptor(&self, value: Value) -> Result<Value> {
        let open = |fd: Value| match fd {
            Value::Int(fd) if fd < 0 => Value::None,
            other => other,
        };
        let mut value = value;
        // A wrapped text file is file, text, buffer, raw.
        for _ in 0..6 {
            let object = match self.decoded(value)? {
                Value::Object(object) => object,
                other => return Ok(open(other)),
            };
            let class = self.python.type_of(object)?;
            let is = |name: &str| self.python.is_subtype(&class, name);
            if is("_socket.socket") || is("_io.FileIO") {
                return Ok(open(self.field(object, "fd")?));
            }
            value = Value::missing(format!("{} has no descriptor that can be read", class.name()));
            for name in ["raw", "buffer", "_sock", "file"] {
                let inner = super::known(self.attribute(object, name))?;
                if !inner.is_missing() {
                    value = inner;
                    break;
                }
            }
        }
        Ok(Value::missing("wrapped too deeply"))
    }

    fn kernel(&self, function: Function, value: Value) -> Result<Value> {
        let fd = match self.descriptor(value)? {
            Value::Int(fd) => fd,
            other => return Ok(other),
        };
        let Some(sockets) = self.sockets else {
            return Ok(Value::missing("the kernel's socket tables were not read"));
        };
        let found = match sockets.of(fd) {
            Ok(fact) if function == Function::Peer => fact.peer,
            Ok(fact) => fact.tcp_state,
            Err(reason) => return Ok(Value::missing(reason)),
        };
        Ok(found.map_or(Value::None, Value::text))
    }

    /// The function behind a bound method or a `functools.partial`.
    fn function_of(&self, object: Address) -> Result<Value> {
        let mut at = object;
        for _ in 0..8 {
            let class = self.python.type_of(at)?;
            let inner = match class.name() {
                "builtins.method" => "__func__",
                "functools.partial" => "func",
                _ => break,
            };
            match self.attribute(at, inner)? {
                Value::Object(inner) => at = inner,
                other => return Ok(other),
            }
        }
        Ok(Value::Object(at))
    }

    fn code_name(&self, object: Address) -> Result<Value> {
        let object = match self.function_of(object)? {
            Value::Object(object) => object,
            other => return Ok(other),
        };
        let class = self.python.type_of(object)?;
        Ok(match class.name() {
            "builtins.NoneType" => Value::None,
            "builtins.function" => Value::text(self.python.function_name(object)?),
            "builtins.coroutine" | "builtins.generator" | "builtins.async_generator" => {
                Value::text(self.python.generator_name(object)?.qualname)
            }
            "builtins.code" => {
                let code = self.python.code_at(object)?;
                Value::text(code.qualname.as_ref().unwrap_or(&code.name))
            }
            other => Value::text(other),
        })
    }

    fn place(&self, object: Address) -> Result<Value> {
        let object = match self.function_of(object)? {
            Value::Object(object) => object,
            other => return Ok(other),
        };
        let class = self.python.type_of(object)?;
        let code = match class.name() {
            "builtins.NoneType" => return Ok(Value::None),
            "builtins.function" => self.python.function_code(object)?,
            "builtins.code" => self.python.code_at(object)?,
            other => return Ok(Value::missing(format!("{other} has no place that can be read"))),
        };
        Ok(Value::Text(Rc::from(format!("{}:{}", code.filename, code.first_line))))
    }
}
