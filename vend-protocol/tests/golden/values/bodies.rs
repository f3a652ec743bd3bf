//! The signed bodies.

use vend_protocol::{
    Currency, DropReport, MotorCode, Outcome, Reason, ReceiptHash, Start,
    machine_link::kind,
    signed::{
        AcceptedBody, AmendmentBody, Authority, AuthorizationBody, AuthorizedLine, ClaimBody, EnrolmentBody,
        GrantBody, HelloBody, Image, KeyListBody, ManifestBody, ReceiptBody, ReceiptLine, Revision, VoidBody,
    },
};

use super::{
    ENROLMENT, JOURNAL, NONCE, NOW_MS, RECEIPT_HASH, list, machine, order, plan, product, receipt_number,
    run, seq, slot, text, yuan,
};
use crate::{
    book::{Book, Values, values},
    file::Entry,
};

pub(crate) fn book() -> Book {
    let mut book = Book::new("signed_bodies.txt");
    put(&mut book, "hello", "vend/hello/1", values(hello()));
    put(&mut book, "accepted", "vend/accepted/1", values(accepted()));
    put(&mut book, "authorization", "vend/authorize/1", values(authorization()));
    put(&mut book, "void", "vend/void/1", values(void()));
    put(&mut book, "receipt", "vend/receipt/1", receipts());
    put(&mut book, "amendment", "vend/amend/1", amendments());
    put(&mut book, "grant", "vend/grant/1", values(grant()));
    put(&mut book, "manifest", "vend/manifest/1", values(manifest()));
    put(&mut book, "claim", "vend/claim/1", values(claim()));
    put(&mut book, "key_list", "vend/key-list/1", values(key_list()));
    put(&mut book, "enrolment", "vend/enrolled/1", values(enrolment()));
    book
}

fn put<B>(book: &mut Book, name: &'static str, tag: &'static str, values: Values<B>)
where
    B: serde::Serialize
        + serde::de::DeserializeOwned
        + PartialEq
        + std::fmt::Debug
        + Clone
        + Send
        + Sync
        + 'static,
{
    let begin = |case: &str| {
        let mut entry = Entry::new(format!("{name}.{case}"));
        entry.put("tag", tag);
        entry
    };
    book.put(format!("signed_bodies {tag} {name}"), values, begin, |_, _| ());
}

pub(crate) fn hello() -> HelloBody {
    HelloBody {
        machine: machine(7),
        enrolment: ENROLMENT,
        nonce: NONCE,
        ephemeral: run(0x50),
        journal: JOURNAL,
        used_seq: 17,
        last_receipt: 15,
        plan: plan(3),
        config: 2,
        key_list: 1,
        revisions: list([kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT].map(first)),
        frame_max: 1024,
        lines_max: 8,
        firmware: text("vend-main 0.1.0"),
    }
}

const fn first(kind: u8) -> Revision {
    Revision { kind, revision: 1 }
}

pub(crate) fn accepted() -> AcceptedBody {
    AcceptedBody {
        enrolment: ENROLMENT,
        nonce: NONCE,
        ephemeral: run(0x70),
        server_time_ms: NOW_MS,
        receipt_watermark: 14,
        issued_seq: 18,
        floor_seq: 0,
        plan: plan(4),
        config: 2,
        key_list: 1,
        keepalive_s: 60,
        revisions: list([kind::RECEIPT, kind::AMENDMENT].map(first)),
        frame_max: 1024,
    }
}

pub(crate) fn authorization() -> AuthorizationBody {
    AuthorizationBody {
        enrolment: ENROLMENT,
        seq: seq(18),
        order: order(1042),
        plan: plan(4),
        deadline_ms: NOW_MS + 120_000,
        currency: Currency::CNY,
        lines: list([
            AuthorizedLine { slot: slot(12), product: product(5001), price_minor: 350 },
            AuthorizedLine { slot: slot(304), product: product(70_000), price_minor: 1200 },
        ]),
    }
}

pub(crate) fn void() -> VoidBody {
    VoidBody { enrolment: ENROLMENT, seq: seq(18), order: order(1042) }
}

const DELIVERED: Outcome =
    Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };

pub(crate) fn receipt() -> ReceiptBody {
    ReceiptBody {
        enrolment: ENROLMENT,
        journal: JOURNAL,
        number: receipt_number(16),
        previous: RECEIPT_HASH,
        authority: Authority::Authorization { seq: seq(18), order: order(1042) },
        at_ms: NOW_MS + 9_000,
        lines: list([
            ReceiptLine { slot: slot(12), outcome: DELIVERED },
            ReceiptLine { slot: slot(304), outcome: Outcome { drop: DropReport::NotSeen, ..DELIVERED } },
        ]),
    }
}

fn receipts() -> Values<ReceiptBody> {
    let lines = [
        Outcome::not_started(Reason::EXPIRED),
        Outcome { motor: MotorCode::OVER_CURRENT, ..DELIVERED },
        Outcome { drop: DropReport::NotFitted, ..DELIVERED },
        Outcome { motor: MotorCode::TIMEOUT_LEAVING, drop: DropReport::SensorFault, ..DELIVERED },
        Outcome::unwitnessed(),
    ];
    let lines =
        lines.into_iter().zip(1..).map(|(outcome, number)| ReceiptLine { slot: slot(number), outcome });
    let by = |authority| ReceiptBody { authority, ..receipt() };
    let first =
        ReceiptBody { number: receipt_number(1), previous: ReceiptHash::START, at_ms: 0, ..receipt() };
    values(receipt())
        .and("outcomes", ReceiptBody { lines: list(lines), ..receipt() })
        .and("first_of_journal_without_clock", first)
        .and("voided_before_seen", ReceiptBody { lines: list([]), ..receipt() })
        .and("voucher", by(Authority::Voucher { id: run(0x60) }))
        .and("service_grant", by(Authority::ServiceGrant { id: run(0x60) }))
        .and("local_tender", by(Authority::LocalTender { amount: yuan(500) }))
        .and_case("authority", "Authorization")
        .and_case("authority", "LocalTender")
        .and_case("lines[].outcome.start", "NotStarted")
}

pub(crate) fn amendment() -> AmendmentBody {
    AmendmentBody {
        enrolment: ENROLMENT,
        journal: JOURNAL,
        number: receipt_number(17),
        previous: RECEIPT_HASH,
        amends: receipt_number(16),
        line: 1,
        outcome: DELIVERED,
        at_ms: NOW_MS + 30_000,
    }
}

fn amendments() -> Values<AmendmentBody> {
    let with = |drop| AmendmentBody { outcome: Outcome { drop, ..DELIVERED }, ..amendment() };
    values(amendment())
        .and("not_seen", with(DropReport::NotSeen))
        .and("not_fitted", with(DropReport::NotFitted))
        .and_case("outcome.start", "NotStarted")
}

pub(crate) fn grant() -> GrantBody {
    GrantBody {
        id: run(0x60),
        enrolment: ENROLMENT,
        not_before_ms: NOW_MS,
        expires_ms: NOW_MS + 8 * 3_600_000,
        vends: 20,
    }
}

pub(crate) fn manifest() -> ManifestBody {
    ManifestBody {
        version: 12,
        hardware: text("vm1-main-rev-c"),
        main: Image { version: 40, size: 183_296, hash: run(0x90) },
        control: Some(Image { version: 9, size: 41_008, hash: run(0xB0) }),
        journal_format: 1,
        from_version: 10,
    }
}

pub(crate) fn claim() -> ClaimBody {
    ClaimBody {
        public_key: run(0xC0),
        nonce: NONCE,
        login_hash: run(0xD0),
        code_id: run(0xE0),
        code_mac: run(0x01),
    }
}

pub(crate) fn key_list() -> KeyListBody {
    KeyListBody {
        version: 1,
        not_before_ms: NOW_MS,
        expires_ms: NOW_MS + 365 * 86_400_000,
        keys: list([run(0xC0), run(0x21)]),
    }
}

pub(crate) fn enrolment() -> EnrolmentBody {
    EnrolmentBody { machine: machine(7), enrolment: ENROLMENT, nonce: NONCE }
}
