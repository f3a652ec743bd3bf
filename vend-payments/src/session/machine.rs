//! The machine's end: it offers a key with its hello and judges the answer.

use core::fmt;

use vend_protocol::{
    EnrolmentId, Nonce,
    codec::CodecError,
    machine_link::{End, HELLO_ROUND_TRIP_MAX_MS},
    signed::{AcceptedBody, HelloBody, Signed},
};

use super::{
    SessionSeal,
    agreement::{Half, HelloHash},
};
use crate::{
    keys::TrustedKeys,
    signed::{SignatureError, Signer},
};

/// Why an answer to a hello is not to be believed. The connection is closed, and the next one begins with another hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionRefused {
    /// Not the server's, for another hello, or outside the key list's time.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It came later than [`HELLO_ROUND_TRIP_MAX_MS`] after the hello, so its time cannot be trusted.
    #[error("the answer came too late")]
    Late,
    /// Its ephemeral key is one of the few with which everybody knows the result.
    #[error("a weak ephemeral key")]
    WeakKey,
}

/// A hello that waits for its answer. It holds the secret half of the hello's ephemeral key, is used up by the first answer,
/// and wiped when dropped.
///
/// Memory: 104 bytes.
///
/// ```compile_fail,E0382
/// # use vend_payments::{keys::TrustedKeys, session::Offer};
/// # fn judge(offer: Offer, keys: &TrustedKeys, one: &vend_protocol::signed::Signed) {
/// let _ = offer.accept(keys, one, 0);
/// let _ = offer.accept(keys, one, 0); // the secret is gone
/// # }
/// ```
pub struct Offer {
    half: Half,
    hello: HelloHash,
    enrolment: EnrolmentId,
    nonce: Nonce,
    sent_ms: u64,
}

impl Offer {
    /// Signs a hello that offers a fresh ephemeral key, and keeps what its answer will be judged by.
    ///
    /// `random` must come from a hardware random source and be used for nothing else. `body.ephemeral` is filled in here,
    /// whatever it was. `body.nonce` must be fresh, too. `now_ms` is any monotonic clock, the same as [`Offer::accept`]'s.
    ///
    /// # Errors
    /// [`CodecError::Full`] never happens with the bodies of this version.
    pub fn hello(
        random: [u8; 32],
        signer: &Signer,
        mut body: HelloBody,
        now_ms: u64,
    ) -> Result<(Signed, Self), CodecError> {
        let half = Half::from_random(random);
        body.ephemeral = half.ephemeral();
        let signed = signer.sign(&body)?;
        let hello = HelloHash::of(&signed);
        let offer = Self { half, hello, enrolment: body.enrolment, nonce: body.nonce, sent_ms: now_ms };
        Ok((signed, offer))
    }

    /// The answer is of no use after this, on the clock of [`Offer::hello`].
    pub const fn poll_timeout(&self) -> u64 {
        self.sent_ms.saturating_add(HELLO_ROUND_TRIP_MAX_MS)
    }

    /// Judges the answer: signed by a key of the list, for this enrolment and this very hello, in time, under a list that is
    /// valid at the time it says; and agrees on the session's keys.
    ///
    /// # Errors
    /// [`SessionRefused`]: close the connection. The offer is used up either way.
    pub fn accept(
        self,
        keys: &TrustedKeys,
        accepted: &Signed,
        now_ms: u64,
    ) -> Result<(AcceptedBody, SessionSeal), SessionRefused> {
        let body: AcceptedBody = keys.verify(accepted)?;
        if body.enrolment != self.enrolment || body.nonce != self.nonce {
            return Err(SignatureError::Mismatch.into());
        }
        if now_ms > self.poll_timeout() {
            return Err(SessionRefused::Late);
        }
        keys.check_time(body.server_time_ms)?;
        let agreed = self.half.agree(body.ephemeral, &self.hello, accepted).ok_or(SessionRefused::WeakKey)?;
        Ok((body, SessionSeal::new(End::Machine, agreed)))
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({}, ..)", self.nonce)
    }
}
