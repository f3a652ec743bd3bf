//! The messages that money and motion depend on.

use serde::{Deserialize, Serialize};

use super::message;
use crate::{
    AuthSeq, JournalId, List, OrderId, PlanVersion, ProductId, Reason, ReceiptHash, ReceiptNo, SlotId,
    machine_link::kind,
    signed::{MAX_LINES, Signed},
};

/// Server to machine, before money is asked for: could you vend these now? Lossy: no answer within
/// [`super::super::PREPARE_TIMEOUT_MS`] means no.
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

/// Machine to server: a signed [`crate::signed::AmendmentBody`]: truth learned after the receipt, numbered, chained and
/// acknowledged like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendment(pub Signed);
message!(Amendment, kind::AMENDMENT);

/// Server to machine, after the database commit: this very receipt or amendment is safe. Ignored unless the hash is the
/// machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The journal.
    pub journal: JournalId,
    /// Its number in it.
    pub number: ReceiptNo,
    /// Its hash.
    pub hash: ReceiptHash,
}
message!(Acknowledgement, kind::ACKNOWLEDGEMENT);

/// Machine to server, lossy: something fell outside every sale's sensor window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateDrop {
    /// The order vended before it, if the machine remembers one.
    pub after: Option<OrderId>,
    /// When, in milliseconds since 1970, UTC; 0: no clock.
    pub at_ms: u64,
}
message!(LateDrop, kind::LATE_DROP);
