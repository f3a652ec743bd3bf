//! The five messages, with values such as they have in the field.

use vend_protocol::{
    AuthSeq, Bytes, Currency, DropReport, EnrolmentId, JournalId, KeyId, List, MachineId, MotorCode, Nonce,
    OrderId, Outcome, PlanVersion, ProductId, Reason, ReceiptHash, ReceiptNo, SlotId, Start, Text,
    machine_link::{Acknowledgement, Telemetry, kind},
    signed::{
        Authority, AuthorizationBody, AuthorizedLine, HelloBody, ReceiptBody, ReceiptLine, Revision,
        Signature,
    },
};

/// What the messages are called.
pub(crate) const CASES: [&str; 5] = ["receipt", "authorization", "hello", "telemetry", "acknowledgement"];

/// Some time in 2026, in milliseconds since 1970.
const NOW_MS: u64 = 1_795_392_000_000;

/// The messages.
pub(crate) struct Samples {
    pub(crate) key_id: KeyId,
    pub(crate) signature: Signature,
    pub(crate) receipt: ReceiptBody,
    pub(crate) authorization: AuthorizationBody,
    pub(crate) hello: HelloBody,
    pub(crate) telemetry: Telemetry,
    pub(crate) acknowledgement: Acknowledgement,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self {
            key_id: KeyId(noise(1)),
            signature: Signature::from_bytes(noise(2)),
            receipt: receipt(),
            authorization: authorization(),
            hello: hello(),
            telemetry: telemetry(),
            acknowledgement: Acknowledgement {
                journal: JournalId(noise(4)),
                number: ReceiptNo::new(4_711).unwrap(),
                hash: ReceiptHash(noise(6)),
            },
        }
    }
}

/// Two lines: one delivered, one that was not started.
fn receipt() -> ReceiptBody {
    let delivered =
        Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };
    let lines = [(12, delivered), (37, Outcome::not_started(Reason::EXPIRED))];
    ReceiptBody {
        enrolment: EnrolmentId(noise(3)),
        journal: JournalId(noise(4)),
        number: ReceiptNo::new(4_711).unwrap(),
        previous: ReceiptHash(noise(5)),
        authority: Authority::Authorization {
            seq: AuthSeq::new(5_012).unwrap(),
            order: OrderId::new(80_000_123).unwrap(),
        },
        at_ms: NOW_MS,
        lines: List::try_from_iter(
            lines.map(|(slot, outcome)| ReceiptLine { slot: SlotId::new(slot).unwrap(), outcome }),
        )
        .unwrap(),
    }
}

fn authorization() -> AuthorizationBody {
    let lines = [(12, 100_231, 350), (37, 100_007, 1_200)];
    AuthorizationBody {
        enrolment: EnrolmentId(noise(3)),
        seq: AuthSeq::new(5_012).unwrap(),
        order: OrderId::new(80_000_123).unwrap(),
        plan: PlanVersion::new(88).unwrap(),
        deadline_ms: NOW_MS + 120_000,
        currency: Currency::CNY,
        lines: List::try_from_iter(lines.map(|(slot, product, price_minor)| AuthorizedLine {
            slot: SlotId::new(slot).unwrap(),
            product: ProductId::new(product).unwrap(),
            price_minor,
        }))
        .unwrap(),
    }
}

fn hello() -> HelloBody {
    let kinds = [kind::RECEIPT, kind::AMENDMENT, kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT];
    HelloBody {
        machine: MachineId::new(70_012).unwrap(),
        enrolment: EnrolmentId(noise(3)),
        nonce: Nonce(noise(7)),
        ephemeral: noise(8),
        journal: JournalId(noise(4)),
        used_seq: 5_012,
        last_receipt: 4_711,
        plan: PlanVersion::new(88).unwrap(),
        config: 9,
        key_list: 2,
        revisions: List::try_from_iter(kinds.map(|kind| Revision { kind, revision: 1 })).unwrap(),
        frame_max: 1_024,
        lines_max: 8,
        firmware: Text::truncated("vend-main 0.1.0+4f2c9a1"),
    }
}

fn telemetry() -> Telemetry {
    Telemetry {
        at_ms: NOW_MS,
        uptime_s: 1_209_600,
        temperatures_dc: List::try_from_iter([42, -183]).unwrap(),
        signal_dbm: -71,
        supply_mv: 24_130,
        door_open: false,
        vends: 18_204,
        failures: 37,
        connections: 412,
        journal_used: 960,
        dropped: 3,
    }
}

/// Bytes as even as those of hashes and signatures: a generator of 64 bits, a seed a field.
pub(crate) fn noise<const N: usize>(seed: u64) -> [u8; N] {
    let mut state = seed;
    [0; N].map(|_: u8| {
        // Knuth's MMIX constants.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

/// The envelope's body, as our own contestant builds it.
pub(crate) type Body = Bytes<{ vend_protocol::signed::BODY_MAX }>;
