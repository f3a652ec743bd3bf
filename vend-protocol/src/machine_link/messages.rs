//! The messages of the machine link.

use serde::{Deserialize, Serialize};

use super::{NAME_MAX, PLAN_PART_ENTRIES};
use crate::{
    AuthSeq, JournalId, List, OrderId, PlanVersion, ProductId, Reason, ReceiptHash, ReceiptNo, SlotId, Text,
    frame::Message,
    signed::{MAX_LINES, Signed},
};

/// Message kinds of the machine link. Below 0x40 a machine sends them, from 0x40 the server does.
pub mod kind {
    #![allow(missing_docs, reason = "each constant is the kind of the message of that name")]
    pub const HELLO: u8 = 0x01;
    pub const READY: u8 = 0x02;
    pub const TAKEN: u8 = 0x03;
    pub const RECEIPT: u8 = 0x04;
    pub const SETTLED: u8 = 0x05;
    pub const BUSY: u8 = 0x06;
    pub const PLAN_APPLIED: u8 = 0x07;
    pub const LATE_DROP: u8 = 0x08;
    pub const CLAIM: u8 = 0x09;
    pub const UNSUPPORTED: u8 = 0x3F;
    pub const ACCEPTED: u8 = 0x41;
    pub const REJECTED: u8 = 0x42;
    pub const PREPARE: u8 = 0x43;
    pub const AUTHORIZATION: u8 = 0x44;
    pub const VOID: u8 = 0x45;
    pub const ACKNOWLEDGEMENT: u8 = 0x46;
    pub const PLAN_PART: u8 = 0x47;
    pub const CLAIM_GRANTED: u8 = 0x48;
}

macro_rules! message {
    ($name:ident, $kind:expr) => {
        impl Message for $name {
            const KIND: u8 = $kind;
            const REVISION: u8 = 1;
        }
    };
}

/// Machine to server, first on every connection: a signed [`crate::signed::HelloBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello(pub Signed);
message!(Hello, kind::HELLO);

/// Server to machine: a signed [`crate::signed::AcceptedBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted(pub Signed);
message!(Accepted, kind::ACCEPTED);

/// Server to machine: the hello was not accepted. The machine closes the connection and comes back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why: 1 unknown enrolment, 2 retired enrolment, 3 bad signature, 4 another machine's login.
    pub code: u8,
    /// Seconds to wait before the next hello.
    pub retry_s: u16,
}
message!(Rejected, kind::REJECTED);

/// Server to machine, before money is asked for: could you vend these now? Lossy: no answer within
/// [`super::PREPARE_TIMEOUT_MS`] means no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// Chosen by the server; the answer repeats it.
    pub request: u32,
    /// The planogram the lines are from.
    pub plan: PlanVersion,
    /// What is wanted.
    pub lines: List<PrepareLine, MAX_LINES>,
}
message!(Prepare, kind::PREPARE);

/// One wanted line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareLine {
    /// The lane.
    pub slot: SlotId,
    /// What must be in it.
    pub product: ProductId,
    /// Its price in minor units.
    pub price_minor: u32,
}

/// Machine to server: the answer to [`Prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The request it answers.
    pub request: u32,
    /// Ready, or why not.
    pub readiness: Readiness,
}
message!(Ready, kind::READY);

/// Whether a machine could vend now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// Sensor, door, health, slots and plan are in order.
    Ready,
    /// They are not.
    NotReady(Reason),
}

/// Server to machine: a signed [`crate::signed::AuthorizationBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization(pub Signed);
message!(Authorization, kind::AUTHORIZATION);

/// Server to machine: a signed [`crate::signed::VoidBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Void(pub Signed);
message!(Void, kind::VOID);

/// Machine to server: the authorization is journaled; motion follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Which authorization.
    pub seq: AuthSeq,
}
message!(Taken, kind::TAKEN);

/// Machine to server: not now, and nothing is used up. Send it again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// Which authorization or void.
    pub seq: AuthSeq,
}
message!(Busy, kind::BUSY);

/// Machine to server: this sequence and all below are used up, and their receipts acknowledged and gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The highest such sequence.
    pub up_to: AuthSeq,
}
message!(Settled, kind::SETTLED);

/// Machine to server: a signed [`crate::signed::ReceiptBody`], sent until acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt(pub Signed);
message!(Receipt, kind::RECEIPT);

/// Server to machine, after the database commit: this very receipt is safe. Ignored unless the hash is the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The journal.
    pub journal: JournalId,
    /// The receipt's number in it.
    pub number: ReceiptNo,
    /// The receipt's hash.
    pub hash: ReceiptHash,
}
message!(Acknowledgement, kind::ACKNOWLEDGEMENT);

/// Server to machine: a part of the planogram. The machine applies it when it has all parts of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPart {
    /// The version it is a part of.
    pub plan: PlanVersion,
    /// Its currency, ISO 4217 numeric.
    pub currency: crate::Currency,
    /// 0 to `parts` - 1.
    pub part: u8,
    /// The number of parts, at least 1.
    pub parts: u8,
    /// Its slots.
    pub entries: List<PlanEntry, PLAN_PART_ENTRIES>,
}
message!(PlanPart, kind::PLAN_PART);

/// One slot of a planogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// The lane.
    pub slot: SlotId,
    /// What is in it.
    pub product: ProductId,
    /// What it costs, in minor units.
    pub price_minor: u32,
    /// What it is called.
    pub name: Text<NAME_MAX>,
}

/// Machine to server: it sells from this planogram now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanApplied {
    /// The version.
    pub plan: PlanVersion,
}
message!(PlanApplied, kind::PLAN_APPLIED);

/// Machine to server, lossy: something fell outside every sale's sensor window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateDrop {
    /// The order vended before it, if the machine remembers one.
    pub after: Option<OrderId>,
    /// When, in milliseconds since 1970, UTC; 0: no clock.
    pub at_ms: u64,
}
message!(LateDrop, kind::LATE_DROP);

/// Both ways: the message with this sequence is of a kind or revision the sender does not know. A reliable message so
/// answered must not be sent again on this connection, so that it cannot block the ones behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// Kind of the message.
    pub kind: u8,
    /// Its revision.
    pub revision: u8,
    /// Its sequence.
    pub sequence: u32,
}
message!(Unsupported, kind::UNSUPPORTED);

/// Machine to server, over HTTPS and not over MQTT: a signed [`crate::signed::ClaimBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim(pub Signed);
message!(Claim, kind::CLAIM);

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimGranted {
    /// The operator's root key; the machine checks it against the fingerprint it was given by the technician.
    pub root_key: [u8; 32],
    /// A [`crate::signed::KeyListBody`] signed by the root key.
    pub key_list: Signed,
    /// A [`crate::signed::EnrolmentBody`] signed by a key of that list.
    pub enrolment: Signed,
}
message!(ClaimGranted, kind::CLAIM_GRANTED);
