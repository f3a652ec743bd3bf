//! Identifiers. Each is its own type, so that a slot cannot be passed for a product.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::bounded::hex_array;

/// An identifier that was out of its range or not written as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}")]
pub struct IdError {
    /// Which identifier, in words.
    pub what: &'static str,
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $what:literal, $range:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name($int);

        impl $name {
            /// The identifier with this number.
            ///
            /// # Errors
            /// [`IdError`] when it is out of range.
            pub fn new(number: u64) -> Result<Self, IdError> {
                let range = $range;
                if !range.contains(&number) {
                    return Err(IdError { what: $what });
                }
                <$int>::try_from(number).map(Self).map_err(|_| IdError { what: $what })
            }

            /// The number.
            pub const fn number(self) -> $int {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = IdError;

            fn try_from(number: u64) -> Result<Self, IdError> {
                Self::new(number)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> u64 {
                u64::from(id.0)
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the one canonical spelling: `+7` and `007` are not other names of 7.
                let canonical = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
                match text.parse() {
                    Ok(number) if canonical => Self::new(number),
                    _ => Err(IdError { what: $what }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id! {
    /// The number of a machine, painted on its door. It stays when the board is replaced.
    MachineId(u32), "machine number", 1..=0xFFFF_FFFFu64
}
number_id! {
    /// A numbered lane of a machine, as the customer reads it on the shelf: 1 to 999.
    SlotId(u16), "slot", 1..=999u64
}
number_id! {
    /// A product in the operator's catalogue.
    ProductId(u32), "product", 1..=0xFFFF_FFFFu64
}
number_id! {
    /// The version of a machine's planogram. Zero is "none yet".
    PlanVersion(u32), "plan version", 0..=0xFFFF_FFFFu64
}
number_id! {
    /// The server's number of an order. Below 2^53, so that scripts can hold it too.
    OrderId(u64), "order", 1..=0x1F_FFFF_FFFF_FFFFu64
}
number_id! {
    /// The sequence of an authorization under one enrolment. The first is 1.
    AuthSeq(u64), "authorization sequence", 1..=u64::MAX
}
number_id! {
    /// The number of a receipt in its journal. The first is 1.
    ReceiptNo(u64), "receipt number", 1..=u64::MAX
}
number_id! {
    /// The number of a vend on the control link, rising for the life of the main board's journal.
    VendId(u32), "vend number", 1..=0xFFFF_FFFFu64
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident($len:literal)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "crate::codec::raw")] pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                hex_array(text).map(Self).ok_or(IdError { what: stringify!($name) })
            }
        }
    };
}

bytes_id! {
    /// One key of one machine: the first 16 bytes of the SHA-512 of its public key. What is signed
    /// binds to this, never to the machine's number, so a replaced board cannot run an old order.
    EnrolmentId(16)
}
bytes_id! {
    /// A signing key: the first 8 bytes of the SHA-512 of its public half.
    KeyId(8)
}
bytes_id! {
    /// The random name a journal gets when it is formatted.
    JournalId(8)
}
bytes_id! {
    /// A number used once.
    Nonce(16)
}
bytes_id! {
    /// The hash of a control board's configuration, as the main board set it.
    ConfigHash(8)
}
bytes_id! {
    /// The hash of a receipt: SHA-512 over its tag and body, first 32 bytes.
    ReceiptHash(32)
}

impl ReceiptHash {
    /// What the first receipt of a journal names as the one before it.
    pub const START: Self = Self([0; 32]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_is_out_of_range_or_misspelt() {
        assert!(SlotId::new(0).is_err());
        assert!(SlotId::new(1000).is_err());
        assert_eq!("12".parse::<SlotId>(), SlotId::new(12));
        for text in ["", "0", "007", "+7", "-1", "1000", "7 ", "99999999999999999999"] {
            assert!(text.parse::<SlotId>().is_err(), "{text}");
        }
        assert!("0102030405060708".parse::<KeyId>().is_ok());
        assert!("01020304050607AB".parse::<KeyId>().is_err(), "another spelling of the same bytes");
    }
}
