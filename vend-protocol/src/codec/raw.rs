//! Arrays of bytes read in one piece, for `#[serde(with = "vend_protocol::codec::raw")]`.
//!
//! serde reads `[u8; N]` as N single bytes, with a check before each and, for each N, the code of it N times over. On
//! the wire nothing differs: in this encoding and in every other the array stays the tuple of N bytes that serde makes
//! of it without this module.

use core::fmt;

use serde::{
    Deserializer, Serializer,
    de::{Error, SeqAccess, Visitor},
    ser::SerializeTuple,
};

/// The name by which the reader of this crate knows such a tuple; other formats ignore it.
pub(super) const NAME: &str = "vend raw bytes";

/// Writes the array as the tuple of its bytes.
///
/// # Errors
/// What the serializer returns.
pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    let mut tuple = serializer.serialize_tuple(N)?;
    bytes.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
    tuple.end()
}

/// Reads the array, in one piece where the format can.
///
/// # Errors
/// What the deserializer returns; an invalid length for fewer than `N` bytes.
pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_tuple_struct(NAME, N, RawVisitor)
}

struct RawVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for RawVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &self))?;
        }
        Ok(bytes)
    }
}
