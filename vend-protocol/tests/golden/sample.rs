//! Values of any type of the wire, made without knowing it: a deserializer that has no bytes, but makes up an answer
//! to each question, and writes down what it was asked.

use std::{collections::BTreeMap, format, string::String, vec::Vec};

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess,
        Visitor,
    },
};

use super::shape::{Kind, Part, Shape};

pub(crate) type Refused = de::value::Error;

/// What the made-up values are like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    /// Numbers are 1, lists have one item, options are there, enums have their first case, texts are empty.
    One,
    /// The smallest numbers, nothing in lists, texts and options, the first case.
    Least,
    /// As the least, but lists have one item and options are there.
    Small,
    /// The largest numbers, lists and texts full, options there, the last case.
    Most,
}

/// What one part must be, by its path: a number, a length, the number of a case, or 0 and 1 for an option.
pub(crate) type Wishes = BTreeMap<String, i128>;

/// Makes a value, and says which parts it has. The limits come from the shape, which [`Size::One`] does not need.
pub(crate) fn make<T: DeserializeOwned>(
    size: Size,
    shape: &Shape,
    wishes: &Wishes,
) -> Result<(T, Vec<Part>), Refused> {
    let mut run = Run { size, shape, wishes, seen: Vec::new() };
    let value = T::deserialize(Sampler { run: &mut run, path: String::new() })?;
    Ok((value, run.seen))
}

struct Run<'a> {
    size: Size,
    shape: &'a Shape,
    wishes: &'a Wishes,
    seen: Vec<Part>,
}

impl Run<'_> {
    /// A length or a case: the wish, or what the size says, given the most there can be.
    fn choose(&self, path: &str, one: usize, most: impl Fn(&Kind) -> usize) -> usize {
        if let Some(wish) = self.wishes.get(path) {
            return usize::try_from(*wish).expect("a length or a case");
        }
        match self.size {
            Size::One | Size::Small => one,
            Size::Least => 0,
            Size::Most => most(&self.shape.part(path).expect("a part of the shape").kind),
        }
    }

    fn number(&self, path: &str, least: i128, most: i128) -> i128 {
        if let Some(wish) = self.wishes.get(path) {
            return *wish;
        }
        // The items of arrays are not parts of their own.
        let (least, most) = match self.shape.part(path).map(|part| &part.kind) {
            Some(Kind::Int { least, most, .. }) => (*least, *most),
            _ => (least, most),
        };
        match self.size {
            Size::One => 1,
            Size::Least | Size::Small => least,
            Size::Most => most,
        }
    }
}

/// `whole.part`.
pub(crate) fn join(whole: &str, part: &str) -> String {
    if whole.is_empty() { part.into() } else { format!("{whole}.{part}") }
}

/// What a value without fields is called.
pub(crate) fn name_of(path: String) -> String {
    if path.is_empty() { "value".into() } else { path }
}

/// What the presence of a value is called that may be missing: `after?`.
pub(crate) fn asked(path: &str) -> String {
    format!("{path}?")
}

struct Sampler<'r, 'a> {
    run: &'r mut Run<'a>,
    path: String,
}

impl<'r, 'a> Sampler<'r, 'a> {
    fn see(mut self, kind: Kind) -> (&'r mut Run<'a>, String) {
        self.path = name_of(self.path);
        self.run.seen.push(Part { path: self.path.clone(), kind });
        (self.run, self.path)
    }

    /// Fields one after another. If all are bytes they are one array, however it is put together.
    fn fields<'de, V: Visitor<'de>>(self, names: &[String], visitor: V) -> Result<V::Value, Refused> {
        let mark = self.run.seen.len();
        let tuple = names.first().is_some_and(|name| name == "0");
        let mut paths: Vec<_> = names.iter().map(|name| join(&self.path, name)).collect();
        paths.reverse();
        let value = visitor.visit_seq(Items { run: &mut *self.run, paths })?;
        let bytes = |part: &Part| match part.kind {
            Kind::Int { name: "u8", .. } => Some(1),
            Kind::Array(len) => Some(len),
            _ => None,
        };
        let len = self.run.seen.get(mark..).unwrap_or(&[]).iter().map(bytes).sum::<Option<usize>>();
        if let (true, Some(len)) = (tuple, len) {
            self.run.seen.truncate(mark);
            self.run.seen.push(Part { path: name_of(self.path), kind: Kind::Array(len) });
        }
        Ok(value)
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $int:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            let (least, most) = (i128::from($int::MIN), i128::from($int::MAX));
            let (run, path) = self.see(Kind::Int { name: stringify!($int), least, most });
            visitor.$visit($int::try_from(run.number(&path, least, most)).expect("a number of its type"))
        })*
    };
}

impl<'de> Deserializer<'de> for Sampler<'_, '_> {
    type Error = Refused;

    serde::forward_to_deserialize_any! { f32 f64 char map identifier ignored_any i128 u128 unit_struct }

    integers! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        panic!("{}: no message has such a part; should it, these tests have to learn it", self.path)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let (run, path) = self.see(Kind::Bool);
        visitor.visit_bool(run.number(&path, 0, 1) == 1)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let (run, path) = self.see(Kind::Text(0));
        let len = run.choose(&path, 0, Kind::capacity);
        // Characters of three bytes, filled up with others, so that bytes and characters are not mixed up.
        let text = "气".repeat(len / 3) + &"z".repeat(len % 3);
        visitor.visit_str(&text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let (run, path) = self.see(Kind::Bytes(0));
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(run.choose(&path, 0, Kind::capacity)).collect();
        visitor.visit_bytes(&bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let inner = self.path.clone();
        let (run, path) = Sampler { path: asked(&self.path), ..self }.see(Kind::Option);
        if run.choose(&path, 1, |_| 1) == 1 {
            visitor.visit_some(Sampler { run, path: inner })
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let (run, path) = self.see(Kind::List(0));
        let paths = vec![format!("{path}[]"); run.choose(&path, 1, Kind::capacity)];
        visitor.visit_seq(Items { run, paths })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.fields(&(0..len).map(|at| at.to_string()).collect::<Vec<_>>(), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.fields(&fields.iter().map(|name| String::from(*name)).collect::<Vec<_>>(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        cases: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let (run, path) = self.see(Kind::Enum(cases.to_vec()));
        let case = run.choose(&path, 0, |_| cases.len() - 1);
        let path = join(&path, cases.get(case).expect("a case that there is"));
        visitor
            .visit_enum(Case { number: u32::try_from(case).expect("a case"), content: Sampler { run, path } })
    }
}

/// The items of a list or the fields of a struct, the last first.
struct Items<'r, 'a> {
    run: &'r mut Run<'a>,
    paths: Vec<String>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        let Some(path) = self.paths.pop() else { return Ok(None) };
        seed.deserialize(Sampler { run: &mut *self.run, path }).map(Some)
    }
}

struct Case<'r, 'a> {
    number: u32,
    content: Sampler<'r, 'a>,
}

impl<'de, 'r, 'a> EnumAccess<'de> for Case<'r, 'a> {
    type Error = Refused;
    type Variant = Sampler<'r, 'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Sampler<'r, 'a>), Refused> {
        let case = seed.deserialize(IntoDeserializer::<Refused>::into_deserializer(self.number))?;
        Ok((case, self.content))
    }
}

impl<'de> VariantAccess<'de> for Sampler<'_, '_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_struct("", fields, visitor)
    }
}
