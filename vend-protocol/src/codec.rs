//! The one encoding: postcard, and only its shortest form.
//!
//! postcard itself reads `85 80 00` as the integer 5 and ignores bytes after the value. Two spellings of one
//! message would be two hashes of one receipt, so decoding here refuses both.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

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
}

/// Encodes `value` into `out` and gives the used part's length.
///
/// # Errors
/// [`CodecError::Full`] when it does not fit.
pub fn encode<T: Serialize>(value: &T, out: &mut [u8]) -> Result<usize, CodecError> {
    postcard::to_slice(value, out).map(|used| used.len()).map_err(|_| CodecError::Full)
}

/// Decodes a value from exactly these bytes.
///
/// # Errors
/// [`CodecError::Invalid`] for anything malformed or out of range, [`CodecError::NotCanonical`] for trailing bytes and for
/// integers written longer than need be.
///
/// ```
/// use vend_protocol::codec::{CodecError, decode};
/// assert_eq!(decode::<u32>(&[5]), Ok(5));
/// assert_eq!(decode::<u32>(&[0x85, 0x80, 0x00]), Err(CodecError::NotCanonical));
/// assert_eq!(decode::<u32>(&[5, 0]), Err(CodecError::NotCanonical));
/// ```
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|_| CodecError::Invalid)?;
    if !rest.is_empty() {
        return Err(CodecError::NotCanonical);
    }
    // Encoding again and comparing is the one check that cannot drift from the encoder.
    let same = postcard::serialize_with_flavor(&value, Compare { expected: bytes })
        .map_err(|_| CodecError::NotCanonical)?;
    if same { Ok(value) } else { Err(CodecError::NotCanonical) }
}

/// An output that compares what is written with what is expected, so that no buffer is needed.
struct Compare<'a> {
    expected: &'a [u8],
}

impl Flavor for Compare<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        match self.expected.split_first() {
            Some((first, rest)) if *first == byte => {
                self.expected = rest;
                Ok(())
            }
            _ => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.expected.is_empty())
    }
}
