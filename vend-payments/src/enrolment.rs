//! Enrolment by claim code: how a machine's key becomes known.
//!
//! The technician gives the machine one string, the [`Ticket`]: the server's address, a claim code and the fingerprint of
//! the operator's root key. The machine draws its key and login secret itself and proves that it knows the code; the answer
//! is under the root key, so an impostor of the server cannot enrol it.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use vend_protocol::{
    EnrolmentId, MachineId, Nonce,
    codec::CodecError,
    machine_link::ClaimGranted,
    signed::{ClaimBody, EnrolmentBody, Signed},
};
use zeroize::Zeroize;

use crate::{
    keys::TrustedKeys,
    signed::{PublicKey, SignatureError, Signer},
};

/// Characters of a claim code: Crockford's base 32, 5 bits each, 100 bits in all.
pub const CODE_LEN: usize = 20;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A claim code. It is a secret until it is used: never printed by `Debug`, wiped when dropped.
pub struct ClaimCode([u8; CODE_LEN]);

impl ClaimCode {
    /// From random bytes (the low five bits of each are used).
    pub fn from_random(random: &[u8; CODE_LEN]) -> Self {
        let mut code = [0; CODE_LEN];
        for (place, byte) in code.iter_mut().zip(random) {
            *place = ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or(b'0');
        }
        Self(code)
    }

    /// From what a technician typed; lower case is taken as upper case.
    ///
    /// # Errors
    /// [`TicketError::Code`] unless it is 20 characters of the alphabet.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let mut code: [u8; CODE_LEN] = text.as_bytes().try_into().map_err(|_| TicketError::Code)?;
        code.make_ascii_uppercase();
        if code.iter().all(|byte| ALPHABET.contains(byte)) { Ok(Self(code)) } else { Err(TicketError::Code) }
    }

    /// The code, to show it to the technician once.
    pub fn reveal(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("")
    }

    /// What the server stores instead of the code.
    pub fn stored(&self) -> StoredCode {
        let mut id = [0; 8];
        for (place, byte) in id.iter_mut().zip(self.hash(b"vend/claim-id/1\0").iter()) {
            *place = *byte;
        }
        StoredCode { id, key: self.hash(b"vend/claim-key/1") }
    }

    fn hash(&self, tag: &[u8; 16]) -> [u8; 32] {
        Sha256::new().chain_update(tag).chain_update(self.0).finalize().into()
    }
}

impl Drop for ClaimCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode(..)")
    }
}

/// A claim code as the server stores it: a name to find it by, and the key claims are proven with.
pub struct StoredCode {
    /// What a claim names.
    pub id: [u8; 8],
    /// The key of a claim's `code_mac`.
    pub key: [u8; 32],
}

impl StoredCode {
    fn mac(&self, claim: &ClaimBody) -> [u8; 32] {
        // A new MAC cannot fail: HMAC takes keys of any length.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; 32] };
        let mac = mac.chain_update(claim.public_key).chain_update(claim.nonce.0);
        mac.chain_update(claim.login_hash).chain_update(claim.code_id).finalize().into_bytes().into()
    }

    /// Verifies a claim: signed by the key it asks for, and made by someone who knows this code.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`] for another code; what [`PublicKey::verify`] returns.
    pub fn verify(&self, claim: &Signed) -> Result<ClaimBody, SignatureError> {
        let body = read_claim(claim)?;
        let proven = self.mac(&body).ct_eq(&body.code_mac) & self.id.ct_eq(&body.code_id);
        if bool::from(proven) { Ok(body) } else { Err(SignatureError::Mismatch) }
    }
}

impl fmt::Debug for StoredCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredCode(..)")
    }
}

/// Reads a claim that is signed by the key it asks for. The code is not checked: use [`StoredCode::verify`] for that, with
/// the code that the body names.
///
/// # Errors
/// [`SignatureError::Body`] when it is none; [`SignatureError::BadKey`]; what [`PublicKey::verify`] returns.
pub fn read_claim(claim: &Signed) -> Result<ClaimBody, SignatureError> {
    let body: ClaimBody = vend_protocol::codec::decode(&claim.body).map_err(SignatureError::Body)?;
    PublicKey::from_bytes(&body.public_key)?.verify(claim)
}

/// Makes a machine's claim. Repeat it with the same nonce until it is answered: the same key asking again gets the same answer.
///
/// # Errors
/// [`CodecError::Full`] never happens with the bodies of this version.
pub fn claim(
    signer: &Signer,
    nonce: Nonce,
    login_secret: &LoginSecret,
    code: &ClaimCode,
) -> Result<Signed, CodecError> {
    let stored = code.stored();
    let mut body = ClaimBody {
        public_key: signer.public_key().to_bytes(),
        nonce,
        login_hash: login_secret.hash(),
        code_id: stored.id,
        code_mac: [0; 32],
    };
    body.code_mac = stored.mac(&body);
    signer.sign(&body)
}

/// What a machine knows after its claim was granted.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The number on the door.
    pub machine: MachineId,
    /// The keys that speak for the server.
    pub keys: TrustedKeys,
}

/// Checks the answer to a claim against the root key's fingerprint from the ticket.
///
/// # Errors
/// [`SignatureError::Mismatch`] when it is for another key or claim or under another root; what verification returns.
pub fn verify_grant(
    granted: &ClaimGranted,
    root: EnrolmentId,
    own: &PublicKey,
    nonce: Nonce,
) -> Result<Enrolled, SignatureError> {
    let keys = TrustedKeys::from_root(&granted.root_key, root, &granted.key_list)?;
    let body = keys.verify::<EnrolmentBody>(&granted.enrolment)?;
    if body.enrolment != own.fingerprint() || body.nonce != nonce {
        return Err(SignatureError::Mismatch);
    }
    Ok(Enrolled { machine: body.machine, keys })
}

/// A machine's MQTT login secret: 256 random bits. Never printed, wiped when dropped.
pub struct LoginSecret([u8; 32]);

impl LoginSecret {
    /// From 32 random bytes.
    pub const fn from_random(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// What the server stores: SHA-256 of the secret's bytes.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The password to log in with: 64 lower-case hexadecimal digits.
    pub fn password(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair =
                [byte >> 4, byte & 15].map(|digit| DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'));
        }
        text
    }

    /// Its bytes, to store them in the machine.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for LoginSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecret(..)")
    }
}

/// The one string a technician gives a machine: `<server URL>#<claim code>.<root key fingerprint>`.
///
/// ```
/// use vend_payments::enrolment::Ticket;
/// let text = "https://vend.example#0123456789ABCDEFGHJK.000102030405060708090a0b0c0d0e0f";
/// let ticket = Ticket::parse(text).unwrap();
/// assert_eq!(ticket.server, "https://vend.example");
/// assert_eq!(ticket.reveal().to_string(), text);
/// ```
#[derive(Debug)]
pub struct Ticket<'a> {
    /// Where to claim.
    pub server: &'a str,
    /// With which code.
    pub code: ClaimCode,
    /// Under which root key.
    pub root: EnrolmentId,
}

impl<'a> Ticket<'a> {
    /// Reads a ticket.
    ///
    /// # Errors
    /// [`TicketError`] names the part that is wrong.
    pub fn parse(text: &'a str) -> Result<Self, TicketError> {
        let (server, rest) = text.trim().split_once('#').ok_or(TicketError::Form)?;
        let (code, root) = rest.split_once('.').ok_or(TicketError::Form)?;
        if server.is_empty() {
            return Err(TicketError::Form);
        }
        let root = root.parse().map_err(|_| TicketError::Root)?;
        Ok(Self { server, code: ClaimCode::parse(code)?, root })
    }

    /// The whole string, with the code in it, to show it to the technician once.
    pub const fn reveal(&self) -> RevealedTicket<'_> {
        RevealedTicket(self)
    }
}

/// Prints a [`Ticket`] with its code.
pub struct RevealedTicket<'a>(&'a Ticket<'a>);

impl fmt::Display for RevealedTicket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}.{}", self.0.server, self.0.code.reveal(), self.0.root)
    }
}

/// Why a string is not a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Not `server#code.fingerprint`.
    #[error("a ticket looks like https://server#CODE.fingerprint")]
    Form,
    /// The code is not 20 characters of Crockford's base 32.
    #[error("the claim code is misspelt: it has 20 letters and digits, without I, L, O and U")]
    Code,
    /// The fingerprint is not 32 hexadecimal digits.
    #[error("the root key fingerprint is misspelt: it has 32 hexadecimal digits")]
    Root,
}

#[cfg(test)]
mod tests {
    use vend_protocol::{List, signed::KeyListBody};

    use super::*;

    #[test]
    fn a_claim_needs_the_code_and_the_key() {
        let signer = Signer::from_seed(&[1; 32]);
        let code = ClaimCode::from_random(&[7; CODE_LEN]);
        let secret = LoginSecret::from_random([9; 32]);
        let signed = claim(&signer, Nonce([5; 16]), &secret, &code).unwrap();
        assert_eq!(code.stored().verify(&signed).unwrap().login_hash, secret.hash());

        let other = ClaimCode::from_random(&[8; CODE_LEN]);
        assert_eq!(other.stored().verify(&signed), Err(SignatureError::Mismatch));

        // Someone who saw the claim and asks for a key of his own with the same proof.
        let mut body = read_claim(&signed).unwrap();
        let thief = Signer::from_seed(&[2; 32]);
        body.public_key = thief.public_key().to_bytes();
        assert_eq!(code.stored().verify(&thief.sign(&body).unwrap()), Err(SignatureError::Mismatch));
        assert!(read_claim(&signer.sign(&body).unwrap()).is_err(), "proof of possession");
    }

    #[test]
    fn a_grant_counts_only_under_the_root_and_for_this_claim() {
        let (root, online, machine) =
            (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]), Signer::from_seed(&[3; 32]));
        let keys = List::try_from_iter([online.public_key().to_bytes()]).unwrap();
        let grant = |signer: &Signer, nonce| ClaimGranted {
            root_key: root.public_key().to_bytes(),
            key_list: root.sign(&KeyListBody { version: 1, not_before_ms: 0, expires_ms: 9, keys }).unwrap(),
            enrolment: signer
                .sign(&EnrolmentBody {
                    machine: MachineId::new(12).unwrap(),
                    enrolment: machine.public_key().fingerprint(),
                    nonce,
                })
                .unwrap(),
        };
        let nonce = Nonce([5; 16]);
        let fingerprint = root.public_key().fingerprint();
        let own = machine.public_key();
        assert_eq!(
            verify_grant(&grant(&online, nonce), fingerprint, &own, nonce).unwrap().machine.number(),
            12
        );
        assert!(verify_grant(&grant(&online, Nonce([6; 16])), fingerprint, &own, nonce).is_err());
        assert!(verify_grant(&grant(&machine, nonce), fingerprint, &own, nonce).is_err());
        assert!(verify_grant(&grant(&online, nonce), own.fingerprint(), &own, nonce).is_err());
        assert!(verify_grant(&grant(&online, nonce), fingerprint, &online.public_key(), nonce).is_err());
    }

    #[test]
    fn misspelt_tickets_say_which_part_is_wrong() {
        let root = "000102030405060708090a0b0c0d0e0f";
        for (text, error) in [
            ("", TicketError::Form),
            ("https://x", TicketError::Form),
            ("#0123456789ABCDEFGHJK.000102030405060708090a0b0c0d0e0f", TicketError::Form),
            ("https://x#0123.000102030405060708090a0b0c0d0e0f", TicketError::Code),
            ("https://x#0123456789ABCDEFGHJU.000102030405060708090a0b0c0d0e0f", TicketError::Code),
            ("https://x#0123456789ABCDEFGHJK.0001", TicketError::Root),
        ] {
            assert_eq!(Ticket::parse(text).unwrap_err(), error, "{text} {root}");
        }
    }
}
