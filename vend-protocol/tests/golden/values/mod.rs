//! The values that the vectors are made from, told as one story: machine 7 sells order 1042.

pub(crate) mod bodies;
pub(crate) mod control_link;
pub(crate) mod events;
pub(crate) mod machine_link;
pub(crate) mod upkeep;

use vend_protocol::{
    AuthSeq, Currency, EnrolmentId, JournalId, KeyId, List, MachineId, Money, Nonce, OrderId, PlanVersion,
    ProductId, ReceiptHash, ReceiptNo, SlotId, Text, VendId,
    signed::{Signature, Signed},
};

use super::book::encoded;

/// 2027-01-15 08:00:00 UTC, in milliseconds.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
pub(crate) const ENROLMENT: EnrolmentId = EnrolmentId(run(0x10));
pub(crate) const JOURNAL: JournalId = JournalId(run(0x20));
pub(crate) const NONCE: Nonce = Nonce(run(0x30));
pub(crate) const RECEIPT_HASH: ReceiptHash = ReceiptHash(run(0x40));
/// Which key signed, in every vector: a pattern, as the signature.
pub(crate) const KEY_ID: KeyId = KeyId(run(0xA0));

/// `N` bytes that rise from `first`.
pub(crate) const fn run<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [first; N];
    let mut at = 1;
    while at < N {
        bytes[at] = bytes[at - 1].wrapping_add(1);
        at += 1;
    }
    bytes
}

/// A signed body as it is in the vectors: with a pattern in place of the signature.
pub(crate) fn signed<B: serde::Serialize>(body: &B) -> Signed {
    let body = encoded(body).as_slice().try_into().expect("a body fits where bodies go");
    Signed { key_id: KEY_ID, body, signature: Signature::from_bytes(run(0x80)) }
}

pub(crate) fn machine(number: u64) -> MachineId {
    MachineId::new(number).unwrap()
}

pub(crate) fn slot(number: u64) -> SlotId {
    SlotId::new(number).unwrap()
}

pub(crate) fn product(number: u64) -> ProductId {
    ProductId::new(number).unwrap()
}

pub(crate) fn plan(number: u64) -> PlanVersion {
    PlanVersion::new(number).unwrap()
}

pub(crate) fn order(number: u64) -> OrderId {
    OrderId::new(number).unwrap()
}

pub(crate) fn seq(number: u64) -> AuthSeq {
    AuthSeq::new(number).unwrap()
}

pub(crate) fn receipt_number(number: u64) -> ReceiptNo {
    ReceiptNo::new(number).unwrap()
}

pub(crate) fn vend(number: u64) -> VendId {
    VendId::new(number).unwrap()
}

pub(crate) fn text<const N: usize>(text: &str) -> Text<N> {
    Text::try_from(text).unwrap()
}

pub(crate) fn list<T, const N: usize>(items: impl IntoIterator<Item = T>) -> List<T, N> {
    List::try_from_iter(items).unwrap()
}

pub(crate) fn yuan(minor: u32) -> Money {
    Money::new(minor, Currency::CNY)
}
