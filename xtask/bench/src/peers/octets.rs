//! Bytes of a fixed length and of any: base64url where people read, themselves elsewhere.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

struct Base64<const N: usize>;

impl<const N: usize> Visitor<'_> for Base64<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes in base64url")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<[u8; N], E> {
        let mut bytes = [0; N];
        match BASE64.decode_slice(text, &mut bytes) {
            Ok(len) if len == N => Ok(bytes),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

fn write_base64<const N: usize, S: Serializer>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    // 86 characters for 64 bytes, on the stack.
    let mut text = [0; 88];
    let len = BASE64.encode_slice(bytes, &mut text).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(std::str::from_utf8(&text[..len]).map_err(serde::ser::Error::custom)?)
}

macro_rules! octets {
    ($($name:ident($len:literal) $doc:literal;)*) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(bincode::Encode, bincode::Decode, minicbor::Encode, minicbor::Decode)]
        #[cbor(transparent)]
        pub(crate) struct $name(#[n(0)] #[cbor(with = "minicbor::bytes")] pub(crate) [u8; $len]);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return write_base64(&self.0, serializer);
                }
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    return deserializer.deserialize_str(Base64).map(Self);
                }
                Deserialize::deserialize(deserializer).map(Self)
            }
        }
    )* };
}

octets! {
    Octets8(8) "8 bytes.";
    Octets16(16) "16 bytes.";
    Octets32(32) "32 bytes.";
}

/// 64 bytes, for which serde has no array.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub(crate) struct Octets64(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) [u8; 64],
);

impl Serialize for Octets64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return write_base64(&self.0, serializer);
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Octets64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw;

        impl Visitor<'_> for Raw {
            type Value = [u8; 64];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; 64], E> {
                bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }

        if deserializer.is_human_readable() {
            return deserializer.deserialize_str(Base64).map(Self);
        }
        deserializer.deserialize_bytes(Raw).map(Self)
    }
}

/// Any number of bytes.
#[derive(
    Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub(crate) struct Octets(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) Vec<u8>,
);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Raw;

        impl Visitor<'_> for Raw {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }

        deserializer.deserialize_byte_buf(Raw).map(Self)
    }
}
