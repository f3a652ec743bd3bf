//! What stands in for cryptography: it ties a code to its key and message, and a fuzzer cannot guess it.
//!
//! Codes are compared by their hashes, so that the comparison does not tell the fuzzer what would have been right.

use vend_protocol::{
    Bytes, KeyId,
    machine_link::{MAC_LEN, Seal},
    signed::{Signature, Signed},
};

use crate::{sample::mix, script::Way};

/// The keys of a session: what each end has drawn for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        let key = mix(mix(self.keys.machine) ^ self.keys.server) ^ u64::from(u8::from(way));
        fill(hash(key, message))
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
    fill(hash(0x5167_0000 | u64::from(u8::from(signer)), body))
}

/// Not the standard library's, which compares lengths so often that the fuzzer would look at nothing else.
fn hash(key: u64, message: &[u8]) -> u64 {
    let (words, rest) = message.as_chunks::<8>();
    let state =
        words.iter().fold(mix(key), |state, word| mix(state ^ u64::from_le_bytes(*word)).wrapping_add(1));
    rest.iter().fold(state, |state, byte| mix(state ^ u64::from(*byte)).wrapping_add(2))
}

fn fill<const N: usize>(hash: u64) -> [u8; N] {
    let mut bytes = [0; N];
    for (number, chunk) in (1..).zip(bytes.as_chunks_mut::<8>().0) {
        *chunk = mix(hash.wrapping_add(number)).to_le_bytes();
    }
    bytes
}

fn same(ours: &[u8], theirs: &[u8]) -> bool {
    hash(0xC0DE, ours) == hash(0xC0DE, theirs)
}
