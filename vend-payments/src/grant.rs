//! The technician's grant: what may be done at a machine without a sale.

use vend_protocol::{
    EnrolmentId,
    signed::{GrantBody, Signed},
};

use crate::{keys::TrustedKeys, signed::SignatureError};

/// A grant that was signed by a key of the list, for this machine, and that is in its time. The check is its only constructor.
///
/// It may have been issued ahead, and the same grant may be shown more than once: how many of its vends are used up is in the
/// machine's journal, under [`GrantBody::id`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceGrant(GrantBody);

impl ServiceGrant {
    /// Verifies a grant for the machine with this enrolment, at this time: milliseconds since 1970, UTC, as the server said it
    /// since this boot. A machine that has no such time cannot judge a grant, and grants nothing.
    ///
    /// # Errors
    /// What [`TrustedKeys::check_time`] and [`TrustedKeys::verify`] return; [`SignatureError::Mismatch`] for another
    /// enrolment; [`SignatureError::GrantTime`] before or after its time.
    pub fn verify(
        signed: &Signed,
        keys: &TrustedKeys,
        enrolment: EnrolmentId,
        now_ms: u64,
    ) -> Result<Self, SignatureError> {
        keys.check_time(now_ms)?;
        let body = keys.verify::<GrantBody>(signed)?;
        if body.enrolment != enrolment {
            return Err(SignatureError::Mismatch);
        }
        if now_ms < body.not_before_ms || now_ms >= body.expires_ms {
            return Err(SignatureError::GrantTime);
        }
        Ok(Self(body))
    }

    /// What it allows.
    pub const fn body(&self) -> &GrantBody {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use vend_protocol::{List, signed::KeyListBody};

    use super::*;
    use crate::signed::Signer;

    #[test]
    fn a_grant_counts_at_its_machine_in_its_time_and_under_a_listed_key() {
        let (root, online, thief) =
            (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]), Signer::from_seed(&[3; 32]));
        let listed = List::try_from_iter([online.public_key().to_bytes()]).unwrap();
        let list = KeyListBody { version: 1, not_before_ms: 50, expires_ms: 300, keys: listed };
        let key = root.public_key();
        let list = root.sign(&list).unwrap();
        let keys = TrustedKeys::from_root(&key.to_bytes(), key.fingerprint(), &list).unwrap();
        let enrolment = EnrolmentId([7; 16]);
        let body = GrantBody {
            id: [9; 16],
            enrolment,
            not_before_ms: 100,
            expires_ms: u64::from(u32::MAX),
            vends: 2,
        };
        let verify = |signer: &Signer, body: &GrantBody, now_ms| {
            let grant = ServiceGrant::verify(&signer.sign(body).unwrap(), &keys, enrolment, now_ms);
            grant.map(|grant| grant.body().clone())
        };
        assert_eq!(verify(&online, &body, 100).as_ref(), Ok(&body));
        assert_eq!(verify(&online, &body, 299).as_ref(), Ok(&body));
        assert_eq!(verify(&online, &body, 99), Err(SignatureError::GrantTime));
        assert_eq!(verify(&online, &body, 300), Err(SignatureError::KeyListTime), "the list ends before it");
        let short = GrantBody { expires_ms: 200, ..body.clone() };
        assert_eq!(verify(&online, &short, 199).as_ref(), Ok(&short));
        assert_eq!(verify(&online, &short, 200), Err(SignatureError::GrantTime));
        assert_eq!(verify(&thief, &body, 150), Err(SignatureError::UnknownKey));
        let elsewhere = GrantBody { enrolment: EnrolmentId([8; 16]), ..body };
        assert_eq!(verify(&online, &elsewhere, 150), Err(SignatureError::Mismatch));
    }
}
