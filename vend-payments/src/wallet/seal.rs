//! Evidence that has to wait in a database row: sealed with a key that is not in the database.

use core::fmt;
use std::prelude::v1::*;

use aws_lc_rs::hmac;
use vend_protocol::{Currency, Money, OrderId};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::evidence::{ExpectedPayment, PaidEvidence};
use super::ids::{AccountId, AttemptId, MerchantId, cut};

/// Separates this use of the key from any other.
const TAG: &[u8; 16] = b"vend-evidence-v1";
/// HMAC-SHA256.
const MAC_LEN: usize = 32;
/// Longer than any evidence this crate seals: a row of another size is refused before it is hashed.
const MAX_LEN: usize = 1024;

/// The key that seals evidence. Keep it outside the database: whoever can write rows must not be able
/// to write payments.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// From 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn mac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// [`PaidEvidence`] as bytes for a database row. The row must be written by the transaction that records
/// the payment and used up by the one that records the authorization: the seal proves that the
/// evidence is ours, the database that it is used once.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedEvidence(Vec<u8>);

/// Why a row is not evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The seal does not verify: another key, or a changed row.
    #[error("the evidence's seal does not verify")]
    Seal,
    /// The seal verifies but the content cannot be read: written by another version.
    #[error("the sealed evidence is of another version")]
    Version,
}

impl PaidEvidence {
    /// Seals it for a row in a database, using it up.
    pub fn seal(self, key: &SealKey) -> SealedEvidence {
        let mut body = Vec::with_capacity(192);
        body.extend_from_slice(&self.expected.order.number().to_be_bytes());
        body.extend_from_slice(&self.expected.amount.minor().to_be_bytes());
        body.extend_from_slice(&self.expected.amount.currency().number().to_be_bytes());
        body.extend_from_slice(&self.paid_at_ms.to_be_bytes());
        for text in [
            self.expected.account.as_str(),
            self.expected.merchant.as_str(),
            self.expected.attempt.as_str(),
            &self.transaction,
        ] {
            // Wallet numbers have at most 64 characters; an own wallet's longer one is cut, never wrapped.
            let text = cut(text, 255);
            body.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            body.extend_from_slice(text.as_bytes());
        }
        let mac = hmac::sign(&key.mac(), &tagged(&body));
        body.extend_from_slice(mac.as_ref());
        SealedEvidence(body)
    }
}

impl SealedEvidence {
    /// A row's bytes; nothing is checked before [`SealedEvidence::open`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Verifies the seal (in constant time) and gives the evidence back.
    ///
    /// # Errors
    /// [`SealError::Seal`] for another key or a changed byte, [`SealError::Version`] for a content that
    /// another version wrote.
    pub fn open(&self, key: &SealKey) -> Result<PaidEvidence, SealError> {
        if self.0.len() < MAC_LEN || self.0.len() > MAX_LEN + MAC_LEN {
            return Err(SealError::Seal);
        }
        let (body, mac) = self.0.split_at(self.0.len() - MAC_LEN);
        hmac::verify(&key.mac(), &tagged(body), mac).map_err(|_| SealError::Seal)?;
        read(body).ok_or(SealError::Version)
    }
}

impl fmt::Debug for SealedEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedEvidence({} bytes)", self.0.len())
    }
}

fn tagged(body: &[u8]) -> Vec<u8> {
    [TAG.as_slice(), body].concat()
}

fn read(mut body: &[u8]) -> Option<PaidEvidence> {
    let order = OrderId::new(u64::from_be_bytes(take(&mut body)?)).ok()?;
    let minor = u32::from_be_bytes(take(&mut body)?);
    let currency = Currency::new(u16::from_be_bytes(take(&mut body)?)).ok()?;
    let paid_at_ms = i64::from_be_bytes(take(&mut body)?);
    let account = AccountId::new(text(&mut body)?).ok()?;
    let merchant = MerchantId::new(text(&mut body)?).ok()?;
    let attempt = AttemptId::new(text(&mut body)?).ok()?;
    let transaction = String::from(text(&mut body)?);
    let expected = ExpectedPayment { order, account, merchant, attempt, amount: Money::new(minor, currency) };
    body.is_empty().then_some(PaidEvidence { expected, transaction, paid_at_ms })
}

fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = body.split_first_chunk()?;
    *body = tail;
    Some(*head)
}

fn text<'a>(body: &mut &'a [u8]) -> Option<&'a str> {
    let [len] = take(body)?;
    let (head, tail) = body.split_at_checked(usize::from(len))?;
    *body = tail;
    core::str::from_utf8(head).ok()
}

#[cfg(test)]
mod tests {
    use std::{format, vec};

    use super::*;
    use crate::wallet::evidence::PaymentClaim;

    fn evidence() -> PaidEvidence {
        let expected = ExpectedPayment {
            order: OrderId::new(7).unwrap(),
            account: AccountId::new("main").unwrap(),
            merchant: MerchantId::new("1900000001").unwrap(),
            attempt: AttemptId::new("A00001").unwrap(),
            amount: Money::new(350, Currency::CNY),
        };
        let e = expected.clone();
        let claim = PaymentClaim::dangerous_verified(e.account, e.merchant, e.attempt, e.amount, "42", -5);
        PaidEvidence::check(&expected, claim).unwrap()
    }

    #[test]
    fn sealed_evidence_opens_with_its_key_only() {
        let key = SealKey::new([7; 32]);
        let sealed = evidence().seal(&key);
        assert_eq!(sealed.open(&key).unwrap(), evidence());
        assert_eq!(sealed.open(&SealKey::new([8; 32])), Err(SealError::Seal));
    }

    #[test]
    fn a_changed_or_cut_row_is_refused() {
        let key = SealKey::new([7; 32]);
        let sealed = evidence().seal(&key);
        for index in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert_eq!(SealedEvidence::from_bytes(bytes).open(&key), Err(SealError::Seal), "byte {index}");
            assert!(SealedEvidence::from_bytes(&sealed.as_bytes()[..index]).open(&key).is_err());
        }
        assert!(SealedEvidence::from_bytes(vec![0; 100_000]).open(&key).is_err());
    }

    #[test]
    fn keys_do_not_show_in_debug() {
        assert_eq!(format!("{:?}", SealKey::new([7; 32])), "SealKey(..)");
    }
}
