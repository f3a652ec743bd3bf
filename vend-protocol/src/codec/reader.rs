//! The canonical reader of the postcard wire format.
//!
//! Written for small images: nothing is formatted, a refusal is one byte, and what reads integers exists once and
//! not once a type. Source of the format: the postcard wire specification, <https://postcard.jamesmunns.com/wire-format>.

#![allow(
    clippy::inline_always,
    reason = "glue that is a call when it is not inlined; measured on a Cortex-M4 at opt-level z"
)]

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess, Visitor},
};

use super::{raw, refusal::Refusal};

type Result<T> = core::result::Result<T, Refusal>;

/// The bytes that have not been read yet.
///
/// The first refusal sticks: from then on there are no bytes, and everything reads as 0 or empty, until [`Reader::refused`] is
/// asked at the end. So a field costs a call and a store, and no branch. It stays bounded: lists are empty then, and structs have
/// so many fields.
pub(super) struct Reader<'de> {
    bytes: &'de [u8],
    refused: Option<Refusal>,
}

impl<'de> Reader<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, refused: None }
    }

    /// What was read is worth nothing if this says something.
    pub(super) const fn refused(&self) -> Option<Refusal> {
        self.refused
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    #[inline(never)]
    const fn refuse(&mut self, why: Refusal) {
        self.bytes = &[];
        if self.refused.is_none() {
            self.refused = Some(why);
        }
    }

    // Each of these is one copy on a chip; on a host, what is short is inlined.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn byte(&mut self) -> u8 {
        if let Some((&first, rest)) = self.bytes.split_first() {
            self.bytes = rest;
            return first;
        }
        self.refuse(Refusal::Invalid);
        0
    }

    /// A byte that is 0 or 1.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn flag(&mut self) -> bool {
        let byte = self.byte();
        if byte > 1 {
            self.refuse(Refusal::Invalid);
        }
        byte == 1
    }

    /// An integer of at most `max`: seven bits a byte, lowest first, the top bit says that more follow.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn varint(&mut self, max: u64) -> u64 {
        // Most integers of a message are this short, and every type has room for them.
        if let Some((&first, rest)) = self.bytes.split_first()
            && first < 0x80
        {
            self.bytes = rest;
            return u64::from(first);
        }
        self.long_varint(max)
    }

    #[cfg_attr(not(target_os = "none"), inline(never))]
    fn long_varint(&mut self, max: u64) -> u64 {
        let mut value = 0;
        let mut shift = 0;
        while shift < u64::BITS {
            let byte = self.byte();
            let part = u64::from(byte & 0x7F);
            let placed = part << shift;
            value |= placed;
            if byte < 0x80 {
                // The tenth byte has room for one bit only.
                if placed >> shift != part || value > max {
                    break;
                }
                if part == 0 && shift > 0 {
                    self.refuse(Refusal::NotCanonical);
                }
                return value;
            }
            shift += 7;
        }
        self.refuse(Refusal::Invalid);
        0
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn uint32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.varint(u32::MAX.into()).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn uint16(&mut self) -> u16 {
        let [a, b, ..] = self.varint(u16::MAX.into()).to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// A signed integer whose zigzag form is at most `max`: 0, -1, 1, -2 and so on are 0, 1, 2, 3.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn int64(&mut self, max: u64) -> i64 {
        let zigzag = self.varint(max);
        (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn int32(&mut self) -> i32 {
        let [a, b, c, d, ..] = self.int64(u32::MAX.into()).to_le_bytes();
        i32::from_le_bytes([a, b, c, d])
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn int16(&mut self) -> i16 {
        let [a, b, ..] = self.int64(u16::MAX.into()).to_le_bytes();
        i16::from_le_bytes([a, b])
    }

    /// The declared length of what follows. As each item takes a byte at least, a length beyond the end is a lie that
    /// is refused here, before anybody allocates or loops by it.
    #[inline(never)]
    fn length(&mut self) -> usize {
        match usize::try_from(self.uint32()) {
            Ok(len) if len <= self.bytes.len() => len,
            _ => {
                self.refuse(Refusal::Invalid);
                0
            }
        }
    }

    #[inline(never)]
    fn slice(&mut self) -> &'de [u8] {
        let len = self.length();
        self.take(len)
    }

    /// So many bytes, or none.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn take(&mut self, len: usize) -> &'de [u8] {
        if let Some((slice, rest)) = self.bytes.split_at_checked(len) {
            self.bytes = rest;
            return slice;
        }
        self.refuse(Refusal::Invalid);
        &[]
    }

    #[inline(never)]
    fn text(&mut self) -> &'de str {
        if let Ok(text) = core::str::from_utf8(self.slice()) {
            return text;
        }
        self.refuse(Refusal::Invalid);
        ""
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

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline(always)]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_bool(self.flag())
    }

    #[inline(always)]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u8(self.byte())
    }

    #[inline(always)]
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u16(self.uint16())
    }

    #[inline(always)]
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u32(self.uint32())
    }

    #[inline(always)]
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u64(self.varint(u64::MAX))
    }

    #[inline(always)]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i8(self.byte().cast_signed())
    }

    #[inline(always)]
    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i16(self.int16())
    }

    #[inline(always)]
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i32(self.int32())
    }

    #[inline(always)]
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_i64(self.int64(u64::MAX))
    }

    #[inline(always)]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.text())
    }

    #[inline(always)]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline(always)]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.slice())
    }

    #[inline(always)]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.flag() { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    #[inline(always)]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline(always)]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline(always)]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    #[inline(always)]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let left = self.length();
        visitor.visit_seq(Items { reader: self, left })
    }

    #[inline(always)]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Fields { reader: self })
    }

    #[inline(always)]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        if name == raw::NAME {
            return visitor.visit_borrowed_bytes(self.take(len));
        }
        self.deserialize_tuple(len, visitor)
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline(always)]
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

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        seed.deserialize(&mut *self.reader).map(Some)
    }

    #[inline(always)]
    fn next_element<T: Deserialize<'de>>(&mut self) -> Result<Option<T>> {
        T::deserialize(&mut *self.reader).map(Some)
    }
}

/// The items of a sequence.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Refusal;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.reader.bytes.len()))
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Refusal;
    type Variant = Self;

    #[inline(always)]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let variant: u32 = self.uint32();
        Ok((seed.deserialize(variant.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Refusal;

    #[inline(always)]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline(always)]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        seed.deserialize(self)
    }

    #[inline(always)]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline(always)]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
