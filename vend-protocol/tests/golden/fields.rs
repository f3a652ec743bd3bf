//! The fields of a value in the order of the wire, each as `path: type = value`: a serializer that writes for people.

use serde::{
    Serialize, Serializer,
    ser::{
        Impossible, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{
    file::hex,
    sample::{Refused, asked, join, name_of},
    shape::{Kind, Shape},
};

/// One line of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// As in the shape, but with the number of each item: `lines[0].slot`.
    pub(crate) path: String,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    /// A byte, which may turn out to be an item of an array.
    Byte(u8),
    Int(i128),
    Array(Vec<u8>),
    Bytes(Vec<u8>),
    Text(String),
    List(usize),
    Option(bool),
    Case(u32, &'static str),
}

impl Field {
    /// The path without the numbers of items.
    pub(crate) fn part(&self) -> String {
        self.path
            .split('[')
            .map(|piece| piece.split_once(']').map_or(piece, |(_, rest)| rest))
            .collect::<Vec<_>>()
            .join("[]")
    }

    /// The line of the file. The type comes from the shape, which knows ranges and capacities.
    pub(crate) fn line(&self, shape: &Shape) -> String {
        let part = self.part();
        let kind = &shape.part(&part).unwrap_or_else(|| panic!("{part} is written, but not read")).kind;
        let fits = match (&self.value, kind) {
            (Value::Bool(_), Kind::Bool)
            | (Value::Option(_), Kind::Option)
            | (Value::Byte(_), Kind::Int { name: "u8", .. }) => true,
            (Value::Int(_), Kind::Int { name, .. }) => *name != "u8",
            (Value::Array(bytes), Kind::Array(len)) => bytes.len() == *len,
            (Value::Bytes(bytes), Kind::Bytes(most)) => bytes.len() <= *most,
            (Value::Text(text), Kind::Text(most)) => text.len() <= *most,
            (Value::List(len), Kind::List(most)) => len <= most,
            (Value::Case(number, case), Kind::Enum(cases)) => cases.get(*number as usize) == Some(case),
            _ => false,
        };
        assert!(fits, "{part} is written as {:?}, but read as {kind}", self.value);
        // The type says well enough that the value may be missing.
        format!("{}: {} = {}", self.path.trim_end_matches('?'), kind.type_name(), self.value)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(flag) | Self::Option(flag) => write!(f, "{}", u8::from(*flag)),
            Self::Byte(byte) => write!(f, "{byte}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Array(bytes) => f.write_str(&hex(bytes)),
            Self::Bytes(bytes) => f.write_str(format!("{} {}", bytes.len(), hex(bytes)).trim_end()),
            Self::Text(text) => {
                assert!(!text.contains(char::is_control), "{text:?} would not stand on one line");
                write!(f, "{} \"{text}\"", text.len())
            }
            Self::List(len) => write!(f, "{len}"),
            Self::Case(number, name) => write!(f, "{number} {name}"),
        }
    }
}

/// All fields of a value.
pub(crate) fn fields<T: Serialize>(value: &T) -> Vec<Field> {
    let mut out = Vec::new();
    value
        .serialize(Printer { out: &mut out, path: String::new() })
        .expect("every type of the wire can be printed");
    out
}

struct Printer<'a> {
    out: &'a mut Vec<Field>,
    path: String,
}

impl<'a> Printer<'a> {
    fn put(self, value: Value) -> (&'a mut Vec<Field>, String) {
        let path = name_of(self.path);
        self.out.push(Field { path: path.clone(), value });
        (self.out, path)
    }

    fn parts(self) -> Parts<'a> {
        Parts { mark: self.out.len(), out: self.out, path: self.path, count: 0 }
    }

    fn case(self, number: u32, name: &'static str) -> Printer<'a> {
        let (out, path) = self.put(Value::Case(number, name));
        Printer { out, path: join(&path, name) }
    }
}

/// Items, elements or fields.
struct Parts<'a> {
    out: &'a mut Vec<Field>,
    path: String,
    mark: usize,
    count: usize,
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, path: String, value: &T) -> Result<(), Refused> {
        self.count += 1;
        value.serialize(Printer { out: &mut *self.out, path })
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.part(join(&self.path, &self.count.to_string()), value)
    }

    /// Elements that are all bytes are one array, as in the shape.
    fn end_tuple(self) {
        let bytes = |field: &Field| match &field.value {
            Value::Byte(byte) => Some(vec![*byte]),
            Value::Array(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let all: Option<Vec<_>> = self.out.get(self.mark..).unwrap_or(&[]).iter().map(bytes).collect();
        if let Some(all) = all {
            self.out.truncate(self.mark);
            self.out.push(Field { path: name_of(self.path), value: Value::Array(all.concat()) });
        }
    }
}

macro_rules! integers {
    ($($method:ident $int:ident,)*) => {
        $(fn $method(self, number: $int) -> Result<(), Refused> {
            self.put(Value::Int(number.into()));
            Ok(())
        })*
    };
}

macro_rules! no_part_of_a_message {
    ($($method:ident($($arg:ty),*) -> $ok:ty,)*) => {
        $(fn $method(self, $(_: $arg),*) -> Result<$ok, Refused> {
            panic!("{}: no message has such a part; should it, these tests have to learn it", self.path)
        })*
    };
}

impl<'a> Serializer for Printer<'a> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Impossible<(), Refused>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    integers! {
        serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
    }

    no_part_of_a_message! {
        serialize_f32(f32) -> (), serialize_f64(f64) -> (), serialize_char(char) -> (),
        serialize_unit_struct(&'static str) -> (), serialize_map(Option<usize>) -> Self::SerializeMap,
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_u8(self, byte: u8) -> Result<(), Refused> {
        self.put(Value::Byte(byte));
        Ok(())
    }

    fn serialize_bool(self, flag: bool) -> Result<(), Refused> {
        self.put(Value::Bool(flag));
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Refused> {
        self.put(Value::Text(text.into()));
        Ok(())
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, text: &T) -> Result<(), Refused> {
        self.serialize_str(&text.to_string())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Refused> {
        self.put(Value::Bytes(bytes.into()));
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        Printer { path: asked(&self.path), ..self }.put(Value::Option(false));
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        let (out, _) = Printer { path: asked(&self.path), out: &mut *self.out }.put(Value::Option(true));
        value.serialize(Printer { out, path: self.path })
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, number: u32, name: &'static str) -> Result<(), Refused> {
        self.case(number, name);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        number: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        value.serialize(self.case(number, name))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'a>, Refused> {
        let (out, path) = self.put(Value::List(len.expect("a list says its length first")));
        Ok(Printer { out, path }.parts())
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Refused> {
        Ok(self.parts())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Refused> {
        Ok(self.parts())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        number: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Refused> {
        Ok(self.case(number, name).parts())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Refused> {
        Ok(self.parts())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        number: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Refused> {
        Ok(self.case(number, name).parts())
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.part(format!("{}[{}]", self.path, self.count), value)
    }

    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($trait:ident $method:ident,)*) => {
        $(impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                self.element(value)
            }

            fn end(self) -> Result<(), Refused> {
                self.end_tuple();
                Ok(())
            }
        })*
    };
}

tuples! { SerializeTuple serialize_element, SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field, }

macro_rules! structs {
    ($($trait:ident,)*) => {
        $(impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
                self.part(join(&self.path, name), value)
            }

            fn end(self) -> Result<(), Refused> {
                Ok(())
            }
        })*
    };
}

structs! { SerializeStruct, SerializeStructVariant, }
