//! Receipts and amendments: one chain by hash, so that none can be left out, exchanged or told in two ways.

use vend_protocol::{
    EnrolmentId, JournalId, ReceiptHash, ReceiptNo,
    signed::{AmendmentBody, ReceiptBody, Signed},
};

use crate::signed::{Body, PublicKey, SignatureError, body_hash};

mod sealed {
    /// Only what the protocol chains is chained.
    pub trait Sealed {}
    impl Sealed for vend_protocol::signed::ReceiptBody {}
    impl Sealed for vend_protocol::signed::AmendmentBody {}
}

/// What is numbered and chained in a machine's journal: a [`ReceiptBody`] or an [`AmendmentBody`]. They share one row of
/// numbers and one chain, whatever their order.
pub trait Chained: Body + sealed::Sealed {
    /// Whose key signs it.
    fn enrolment(&self) -> EnrolmentId;
    /// The journal it is in.
    fn journal(&self) -> JournalId;
    /// Its number there.
    fn number(&self) -> ReceiptNo;
    /// The hash of the one before it, of either kind.
    fn previous(&self) -> ReceiptHash;
}

macro_rules! chained {
    ($($body:ty)*) => { $(impl Chained for $body {
        fn enrolment(&self) -> EnrolmentId {
            self.enrolment
        }

        fn journal(&self) -> JournalId {
            self.journal
        }

        fn number(&self) -> ReceiptNo {
            self.number
        }

        fn previous(&self) -> ReceiptHash {
            self.previous
        }
    })* };
}

chained! { ReceiptBody AmendmentBody }

/// The hash that the next one in the chain, and the acknowledgement, name: SHA-512 over tag and body, first 32 bytes.
pub fn chain_hash<B: Chained>(signed: &Signed) -> ReceiptHash {
    ReceiptHash(body_hash::<B>(signed))
}

/// The hash of a receipt: [`chain_hash`] of its kind.
pub fn receipt_hash(receipt: &Signed) -> ReceiptHash {
    chain_hash::<ReceiptBody>(receipt)
}

/// The hash of an amendment: [`chain_hash`] of its kind.
pub fn amendment_hash(amendment: &Signed) -> ReceiptHash {
    chain_hash::<AmendmentBody>(amendment)
}

/// Verifies a receipt or an amendment against the key of the enrolment it must be from.
///
/// # Errors
/// What [`PublicKey::verify`] returns; [`SignatureError::Mismatch`] when the body names another enrolment than the key's.
pub fn verify_chained<B: Chained>(signed: &Signed, machine: &PublicKey) -> Result<B, SignatureError> {
    let body = machine.verify::<B>(signed)?;
    if body.enrolment() == machine.fingerprint() { Ok(body) } else { Err(SignatureError::Mismatch) }
}

/// Verifies a receipt: [`verify_chained`] of its kind.
///
/// # Errors
/// As [`verify_chained`].
pub fn verify_receipt(receipt: &Signed, machine: &PublicKey) -> Result<ReceiptBody, SignatureError> {
    verify_chained(receipt, machine)
}

/// Verifies an amendment: [`verify_chained`] of its kind. What it says of the receipt it amends is for the server to compare
/// with what it has: a message that is signed well is stored and acknowledged, whatever it says.
///
/// # Errors
/// As [`verify_chained`].
pub fn verify_amendment(amendment: &Signed, machine: &PublicKey) -> Result<AmendmentBody, SignatureError> {
    verify_chained(amendment, machine)
}

#[cfg(test)]
mod tests {
    use vend_protocol::{DropReport, List, MotorCode, Outcome, Start, signed::Authority};

    use super::*;
    use crate::signed::Signer;

    fn receipt(machine: &Signer) -> ReceiptBody {
        ReceiptBody {
            enrolment: machine.public_key().fingerprint(),
            journal: JournalId([1; 8]),
            number: ReceiptNo::new(1).unwrap(),
            previous: ReceiptHash::START,
            authority: Authority::ServiceGrant { id: [2; 16] },
            at_ms: 0,
            lines: List::default(),
        }
    }

    fn amendment(machine: &Signer, previous: ReceiptHash) -> AmendmentBody {
        AmendmentBody {
            enrolment: machine.public_key().fingerprint(),
            journal: JournalId([1; 8]),
            number: ReceiptNo::new(2).unwrap(),
            previous,
            amends: ReceiptNo::new(1).unwrap(),
            line: 0,
            outcome: Outcome {
                start: Start::Started,
                motor: MotorCode::OK,
                drop: DropReport::Seen,
                interrupted: false,
            },
            at_ms: 0,
        }
    }

    #[test]
    fn an_amendment_continues_the_chain_of_receipts() {
        let machine = Signer::from_seed(&[1; 32]);
        let key = machine.public_key();
        let first = machine.sign(&receipt(&machine)).unwrap();
        let second = machine.sign(&amendment(&machine, receipt_hash(&first))).unwrap();
        let body = verify_amendment(&second, &key).unwrap();
        assert_eq!((body.previous(), body.number().number()), (receipt_hash(&first), 2));
        assert_ne!(amendment_hash(&second), receipt_hash(&second), "its kind is in the hash");
        assert_eq!(amendment_hash(&second), chain_hash::<AmendmentBody>(&second));
        // Neither passes as the other.
        assert_eq!(verify_receipt(&second, &key), Err(SignatureError::Forged));
        assert_eq!(verify_amendment(&first, &key), Err(SignatureError::Forged));
    }

    #[test]
    fn neither_kind_may_name_another_enrolment() {
        let (machine, other) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
        let key = machine.public_key();
        let first = machine.sign(&receipt(&other)).unwrap();
        assert_eq!(verify_receipt(&first, &key), Err(SignatureError::Mismatch));
        let second = machine.sign(&amendment(&other, ReceiptHash::START)).unwrap();
        assert_eq!(verify_amendment(&second, &key), Err(SignatureError::Mismatch));
    }

    #[test]
    fn the_hash_covers_what_was_signed_and_not_the_signature() {
        let machine = Signer::from_seed(&[1; 32]);
        let first = machine.sign(&receipt(&machine)).unwrap();
        let again =
            Signed { signature: vend_protocol::signed::Signature::from_bytes([0; 64]), ..first.clone() };
        assert_eq!(receipt_hash(&again), receipt_hash(&first));
    }
}
