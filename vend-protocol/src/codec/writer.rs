//! The writer of the postcard wire format.
//!
//! Written for small images, like the reader: what writes integers exists once and not once a type, and nothing is indexed, so
//! that no panic is linked.

use core::fmt;

use serde::ser::{
    Error, Impossible, Serialize, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::CodecError;
use crate::bounded::fill;

/// Why writing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// No space is left.
    Full,
    /// A type that no message may have.
    Unsupported,
}

impl From<Stop> for CodecError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Full => Self::Full,
            Stop::Unsupported => Self::Unsupported,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl core::error::Error for Stop {}

impl Error for Stop {
    #[inline]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Unsupported
    }
}

type Result<T> = core::result::Result<T, Stop>;

/// The space that has not been written yet.
pub(super) struct Writer<'a> {
    space: &'a mut [u8],
}

impl<'a> Writer<'a> {
    pub(super) const fn new(space: &'a mut [u8]) -> Self {
        Self { space }
    }

    /// How much is left.
    pub(super) const fn left(&self) -> usize {
        self.space.len()
    }

    // On a chip one copy of it, on a host no call a byte.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn byte(&mut self, byte: u8) -> Result<()> {
        let (first, rest) = core::mem::take(&mut self.space).split_first_mut().ok_or(Stop::Full)?;
        *first = byte;
        self.space = rest;
        Ok(())
    }

    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    fn varint(&mut self, mut value: u64) -> Result<()> {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.byte(low & 0x7F);
            }
            self.byte(low | 0x80)?;
        }
    }

    #[inline]
    fn zigzag(&mut self, value: i64) -> Result<()> {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    #[inline]
    fn length(&mut self, len: usize) -> Result<()> {
        self.varint(u64::try_from(len).map_err(|_| Stop::Full)?)
    }

    #[inline(never)]
    fn slice(&mut self, bytes: &[u8]) -> Result<()> {
        self.length(bytes.len())?;
        let (place, rest) =
            core::mem::take(&mut self.space).split_at_mut_checked(bytes.len()).ok_or(Stop::Full)?;
        fill(place, bytes);
        self.space = rest;
        Ok(())
    }
}

/// What no message has.
macro_rules! unsupported {
    ($($method:ident($type:ty))*) => {
        $(#[inline]
        fn $method(self, _: $type) -> Result<()> {
            Err(Stop::Unsupported)
        })*
    };
}

/// Integers, by the one that writes them all.
macro_rules! integers {
    ($($method:ident($type:ty) => $by:ident;)*) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<()> {
            self.$by(value.into())
        })*
    };
}

impl Serializer for &mut Writer<'_> {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Impossible<(), Stop>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    unsupported! {
        serialize_i128(i128) serialize_u128(u128) serialize_f32(f32) serialize_f64(f64) serialize_char(char)
    }

    integers! {
        serialize_bool(bool) => byte;
        serialize_u8(u8) => byte;
        serialize_u16(u16) => varint;
        serialize_u32(u32) => varint;
        serialize_u64(u64) => varint;
        serialize_i16(i16) => zigzag;
        serialize_i32(i32) => zigzag;
        serialize_i64(i64) => zigzag;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<()> {
        self.byte(value.cast_unsigned())
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        self.slice(text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        self.slice(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.byte(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.byte(1)?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<()> {
        self.varint(index.into())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        self.varint(index.into())?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self> {
        self.length(len.ok_or(Stop::Unsupported)?)?;
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(self, _: &'static str, index: u32, _: &'static str, _: usize) -> Result<Self> {
        self.varint(index.into())?;
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap> {
        Err(Stop::Unsupported)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self> {
        self.varint(index.into())?;
        Ok(self)
    }

    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<()> {
        Err(Stop::Unsupported)
    }
}

/// What has parts writes them one after the other, and nothing between or behind them.
macro_rules! parts {
    ($($trait:ident::$method:ident($($key:ty)?);)*) => {
        $(impl $trait for &mut Writer<'_> {
            type Ok = ();
            type Error = Stop;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<()> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<()> {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(&'static str);
    SerializeStructVariant::serialize_field(&'static str);
}
