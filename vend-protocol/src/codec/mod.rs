//! The one encoding: postcard, and only its shortest form.
//!
//! postcard itself reads `85 80 00` as the integer 5 and ignores bytes after the value. Two spellings of one
//! message would be two hashes of one receipt, so values are read by a reader of this crate, which refuses both as
//! it goes. The writer is this crate's too: smaller than postcard's, and without its panics. Tests hold them to the
//! `postcard` crate: the writer gives exactly its bytes, and the reader takes exactly the bytes that it reads to
//! their end and writes back unchanged.
//!
//! A message consists of `bool`, `u8` to `u64`, `i8` to `i64`, text, bytes, options, units, sequences, tuples,
//! structs and enums. Floats, `char`, maps and 128-bit integers are [`CodecError::Unsupported`].

pub mod raw;
mod reader;
mod refusal;
#[cfg(test)]
mod tests;
mod writer;

use serde::{Serialize, de::DeserializeOwned};

use reader::Reader;
use writer::Writer;

/// Why bytes are not a value of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The output does not hold the value.
    #[error("buffer too small")]
    Full,
    /// The bytes are not such a value.
    #[error("not a valid value")]
    Invalid,
    /// The bytes are such a value, but not in its one canonical spelling.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// The type has a part that no message may have, whatever the bytes.
    #[error("not a type of this encoding")]
    Unsupported,
}

/// Encodes `value` into `out` and gives the used part's length.
///
/// # Errors
/// [`CodecError::Full`] when it does not fit, [`CodecError::Unsupported`] for types outside the list above.
///
/// ```
/// use vend_protocol::codec::{CodecError, encode};
/// let mut out = [0; 3];
/// assert_eq!(encode(&(300_u32, true), &mut out), Ok(3));
/// assert_eq!(out, [0xAC, 0x02, 0x01]);
/// assert_eq!(encode(&(300_u32, 300_u32), &mut out), Err(CodecError::Full));
/// ```
pub fn encode<T: Serialize>(value: &T, out: &mut [u8]) -> Result<usize, CodecError> {
    let len = out.len();
    let mut writer = Writer::new(out);
    value.serialize(&mut writer)?;
    Ok(len.saturating_sub(writer.left()))
}

/// Decodes a value from exactly these bytes.
///
/// A sequence that declares more items than there are bytes left is refused before its first item, so items that
/// take no bytes cannot be in a sequence.
///
/// # Errors
/// [`CodecError::Invalid`] for anything malformed or out of range, [`CodecError::NotCanonical`] for trailing bytes and for
/// integers written longer than need be, [`CodecError::Unsupported`] for types outside the list above.
///
/// ```
/// use vend_protocol::codec::{CodecError, decode};
/// assert_eq!(decode::<u32>(&[5]), Ok(5));
/// assert_eq!(decode::<u32>(&[0x85, 0x80, 0x00]), Err(CodecError::NotCanonical));
/// assert_eq!(decode::<u32>(&[5, 0]), Err(CodecError::NotCanonical));
/// ```
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let value = T::deserialize(&mut reader);
    if let Some(refusal) = reader.refused() {
        return Err(refusal.into());
    }
    let value = value?;
    if reader.is_empty() { Ok(value) } else { Err(CodecError::NotCanonical) }
}
