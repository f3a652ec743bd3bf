//! From one end's secret and both signed bodies to the keys.

use hkdf::Hkdf;
use sha2::Sha256;
use vend_protocol::signed::{AcceptedBody, HelloBody, Signed};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::SessionKeys;
use crate::signed::{TAG_LEN, body_hash};

/// HKDF's salt.
const TAG: &[u8; TAG_LEN] = b"vend/session/1\0\0";

/// One end's half of the agreement. Whoever holds it by value can agree once; it is wiped when dropped.
pub(super) struct Half {
    secret: StaticSecret,
}

/// The hash of a hello's bytes, which the keys are bound to.
pub(super) struct HelloHash([u8; 32]);

impl HelloHash {
    pub(super) fn of(hello: &Signed) -> Self {
        Self(body_hash::<HelloBody>(hello))
    }
}

impl Half {
    pub(super) fn from_random(random: [u8; 32]) -> Self {
        Self { secret: StaticSecret::from(random) }
    }

    /// What the other end must be told.
    pub(super) fn ephemeral(&self) -> [u8; 32] {
        PublicKey::from(&self.secret).to_bytes()
    }

    /// The session's keys; `None` when the other end's key is of small order, so that the result would not depend on ours.
    pub(super) fn agree(self, theirs: [u8; 32], hello: &HelloHash, accepted: &Signed) -> Option<SessionKeys> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(theirs));
        if !shared.was_contributory() {
            return None;
        }
        let accepted = body_hash::<AcceptedBody>(accepted);
        let mut keys = Zeroizing::new([[0; 32]; 2]);
        Hkdf::<Sha256>::new(Some(TAG), shared.as_bytes())
            .expand_multi_info(&[&hello.0, &accepted], keys.as_flattened_mut())
            // Two blocks of the 255 there are.
            .ok()?;
        let [up, down] = *keys;
        Some(SessionKeys::new(up, down))
    }
}
