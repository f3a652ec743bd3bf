//! The messages as a Rust programmer would declare them for serde, bincode and minicbor.

use bincode::{Decode, Encode};
use minicbor::{Decode as CborDecode, Encode as CborEncode};
use serde::{Deserialize, Serialize};
use vend_protocol::{
    DropReport,
    machine_link::{Acknowledgement as OurAcknowledgement, Telemetry as OurTelemetry},
    signed::{Authority as OurAuthority, AuthorizationBody, HelloBody, ReceiptBody},
};

use super::octets::{Octets, Octets8, Octets16, Octets32, Octets64};

/// The envelope around a body's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Signed {
    #[n(0)]
    pub(crate) key_id: Octets8,
    #[n(1)]
    pub(crate) body: Octets,
    #[n(2)]
    pub(crate) signature: Octets64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Receipt {
    #[n(0)]
    pub(crate) enrolment: Octets16,
    #[n(1)]
    pub(crate) journal: Octets8,
    #[n(2)]
    pub(crate) number: u64,
    #[n(3)]
    pub(crate) previous: Octets32,
    #[n(4)]
    pub(crate) authority: Authority,
    #[n(5)]
    pub(crate) at_ms: u64,
    #[n(6)]
    pub(crate) lines: Vec<ReceiptLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) enum Authority {
    #[n(0)]
    Authorization {
        #[n(0)]
        seq: u64,
        #[n(1)]
        order: u64,
    },
    #[n(1)]
    Voucher(#[n(0)] Octets16),
    #[n(2)]
    ServiceGrant(#[n(0)] Octets16),
    #[n(3)]
    LocalTender(#[n(0)] Money),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Money {
    #[n(0)]
    pub(crate) minor: u32,
    #[n(1)]
    pub(crate) currency: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct ReceiptLine {
    #[n(0)]
    pub(crate) slot: u16,
    #[n(1)]
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Outcome {
    /// Why it was not started, if it was not.
    #[n(0)]
    pub(crate) not_started: Option<u8>,
    #[n(1)]
    pub(crate) motor: u8,
    #[n(2)]
    pub(crate) drop: Drop,
    #[n(3)]
    pub(crate) interrupted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
#[cbor(index_only)]
pub(crate) enum Drop {
    #[n(0)]
    Seen,
    #[n(1)]
    NotSeen,
    #[n(2)]
    NotFitted,
    #[n(3)]
    SensorFault,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Authorization {
    #[n(0)]
    pub(crate) enrolment: Octets16,
    #[n(1)]
    pub(crate) seq: u64,
    #[n(2)]
    pub(crate) order: u64,
    #[n(3)]
    pub(crate) plan: u32,
    #[n(4)]
    pub(crate) deadline_ms: u64,
    #[n(5)]
    pub(crate) currency: u16,
    #[n(6)]
    pub(crate) lines: Vec<AuthorizedLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct AuthorizedLine {
    #[n(0)]
    pub(crate) slot: u16,
    #[n(1)]
    pub(crate) product: u32,
    #[n(2)]
    pub(crate) price_minor: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Hello {
    #[n(0)]
    pub(crate) machine: u32,
    #[n(1)]
    pub(crate) enrolment: Octets16,
    #[n(2)]
    pub(crate) nonce: Octets16,
    #[n(3)]
    pub(crate) ephemeral: Octets32,
    #[n(4)]
    pub(crate) journal: Octets8,
    #[n(5)]
    pub(crate) used_seq: u64,
    #[n(6)]
    pub(crate) last_receipt: u64,
    #[n(7)]
    pub(crate) plan: u32,
    #[n(8)]
    pub(crate) config: u32,
    #[n(9)]
    pub(crate) key_list: u32,
    #[n(10)]
    pub(crate) revisions: Vec<Revision>,
    #[n(11)]
    pub(crate) frame_max: u16,
    #[n(12)]
    pub(crate) lines_max: u8,
    #[n(13)]
    pub(crate) firmware: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Revision {
    #[n(0)]
    pub(crate) kind: u8,
    #[n(1)]
    pub(crate) revision: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Telemetry {
    #[n(0)]
    pub(crate) at_ms: u64,
    #[n(1)]
    pub(crate) uptime_s: u32,
    #[n(2)]
    pub(crate) temperatures_dc: Vec<i16>,
    #[n(3)]
    pub(crate) signal_dbm: i8,
    #[n(4)]
    pub(crate) supply_mv: u16,
    #[n(5)]
    pub(crate) door_open: bool,
    #[n(6)]
    pub(crate) vends: u32,
    #[n(7)]
    pub(crate) failures: u32,
    #[n(8)]
    pub(crate) connections: u32,
    #[n(9)]
    pub(crate) journal_used: u32,
    #[n(10)]
    pub(crate) dropped: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode, CborEncode, CborDecode)]
pub(crate) struct Acknowledgement {
    #[n(0)]
    pub(crate) journal: Octets8,
    #[n(1)]
    pub(crate) number: u64,
    #[n(2)]
    pub(crate) hash: Octets32,
}

impl From<&ReceiptBody> for Receipt {
    fn from(body: &ReceiptBody) -> Self {
        let lines = body.lines.iter().map(|line| ReceiptLine {
            slot: line.slot.number(),
            outcome: Outcome {
                not_started: match line.outcome.start {
                    vend_protocol::Start::NotStarted(reason) => Some(reason.0),
                    vend_protocol::Start::Started => None,
                },
                motor: line.outcome.motor.0,
                drop: match line.outcome.drop {
                    DropReport::Seen => Drop::Seen,
                    DropReport::NotSeen => Drop::NotSeen,
                    DropReport::NotFitted => Drop::NotFitted,
                    DropReport::SensorFault => Drop::SensorFault,
                },
                interrupted: line.outcome.interrupted,
            },
        });
        Self {
            enrolment: Octets16(body.enrolment.0),
            journal: Octets8(body.journal.0),
            number: body.number.number(),
            previous: Octets32(body.previous.0),
            authority: match body.authority {
                OurAuthority::Authorization { seq, order } => {
                    Authority::Authorization { seq: seq.number(), order: order.number() }
                }
                OurAuthority::Voucher { id } => Authority::Voucher(Octets16(id)),
                OurAuthority::ServiceGrant { id } => Authority::ServiceGrant(Octets16(id)),
                OurAuthority::LocalTender { amount } => Authority::LocalTender(Money {
                    minor: amount.minor(),
                    currency: amount.currency().into(),
                }),
            },
            at_ms: body.at_ms,
            lines: lines.collect(),
        }
    }
}

impl From<&AuthorizationBody> for Authorization {
    fn from(body: &AuthorizationBody) -> Self {
        let lines = body.lines.iter().map(|line| AuthorizedLine {
            slot: line.slot.number(),
            product: line.product.number(),
            price_minor: line.price_minor,
        });
        Self {
            enrolment: Octets16(body.enrolment.0),
            seq: body.seq.number(),
            order: body.order.number(),
            plan: body.plan.number(),
            deadline_ms: body.deadline_ms,
            currency: body.currency.into(),
            lines: lines.collect(),
        }
    }
}

impl From<&HelloBody> for Hello {
    fn from(body: &HelloBody) -> Self {
        let revisions = body.revisions.iter().map(|r| Revision { kind: r.kind, revision: r.revision });
        Self {
            machine: body.machine.number(),
            enrolment: Octets16(body.enrolment.0),
            nonce: Octets16(body.nonce.0),
            ephemeral: Octets32(body.ephemeral),
            journal: Octets8(body.journal.0),
            used_seq: body.used_seq,
            last_receipt: body.last_receipt,
            plan: body.plan.number(),
            config: body.config,
            key_list: body.key_list,
            revisions: revisions.collect(),
            frame_max: body.frame_max,
            lines_max: body.lines_max,
            firmware: body.firmware.as_str().to_owned(),
        }
    }
}

impl From<&OurTelemetry> for Telemetry {
    fn from(message: &OurTelemetry) -> Self {
        Self {
            at_ms: message.at_ms,
            uptime_s: message.uptime_s,
            temperatures_dc: message.temperatures_dc.iter().copied().collect(),
            signal_dbm: message.signal_dbm,
            supply_mv: message.supply_mv,
            door_open: message.door_open,
            vends: message.vends,
            failures: message.failures,
            connections: message.connections,
            journal_used: message.journal_used,
            dropped: message.dropped,
        }
    }
}

impl From<&OurAcknowledgement> for Acknowledgement {
    fn from(message: &OurAcknowledgement) -> Self {
        Self {
            journal: Octets8(message.journal.0),
            number: message.number.number(),
            hash: Octets32(message.hash.0),
        }
    }
}
