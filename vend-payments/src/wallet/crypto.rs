//! The keys of both wallets: RSA with PKCS#1 v1.5 and SHA-256, and AES-256-GCM.

use core::fmt;
#[cfg(feature = "sandbox")]
use std::format;
use std::prelude::v1::*;
use std::sync::Arc;
use std::vec;

#[cfg(feature = "wechat")]
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Why a key cannot be used. The key itself is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not PEM, and not base64 of DER either.
    #[error("the key is not PEM")]
    Pem,
    /// Not an RSA private key in PKCS#8 form of 2,048 bits or more.
    #[error("not an RSA private key in PKCS#8 form")]
    PrivateKey,
    /// Not an RSA public key (`SubjectPublicKeyInfo`) of 2,048 bits or more.
    #[error("not an RSA public key")]
    PublicKey,
    /// An `APIv3` key has 32 bytes.
    #[error("an APIv3 key has exactly 32 bytes")]
    ApiKeyLength,
    /// A merchant number, serial or address of the account is not well formed.
    #[error("not a valid {0}")]
    Field(&'static str),
}

/// A private RSA key that signs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SigningKey(Arc<RsaKeyPair>);

impl SigningKey {
    /// From PKCS#8: PEM text, or the bare base64 that Alipay's key tool writes.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = Zeroizing::new(pem_to_der(pem)?);
        RsaKeyPair::from_pkcs8(&der).map(|pair| Self(Arc::new(pair))).map_err(|_| KeyError::PrivateKey)
    }

    /// A new key of 2,048 bits and its PKCS#8 PEM.
    #[cfg(feature = "sandbox")]
    pub(crate) fn generate() -> Result<Zeroizing<String>, KeyError> {
        use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
        let pair =
            RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(|_| KeyError::PrivateKey)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::PrivateKey)?;
        Ok(Zeroizing::new(der_to_pem("PRIVATE KEY", der.as_ref())))
    }

    /// The base64 signature of `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<String, KeyError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| KeyError::PrivateKey)?;
        Ok(STANDARD.encode(signature))
    }

    /// Its public half.
    #[cfg(feature = "sandbox")]
    pub(crate) fn public_pem(&self) -> Result<String, KeyError> {
        use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
        use aws_lc_rs::signature::KeyPair as _;
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().map_err(|_| KeyError::PublicKey)?;
        Ok(der_to_pem("PUBLIC KEY", der.as_ref()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A public RSA key that verifies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct VerifyingKey(Arc<ParsedPublicKey>);

impl VerifyingKey {
    /// From `SubjectPublicKeyInfo`: PEM text, or the bare base64 that Alipay's console shows.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem_to_der(pem)?;
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
            .map(|key| Self(Arc::new(key)))
            .map_err(|_| KeyError::PublicKey)
    }

    /// Whether `signature` (base64) is one of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|bytes| self.0.verify_sig(message, &bytes).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(..)")
    }
}

/// The 32 bytes of WeChat's `APIv3` key.
#[cfg(feature = "wechat")]
#[derive(Clone)]
pub(crate) struct AeadKey(Zeroizing<[u8; 32]>);

#[cfg(feature = "wechat")]
impl AeadKey {
    pub(crate) fn new(key: &str) -> Result<Self, KeyError> {
        let bytes = key.as_bytes().try_into().map_err(|_| KeyError::ApiKeyLength)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    fn key(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice()).ok().map(LessSafeKey::new)
    }

    /// Decrypts base64 of ciphertext and tag.
    pub(crate) fn open(&self, nonce: &str, associated: &str, ciphertext: &str) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).ok()?;
        let mut bytes = STANDARD.decode(ciphertext).ok()?;
        let plain =
            self.key()?.open_in_place(nonce, Aad::from(associated.as_bytes()), &mut bytes).ok()?.len();
        bytes.truncate(plain);
        Some(bytes)
    }

    /// Encrypts, into base64 of ciphertext and tag.
    #[cfg(feature = "sandbox")]
    pub(crate) fn seal(&self, nonce: &str, associated: &str, plain: &[u8]) -> Option<String> {
        let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).ok()?;
        let mut bytes = plain.to_vec();
        self.key()?.seal_in_place_append_tag(nonce, Aad::from(associated.as_bytes()), &mut bytes).ok()?;
        Some(STANDARD.encode(bytes))
    }
}

#[cfg(feature = "wechat")]
impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}

/// DER out of PEM. The lines between are what matters: labels differ by tool, the parser of the DER decides.
fn pem_to_der(pem: &str) -> Result<Vec<u8>, KeyError> {
    let text: Zeroizing<String> = Zeroizing::new(
        pem.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("-----"))
            .flat_map(str::chars)
            .filter(|c| !c.is_ascii_whitespace())
            .collect(),
    );
    if text.is_empty() {
        return Err(KeyError::Pem);
    }
    STANDARD.decode(text.as_bytes()).map_err(|_| KeyError::Pem)
}

/// PEM with lines of 64 characters.
#[cfg(feature = "sandbox")]
pub(crate) fn der_to_pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        // Base64 is ASCII, so every chunk is text.
        pem.push_str(core::str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        pem.push_str(part);
    }
    pem
}

#[cfg(all(test, feature = "wechat"))]
mod tests {
    use super::*;

    #[test]
    fn the_published_aead_vector_opens() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/wechat_published.json")).unwrap();
        let text = |name: &str| vectors["aead"][name].as_str().unwrap();
        let open = |key: &str, nonce, associated| {
            AeadKey::new(key).unwrap().open(nonce, associated, text("ciphertext"))
        };
        let (key, nonce, associated) = (text("key"), text("nonce"), text("associated_data"));
        assert_eq!(open(key, nonce, associated).unwrap(), text("plaintext").as_bytes());
        assert_eq!(open("b7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb", nonce, associated), None, "another key");
        assert_eq!(open(key, "uluk4a9R25RX", associated), None, "another nonce");
        assert_eq!(open(key, nonce, "transaction"), None, "other associated data");
        assert_eq!(open(key, "short", associated), None);
    }

    #[test]
    fn an_api_key_of_another_length_is_refused() {
        for key in ["", "testMchAPIv3Key0", "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb0"] {
            assert_eq!(AeadKey::new(key).err(), Some(KeyError::ApiKeyLength));
        }
    }
}
