//! Protocol Buffers by `prost`: types as its generator would make them, in derive macros so that no `protoc` is needed.

use prost::Message;
use vend_protocol::{
    DropReport, Start,
    machine_link::{Acknowledgement as OurAcknowledgement, Telemetry as OurTelemetry, kind},
    signed::{Authority as OurAuthority, AuthorizationBody, HelloBody, ReceiptBody},
};

use crate::{
    contest::{Entry, framed},
    samples::Samples,
};

#[derive(Clone, PartialEq, Message)]
struct Signed {
    #[prost(bytes = "vec", tag = "1")]
    key_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Receipt {
    #[prost(bytes = "vec", tag = "1")]
    enrolment: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    journal: Vec<u8>,
    #[prost(uint64, tag = "3")]
    number: u64,
    #[prost(bytes = "vec", tag = "4")]
    previous: Vec<u8>,
    #[prost(oneof = "Authority", tags = "5, 6, 7, 8")]
    authority: Option<Authority>,
    #[prost(uint64, tag = "9")]
    at_ms: u64,
    #[prost(message, repeated, tag = "10")]
    lines: Vec<ReceiptLine>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Authority {
    #[prost(message, tag = "5")]
    Authorization(AuthorizationRef),
    #[prost(bytes, tag = "6")]
    Voucher(Vec<u8>),
    #[prost(bytes, tag = "7")]
    ServiceGrant(Vec<u8>),
    #[prost(message, tag = "8")]
    LocalTender(Money),
}

#[derive(Clone, PartialEq, Message)]
struct AuthorizationRef {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint64, tag = "2")]
    order: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Money {
    #[prost(uint32, tag = "1")]
    minor: u32,
    #[prost(uint32, tag = "2")]
    currency: u32,
}

#[derive(Clone, PartialEq, Message)]
struct ReceiptLine {
    #[prost(uint32, tag = "1")]
    slot: u32,
    #[prost(message, optional, tag = "2")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, Message)]
struct Outcome {
    /// Why it was not started, if it was not.
    #[prost(uint32, optional, tag = "1")]
    not_started: Option<u32>,
    #[prost(uint32, tag = "2")]
    motor: u32,
    #[prost(enumeration = "Drop", tag = "3")]
    drop: i32,
    #[prost(bool, tag = "4")]
    interrupted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Drop {
    Seen = 0,
    NotSeen = 1,
    NotFitted = 2,
    SensorFault = 3,
}

#[derive(Clone, PartialEq, Message)]
struct Authorization {
    #[prost(bytes = "vec", tag = "1")]
    enrolment: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(uint64, tag = "3")]
    order: u64,
    #[prost(uint32, tag = "4")]
    plan: u32,
    #[prost(uint64, tag = "5")]
    deadline_ms: u64,
    #[prost(uint32, tag = "6")]
    currency: u32,
    #[prost(message, repeated, tag = "7")]
    lines: Vec<AuthorizedLine>,
}

#[derive(Clone, PartialEq, Message)]
struct AuthorizedLine {
    #[prost(uint32, tag = "1")]
    slot: u32,
    #[prost(uint32, tag = "2")]
    product: u32,
    #[prost(uint32, tag = "3")]
    price_minor: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Hello {
    #[prost(uint32, tag = "1")]
    machine: u32,
    #[prost(bytes = "vec", tag = "2")]
    enrolment: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    nonce: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    ephemeral: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    journal: Vec<u8>,
    #[prost(uint64, tag = "6")]
    used_seq: u64,
    #[prost(uint64, tag = "7")]
    last_receipt: u64,
    #[prost(uint32, tag = "8")]
    plan: u32,
    #[prost(uint32, tag = "9")]
    config: u32,
    #[prost(uint32, tag = "10")]
    key_list: u32,
    #[prost(message, repeated, tag = "11")]
    revisions: Vec<Revision>,
    #[prost(uint32, tag = "12")]
    frame_max: u32,
    #[prost(uint32, tag = "13")]
    lines_max: u32,
    #[prost(string, tag = "14")]
    firmware: String,
}

#[derive(Clone, PartialEq, Message)]
struct Revision {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint32, tag = "2")]
    revision: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Telemetry {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
    #[prost(uint32, tag = "2")]
    uptime_s: u32,
    #[prost(sint32, repeated, tag = "3")]
    temperatures_dc: Vec<i32>,
    #[prost(sint32, tag = "4")]
    signal_dbm: i32,
    #[prost(uint32, tag = "5")]
    supply_mv: u32,
    #[prost(bool, tag = "6")]
    door_open: bool,
    #[prost(uint32, tag = "7")]
    vends: u32,
    #[prost(uint32, tag = "8")]
    failures: u32,
    #[prost(uint32, tag = "9")]
    connections: u32,
    #[prost(uint32, tag = "10")]
    journal_used: u32,
    #[prost(uint32, tag = "11")]
    dropped: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Acknowledgement {
    #[prost(bytes = "vec", tag = "1")]
    journal: Vec<u8>,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
}

const WHO: &str = "prost";

pub(crate) fn entries(samples: &Samples) -> Vec<Entry> {
    vec![
        signed("receipt", kind::RECEIPT, samples, receipt(&samples.receipt)),
        signed("authorization", kind::AUTHORIZATION, samples, authorization(&samples.authorization)),
        signed("hello", kind::HELLO, samples, hello(&samples.hello)),
        plain("telemetry", kind::TELEMETRY, telemetry(&samples.telemetry)),
        plain("acknowledgement", kind::ACKNOWLEDGEMENT, acknowledgement(&samples.acknowledgement)),
    ]
}

fn signed<B: Message + Default + PartialEq + Clone + 'static>(
    case: &'static str,
    kind: u8,
    samples: &Samples,
    body: B,
) -> Entry {
    let sample = body.clone();
    let (key_id, signature) = (samples.key_id.0, samples.signature.to_bytes());
    Entry {
        case,
        who: WHO,
        signature_bytes: 64,
        write: Box::new(move |out| {
            let signed =
                Signed { key_id: key_id.to_vec(), body: body.encode_to_vec(), signature: signature.to_vec() };
            framed(kind, out, |out| write(&signed, out))
        }),
        read: Box::new(move |frame, compare| {
            let signed = Signed::decode(frame.payload).unwrap();
            let body = B::decode(signed.body.as_slice()).unwrap();
            compare.finish(&signed.key_id.as_slice(), &key_id.as_slice())
                && compare.finish(&signed.signature.as_slice(), &signature.as_slice())
                && compare.finish(&body, &sample)
        }),
    }
}

fn plain<M: Message + Default + PartialEq + Clone + 'static>(
    case: &'static str,
    kind: u8,
    message: M,
) -> Entry {
    let sample = message.clone();
    Entry {
        case,
        who: WHO,
        signature_bytes: 0,
        write: Box::new(move |out| framed(kind, out, |out| write(&message, out))),
        read: Box::new(move |frame, compare| compare.finish(&M::decode(frame.payload).unwrap(), &sample)),
    }
}

fn write<M: Message>(message: &M, out: &mut [u8]) -> usize {
    let room = out.len();
    let mut rest = out;
    message.encode(&mut rest).unwrap();
    room - rest.len()
}

fn receipt(body: &ReceiptBody) -> Receipt {
    let lines = body.lines.iter().map(|line| ReceiptLine {
        slot: line.slot.number().into(),
        outcome: Some(Outcome {
            not_started: match line.outcome.start {
                Start::NotStarted(reason) => Some(reason.0.into()),
                Start::Started => None,
            },
            motor: line.outcome.motor.0.into(),
            drop: match line.outcome.drop {
                DropReport::Seen => Drop::Seen,
                DropReport::NotSeen => Drop::NotSeen,
                DropReport::NotFitted => Drop::NotFitted,
                DropReport::SensorFault => Drop::SensorFault,
            }
            .into(),
            interrupted: line.outcome.interrupted,
        }),
    });
    Receipt {
        enrolment: body.enrolment.0.to_vec(),
        journal: body.journal.0.to_vec(),
        number: body.number.number(),
        previous: body.previous.0.to_vec(),
        authority: Some(match body.authority {
            OurAuthority::Authorization { seq, order } => {
                Authority::Authorization(AuthorizationRef { seq: seq.number(), order: order.number() })
            }
            OurAuthority::Voucher { id } => Authority::Voucher(id.to_vec()),
            OurAuthority::ServiceGrant { id } => Authority::ServiceGrant(id.to_vec()),
            OurAuthority::LocalTender { amount } => Authority::LocalTender(Money {
                minor: amount.minor(),
                currency: amount.currency().number().into(),
            }),
        }),
        at_ms: body.at_ms,
        lines: lines.collect(),
    }
}

fn authorization(body: &AuthorizationBody) -> Authorization {
    let lines = body.lines.iter().map(|line| AuthorizedLine {
        slot: line.slot.number().into(),
        product: line.product.number(),
        price_minor: line.price_minor,
    });
    Authorization {
        enrolment: body.enrolment.0.to_vec(),
        seq: body.seq.number(),
        order: body.order.number(),
        plan: body.plan.number(),
        deadline_ms: body.deadline_ms,
        currency: body.currency.number().into(),
        lines: lines.collect(),
    }
}

fn hello(body: &HelloBody) -> Hello {
    let revisions =
        body.revisions.iter().map(|r| Revision { kind: r.kind.into(), revision: r.revision.into() });
    Hello {
        machine: body.machine.number(),
        enrolment: body.enrolment.0.to_vec(),
        nonce: body.nonce.0.to_vec(),
        ephemeral: body.ephemeral.to_vec(),
        journal: body.journal.0.to_vec(),
        used_seq: body.used_seq,
        last_receipt: body.last_receipt,
        plan: body.plan.number(),
        config: body.config,
        key_list: body.key_list,
        revisions: revisions.collect(),
        frame_max: body.frame_max.into(),
        lines_max: body.lines_max.into(),
        firmware: body.firmware.as_str().to_owned(),
    }
}

fn telemetry(message: &OurTelemetry) -> Telemetry {
    Telemetry {
        at_ms: message.at_ms,
        uptime_s: message.uptime_s,
        temperatures_dc: message.temperatures_dc.iter().copied().map(i32::from).collect(),
        signal_dbm: message.signal_dbm.into(),
        supply_mv: message.supply_mv.into(),
        door_open: message.door_open,
        vends: message.vends,
        failures: message.failures,
        connections: message.connections,
        journal_used: message.journal_used,
        dropped: message.dropped,
    }
}

fn acknowledgement(message: &OurAcknowledgement) -> Acknowledgement {
    Acknowledgement {
        journal: message.journal.0.to_vec(),
        number: message.number.number(),
        hash: message.hash.0.to_vec(),
    }
}
