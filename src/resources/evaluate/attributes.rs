//! Attributes and global variables.

use super::{Evaluator, Value};
use crate::cpython::{ClassAttribute, MemberValue, Result, Type};
use crate::memory::Address;

impl Evaluator<'_, '_> {
    /// The attribute `name`, in the order the interpreter would look: a member or a getter with
    /// a setter of a class, the instance's own, whatever else the class says.
    pub(super) fn attribute(&self, object: Address, name: &str) -> Result<Value> {
        let class = self.python.type_of(object)?;
        let said = self.class_attribute(&class, name)?;
        let getter = |getter: &str| {
            let owner = class.name();
            Value::missing(format!("{owner}.{name} is a {getter}: it would need code to run"))
        };
        match &said {
            ClassAttribute::Member(member) => {
                return Ok(match self.python.read_member(object, *member)? {
                    MemberValue::Object(value) => Value::Object(value),
                    MemberValue::Unset => {
                        Value::missing(format!("{}.{name} is not set", class.name()))
                    }
                    MemberValue::None => Value::None,
                    MemberValue::Int(value) => match i64::try_from(value) {
                        Ok(value) => Value::Int(value),
                        Err(_) => Value::missing("a number beyond 64 bits"),
                    },
                    MemberValue::Float(value) => Value::Float(value),
                    MemberValue::Bool(value) => Value::Bool(value),
                    MemberValue::Text(text) => Value::text(text),
                });
            }
            ClassAttribute::Getter { class, data: true } => return Ok(getter(class)),
            _ => {}
        }
        if let Some(value) = self.python.instance_attribute(object, &class, name)? {
            return Ok(Value::Object(value));
        }
        Ok(match &said {
            ClassAttribute::Plain(value) => Value::Object(*value),
            ClassAttribute::Getter { class, .. } => getter(class),
            _ => Value::missing(format!("{} has no attribute '{name}'", class.name())),
        })
    }

    fn class_attribute(&self, class: &Type, name: &str) -> Result<ClassAttribute> {
        let known = self.class_attributes.borrow();
        if let Some(said) = known.get(&class.address).and_then(|by_name| by_name.get(name)) {
            return Ok(said.clone());
        }
        drop(known);
        let said = self.python.class_lookup(class, name)?;
        let mut known = self.class_attributes.borrow_mut();
        known.entry(class.address).or_default().insert(name.into(), said.clone());
        Ok(said)
    }

    /// A global variable of a module, in the first interpreter that has imported it.
    pub(super) fn global(&self, module: &str, name: &str) -> Result<Value> {
        let key = format!("{module}:{name}");
        if let Some(found) = self.globals.borrow().get(key.as_str()) {
            return Ok(found.clone());
        }
        let mut found = Value::missing(format!("{module}.{name} is not there"));
        for interpreter in self.interpreters {
            if let Some(value) = self.python.module_global(interpreter, module, name)? {
                found = Value::Object(value);
                break;
            }
        }
        self.globals.borrow_mut().insert(key.into(), found.clone());
        Ok(found)
    }

    /// The version of an imported module: its `__version__`, or `version`, as text. "python" is
    /// the interpreter itself.
    pub(in crate::resources) fn version(&self, module: &str) -> Result<Option<String>> {
        if module == "python" {
            return Ok(Some(self.python.layout().version.to_string()));
        }
        if let Some(known) = self.versions.borrow().get(module) {
            return Ok(known.clone());
        }
        let mut found = None;
        for name in ["__version__", "version", "VERSION"] {
            let value = self.global(module, name)?;
            found = match self.decoded(value)? {
                Value::Text(text) => Some(text.to_string()),
                _ => None,
            };
            if found.is_some() {
                break;
            }
        }
        self.versions.borrow_mut().insert(module.into(), found.clone());
        Ok(found)
    }
}
