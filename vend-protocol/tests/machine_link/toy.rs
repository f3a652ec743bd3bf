//! Toy cryptography: keyed sums that tie a code to its key and its bytes, which is all that the rules of the link ask of it.

use std::hash::{DefaultHasher, Hasher};

use serde::{Serialize, de::DeserializeOwned};
use vend_protocol::{
    Bytes, KeyId, ReceiptHash, codec,
    machine_link::{End, MAC_LEN, Seal},
    signed::{Signature, Signed},
};

use crate::chance::Rng;

/// What a body is signed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Hello,
    Accepted,
    Authorization,
    Void,
    Receipt,
    Amendment,
}

fn sum(key: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(key);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

fn wide<const N: usize>(key: u64, parts: &[&[u8]]) -> [u8; N] {
    Rng::new(sum(key, parts)).bytes()
}

fn key_id(key: u64) -> KeyId {
    KeyId(wide(key, &[b"key"]))
}

fn signature(key: u64, tag: Tag, body: &[u8]) -> Signature {
    Signature::from_bytes(wide(key, &[&[tag as u8], body]))
}

/// Signs with a key that is also what verifies.
pub(crate) fn sign<T: Serialize>(key: u64, tag: Tag, body: &T) -> Signed {
    let body = Bytes::fill(|out| codec::encode(body, out).map_err(|_| vend_protocol::Full)).unwrap();
    Signed { key_id: key_id(key), signature: signature(key, tag, &body), body }
}

/// The body, if this key signed it.
pub(crate) fn verify<T: DeserializeOwned>(key: u64, tag: Tag, signed: &Signed) -> Option<T> {
    let good = signed.key_id == key_id(key) && signed.signature == signature(key, tag, &signed.body);
    if good { codec::decode(&signed.body).ok() } else { None }
}

/// What a receipt or amendment is named by.
pub(crate) fn hash(tag: Tag, signed: &Signed) -> ReceiptHash {
    ReceiptHash(wide(0, &[&[tag as u8], &signed.body]))
}

/// The codes of one session, under a key for each direction.
#[derive(Clone, Debug)]
pub(crate) struct ToySeal {
    own: u64,
    theirs: u64,
}

impl ToySeal {
    /// The keys agreed by these two ephemeral keys.
    pub(crate) fn agree(end: End, hello: &[u8; 32], accepted: &[u8; 32]) -> Self {
        let [up, down] = [1, 2].map(|way| sum(way, &[hello, accepted]));
        match end {
            End::Machine => Self { own: up, theirs: down },
            End::Server => Self { own: down, theirs: up },
        }
    }
}

impl Seal for ToySeal {
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN] {
        wide(self.own, &[message])
    }

    fn verify(&self, message: &[u8], code: &[u8; MAC_LEN]) -> bool {
        wide(self.theirs, &[message]) == *code
    }
}
