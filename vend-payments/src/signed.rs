//! Signing and verifying: Ed25519 over a 16-byte tag and the body as received.
//!
//! The tag keeps a signature of one kind of body from passing as another. Verification comes before decoding, is
//! strict (no small-order keys, no malleable signatures), and hands out the body only when it passed.

use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha512};
use vend_protocol::{
    Bytes, EnrolmentId, KeyId,
    codec::{self, CodecError},
    signed::{
        AcceptedBody, AmendmentBody, AuthorizationBody, BODY_MAX, ClaimBody, EnrolmentBody, GrantBody,
        HelloBody, KeyListBody, ReceiptBody, Signature, Signed, VoidBody,
    },
};

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// A body that is signed under a tag of its own.
///
/// All of them but the firmware's manifest, which has a key of its own: see [`crate::firmware`].
pub trait Body: Serialize + DeserializeOwned {
    /// What the signature covers in front of the body.
    const TAG: &'static [u8; TAG_LEN];
}

macro_rules! bodies {
    ($($body:ty => $tag:literal,)*) => { $(impl Body for $body { const TAG: &'static [u8; TAG_LEN] = $tag; })* };
}

bodies! {
    HelloBody => b"vend/hello/1\0\0\0\0",
    AcceptedBody => b"vend/accepted/1\0",
    AuthorizationBody => b"vend/authorize/1",
    VoidBody => b"vend/void/1\0\0\0\0\0",
    ReceiptBody => b"vend/receipt/1\0\0",
    AmendmentBody => b"vend/amend/1\0\0\0\0",
    GrantBody => b"vend/grant/1\0\0\0\0",
    ClaimBody => b"vend/claim/1\0\0\0\0",
    KeyListBody => b"vend/key-list/1\0",
    EnrolmentBody => b"vend/enrolled/1\0",
}

/// Why a signed message is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Signed with a key that is not trusted for this.
    #[error("unknown key")]
    UnknownKey,
    /// The signature does not match.
    #[error("bad signature")]
    Forged,
    /// The public key is not a point on the curve, or a weak one.
    #[error("not a public key")]
    BadKey,
    /// Correctly signed, but not such a body.
    #[error("signed body: {0}")]
    Body(CodecError),
    /// Correctly signed, but for another enrolment, or with other contents than asked for.
    #[error("signed for another purpose")]
    Mismatch,
    /// A key list before or after its time.
    #[error("key list out of its time")]
    KeyListTime,
    /// A grant before or after its time.
    #[error("grant out of its time")]
    GrantTime,
}

/// The public half of a signing key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// [`SignatureError::BadKey`] for what is not a usable key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| SignatureError::BadKey)?;
        if key.is_weak() { Err(SignatureError::BadKey) } else { Ok(Self(key)) }
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The name messages call it by.
    pub fn key_id(&self) -> KeyId {
        KeyId(digest_prefix(self.0.as_bytes()))
    }

    /// The enrolment it stands for, when it is a machine's; its fingerprint, when it is a root key.
    pub fn fingerprint(&self) -> EnrolmentId {
        EnrolmentId(digest_prefix(self.0.as_bytes()))
    }

    /// Verifies a message and then reads it.
    ///
    /// # Errors
    /// [`SignatureError::UnknownKey`] when it names another key, [`SignatureError::Forged`], [`SignatureError::Body`].
    pub fn verify<B: Body>(&self, signed: &Signed) -> Result<B, SignatureError> {
        self.verify_tagged(B::TAG, signed)
    }

    /// As [`Self::verify`], for a body that not every key may sign.
    pub(crate) fn verify_tagged<B: DeserializeOwned>(
        &self,
        tag: &[u8; TAG_LEN],
        signed: &Signed,
    ) -> Result<B, SignatureError> {
        if signed.key_id != self.key_id() {
            return Err(SignatureError::UnknownKey);
        }
        let signature = ed25519_dalek::Signature::from_bytes(&signed.signature.to_bytes());
        let mut buffer = [0; TAG_LEN + BODY_MAX];
        let message = tagged(tag, &signed.body, &mut buffer);
        self.0.verify_strict(message, &signature).map_err(|_| SignatureError::Forged)?;
        codec::decode(&signed.body).map_err(SignatureError::Body)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

/// A signing key. It is wiped when dropped and never printed.
pub struct Signer {
    key: SigningKey,
    id: KeyId,
}

impl Signer {
    /// From its 32 secret bytes, which must come from a hardware or operating-system random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let id = KeyId(digest_prefix(key.verifying_key().as_bytes()));
        Self { key, id }
    }

    /// Its public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// The name messages call it by.
    pub const fn key_id(&self) -> KeyId {
        self.id
    }

    /// Encodes and signs a body.
    ///
    /// # Errors
    /// [`CodecError::Full`] when it is longer than [`BODY_MAX`].
    pub fn sign<B: Body>(&self, body: &B) -> Result<Signed, CodecError> {
        self.sign_tagged(B::TAG, body)
    }

    /// As [`Self::sign`], for a body that not every key may sign.
    pub(crate) fn sign_tagged<B: Serialize>(
        &self,
        tag: &[u8; TAG_LEN],
        body: &B,
    ) -> Result<Signed, CodecError> {
        let encoded =
            Bytes::<BODY_MAX>::fill(|out| codec::encode(body, out).map_err(|_| vend_protocol::Full))
                .map_err(|_| CodecError::Full)?;
        let mut buffer = [0; TAG_LEN + BODY_MAX];
        let signature = self.key.sign(tagged(tag, &encoded, &mut buffer));
        Ok(Signed { key_id: self.id, body: encoded, signature: Signature::from_bytes(signature.to_bytes()) })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

/// The hash of a signed body: SHA-512 over tag and body, first 32 bytes. It covers what was signed and not the signature,
/// which a key holder could make anew.
pub fn body_hash<B: Body>(signed: &Signed) -> [u8; 32] {
    prefix(&Sha512::new().chain_update(B::TAG).chain_update(&*signed.body).finalize())
}

fn tagged<'a>(
    tag: &[u8; TAG_LEN],
    body: &Bytes<BODY_MAX>,
    buffer: &'a mut [u8; TAG_LEN + BODY_MAX],
) -> &'a [u8] {
    let len = TAG_LEN + body.len();
    for (place, byte) in buffer.iter_mut().zip(tag.iter().chain(body.iter())) {
        *place = *byte;
    }
    buffer.get(..len).unwrap_or(&[])
}

/// The first `N` bytes of the SHA-512 of a key.
fn digest_prefix<const N: usize>(bytes: &[u8]) -> [u8; N] {
    prefix(&Sha512::digest(bytes))
}

fn prefix<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut prefix = [0; N];
    for (place, byte) in prefix.iter_mut().zip(digest) {
        *place = *byte;
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_bodies::void;

    #[test]
    fn what_was_signed_is_read_and_nothing_else() {
        let signer = Signer::from_seed(&[1; 32]);
        let signed = signer.sign(&void()).unwrap();
        assert_eq!(signer.public_key().verify::<VoidBody>(&signed), Ok(void()));

        for at in 0..signed.body.len() {
            let mut body = [0; BODY_MAX];
            body[..signed.body.len()].copy_from_slice(&signed.body);
            body[at] ^= 1;
            let altered =
                Signed { body: Bytes::try_from(&body[..signed.body.len()]).unwrap(), ..signed.clone() };
            assert_eq!(signer.public_key().verify::<VoidBody>(&altered), Err(SignatureError::Forged));
        }
    }

    #[test]
    fn another_key_or_another_purpose_does_not_pass() {
        let signer = Signer::from_seed(&[1; 32]);
        let other = Signer::from_seed(&[2; 32]);
        let signed = signer.sign(&void()).unwrap();
        assert_eq!(other.public_key().verify::<VoidBody>(&signed), Err(SignatureError::UnknownKey));
        let renamed = Signed { key_id: other.key_id(), ..signed.clone() };
        assert_eq!(other.public_key().verify::<VoidBody>(&renamed), Err(SignatureError::Forged));
        // The same bytes under another tag: a void must not pass as an enrolment.
        assert_eq!(signer.public_key().verify::<EnrolmentBody>(&signed), Err(SignatureError::Forged));
    }

    #[test]
    fn no_secret_is_printed() {
        extern crate std;
        let text = std::format!("{:?}", Signer::from_seed(&[0xAB; 32]));
        assert!(!text.contains("abab") && !text.contains("171"), "{text}");
    }
}
