//! The server's end: it believes a hello and answers it.

use core::fmt;

use vend_protocol::{
    MachineId,
    codec::CodecError,
    machine_link::End,
    signed::{AcceptedBody, HelloBody, Signed},
};

use super::{
    SessionSeal,
    agreement::{Half, HelloHash},
};
use crate::signed::{PublicKey, SignatureError, Signer};

/// Why a hello that was verified cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Its ephemeral key is one of the few with which everybody knows the result.
    #[error("a weak ephemeral key")]
    WeakKey,
    /// The answer cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// A hello that was signed by the key it speaks for. Verification is its only constructor.
///
/// It says who signed it, not that he is here now: a recording of an old hello verifies as well. Who only has the recording
/// cannot seal, so the first sealed message that verifies is the proof that the machine is at the other end. Until then
/// believe nothing of the hello that a later one could not put right.
pub struct VerifiedHello {
    body: HelloBody,
    hash: HelloHash,
}

impl VerifiedHello {
    /// Verifies the hello of `machine`, whose present enrolment has the key `key`.
    ///
    /// # Errors
    /// What [`PublicKey::verify`] returns: answer *rejected*, bad signature; [`SignatureError::Mismatch`] when it speaks for
    /// another machine or enrolment: answer *rejected*, another machine's login.
    pub fn verify(hello: &Signed, machine: MachineId, key: &PublicKey) -> Result<Self, SignatureError> {
        let body: HelloBody = key.verify(hello)?;
        if body.machine != machine || body.enrolment != key.fingerprint() {
            return Err(SignatureError::Mismatch);
        }
        Ok(Self { body, hash: HelloHash::of(hello) })
    }

    /// What it says.
    pub const fn body(&self) -> &HelloBody {
        &self.body
    }

    /// Signs the answer, and agrees on the session's keys.
    ///
    /// `random` must come from the operating system and be used for nothing else. `body.enrolment`, `body.nonce` and
    /// `body.ephemeral` are filled in here, whatever they were: they are what makes it the answer to this hello. The signed
    /// answer must be sent as it is and only once: a second answer is a second call, with other random bytes.
    ///
    /// # Errors
    /// [`AnswerError`]; the connection is then of no use.
    pub fn answer(
        &self,
        random: [u8; 32],
        signer: &Signer,
        mut body: AcceptedBody,
    ) -> Result<(Signed, SessionSeal), AnswerError> {
        let half = Half::from_random(random);
        body.enrolment = self.body.enrolment;
        body.nonce = self.body.nonce;
        body.ephemeral = half.ephemeral();
        let signed = signer.sign(&body)?;
        let agreed = half.agree(self.body.ephemeral, &self.hash, &signed).ok_or(AnswerError::WeakKey)?;
        Ok((signed, SessionSeal::new(End::Server, agreed)))
    }
}

impl fmt::Debug for VerifiedHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedHello").field(&self.body).finish()
    }
}
