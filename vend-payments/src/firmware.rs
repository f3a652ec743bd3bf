//! The firmware's key: it signs manifests and nothing else, and nothing else signs them.
//!
//! It is the maker's, built into the machine, and not on the operator's key list: whoever steals an online key can sell, and
//! cannot put in firmware. That is in the types: a manifest is no [`crate::signed::Body`], so no [`Signer`] signs one and no
//! list of server keys verifies one.
//!
//! ```compile_fail,E0277
//! # use vend_payments::{keys::TrustedKeys, signed::SignatureError};
//! # use vend_protocol::signed::{ManifestBody, Signed};
//! fn offered(keys: &TrustedKeys, offer: &Signed) -> Result<ManifestBody, SignatureError> {
//!     keys.verify(offer)
//! }
//! ```
//! ```compile_fail,E0277
//! # use vend_payments::signed::Signer;
//! # use vend_protocol::{codec::CodecError, signed::{ManifestBody, Signed}};
//! fn offer(online: &Signer, manifest: &ManifestBody) -> Result<Signed, CodecError> {
//!     online.sign(manifest)
//! }
//! ```

use vend_protocol::{
    codec::CodecError,
    signed::{ManifestBody, Signed},
};

use crate::signed::{PublicKey, SignatureError, Signer, TAG_LEN};

/// What a manifest's signature covers in front of the body.
pub const MANIFEST_TAG: &[u8; TAG_LEN] = b"vend/manifest/1\0";

/// The public half of a firmware key. A machine believes the one it was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmwareKey(PublicKey);

impl FirmwareKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// [`SignatureError::BadKey`] for what is not a usable key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, SignatureError> {
        PublicKey::from_bytes(bytes).map(Self)
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Verifies a manifest. Whether it is newer, and for this board, is for the machine to say.
    ///
    /// # Errors
    /// What [`PublicKey::verify`] returns.
    pub fn verify(&self, manifest: &Signed) -> Result<ManifestBody, SignatureError> {
        self.0.verify_tagged(MANIFEST_TAG, manifest)
    }
}

/// A firmware signing key, kept off line by the maker. It is wiped when dropped and never printed.
#[derive(Debug)]
pub struct FirmwareSigner(Signer);

impl FirmwareSigner {
    /// From its 32 secret bytes, which must come from a hardware or operating-system random source.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Signer::from_seed(seed))
    }

    /// Its public half.
    pub fn key(&self) -> FirmwareKey {
        FirmwareKey(self.0.public_key())
    }

    /// Encodes and signs a manifest.
    ///
    /// # Errors
    /// [`CodecError::Full`] never happens with the manifest of this version.
    pub fn sign(&self, manifest: &ManifestBody) -> Result<Signed, CodecError> {
        self.0.sign_tagged(MANIFEST_TAG, manifest)
    }
}

#[cfg(test)]
mod tests {
    use vend_protocol::{Text, signed::Image};

    use super::*;

    #[test]
    fn a_manifest_counts_under_the_firmware_key_only() {
        let (maker, other) = (FirmwareSigner::from_seed(&[1; 32]), FirmwareSigner::from_seed(&[2; 32]));
        let manifest = ManifestBody {
            version: 5,
            hardware: Text::truncated("reference"),
            main: Image { version: 9, size: 200_000, hash: [3; 32] },
            control: None,
            journal_format: 1,
            from_version: 3,
        };
        let signed = maker.sign(&manifest).unwrap();
        assert_eq!(maker.key().verify(&signed).as_ref(), Ok(&manifest));
        assert_eq!(other.key().verify(&signed), Err(SignatureError::UnknownKey));
        assert_eq!(FirmwareKey::from_bytes(&maker.key().to_bytes()), Ok(maker.key()));
        // The same bytes signed by the same key for another purpose.
        let elsewhere = maker.0.sign_tagged(b"vend/elsewhere/1", &manifest).unwrap();
        assert_eq!(maker.key().verify(&elsewhere), Err(SignatureError::Forged));
    }
}
