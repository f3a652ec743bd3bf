//! One sale, byte by byte, against `vectors/sale.txt`: what an implementer compares a whole conversation with.
//!
//! Both ends are played here with fixed keys. Each believes what the other says only through this crate's own checks, so the
//! file holds nothing that a machine or a server would refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is its report")]

// The file is written and read as the golden bytes of the protocol are.
mod book;
#[path = "../../../vend-protocol/tests/golden/fields.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod fields;
#[path = "../../../vend-protocol/tests/golden/file.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod file;
#[path = "../../../vend-protocol/tests/golden/kinds.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod kinds;
#[path = "../../../vend-protocol/tests/golden/sample.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod sample;
#[path = "../../../vend-protocol/tests/golden/shape.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod shape;
mod tags;

use book::{Book, Connection};
use hkdf::Hkdf;
use sha2::Sha256;
use vend_payments::{
    authorization::Permit,
    keys::TrustedKeys,
    receipt::{receipt_hash, verify_receipt},
    session::{Offer, SessionKeys, SessionSeal, VerifiedHello},
    signed::{Signer, body_hash},
};
use vend_protocol::{
    AuthSeq, ConfigHash, Currency, DropReport, EnrolmentId, JournalId, List, MachineId, MotorCode, Nonce,
    OrderId, Outcome, PlanVersion, ProductId, ReceiptHash, ReceiptNo, SlotId, Start, Text, VendId, Verdict,
    control_link::{
        BoardStatus, Evidence, ForgetAnswer, ForgetRequest, LastVend, OpenAnswer, OpenRequest, QueryAnswer,
        QueryRequest, SensorState, VendAnswer, VendLabel, VendLimits, VendRequest, VendResult, VendState,
    },
    machine_link::{
        Accepted, Acknowledgement, Authorization, Clock, ClockRequest, End, Hello, Prepare, PrepareLine,
        Readiness, Ready, Receipt, Seal, Taken, kind,
    },
    signed::{
        AcceptedBody, Authority, AuthorizationBody, AuthorizedLine, HelloBody, KeyListBody, ReceiptBody,
        ReceiptLine, Revision, Signed,
    },
};

const FILE: &str = "sale.txt";
const MACHINE_SEED: [u8; 32] = [0x31; 32];
const ONLINE_SEED: [u8; 32] = [0x32; 32];
const ROOT_SEED: [u8; 32] = [0x33; 32];
const MACHINE_SECRET: [u8; 32] = *b"the machine's 32 ephemeral bytes";
const SERVER_SECRET: [u8; 32] = *b"the server's 32 ephemeral bytes.";
/// 2027-01-15 08:00:00 UTC, in milliseconds: the server's clock at the hello.
const NOW_MS: u64 = 1_800_000_000_000;
const JOURNAL: JournalId = JournalId(*b"journal.");
const BOARD_NONCE: Nonce = Nonce(*b"a nonce of board");
const BOARD_CONFIG: ConfigHash = ConfigHash(*b"config. ");

/// The keys of all parties, and what the machine got when it was enrolled.
struct Parties {
    machine: Signer,
    online: Signer,
    trusted: TrustedKeys,
    key_list: Signed,
}

impl Parties {
    fn new() -> Self {
        let (machine, online, root) = (
            Signer::from_seed(&MACHINE_SEED),
            Signer::from_seed(&ONLINE_SEED),
            Signer::from_seed(&ROOT_SEED),
        );
        let list = KeyListBody {
            version: 1,
            not_before_ms: NOW_MS - 86_400_000,
            expires_ms: NOW_MS + 365 * 86_400_000,
            keys: List::try_from_iter([online.public_key().to_bytes()]).unwrap(),
        };
        let key_list = root.sign(&list).unwrap();
        let root = root.public_key();
        let trusted = TrustedKeys::from_root(&root.to_bytes(), root.fingerprint(), &key_list).unwrap();
        Self { machine, online, trusted, key_list }
    }

    fn enrolment(&self) -> EnrolmentId {
        self.machine.public_key().fingerprint()
    }
}

fn seq() -> AuthSeq {
    AuthSeq::new(18).unwrap()
}

fn order() -> OrderId {
    OrderId::new(1042).unwrap()
}

fn plan() -> PlanVersion {
    PlanVersion::new(4).unwrap()
}

fn slot() -> SlotId {
    SlotId::new(12).unwrap()
}

fn product() -> ProductId {
    ProductId::new(5001).unwrap()
}

fn revisions(kinds: impl IntoIterator<Item = u8>) -> List<Revision, 8> {
    List::try_from_iter(kinds.into_iter().map(|kind| Revision { kind, revision: 1 })).unwrap()
}

fn given(book: &mut Book, parties: &Parties) {
    let public = |seed| Signer::from_seed(seed).public_key().to_bytes();
    let ephemeral = |secret| x25519_dalek::x25519(secret, x25519_dalek::X25519_BASEPOINT_BYTES);
    book.say(
        "keys",
        "All keys of the example. Seeds are of Ed25519, secrets of X25519; they are known to everybody, so use them for nothing.",
        &[
            ("machine_seed", &MACHINE_SEED),
            ("machine_key", &public(&MACHINE_SEED)),
            ("online_seed", &ONLINE_SEED),
            ("online_key", &public(&ONLINE_SEED)),
            ("root_seed", &ROOT_SEED),
            ("root_key", &public(&ROOT_SEED)),
            ("machine_secret", &MACHINE_SECRET),
            ("machine_ephemeral", &ephemeral(MACHINE_SECRET)),
            ("server_secret", &SERVER_SECRET),
            ("server_ephemeral", &ephemeral(SERVER_SECRET)),
        ],
    );
    book.body::<KeyListBody>(
        "key_list",
        "The machine has had this key list since it was enrolled: the online key speaks for the server.",
        &parties.key_list,
    );
}

/// Hello and accepted; both ends agree on the session's keys.
fn handshake(book: &mut Book, parties: &Parties) -> Connection {
    let mut link = Connection::new();
    let hello = HelloBody {
        machine: MachineId::new(7).unwrap(),
        enrolment: parties.enrolment(),
        nonce: Nonce(*b"a nonce of hello"),
        ephemeral: [0; 32],
        journal: JOURNAL,
        used_seq: 17,
        last_receipt: 15,
        plan: plan(),
        config: 2,
        key_list: 1,
        revisions: revisions([kind::AUTHORIZATION, kind::VOID, kind::ACKNOWLEDGEMENT]),
        frame_max: 1024,
        lines_max: 8,
        firmware: Text::truncated("main 0.1.0"),
    };
    let (hello, offer) = Offer::hello(MACHINE_SECRET, &parties.machine, hello, 0).unwrap();
    link.up(
        book,
        "The machine opens the connection and says who it is and where it stands. Plain, as the answer is.",
        &Hello(hello.clone()),
    );
    book.body::<HelloBody>("hello_body", "What the hello holds, signed by the machine's key.", &hello);

    let heard =
        VerifiedHello::verify(&hello, MachineId::new(7).unwrap(), &parties.machine.public_key()).unwrap();
    let accepted = AcceptedBody {
        enrolment: EnrolmentId([0; 16]),
        nonce: Nonce([0; 16]),
        ephemeral: [0; 32],
        server_time_ms: NOW_MS,
        receipt_watermark: 15,
        issued_seq: 17,
        floor_seq: 0,
        plan: plan(),
        config: 2,
        key_list: 1,
        keepalive_s: 60,
        revisions: revisions([kind::RECEIPT, kind::AMENDMENT]),
        frame_max: 1024,
    };
    let (accepted, server) = heard.answer(SERVER_SECRET, &parties.online, accepted).unwrap();
    link.down(book, "The server answers: nothing is owed on either side.", &Accepted(accepted.clone()));
    book.body::<AcceptedBody>("accepted_body", "What the answer holds, signed by the online key.", &accepted);
    let (body, machine) = offer.accept(&parties.trusted, &accepted, 120).unwrap();

    agreed(book, &hello, &accepted, [&machine, &server]);
    link.open(machine, body.revisions, server, heard.body().revisions);
    link
}

/// The session's keys, by the bare algorithms.
fn agreed(book: &mut Book, hello: &Signed, accepted: &Signed, [machine, server]: [&SessionSeal; 2]) {
    let server_ephemeral = x25519_dalek::x25519(SERVER_SECRET, x25519_dalek::X25519_BASEPOINT_BYTES);
    let shared = x25519_dalek::x25519(MACHINE_SECRET, server_ephemeral);
    let (hello, accepted) = (body_hash::<HelloBody>(hello), body_hash::<AcceptedBody>(accepted));
    let mut keys = [[0; 32]; 2];
    Hkdf::<Sha256>::new(Some(b"vend/session/1\0\0"), &shared)
        .expand(&[hello, accepted].concat(), keys.as_flattened_mut())
        .unwrap();
    let [up, down] = keys;
    for (end, seal) in [(End::Machine, machine), (End::Server, server)] {
        let ours = SessionSeal::new(end, SessionKeys::new(up, down));
        assert_eq!(ours.seal(b"any message"), seal.seal(b"any message"));
    }
    book.say(
        "session_keys",
        "Both ends have the same keys now: `up` seals what the machine sends, `down` what the server sends (see session.txt).",
        &[("shared", &shared), ("hello_hash", &hello), ("accepted_hash", &accepted), ("up", &up), ("down", &down)],
    );
}

fn clock(book: &mut Book, link: &mut Connection) {
    let why = "The first sealed message. A machine that has nothing else to send asks for the time, which proves that it is not a \
        recording; it asks again every six hours.";
    link.up(book, why, &ClockRequest { request: 1 });
    link.down(
        book,
        "The server's time, 200 ms after the hello's.",
        &Clock { request: 1, server_time_ms: NOW_MS + 200 },
    );
}

/// Up to the authorization that the machine takes.
fn ask_and_authorize(book: &mut Book, link: &mut Connection, parties: &Parties) {
    let line = PrepareLine { slot: slot(), product: product(), price_minor: 350 };
    let prepare = Prepare { request: 1, plan: plan(), lines: List::try_from_iter([line]).unwrap() };
    link.down(book, "A customer has picked a drink for 3.50 yuan. Could the machine vend it now?", &prepare);
    let ready = Ready { request: 1, readiness: Readiness::Ready };
    link.up(book, "It could. Only now is the customer shown a page to pay.", &ready);
    let body = AuthorizationBody {
        enrolment: parties.enrolment(),
        seq: seq(),
        order: order(),
        plan: plan(),
        deadline_ms: NOW_MS + 150_000,
        currency: Currency::CNY,
        lines: List::try_from_iter([AuthorizedLine { slot: slot(), product: product(), price_minor: 350 }])
            .unwrap(),
    };
    let signed = parties.online.sign(&body).unwrap();
    let why =
        "30 s later the order is paid. The server signs the permission to vend it once, within two minutes.";
    let received = link.down(book, why, &Authorization(signed)).0;
    book.body::<AuthorizationBody>(
        "authorization_body",
        "What the authorization holds, signed by the online key.",
        &received,
    );
    let permit = Permit::verify(&received, &parties.trusted, parties.enrolment()).unwrap();
    assert_eq!(permit.body(), &body);
    let why = "The machine has verified it and written it to its journal. Only then it answers, and only then it moves.";
    link.up(book, why, &Taken { seq: seq() });
}

/// The vend on the control link; gives what the board says of it.
fn vend(book: &mut Book) -> VendResult {
    let vend = VendId::new(4021).unwrap();
    let open = OpenRequest { nonce: BOARD_NONCE, config: BOARD_CONFIG };
    book.ask("The main board gives the control board a nonce that it has written to its journal.", &open);
    book.answer("The board will take vends under this nonce.", &OpenAnswer { refused: None });
    let request = VendRequest {
        nonce: BOARD_NONCE,
        vend,
        config: BOARD_CONFIG,
        lane: slot(),
        limits: VendLimits { max_vend_ms: 15_000, extra_quarter_turns: 3, without_sensor: false },
        label: VendLabel { authority: seq().number(), line: 0 },
    };
    book.ask("Start vend 4021, once. The same request again would be answered with its state.", &request);
    book.answer("The motor turns.", &VendAnswer::State(VendState::Running));
    let result = VendResult {
        outcome: Outcome {
            start: Start::Started,
            motor: MotorCode::OK,
            drop: DropReport::Seen,
            interrupted: false,
        },
        evidence: Evidence {
            run_ms: 2140,
            peak_current_ma: 610,
            lowest_supply_mv: 23_400,
            extra_quarter_turns: 0,
            beam_breaks: 1,
            first_break_ms: Some(2015),
        },
    };
    let status = |state| QueryAnswer {
        nonce: Some(BOARD_NONCE),
        config: BOARD_CONFIG,
        last: Some(LastVend { nonce: BOARD_NONCE, vend, state }),
        status: BoardStatus {
            boot: 0xA1B2_C3D4,
            sensor: SensorState::CLEAR,
            door_open: false,
            late_drops: 0,
            faults: 0,
            inputs: 0,
            temperatures_dc: List::try_from_iter([38]).unwrap(),
            supply_mv: 24_100,
            newest_event: 3,
        },
    };
    book.ask("Every 50 ms the main board asks how it stands.", &QueryRequest {});
    book.answer("Still running.", &status(VendState::Running));
    book.ask("And again.", &QueryRequest {});
    book.answer(
        "It has ended: the motor came home, and something fell through the beam.",
        &status(VendState::Done(result)),
    );
    book.ask(
        "The result is in the main board's journal, so the board may drop it.",
        &ForgetRequest { nonce: BOARD_NONCE, vend },
    );
    book.answer("Dropped.", &ForgetAnswer { refused: None });
    result
}

fn receipt(book: &mut Book, link: &mut Connection, parties: &Parties, result: VendResult) {
    let body = ReceiptBody {
        enrolment: parties.enrolment(),
        journal: JOURNAL,
        number: ReceiptNo::new(16).unwrap(),
        previous: ReceiptHash([0x0F; 32]),
        authority: Authority::Authorization { seq: seq(), order: order() },
        at_ms: NOW_MS + 34_000,
        lines: List::try_from_iter([ReceiptLine { slot: slot(), outcome: result.outcome }]).unwrap(),
    };
    let signed = parties.machine.sign(&body).unwrap();
    let why = "The machine's account of it, signed and in its journal. It is sent again on each connection until it is acknowledged.";
    let received = link.up(book, why, &Receipt(signed)).0;
    let why = "What the receipt holds, signed by the machine's key. `previous` is the hash of receipt 15, which the example does not show.";
    book.body::<ReceiptBody>("receipt_body", why, &received);
    let read = verify_receipt(&received, &parties.machine.public_key()).unwrap();
    let line = read.lines.get(0).unwrap();
    assert_eq!((&read, line.outcome.verdict()), (&body, Verdict::Delivered));
    let hash = receipt_hash(&received);
    let acknowledgement = Acknowledgement { journal: read.journal, number: read.number, hash };
    let why = "The receipt is in the database, and the sale is booked as delivered. The hash says which receipt is meant: the machine \
        drops it from its journal only if it is its own.";
    link.down(book, why, &acknowledgement);
}

fn story() -> Book {
    let parties = Parties::new();
    let mut book = Book::default();
    given(&mut book, &parties);
    let mut link = handshake(&mut book, &parties);
    clock(&mut book, &mut link);
    ask_and_authorize(&mut book, &mut link, &parties);
    let result = vend(&mut book);
    receipt(&mut book, &mut link, &parties, result);
    book
}

#[test]
fn the_sale_is_what_it_has_always_been() {
    let ours = story().entries;
    let mut theirs = file::read(FILE);
    if theirs.is_empty() && file::told_to("add") {
        file::append(FILE, &ours);
        theirs = file::read(FILE);
    }
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
