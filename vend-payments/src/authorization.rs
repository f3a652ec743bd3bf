//! The authorization, from the machine's side: what must hold before a motor may turn.

use vend_protocol::{
    EnrolmentId, Money,
    signed::{AuthorizationBody, Signed, VoidBody},
};

use crate::{keys::TrustedKeys, signed::SignatureError};

/// An authorization whose signature and enrolment were verified. The check is its only constructor, so code that asks for
/// a `Permit` cannot be reached with an unverified message.
///
/// It says who allowed what. Whether it is too late, used up or of another plan depends on the machine's state, and the
/// machine answers those with a receipt, because such an authorization does use up its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit(AuthorizationBody);

impl Permit {
    /// Verifies an authorization for the machine with this enrolment.
    ///
    /// # Errors
    /// What [`TrustedKeys::verify`] returns; [`SignatureError::Mismatch`] for another enrolment, no lines, or prices whose sum
    /// is not an amount of money. Such a message is not answered: it proves nothing.
    pub fn verify(
        signed: &Signed,
        keys: &TrustedKeys,
        enrolment: EnrolmentId,
    ) -> Result<Self, SignatureError> {
        let body = keys.verify::<AuthorizationBody>(signed)?;
        if body.enrolment != enrolment || body.lines.is_empty() || total(&body).is_none() {
            return Err(SignatureError::Mismatch);
        }
        Ok(Self(body))
    }

    /// What it allows.
    pub const fn body(&self) -> &AuthorizationBody {
        &self.0
    }
}

/// What an authorization's lines cost together; `None` when that is past [`u32::MAX`] minor units.
pub fn total(body: &AuthorizationBody) -> Option<Money> {
    let mut minor = body.lines.iter().map(|line| line.price_minor);
    minor.try_fold(0u32, u32::checked_add).map(|minor| Money::new(minor, body.currency))
}

/// Verifies a void for the machine with this enrolment.
///
/// # Errors
/// What [`TrustedKeys::verify`] returns; [`SignatureError::Mismatch`] for another enrolment.
pub fn verify_void(
    signed: &Signed,
    keys: &TrustedKeys,
    enrolment: EnrolmentId,
) -> Result<VoidBody, SignatureError> {
    let body = keys.verify::<VoidBody>(signed)?;
    if body.enrolment == enrolment { Ok(body) } else { Err(SignatureError::Mismatch) }
}
