//! The canonical reader of the postcard wire format.
//!
//! Written for small images: nothing is formatted, a refusal is one byte, and what reads integers exists once and
//! not once a type. Source of the format: the postcard wire specification, <https://postcard.jamesmunns.com/wire-format>.

use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess, Visitor},
};

use super::{raw, refusal::Refusal};

type Result<T> = core::result::Result<T, Refusal>;

/// The bytes that have not been read yet.
pub(super) struct Reader<'de> {
    bytes: &'de [u8],
}

impl<'de> Reader<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let (&first, rest) = self.bytes.split_first().ok_or(Refusal::Invalid)?;
        self.bytes = rest;
        Ok(first)
    }

    /// A byte that is 0 or 1.
    #[inline]
    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Refusal::Invalid),
        }
    }

    /// An integer of at most `max`: seven bits a byte, lowest first, the top bit says that more follow.
    #[inline]
    fn varint(&mut self, max: u64) -> Result<u64> {
        match self.bytes.split_first() {
            // Most integers of a message are this short.
            Some((&first, rest)) if first < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(first))
            }
            _ => self.long_varint(max),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, max: u64) -> Result<u64> {
        let mut value = 0;
        let mut shift = 0;
        while shift < u64::BITS {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7F);
            let placed = part << shift;
            value |= placed;
            if byte < 0x80 {
                // The tenth byte has room for one bit only.
                return if placed >> shift != part || value > max {
                    Err(Refusal::Invalid)
                } else if part == 0 && shift > 0 {
                    Err(Refusal::NotCanonical)
                } else {
                    Ok(value)
                };
            }
            shift += 7;
        }
        Err(Refusal::Invalid)
    }

    #[inline]
    fn int<T: TryFrom<u64>>(&mut self, max: u64) -> Result<T> {
        T::try_from(self.varint(max)?).map_err(|_| Refusal::Invalid)
    }

    /// A signed integer whose zigzag form is at most `max`: 0, -1, 1, -2 and so on are 0, 1, 2, 3.
    #[inline]
    fn signed<T: TryFrom<i64>>(&mut self, max: u64) -> Result<T> {
        let zigzag = self.varint(max)?;
        let value = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        T::try_from(value).map_err(|_| Refusal::Invalid)
    }

    /// The declared length of what follows. As each item takes a byte at least, a length beyond the end is a lie that
    /// is refused here, before anybody allocates or loops by it.
    #[inline(never)]
    fn length(&mut self) -> Result<usize> {
        let len = self.int(u64::from(u32::MAX))?;
        if len <= self.bytes.len() { Ok(len) } else { Err(Refusal::Invalid) }
    }

    #[inline(never)]
    fn slice(&mut self) -> Result<&'de [u8]> {
        let len = self.length()?;
        self.take(len)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8]> {
        let (slice, rest) = self.bytes.split_at_checked(len).ok_or(Refusal::Invalid)?;
        self.bytes = rest;
        Ok(slice)
    }

    #[inline(never)]
    fn text(&mut self) -> Result<&'de str> {
        core::str::from_utf8(self.slice()?).map_err(|_| Refusal::Invalid)
    }
}

/// What no message has.
macro_rules! unsupported {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
            Err(Refusal::Unsupported)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Refusal;

    unsupported! {
        deserialize_any deserialize_i128 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_map deserialize_identifier deserialize_ignored_any
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_bool(self.flag()?)
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u8(self.byte()?)
    }

    #[inline]
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u16(self.int(u16::MAX.into())?)
    }

    #[inline]
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u32(self.int(u32::MAX.into())?)
    }

    #[inline]
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u64(self.varint(u64::MAX)?)
    }

    #[inline]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i8(self.byte()?.cast_signed())
    }

    #[inline]
    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i16(self.signed(u16::MAX.into())?)
    }

    #[inline]
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i32(self.signed(u32::MAX.into())?)
    }

    #[inline]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i64(self.signed(u64::MAX)?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.slice()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.flag()? { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.length()?;
        visitor.visit_seq(Items { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Fields { reader: self })
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        if name == raw::NAME {
            return visitor.visit_borrowed_bytes(self.take(len)?);
        }
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }
}

/// The fields of a tuple or struct. Whoever visits one asks for exactly its fields, as serde's own visitors and derived ones
/// do: counting them here too would be a branch a field, and a tenth of an image.
struct Fields<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = Refusal;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

/// The items of a sequence.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Refusal;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.reader.bytes.len()))
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Refusal;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let variant: u32 = self.int(u32::MAX.into())?;
        Ok((seed.deserialize(variant.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Refusal;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
