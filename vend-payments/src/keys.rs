//! Which keys may speak for the server: a list under the operator's offline root key.

use vend_protocol::{
    EnrolmentId, List,
    signed::{KEYS_MAX, KeyListBody, Signed},
};

use crate::signed::{Body, PublicKey, SignatureError};

/// The server keys a machine believes, from the newest key list it has.
///
/// A thief of an online key can sign with it until a newer list leaves it out, and cannot introduce another: lists are
/// signed by the root key, which is offline.
///
/// How a machine gets a newer one, and keeps it:
///
/// 1. [`Self::newer`] judges the list that came; what is not newer changes nothing.
/// 2. The machine stores the list's [`Signed`] as it was received, beside the grant of its enrolment, which stays as it is: it
///    may be signed by a key that the newer list leaves out.
/// 3. Only then it puts the new keys in place of the old ones, and answers with [`Self::version`].
/// 4. When it starts, it reads the grant and then the stored list, with [`Self::with_stored`].
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    /// As bytes: it is needed once in years, and would take five times the memory as a point.
    root: [u8; 32],
    version: u32,
    not_before_ms: u64,
    expires_ms: u64,
    keys: List<PublicKey, KEYS_MAX>,
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
        Self::read(&root, list)
    }

    fn read(root: &PublicKey, list: &Signed) -> Result<Self, SignatureError> {
        let body = root.verify::<KeyListBody>(list)?;
        let mut keys = List::default();
        for key in body.keys.iter() {
            // The list has as many places as the one it comes from.
            keys.push(PublicKey::from_bytes(key)?).map_err(|_| SignatureError::BadKey)?;
        }
        Ok(Self {
            root: root.to_bytes(),
            version: body.version,
            not_before_ms: body.not_before_ms,
            expires_ms: body.expires_ms,
            keys,
        })
    }

    /// Judges a key list that came from the server, at the server's time. `None`: it is not newer than this one, which stays.
    ///
    /// Versions need not follow one another: a machine that slept through two rotations takes the newest. A list outside its
    /// time is not taken, because the machine could not believe any server under it.
    ///
    /// # Errors
    /// What [`PublicKey::verify`] returns when it is not the root's; [`SignatureError::BadKey`] when a listed key is none;
    /// [`SignatureError::KeyListTime`] when it is newer and not in its time. The present list stays.
    ///
    /// ```
    /// # use vend_payments::{keys::TrustedKeys, signed::{SignatureError, Signer}};
    /// # use vend_protocol::{List, signed::KeyListBody};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (root, online) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
    /// # let list = |version| KeyListBody {
    /// #     version, not_before_ms: 0, expires_ms: 1000,
    /// #     keys: List::try_from_iter([online.public_key().to_bytes()]).unwrap(),
    /// # };
    /// # let key = root.public_key();
    /// # let mut keys = TrustedKeys::from_root(&key.to_bytes(), key.fingerprint(), &root.sign(&list(1))?)?;
    /// let received = root.sign(&list(3))?;
    /// if let Some(newer) = keys.newer(&received, 500)? {
    ///     // Store `received`, and when that is done:
    ///     keys = newer;
    /// }
    /// assert_eq!(keys.version(), 3);
    /// assert!(keys.newer(&root.sign(&list(2))?, 500)?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn newer(&self, list: &Signed, now_ms: u64) -> Result<Option<Self>, SignatureError> {
        let newer = self.newer_before_accepted(list)?;
        newer.as_ref().map_or(Ok(()), |newer| newer.check_time(now_ms))?;
        Ok(newer)
    }

    /// As [`Self::newer`], for a list that answers a hello: the machine has no time yet that it could trust. The *accepted* to
    /// its next hello is judged by the list's time.
    ///
    /// # Errors
    /// As [`Self::newer`], but for the time.
    pub fn newer_before_accepted(&self, list: &Signed) -> Result<Option<Self>, SignatureError> {
        let newer = Self::read(&PublicKey::from_bytes(&self.root)?, list)?;
        Ok(if newer.version > self.version { Some(newer) } else { None })
    }

    /// Takes the list that was stored after [`Self::newer`], when the machine starts. Its time is not looked at, since there is
    /// no clock yet: the first answer to a hello is judged by it.
    ///
    /// # Errors
    /// As [`Self::newer`], but for the time. What is in the flash is then not what was stored there.
    pub fn with_stored(self, list: &Signed) -> Result<Self, SignatureError> {
        let stored = Self::read(&PublicKey::from_bytes(&self.root)?, list)?;
        Ok(if stored.version > self.version { stored } else { self })
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
    use vend_protocol::codec;

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
        let present = TrustedKeys::from_root(&root_bytes, fingerprint, &list(&root, 5, &[&online])).unwrap();

        let forged = list(&online, 6, &[&thief]);
        assert!(TrustedKeys::from_root(&root_bytes, fingerprint, &forged).is_err());
        assert_eq!(present.newer(&forged, 10).unwrap_err(), SignatureError::UnknownKey);
        let renamed = Signed { key_id: root.key_id(), ..forged.clone() };
        assert_eq!(present.newer(&renamed, 10).unwrap_err(), SignatureError::Forged);
        assert!(present.clone().with_stored(&renamed).is_err());
        let other_root = thief.public_key().to_bytes();
        let own = TrustedKeys::from_root(&other_root, fingerprint, &list(&thief, 6, &[&thief]));
        assert_eq!(own.unwrap_err(), SignatureError::Mismatch);

        for (version, taken) in [(4, None), (5, None), (6, Some(6)), (9, Some(9))] {
            let newer = present.newer(&list(&root, version, &[&thief]), 10).unwrap();
            assert_eq!(newer.map(|keys| keys.version()), taken, "version {version}");
        }
        let newer = present.newer(&list(&root, 7, &[&thief]), 10).unwrap().unwrap();
        // The revoked key is believed no more, and the older list is not taken back.
        let void = online.sign(&crate::test_bodies::void()).unwrap();
        assert_eq!(newer.verify::<vend_protocol::signed::VoidBody>(&void), Err(SignatureError::UnknownKey));
        assert!(newer.newer(&list(&root, 6, &[&online]), 10).unwrap().is_none());
    }

    #[test]
    fn a_list_that_is_not_in_its_time_is_not_taken_from_the_server() {
        let root = Signer::from_seed(&[1; 32]);
        let key = root.public_key();
        let present =
            TrustedKeys::from_root(&key.to_bytes(), key.fingerprint(), &list(&root, 1, &[&root])).unwrap();
        for now in [9, 20] {
            let refused = present.newer(&list(&root, 2, &[&root]), now).unwrap_err();
            assert_eq!(refused, SignatureError::KeyListTime, "{now}");
        }
    }

    #[test]
    fn the_newest_list_survives_in_flash_and_an_older_one_does_not_come_back() {
        let (root, old, new) =
            (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]), Signer::from_seed(&[3; 32]));
        let key = root.public_key();
        let granted = |version| {
            let list = list(&root, version, &[&old]);
            TrustedKeys::from_root(&key.to_bytes(), key.fingerprint(), &list).unwrap()
        };
        let received = list(&root, 4, &[&new]);
        let mut flash = [0; 512];
        let len = codec::encode(&received, &mut flash).unwrap();

        let stored: Signed = codec::decode(&flash[..len]).unwrap();
        assert_eq!(stored, received);
        assert_eq!(granted(2).with_stored(&stored).unwrap().version(), 4);
        assert_eq!(granted(6).with_stored(&stored).unwrap().version(), 6, "enrolled anew since");
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
