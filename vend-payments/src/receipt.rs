//! Receipts: chained by hash, so that one cannot be left out, exchanged or told in two ways.

use sha2::{Digest, Sha512};
use vend_protocol::{
    ReceiptHash,
    signed::{ReceiptBody, Signed},
};

use crate::signed::{Body, PublicKey, SignatureError};

/// The hash of a receipt: SHA-512 over tag and body, first 32 bytes. It covers what was signed and not the signature, which
/// a key holder could make anew.
pub fn receipt_hash(receipt: &Signed) -> ReceiptHash {
    let digest = Sha512::new().chain_update(ReceiptBody::TAG).chain_update(&*receipt.body).finalize();
    let mut hash = [0; 32];
    for (place, byte) in hash.iter_mut().zip(digest.iter()) {
        *place = *byte;
    }
    ReceiptHash(hash)
}

/// Verifies a receipt against the key of the enrolment it must be from.
///
/// # Errors
/// What [`PublicKey::verify`] returns; [`SignatureError::Mismatch`] when the body names another enrolment than the key's.
pub fn verify_receipt(receipt: &Signed, machine: &PublicKey) -> Result<ReceiptBody, SignatureError> {
    let body = machine.verify::<ReceiptBody>(receipt)?;
    if body.enrolment == machine.fingerprint() { Ok(body) } else { Err(SignatureError::Mismatch) }
}
