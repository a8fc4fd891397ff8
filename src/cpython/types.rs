//! Type objects: names, flags, method resolution order.

use super::{ObjectError, Python, Result};
use crate::memory::Address;
use std::rc::Rc;

/// Longest MRO followed; real programs stay under a hundred.
const MAX_MRO: u64 = 1024;
/// Largest `tp_basicsize` and `tp_itemsize` believed, in bytes: ctypes makes large ones.
const MAX_SIZE: u64 = 1 << 32;
/// Longest type or module name kept, in characters.
const MAX_NAME: usize = 512;

/// `tp_flags` (Include/object.h); numbers are the same in every version that has the flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeFlags(u64);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)+) => {
        $( $(#[$doc])* pub const fn $name(self) -> bool { self.0 & (1 << $bit) != 0 } )+
    };
}

impl TypeFlags {
    flags! {
        /// Attribute values lie inside the instance (3.13+).
        inline_values = 2;
        /// The weak reference list lies before the instance (3.12+).
        managed_weakref = 3;
        /// The instance dict is kept by the interpreter (3.11+).
        managed_dict = 4;
        /// Made at run time, so it has a name and a module of its own.
        heap_type = 9;
        /// `PyType_Ready` has run.
        ready = 12;
        /// Instances have a GC head.
        has_gc = 14;
        /// Subclass of `int`.
        long_subclass = 24;
        /// Subclass of `list`.
        list_subclass = 25;
        /// Subclass of `tuple`.
        tuple_subclass = 26;
        /// Subclass of `bytes`.
        bytes_subclass = 27;
        /// Subclass of `str`.
        unicode_subclass = 28;
        /// Subclass of `dict`.
        dict_subclass = 29;
        /// Subclass of `BaseException`.
        exception_subclass = 30;
        /// Subclass of `type`: instances are classes.
        type_subclass = 31;
    }

    /// Wraps the raw word.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }
}

/// A class of the target.
#[derive(Debug, Clone)]
pub struct Type {
    /// Where the type object is; two classes of one name differ here.
    pub address: Address,
    /// `tp_flags`.
    pub flags: TypeFlags,
    /// `tp_basicsize` in bytes.
    pub basicsize: u64,
    /// `tp_itemsize` in bytes.
    pub itemsize: u64,
    /// `tp_dictoffset`; magic values where the dict is managed.
    pub dictoffset: i64,
    /// The MRO, this type first.
    pub mro: Vec<Address>,
    /// `ht_cached_keys` of a heap type, or null.
    pub cached_keys: Address,
    /// `tp_members`, or null.
    pub members: Address,
    name: String,
}

impl Type {
    /// `__module__ + "." + __qualname__`: "builtins.dict", "app.models.Order".
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Python<'_> {
    /// The type object at `address`, checked to be one.
    pub fn type_at(&self, address: Address) -> Result<Rc<Type>> {
        if let Some(known) = self.types.borrow().get(&address) {
            return known.clone();
        }
        let read = self.read_type(address).map(Rc::new);
        if read.as_ref().err().and_then(ObjectError::fatal).is_none() {
            self.types.borrow_mut().insert(address, read.clone());
        }
        read
    }

    /// True when the class at `address` has a class named `name` in its MRO. Classes of the
    /// MRO that cannot be read do not match.
    pub fn is_subtype(&self, class: &Type, name: &str) -> bool {
        class.name == name
            || class.mro.iter().any(|&base| self.type_at(base).is_ok_and(|base| base.name == name))
    }

    /// The flags of an object's type. Reads no more of the type than that: reading a type
    /// needs its name and dict, and a broken one may be the type of its own name or dict.
    pub(super) fn flags_of(&self, object: Address) -> Result<TypeFlags> {
        let class = self.type_address(object)?;
        if let Some(Ok(known)) = self.types.borrow().get(&class) {
            return Ok(known.flags);
        }
        self.check_metatype(class)?;
        let flags = TypeFlags(self.structs().type_object.flags.read(self.memory, class)?);
        if flags.ready() { Ok(flags) } else { Err(ObjectError::malformed("type object", class)) }
    }

    /// The type of a type must be a subclass of `type` (flag bit 31), and ready.
    fn check_metatype(&self, class: Address) -> Result<()> {
        let wrong = || ObjectError::malformed("type object", class);
        let metatype = self.type_address(class)?;
        if metatype.is_null() || !metatype.is_aligned(8) {
            return Err(wrong());
        }
        let flags = TypeFlags(self.structs().type_object.flags.read(self.memory, metatype)?);
        if flags.type_subclass() && flags.ready() { Ok(()) } else { Err(wrong()) }
    }

    /// The bytes of a possible type, if it is a type, is ready, and has believable sizes.
    fn checked_type(&self, address: Address) -> Result<Vec<u8>> {
        self.check_metatype(address)?;
        let fields = &self.structs().type_object;
        let bytes = self.read_struct(address, fields.size)?;
        let number = |field: crate::layout::Field| field.in_bytes(&bytes).unwrap_or(u64::MAX);
        let sizes = number(fields.basicsize).max(number(fields.itemsize));
        if TypeFlags(number(fields.flags)).ready() && sizes <= MAX_SIZE {
            Ok(bytes)
        } else {
            Err(ObjectError::malformed("type object", address))
        }
    }

    fn read_type(&self, address: Address) -> Result<Type> {
        let fields = &self.structs().type_object;
        let heap_fields = &self.structs().heap_type;
        let bytes = self.checked_type(address)?;
        let number = |field: crate::layout::Field| field.in_bytes(&bytes).unwrap_or(0);
        let flags = TypeFlags(number(fields.flags));
        let tp_name = fields.name.pointer_in(&bytes);
        let tp_name = self.memory.read_c_string(tp_name, MAX_NAME).map(|name| lossy(&name));
        let mut cached_keys = Address::NULL;
        let name = if flags.heap_type() {
            cached_keys = heap_fields.cached_keys.read_pointer(self.memory, address)?;
            self.heap_type_name(address, fields.dict.pointer_in(&bytes), tp_name.ok())?
        } else {
            static_name(tp_name?)
        };
        let mro = fields.mro.pointer_in(&bytes);
        let mro = self.tuple_items(mro, MAX_MRO).unwrap_or_else(|_| vec![address]);
        Ok(Type {
            address,
            flags,
            basicsize: number(fields.basicsize),
            itemsize: number(fields.itemsize),
            dictoffset: number(fields.dictoffset) as i64,
            mro,
            cached_keys,
            members: fields.members.pointer_in(&bytes),
            name,
        })
    }

    /// `__qualname__` is in the heap type; `__module__` is an entry of the class's own dict and
    /// need not be a string (Cython puts a descriptor there): then `tp_name` has the answer.
    fn heap_type_name(
        &self,
        address: Address,
        dict: Address,
        tp_name: Option<String>,
    ) -> Result<String> {
        let qualname = self.structs().heap_type.qualname.read_pointer(self.memory, address)?;
        let qualname = self.text(qualname, MAX_NAME)?;
        let module = self.dict_get(dict, "__module__").ok().flatten();
        match module.and_then(|module| self.text(module, MAX_NAME).ok()) {
            Some(module) => Ok(format!("{module}.{qualname}")),
            None => Ok(tp_name.filter(|name| name.contains('.')).unwrap_or(qualname)),
        }
    }
}

/// Names of static types: dotted ones are complete, bare ones belong to `builtins`
/// (`type_module` in Objects/typeobject.c).
fn static_name(tp_name: String) -> String {
    if tp_name.contains('.') { tp_name } else { format!("builtins.{tp_name}") }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
