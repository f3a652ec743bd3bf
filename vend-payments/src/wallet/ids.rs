//! Names that travel between us and a wallet. Each is parsed once and then known to be legal.

use core::fmt;
use std::prelude::v1::*;

/// A name that was empty, too long, or had a character that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}")]
pub struct WalletIdError {
    /// Which name, in words.
    pub what: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $range:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name spelt so.
            ///
            /// # Errors
            /// [`WalletIdError`] when its length or one of its characters is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, WalletIdError> {
                let text = text.into();
                let allowed: fn(u8) -> bool = $allowed;
                if $range.contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text))
                } else {
                    Err(WalletIdError { what: $what })
                }
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl core::str::FromStr for $name {
            type Err = WalletIdError;

            fn from_str(text: &str) -> Result<Self, WalletIdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = WalletIdError;

            fn try_from(text: String) -> Result<Self, WalletIdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

text_id! {
    /// The operator's own name of one account at one wallet: 1 to 32 of `a-z 0-9 _ -`. It stands in
    /// the path of the notification address, so a notification already says whose key must verify it.
    AccountId, "wallet account name", 1..=32usize,
    |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-'
}
text_id! {
    /// One attempt to have an order paid (`out_trade_no`): 6 to 32 of `0-9 A-Z a-z _`, which is what
    /// every supported wallet accepts.
    AttemptId, "attempt id", 6..=32usize, |b| b.is_ascii_alphanumeric() || b == b'_'
}
text_id! {
    /// One refund (`out_refund_no`, `out_request_no`): 1 to 64 of `0-9 A-Z a-z _`. Persist it before
    /// the first call and repeat it on every retry: it is what makes a refund happen once.
    RefundId, "refund id", 1..=64usize, |b| b.is_ascii_alphanumeric() || b == b'_'
}
text_id! {
    /// The merchant as the wallet numbers it (WeChat's `mchid`, Alipay's `seller_id`): 1 to 64
    /// letters, digits, `_` or `-`.
    MerchantId, "merchant id", 1..=64usize, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

/// The longest start of `text` that has at most `limit` bytes and does not split a character.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("支付", 6), "支付");
        assert_eq!(cut("支付", 5), "支");
        assert_eq!(cut("支付", 2), "");
        assert_eq!(cut("ab", 9), "ab");
    }

    #[test]
    fn names_legal_in_one_wallet_only_are_refused() {
        assert!(AttemptId::new("A1_b2c").is_ok());
        for text in ["short", "with-dash", "with|bar", "with*star", "with space", "", "支付支付"] {
            assert!(AttemptId::new(text).is_err(), "{text}");
        }
        assert!(AttemptId::new("a".repeat(32)).is_ok());
        assert!(AttemptId::new("a".repeat(33)).is_err());
        assert!(RefundId::new("r".repeat(64)).is_ok());
        assert!(RefundId::new("r".repeat(65)).is_err());
        assert!(AccountId::new("Main").is_err());
        assert!(AccountId::new("../x").is_err());
    }
}
