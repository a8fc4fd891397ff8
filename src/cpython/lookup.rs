//! Looking an attribute up the way `object.__getattribute__` does, without running code.
//!
//! The order is that of `_PyObject_GenericGetAttrWithDict` (Objects/object.c): what the classes
//! of the MRO say comes first when it is a data descriptor, then the instance's own storage,
//! then what the classes say otherwise. A `member_descriptor` (slots of Python classes, members
//! of C types) is read from the struct. Everything else with a getter, such as a property or a
//! function, would need code to run: it is named and never answered.

use super::attributes::Storage;
use super::{ObjectError, Python, Result, Type};
use crate::memory::Address;

/// Members scanned per class.
const MAX_MEMBERS: u64 = 1024;
/// Longest member name compared, in bytes.
const MAX_NAME: usize = 256;
/// Longest C string member read, in bytes.
const MAX_TEXT: usize = 1024;

/// What the classes of an MRO say of an attribute; the same for all instances of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassAttribute {
    /// A field of the object's struct.
    Member(Member),
    /// Computed by code.
    Getter {
        /// The type of the descriptor: "builtins.property".
        class: String,
        /// It has a setter too, so it hides an attribute of the instance.
        data: bool,
    },
    /// A value of the class.
    Plain(Address),
    /// No class has it.
    Absent,
}

/// A `PyMemberDef`: what lies where in the struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// `Py_T_INT`, … (Include/descrobject.h).
    kind: u64,
    /// Bytes from the start of the object.
    offset: i64,
}

/// The value of a member.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberValue {
    /// An object.
    Object(Address),
    /// A slot that nothing was assigned to.
    Unset,
    /// `None` without an object.
    None,
    /// A C integer.
    Int(i128),
    /// A C float or double.
    Float(f64),
    /// A C flag.
    Bool(bool),
    /// A C string.
    Text(String),
}

impl Python<'_> {
    /// What the classes of `class`'s MRO say of the attribute `name` (ASCII).
    pub fn class_lookup(&self, class: &Type, name: &str) -> Result<ClassAttribute> {
        let fields = &self.structs().type_object;
        for &base in &class.mro {
            let base = self.type_at(base)?;
            let dict = fields.dict.read_pointer(self.memory, base.address)?;
            // From 3.12 on, builtin static types keep their dict in the interpreter; their
            // members can be had all the same.
            if dict.is_null() {
                if let Some(member) = self.member(&base, name)? {
                    return Ok(ClassAttribute::Member(member));
                }
                continue;
            }
            let Some(value) = self.dict_get(dict, name)? else { continue };
            let kind = self.type_of(value)?;
            if kind.name() == "builtins.member_descriptor"
                && let Some(member) = self.member(&base, name)?
            {
                return Ok(ClassAttribute::Member(member));
            }
            let (get, set) = self.descriptor_slots(&kind)?;
            return Ok(match get {
                true => ClassAttribute::Getter { class: kind.name().to_owned(), data: set },
                false => ClassAttribute::Plain(value),
            });
        }
        Ok(ClassAttribute::Absent)
    }

    /// The attribute `name` (ASCII) in the instance's own dict or inline values.
    pub fn instance_attribute(
        &self,
        object: Address,
        class: &Type,
        name: &str,
    ) -> Result<Option<Address>> {
        match self.storage(object, class)? {
            Storage::Nothing => Ok(None),
            Storage::Dict(dict) => self.dict_get(dict, name),
            Storage::Values { .. } => {
                let mut found = None;
                self.visit_attributes(object, class, &mut |key, value| {
                    self.match_key(key, value, name, &mut found)
                })?;
                Ok(found)
            }
        }
    }

    /// Reads a member of the struct at `object` (`PyMember_GetOne` in Python/structmember.c).
    pub fn read_member(&self, object: Address, member: Member) -> Result<MemberValue> {
        let at = object.offset(member.offset);
        let raw = |size: u64| crate::layout::Field::new(0, size).read(self.memory, at);
        let signed = |size: u64| crate::layout::Field::new(0, size).read_signed(self.memory, at);
        let c_text = |at: Address| -> Result<MemberValue> {
            let bytes = self.memory.read_c_string(at, MAX_TEXT)?;
            Ok(MemberValue::Text(String::from_utf8_lossy(&bytes).into_owned()))
        };
        Ok(match member.kind {
            0 => MemberValue::Int(signed(2)?.into()),
            1 => MemberValue::Int(signed(4)?.into()),
            2 | 17 | 19 => MemberValue::Int(signed(8)?.into()),
            3 => MemberValue::Float(f32::from_bits(raw(4)? as u32).into()),
            4 => MemberValue::Float(f64::from_bits(raw(8)?)),
            5 => match self.memory.read_pointer(at)?.non_null() {
                Some(text) => c_text(text)?,
                None => MemberValue::None,
            },
            6 => self.object_or(at, MemberValue::None)?,
            7 => MemberValue::Text(char::from(raw(1)? as u8).to_string()),
            8 => MemberValue::Int(signed(1)?.into()),
            9 => MemberValue::Int(raw(1)?.into()),
            10 => MemberValue::Int(raw(2)?.into()),
            11 => MemberValue::Int(raw(4)?.into()),
            12 | 18 => MemberValue::Int(raw(8)?.into()),
            13 => c_text(at)?,
            14 => MemberValue::Bool(raw(1)? != 0),
            16 => self.object_or(at, MemberValue::Unset)?,
            20 => MemberValue::None,
            _ => return Err(ObjectError::malformed("member kind", object)),
        })
    }

    fn object_or(&self, at: Address, null: MemberValue) -> Result<MemberValue> {
        let value = self.memory.read_pointer(at)?.non_null();
        Ok(value.map_or(null, MemberValue::Object))
    }

    /// The member `name` among the class's own `tp_members`.
    fn member(&self, class: &Type, name: &str) -> Result<Option<Member>> {
        let fields = &self.structs().member_def;
        if class.members.is_null() {
            return Ok(None);
        }
        for index in 0..MAX_MEMBERS {
            let at = class.members.add(index * fields.size);
            let text = fields.name.read_pointer(self.memory, at)?;
            if text.is_null() {
                break;
            }
            if self.memory.read_c_string(text, MAX_NAME)? == name.as_bytes() {
                let kind = fields.kind.read(self.memory, at)?;
                let offset = fields.offset.read_signed(self.memory, at)?;
                return Ok(Some(Member { kind, offset }));
            }
        }
        Ok(None)
    }

    /// Whether a type has `tp_descr_get` and `tp_descr_set`: the two pointers between `tp_dict`
    /// and `tp_dictoffset` (Include/cpython/object.h, the same in every version).
    fn descriptor_slots(&self, class: &Type) -> Result<(bool, bool)> {
        let fields = &self.structs().type_object;
        let first = fields.dict.end();
        if fields.dictoffset.offset != first + 16 {
            return Err(ObjectError::malformed("type layout", class.address));
        }
        let get = self.memory.read_pointer(class.address.add(first))?;
        let set = self.memory.read_pointer(class.address.add(first + 8))?;
        Ok((!get.is_null(), !set.is_null()))
    }
}
