//! What stands in for cryptography: it ties a code to its key and message, and a fuzzer cannot guess it.
//!
//! Codes are compared by their hashes, so that the comparison does not tell the fuzzer what would have been right.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use vend_protocol::{
    Bytes, KeyId,
    machine_link::{MAC_LEN, Seal},
    signed::{Signature, Signed},
};

use super::Way;

/// The keys of a session: what each end has drawn for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Keys {
    pub(super) machine: u64,
    pub(super) server: u64,
}

/// One end of a session with these keys.
#[derive(Clone, Debug)]
pub(super) struct Toy {
    pub(super) keys: Keys,
    /// The way of what this end sends.
    pub(super) way: Way,
}

impl Toy {
    fn code(&self, way: Way, message: &[u8]) -> [u8; MAC_LEN] {
        let halves = [0, 1].map(|half: u8| hash(&(half, self.keys, way == Way::Up), message).to_le_bytes());
        let [[a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]] = halves;
        [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7]
    }
}

impl Seal for Toy {
    fn seal(&self, message: &[u8]) -> [u8; MAC_LEN] {
        self.code(self.way, message)
    }

    fn verify(&self, message: &[u8], code: &[u8; MAC_LEN]) -> bool {
        same(&self.code(self.way.other(), message), code)
    }
}

/// A body that this end's key signed.
pub(super) fn sign(signer: Way, body: &[u8]) -> Signed {
    Signed {
        key_id: KeyId([0; 8]),
        body: Bytes::try_from(body).expect("bodies fit"),
        signature: Signature::from_bytes(signature(signer, body)),
    }
}

/// Whether this end's key signed it.
pub(super) fn is_signed(signer: Way, signed: &Signed) -> bool {
    same(&signature(signer, &signed.body), &signed.signature.to_bytes())
}

fn signature(signer: Way, body: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (part, chunk) in (0u8..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&hash(&("signature", part, signer == Way::Up), body).to_le_bytes());
    }
    bytes
}

fn hash(key: &impl std::hash::Hash, message: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    message.hash(&mut hasher);
    hasher.finish()
}

fn same(ours: &[u8], theirs: &[u8]) -> bool {
    hash(&"compare", ours) == hash(&"compare", theirs)
}
