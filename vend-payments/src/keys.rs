//! Which keys may speak for the server: a list under the operator's offline root key.

use vend_protocol::{
    EnrolmentId, List,
    signed::{KeyListBody, Signed},
};

use crate::signed::{Body, PublicKey, SignatureError};

/// The server keys a machine believes, from the newest key list it has.
///
/// A thief of an online key can sign with it until a newer list leaves it out, and cannot introduce another: lists are
/// signed by the root key, which is offline.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    version: u32,
    not_before_ms: u64,
    expires_ms: u64,
    keys: List<PublicKey, 4>,
}

impl TrustedKeys {
    /// Believes a key list under the root key whose fingerprint the technician gave.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`] for another root key; what [`PublicKey::verify`] returns; [`SignatureError::BadKey`] when
    /// a listed key is none.
    pub fn from_root(
        root_key: &[u8; 32],
        fingerprint: EnrolmentId,
        list: &Signed,
    ) -> Result<Self, SignatureError> {
        let root = PublicKey::from_bytes(root_key)?;
        if root.fingerprint() != fingerprint {
            return Err(SignatureError::Mismatch);
        }
        let body = root.verify::<KeyListBody>(list)?;
        let mut keys = List::default();
        for key in body.keys.iter() {
            // The list has as many places as the one it comes from.
            keys.push(PublicKey::from_bytes(key)?).map_err(|_| SignatureError::BadKey)?;
        }
        Ok(Self {
            version: body.version,
            not_before_ms: body.not_before_ms,
            expires_ms: body.expires_ms,
            keys,
        })
    }

    /// Takes a newer list instead. A machine that slept through two rotations just takes the newest.
    ///
    /// # Errors
    /// [`SignatureError::OldKeyList`] unless its version is higher.
    pub fn replace(&mut self, newer: Self) -> Result<(), SignatureError> {
        if newer.version <= self.version {
            return Err(SignatureError::OldKeyList);
        }
        *self = newer;
        Ok(())
    }

    /// Its version.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Whether the list is in its time.
    ///
    /// # Errors
    /// [`SignatureError::KeyListTime`] when not.
    pub const fn check_time(&self, now_ms: u64) -> Result<(), SignatureError> {
        if now_ms < self.not_before_ms || now_ms >= self.expires_ms {
            Err(SignatureError::KeyListTime)
        } else {
            Ok(())
        }
    }

    /// Verifies a message signed by one of the keys and reads it.
    ///
    /// # Errors
    /// [`SignatureError::UnknownKey`] when no listed key is named; what [`PublicKey::verify`] returns.
    pub fn verify<B: Body>(&self, signed: &Signed) -> Result<B, SignatureError> {
        let key =
            self.keys.iter().find(|key| key.key_id() == signed.key_id).ok_or(SignatureError::UnknownKey)?;
        key.verify(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed::Signer;

    fn list(root: &Signer, version: u32, keys: &[&Signer]) -> Signed {
        let keys = List::try_from_iter(keys.iter().map(|key| key.public_key().to_bytes())).unwrap();
        root.sign(&KeyListBody { version, not_before_ms: 10, expires_ms: 20, keys }).unwrap()
    }

    #[test]
    fn only_the_root_introduces_keys_and_only_forwards() {
        let (root, online, thief) =
            (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]), Signer::from_seed(&[3; 32]));
        let fingerprint = root.public_key().fingerprint();
        let root_bytes = root.public_key().to_bytes();
        let mut trusted =
            TrustedKeys::from_root(&root_bytes, fingerprint, &list(&root, 5, &[&online])).unwrap();

        let forged = list(&online, 6, &[&thief]);
        assert!(TrustedKeys::from_root(&root_bytes, fingerprint, &forged).is_err());
        let other_root = thief.public_key().to_bytes();
        let own = TrustedKeys::from_root(&other_root, fingerprint, &list(&thief, 6, &[&thief]));
        assert_eq!(own.unwrap_err(), SignatureError::Mismatch);

        for (version, taken) in [(5, false), (4, false), (7, true)] {
            let newer =
                TrustedKeys::from_root(&root_bytes, fingerprint, &list(&root, version, &[&thief])).unwrap();
            assert_eq!(trusted.replace(newer).is_ok(), taken, "version {version}");
        }
        // The revoked key is believed no more.
        let void = online.sign(&crate::test_bodies::void()).unwrap();
        assert_eq!(trusted.verify::<vend_protocol::signed::VoidBody>(&void), Err(SignatureError::UnknownKey));
    }

    #[test]
    fn a_list_has_its_time() {
        let root = Signer::from_seed(&[1; 32]);
        let trusted = TrustedKeys::from_root(
            &root.public_key().to_bytes(),
            root.public_key().fingerprint(),
            &list(&root, 1, &[&root]),
        )
        .unwrap();
        for (now, fits) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(trusted.check_time(now).is_ok(), fits, "{now}");
        }
    }
}
