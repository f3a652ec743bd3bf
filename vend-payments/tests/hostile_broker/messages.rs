//! One example of every message of the link, in both directions.

use vend_protocol::{
    AuthSeq, Bytes, Currency, DropReport, EnrolmentId, JournalId, List, Money, MotorCode, Nonce, OrderId,
    Outcome, PlanVersion, ProductId, Reason, ReceiptHash, ReceiptNo, SlotId, Start, Text, codec,
    frame::Message,
    machine_link::{
        Acknowledgement, Action, Amendment, Authorization, Busy, CabinetConfig, Chunk, ChunkRequest, Clock,
        ClockRequest, CodeEnd, Command, CommandResult, CommandStatus, ConfigApplied, ConfigRefusal,
        DeviceConfig, DriveKind, End, FailurePolicy, Fault, FaultCode, HideCode, ImageName, KeyList,
        KeyListApplied, LaneConfig, LaneConfigPart, LateDrop, LogLevel, LogLine, Noted, OrderCancel,
        OrderRequest, PlanApplied, PlanEntry, PlanPart, Prepare, PrepareLine, Quote, QuoteAnswer, Readiness,
        Ready, Receipt, SecurityCode, SecurityEvent, SensorPolicy, Settled, ShowCode, StockCause, StockCount,
        StockEntry, StockReport, StockSet, Taken, Telemetry, Unsupported, UpdateOffer, UpdateStatus,
        UpdateVerdict, Void, kind,
    },
    signed::{
        AmendmentBody, Authority, AuthorizationBody, AuthorizedLine, GrantBody, Image, KeyListBody,
        ManifestBody, ReceiptBody, ReceiptLine, Signed, VoidBody,
    },
};

use vend_payments::{firmware::FirmwareSigner, signed::Signer};

use crate::link::{NOW_MS, Parties};

/// A message as its sender gives it to the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) kind: u8,
    pub(crate) revision: u8,
    pub(crate) payload: Vec<u8>,
}

fn example<M: Message>(message: &M) -> Example {
    let mut payload = vec![0; 1024];
    let len = codec::encode(message, &mut payload).unwrap();
    payload.truncate(len);
    Example { kind: M::KIND, revision: M::REVISION, payload }
}

/// Every message that this end sends once the link is open.
pub(crate) fn of(end: End, parties: &Parties) -> Vec<Example> {
    let examples = match end {
        End::Machine => [sold(parties), told(), kept_up()].concat(),
        End::Server => [selling(parties), set_up(), upkeep(parties)].concat(),
    };
    assert!(complete(end, &examples), "a kind has no example or two");
    examples
}

/// Whether there is exactly one of every kind, but for the handshake and what goes over HTTP.
fn complete(end: End, examples: &[Example]) -> bool {
    let own = |kind: u8| (kind < kind::FIRST_OF_SERVER) == (end == End::Machine) || kind == kind::UNSUPPORTED;
    let elsewhere = |kind| kind::is_handshake(kind) || matches!(kind, kind::CLAIM | kind::CLAIM_GRANTED);
    (0..=u8::MAX).all(|kind| {
        let due = usize::from(kind::is_known(kind, 1) && own(kind) && !elsewhere(kind));
        examples.iter().filter(|example| example.kind == kind).count() == due
    })
}

fn slot() -> SlotId {
    SlotId::new(12).unwrap()
}

fn product() -> ProductId {
    ProductId::new(3).unwrap()
}

fn plan() -> PlanVersion {
    PlanVersion::new(4).unwrap()
}

fn order() -> OrderId {
    OrderId::new(4711).unwrap()
}

fn seq() -> AuthSeq {
    AuthSeq::new(18).unwrap()
}

fn receipt_no(number: u64) -> ReceiptNo {
    ReceiptNo::new(number).unwrap()
}

fn total() -> Money {
    Money::new(350, Currency::CNY)
}

fn lines() -> List<PrepareLine, 8> {
    List::try_from_iter([PrepareLine { slot: slot(), product: product(), price_minor: 350 }]).unwrap()
}

pub(crate) const JOURNAL: JournalId = JournalId(*b"journal.");

fn outcome() -> Outcome {
    Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false }
}

pub(crate) fn receipt(machine: &Signer, number: u64, previous: ReceiptHash) -> Signed {
    let authority = Authority::Authorization { seq: seq(), order: order() };
    let lines = List::try_from_iter([ReceiptLine { slot: slot(), outcome: outcome() }]).unwrap();
    let enrolment = machine.public_key().fingerprint();
    let number = receipt_no(number);
    let body = ReceiptBody { enrolment, journal: JOURNAL, number, previous, authority, at_ms: NOW_MS, lines };
    machine.sign(&body).unwrap()
}

pub(crate) fn amendment(machine: &Signer, number: u64, previous: ReceiptHash) -> Signed {
    let body = AmendmentBody {
        enrolment: machine.public_key().fingerprint(),
        journal: JOURNAL,
        number: receipt_no(number),
        previous,
        amends: receipt_no(number - 1),
        line: 0,
        outcome: outcome(),
        at_ms: NOW_MS,
    };
    machine.sign(&body).unwrap()
}

pub(crate) fn authorization(online: &Signer, enrolment: EnrolmentId, seq: u64) -> Signed {
    let line = AuthorizedLine { slot: slot(), product: product(), price_minor: 350 };
    let body = AuthorizationBody {
        enrolment,
        seq: AuthSeq::new(seq).unwrap(),
        order: order(),
        plan: plan(),
        deadline_ms: NOW_MS + 120_000,
        currency: Currency::CNY,
        lines: List::try_from_iter([line]).unwrap(),
    };
    online.sign(&body).unwrap()
}

/// What the machine says of sales.
fn sold(parties: &Parties) -> Vec<Example> {
    let machine = &parties.machine;
    vec![
        example(&Ready { request: 5, readiness: Readiness::NotReady(Reason::SENSOR) }),
        example(&Taken { seq: seq() }),
        example(&Busy { seq: seq() }),
        example(&Receipt(receipt(machine, 15, ReceiptHash([7; 32])))),
        example(&Amendment(amendment(machine, 16, ReceiptHash([8; 32])))),
        example(&Settled { up_to: seq() }),
        example(&LateDrop { after: Some(order()), at_ms: NOW_MS }),
        example(&OrderRequest { request: 9, plan: plan(), lines: lines() }),
        example(&OrderCancel { order: order() }),
    ]
}

/// What the machine says of itself.
fn told() -> Vec<Example> {
    let stock = List::try_from_iter([StockEntry { slot: slot(), product: product(), count: 6 }]).unwrap();
    let code = SecurityCode::FORGED;
    vec![
        example(&PlanApplied { plan: plan() }),
        example(&StockReport { number: 3, at_ms: NOW_MS, cause: StockCause::REFILLED, entries: stock }),
        example(&Telemetry {
            at_ms: NOW_MS,
            uptime_s: 86_400,
            temperatures_dc: List::try_from_iter([41, -185]).unwrap(),
            signal_dbm: -71,
            supply_mv: 24_100,
            door_open: false,
            vends: 1234,
            failures: 5,
            connections: 77,
            journal_used: 2048,
            dropped: 1,
        }),
        example(&Fault {
            number: 2,
            at_ms: NOW_MS,
            code: FaultCode::MOTOR,
            slot: Some(slot()),
            raised: true,
            detail: -3,
        }),
        example(&SecurityEvent { number: 4, at_ms: NOW_MS, code, count: 2 }),
        example(&LogLine {
            uptime_ms: 86_400_000,
            level: LogLevel::WARN,
            module: Text::truncated("modem"),
            text: Text::truncated("registered after 41 s"),
        }),
    ]
}

/// What the machine answers.
fn kept_up() -> Vec<Example> {
    let (image, status) = (ImageName::MAIN, CommandStatus::DONE);
    vec![
        example(&ConfigApplied { version: 2, refused: Some(ConfigRefusal::LANE) }),
        example(&CommandResult { id: 21, status, outcome: Some(outcome()), detail: 0 }),
        example(&ChunkRequest { version: 6, image, offset: 1024, length: 512 }),
        example(&UpdateVerdict { version: 6, status: UpdateStatus::READY, detail: 0 }),
        example(&KeyListApplied { version: 2 }),
        example(&ClockRequest { request: 8 }),
        example(&Unsupported { kind: 0x60, revision: 1, sequence: 4 }),
    ]
}

/// What the server says of sales.
fn selling(parties: &Parties) -> Vec<Example> {
    let (online, enrolment) = (&parties.online, parties.machine.public_key().fingerprint());
    let void = VoidBody { enrolment, seq: seq(), order: order() };
    let answer = QuoteAnswer::Offered { order: order(), total: total(), expires_ms: NOW_MS + 180_000 };
    let code = Text::truncated("weixin://wxpay/bizpayurl?pr=example");
    vec![
        example(&Prepare { request: 5, plan: plan(), lines: lines() }),
        example(&Authorization(authorization(online, enrolment, 18))),
        example(&Void(online.sign(&void).unwrap())),
        example(&Acknowledgement { journal: JOURNAL, number: receipt_no(15), hash: ReceiptHash([9; 32]) }),
        example(&Quote { request: 9, answer }),
        example(&ShowCode { order: order(), total: total(), code, expires_ms: NOW_MS + 180_000 }),
        example(&HideCode { order: order(), end: CodeEnd::PAID }),
    ]
}

/// How the server sets a machine up.
fn set_up() -> Vec<Example> {
    let entry = PlanEntry {
        slot: slot(),
        product: product(),
        price_minor: 350,
        capacity: 8,
        name: Text::truncated("Sparkling 气泡水"),
    };
    let cabinet = CabinetConfig {
        set_point_dc: Some(40),
        differential_dc: 20,
        health_limit_dc: Some(80),
        health_grace_min: 30,
        health_grace_door_min: 60,
        compressor_rest_s: 180,
        light_percent: 80,
    };
    let lane = LaneConfig {
        slot: slot(),
        enabled: true,
        drive: DriveKind::SPIRAL,
        coupled_with: None,
        run_max_ms: 6000,
        over_current_ma: 900,
        stall_ms: 200,
        open_load_ma: 20,
        cool_down_ms: 500,
    };
    let stock = List::try_from_iter([StockCount { slot: slot(), count: 6 }]).unwrap();
    vec![
        example(&PlanPart {
            plan: plan(),
            currency: Currency::CNY,
            part: 0,
            parts: 1,
            entries: List::try_from_iter([entry]).unwrap(),
        }),
        example(&DeviceConfig {
            version: 2,
            lane_parts: 1,
            cabinet,
            sensor: SensorPolicy { without_sensor: false, extra_quarter_turns: 3, settle_ms: 400 },
            failures: FailurePolicy { lane_failures: 3, machine_failures: 6 },
            telemetry_s: 300,
        }),
        example(&LaneConfigPart { version: 2, part: 0, lanes: List::try_from_iter([lane]).unwrap() }),
        example(&StockSet { plan: plan(), entries: stock }),
    ]
}

/// Commands, updates, keys and the clock.
fn upkeep(parties: &Parties) -> Vec<Example> {
    let grant = GrantBody {
        id: [4; 16],
        enrolment: parties.machine.public_key().fingerprint(),
        not_before_ms: NOW_MS,
        expires_ms: NOW_MS + 3_600_000,
        vends: 2,
    };
    let manifest = ManifestBody {
        version: 6,
        hardware: Text::truncated("reference"),
        main: Image { version: 9, size: 100_000, hash: [5; 32] },
        control: None,
        journal_format: 1,
        from_version: 3,
    };
    let keys = List::try_from_iter([parties.online.public_key().to_bytes()]).unwrap();
    let list = KeyListBody { version: 2, not_before_ms: 0, expires_ms: u64::MAX, keys };
    vec![
        example(&Command {
            id: 21,
            deadline_ms: NOW_MS + 60_000,
            action: Action::TEST_VEND,
            slot: Some(slot()),
            value: 0,
            grant: Some(parties.online.sign(&grant).unwrap()),
        }),
        example(&UpdateOffer(FirmwareSigner::from_seed(&[0x44; 32]).sign(&manifest).unwrap())),
        example(&Chunk {
            version: 6,
            image: ImageName::MAIN,
            offset: 1024,
            bytes: Bytes::try_from(&[0xE7; 512][..]).unwrap(),
        }),
        example(&KeyList(parties.root.sign(&list).unwrap())),
        example(&Clock { request: 8, server_time_ms: NOW_MS + 5000 }),
        example(&Noted { kind: kind::STOCK_REPORT, number: 3 }),
        example(&Unsupported { kind: kind::LOG_LINE, revision: 1, sequence: 4 }),
    ]
}

/// A nonce of this session, and of none else.
pub(crate) fn nonce(session: u8) -> Nonce {
    Nonce([session; 16])
}
