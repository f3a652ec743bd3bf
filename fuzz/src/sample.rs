//! Valid values of any type, drawn by number: what seeds and sessions are filled with.
//!
//! The type says itself what it is made of, by asking this deserializer for it. So a new message needs no example here.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, SeqAccess,
    VariantAccess, Visitor, value::U32Deserializer,
};

/// Draws before a type counts as one that cannot be drawn.
const DRAWS: u64 = 2_000;

/// The value of this number; the same number gives the same value. Types refuse what is out of their ranges,
/// and then the next draw is taken.
///
/// # Panics
/// For a type that refuses every draw: its range is missing in this file.
pub fn sample<T: DeserializeOwned>(number: u64) -> T {
    (0..DRAWS)
        .find_map(|draw| T::deserialize(&mut Sampler(Dice::new(number, draw))).ok())
        .unwrap_or_else(|| panic!("no draw gives a {}", std::any::type_name::<T>()))
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and every seed is good.
struct Dice(u64);

impl Dice {
    fn new(number: u64, draw: u64) -> Self {
        Self(number.wrapping_mul(DRAWS).wrapping_add(draw))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// Mostly small, since most ranges are; else of any length in bits.
    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(4),
            1 | 2 => self.below(200),
            _ => self.roll() >> self.below(64),
        }
    }

    fn len(&mut self) -> usize {
        usize::try_from(self.below(4)).unwrap_or(0)
    }
}

/// `SplitMix64`'s last step: each bit of the result depends on each bit of the number.
pub(crate) const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

struct Sampler(Dice);

/// A draw that the type did not take.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "any number is as good as another")]
            visitor.$visit(self.0.number() as $number)
        })*
    };
}

macro_rules! not_on_the_wire {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
            Err(Refused)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Sampler {
    type Error = Refused;

    numbers! {
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
    }

    // No message has any of them, and none should.
    not_on_the_wire! {
        deserialize_any deserialize_f32 deserialize_f64 deserialize_char deserialize_map deserialize_identifier
        deserialize_ignored_any
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(self.0.below(2) == 1)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let words = ["", "V1", "Sparkling water", "气泡水", "Eau gazeuse ½ l"];
        visitor.visit_str(words[usize::try_from(self.0.below(5)).unwrap_or(0)])
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let len = self.0.number().min(40);
        let bytes: Vec<u8> = (0..len).map(|_| self.0.roll().to_le_bytes()[0]).collect();
        visitor.visit_bytes(&bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        if self.0.below(3) == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
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
        let left = self.0.len();
        visitor.visit_seq(Items { sampler: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(Items { sampler: self, left: len })
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
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let variant = self.0.below(u64::try_from(variants.len()).map_err(|_| Refused)?);
        visitor.visit_enum(Choice { sampler: self, variant: u32::try_from(variant).map_err(|_| Refused)? })
    }

    /// As on the wire: a type may write itself in one way for people and in another for machines.
    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Items<'a> {
    sampler: &'a mut Sampler,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.sampler).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Choice<'a> {
    sampler: &'a mut Sampler,
    variant: u32,
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let variant: U32Deserializer<Refused> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(self.sampler)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.sampler.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.sampler.deserialize_tuple(fields.len(), visitor)
    }
}
