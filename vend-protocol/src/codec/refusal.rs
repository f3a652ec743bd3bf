//! Why the reader stopped, in one byte and without words.

use core::fmt;

use serde::de::{self, Expected, Unexpected};

use super::CodecError;

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Malformed, or out of its type's range.
    Invalid,
    /// An integer longer than need be.
    NotCanonical,
    /// A type that no message may have.
    Unsupported,
}

impl From<Refusal> for CodecError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid => Self::Invalid,
            Refusal::NotCanonical => Self::NotCanonical,
            Refusal::Unsupported => Self::Unsupported,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl core::error::Error for Refusal {}

/// Each method stands here although serde has a default for all but the first: the defaults format a message, and
/// core's formatting would be in every image.
impl de::Error for Refusal {
    #[inline]
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Invalid
    }

    #[inline]
    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::Invalid
    }

    #[inline]
    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::Invalid
    }

    #[inline]
    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::Invalid
    }

    #[inline]
    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::Invalid
    }

    #[inline]
    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::Invalid
    }

    #[inline]
    fn missing_field(_: &'static str) -> Self {
        Self::Invalid
    }

    #[inline]
    fn duplicate_field(_: &'static str) -> Self {
        Self::Invalid
    }
}
