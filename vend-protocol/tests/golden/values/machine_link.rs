//! The messages of the machine link: the handshake, the sale and the customer at the machine.

use std::fmt::Debug;

use vend_protocol::{
    Currency, Reason,
    frame::{self, MACHINE_FRAME_MAX, Message},
    machine_link::{
        Accepted, Acknowledgement, Amendment, Authorization, Busy, Channel, Claim, ClaimGranted, Clock,
        ClockRequest, CodeEnd, End, Hello, HideCode, KeyList, KeyListApplied, LateDrop, MAC_LEN, OrderCancel,
        OrderRequest, PLAIN, Pending, PlanApplied, PlanEntry, PlanPart, Prepare, PrepareLine, Quote,
        QuoteAnswer, Readiness, Ready, Receipt, Rejected, Rejection, SEALED, Seal, Settled, ShowCode,
        StockCause, StockCount, StockEntry, StockReport, StockSet, Taken, Unsupported, Void, kind,
    },
    signed::Revision,
};

use super::{
    JOURNAL, NOW_MS, RECEIPT_HASH, bodies, events, list, order, plan, product, receipt_number, run, seq,
    signed, slot, text, upkeep, yuan,
};
use crate::{
    book::{Book, Values, values},
    file::{Entry, hex},
    kinds::{self, Link},
};

pub(crate) fn book() -> Book {
    let mut book = Book::new("machine_link.txt");
    handshake(&mut book);
    sale(&mut book);
    selection(&mut book);
    stock(&mut book);
    upkeep::put_all(&mut book);
    events::put_all(&mut book);
    book
}

/// Who sends a kind.
pub(crate) fn sender(kind: u8) -> &'static str {
    match kind {
        kind::UNSUPPORTED => "both",
        kind if kind < kind::FIRST_OF_SERVER => "machine",
        _ => "server",
    }
}

/// Whether a kind goes without a code: the handshake, and enrolment over HTTP.
pub(crate) const fn is_plain(kind: u8) -> bool {
    kind::is_handshake(kind) || matches!(kind, kind::CLAIM | kind::CLAIM_GRANTED)
}

/// The place of every vector's frame in its session: handshakes are first, what follows is second, and the answer to a claim
/// has none.
pub(crate) fn sequence(kind: u8) -> u32 {
    match kind {
        kind::CLAIM_GRANTED => 0,
        kind if is_plain(kind) => 1,
        _ => 2,
    }
}

pub(crate) fn put<M>(book: &mut Book, values: Values<M>)
where
    M: Message + PartialEq + Debug + Clone + Send + Sync + 'static,
{
    let name = kinds::message(Link::Machine, M::KIND, M::REVISION);
    let begin = |case: &str| {
        let mut entry = Entry::new(format!("{name}.{case}"));
        entry.put("kind", format!("{:#04x}", M::KIND));
        entry.put("revision", M::REVISION);
        entry.put("from", sender(M::KIND));
        entry.put("address", if is_plain(M::KIND) { PLAIN } else { SEALED });
        entry.put("sequence", sequence(M::KIND));
        entry
    };
    let id = kinds::id(Link::Machine, M::KIND, M::REVISION);
    book.put(id, values, begin, |entry, message| entry.put("frame", hex(&framed(message))));
}

/// A pattern in place of an authentication code.
#[derive(Debug)]
struct Pattern;

impl Seal for Pattern {
    fn seal(&self, _: &[u8]) -> [u8; MAC_LEN] {
        run(0xC0)
    }

    fn verify(&self, _: &[u8], code: &[u8; MAC_LEN]) -> bool {
        *code == run(0xC0)
    }
}

/// A channel at this end that is open.
fn open(end: End) -> Channel<Pattern> {
    let mut channel = Channel::new(end, 0, 1);
    let money = (0..=u8::MAX).filter(|kind| kind::is_money(*kind));
    let all = list(money.map(|kind| Revision { kind, revision: u8::MAX }));
    let mut hello = [0; 32];
    let opening = |end| if end == End::Machine { kind::HELLO } else { kind::ACCEPTED };
    channel.send_encoded(opening(end), 1, &[], &mut hello).unwrap();
    let other = if end == End::Machine { End::Server } else { End::Machine };
    let len = Channel::<Pattern>::new(other, 0, 1).send_encoded(opening(other), 1, &[], &mut hello).unwrap();
    channel.receive(0, &hello[..len]).unwrap();
    channel.open(Pattern, all);
    channel
}

/// The frame of a message, as the library makes it.
fn framed<M: Message>(message: &M) -> Vec<u8> {
    let mut out = [0; MACHINE_FRAME_MAX];
    let len = if is_plain(M::KIND) {
        frame::write(PLAIN, sequence(M::KIND), message, &mut out)
    } else {
        let end = if sender(M::KIND) == "server" { End::Server } else { End::Machine };
        Ok(open(end).send(message, &mut out).expect("a channel that is open sends all but handshakes"))
    };
    out[..len.expect("no message is longer than a frame")].to_vec()
}

/// The payload of a frame, as the library finds it.
pub(crate) fn payload_of(kind: u8, bytes: &[u8]) -> Vec<u8> {
    if is_plain(kind) {
        return frame::Frame::parse(bytes).expect("a frame").payload.to_vec();
    }
    let end = if sender(kind) == "server" { End::Machine } else { End::Server };
    match open(end).receive(0, bytes) {
        Ok(vend_protocol::machine_link::Received::Message(frame)) => frame.payload.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn handshake(book: &mut Book) {
    put(book, values(Hello(signed(&bodies::hello()))));
    put(book, values(Accepted(signed(&bodies::accepted()))));
    put(book, values(Pending { retry_s: 60 }));
    put(book, values(Rejected { code: Rejection::UNKNOWN, retry_s: 300 }));
    put(book, values(Unsupported { kind: kind::QUOTE, revision: 2, sequence: 41 }));
    put(book, values(ClockRequest { request: 3 }));
    put(book, values(Clock { request: 3, server_time_ms: NOW_MS }));
    put(book, values(KeyList(signed(&bodies::key_list()))));
    put(book, values(KeyListApplied { version: 1 }));
    put(book, values(Claim(signed(&bodies::claim()))));
    let granted = ClaimGranted {
        root_key: run(0xF0),
        key_list: signed(&bodies::key_list()),
        enrolment: signed(&bodies::enrolment()),
    };
    put(book, values(granted));
}

fn lines<const N: usize>() -> vend_protocol::List<PrepareLine, N> {
    list([
        PrepareLine { slot: slot(12), product: product(5001), price_minor: 350 },
        PrepareLine { slot: slot(304), product: product(70_000), price_minor: 1200 },
    ])
}

fn sale(book: &mut Book) {
    put(book, values(Prepare { request: 9, plan: plan(4), lines: lines() }));
    let ready = |readiness| Ready { request: 9, readiness };
    let not_ready = ready(Readiness::NotReady(Reason::DOOR));
    put(book, values(ready(Readiness::Ready)).and("door_open", not_ready).and_case("readiness", "NotReady"));
    put(book, values(Authorization(signed(&bodies::authorization()))));
    put(book, values(Void(signed(&bodies::void()))));
    put(book, values(Taken { seq: seq(18) }));
    put(book, values(Busy { seq: seq(18) }));
    put(book, values(Settled { up_to: seq(17) }));
    put(book, values(Receipt(signed(&bodies::receipt()))));
    put(book, values(Amendment(signed(&bodies::amendment()))));
    let acknowledgement =
        Acknowledgement { journal: JOURNAL, number: receipt_number(16), hash: RECEIPT_HASH };
    put(book, values(acknowledgement));
    put(book, values(LateDrop { after: Some(order(1042)), at_ms: NOW_MS + 30_000 }));
}

fn selection(book: &mut Book) {
    put(book, values(OrderRequest { request: 5, plan: plan(4), lines: lines() }));
    let offered =
        QuoteAnswer::Offered { order: order(1043), total: yuan(1550), expires_ms: NOW_MS + 180_000 };
    let quote = |answer| Quote { request: 5, answer };
    let refused = quote(QuoteAnswer::Refused(Reason::PLAN));
    put(
        book,
        values(quote(offered))
            .and("refused", refused)
            .and_case("answer", "Offered")
            .and_case("answer", "Refused"),
    );
    let code = ShowCode {
        order: order(1043),
        total: yuan(1550),
        code: text("weixin://wxpay/bizpayurl?pr=Zx9aBc0"),
        expires_ms: NOW_MS + 180_000,
    };
    put(book, values(code));
    put(book, values(HideCode { order: order(1043), end: CodeEnd::PAID }));
    put(book, values(OrderCancel { order: order(1043) }));
}

fn stock(book: &mut Book) {
    let entry = |number, item, price_minor, capacity, name| PlanEntry {
        slot: slot(number),
        product: product(item),
        price_minor,
        capacity,
        name: text(name),
    };
    let part = PlanPart {
        plan: plan(4),
        currency: Currency::CNY,
        part: 0,
        parts: 2,
        entries: list([entry(12, 5001, 350, 9, "Sparkling 气泡水"), entry(304, 70_000, 1200, 0, "Nuts")]),
    };
    put(book, values(part));
    put(book, values(PlanApplied { plan: plan(4) }));
    let report = StockReport {
        number: 2,
        at_ms: NOW_MS,
        cause: StockCause::REFILLED,
        entries: list([
            StockEntry { slot: slot(12), product: product(5001), count: 9 },
            StockEntry { slot: slot(304), product: product(70_000), count: 0 },
        ]),
    };
    put(book, values(report));
    let set = StockSet {
        plan: plan(4),
        entries: list([(12, 8), (304, 0)].map(|(number, count)| StockCount { slot: slot(number), count })),
    };
    put(book, values(set));
}
