//! The messages of the control link.

use std::fmt::Debug;

use vend_protocol::{
    ConfigHash, DropReport, MotorCode, Nonce, Outcome, Reason, Start, cobs,
    control_link::{
        AbortRequest, BoardStatus, ConfigureAnswer, ConfigureRequest, Event, EventCode, EventsAnswer,
        EventsRequest, Evidence, Features, ForgetAnswer, ForgetRequest, HomeAllRequest, IdentifyRequest,
        Identity, LaneReport, LaneScanRequest, LanesAnswer, LanesRequest, LastVend, NO_TEMPERATURE,
        OpenAnswer, OpenRequest, QueryAnswer, QueryRequest, Refusal, SelfTestRequest, SensorState,
        TaskAnswer, TaskCode, TaskResult, TaskState, Unsupported, UpdateAnswer, UpdateBeginRequest,
        UpdateChunkRequest, UpdateConfirmRequest, UpdateStage, UpdateSwapRequest, UpdateVerifyRequest,
        VendAnswer, VendLabel, VendLimits, VendRequest, VendResult, VendState, kind,
    },
    frame::{self, CONTROL_FRAME_MAX, Frame, Message},
    machine_link::{DriveKind, FaultCode, LaneConfig},
    signed::Image,
};

use super::{list, run, slot, text, upkeep, vend};
use crate::{
    book::{Book, Values, values},
    file::{Entry, hex},
    kinds::{self, Link},
};

/// The board that all vectors are about, and the sequence of their exchange.
const ADDRESS: u8 = 1;
const SEQUENCE: u32 = 42;

const NONCE: Nonce = Nonce(run(0x30));
const CONFIG: ConfigHash = ConfigHash(run(0xE0));

pub(crate) fn book() -> Book {
    let mut book = Book::new("control_link.txt");
    identity(&mut book);
    vends(&mut book);
    status(&mut book);
    lanes(&mut book);
    tasks(&mut book);
    update(&mut book);
    book
}

fn put<M>(book: &mut Book, values: Values<M>)
where
    M: Message + PartialEq + Debug + Clone + Send + Sync + 'static,
{
    let name = kinds::message(Link::Control, M::KIND, M::REVISION);
    let begin = |case: &str| {
        let mut entry = Entry::new(format!("{name}.{case}"));
        entry.put("kind", format!("{:#04x}", M::KIND));
        entry.put("revision", M::REVISION);
        entry.put("from", if M::KIND < kind::FIRST_OF_BOARD { "main board" } else { "control board" });
        entry.put("address", ADDRESS);
        entry.put("sequence", SEQUENCE);
        entry
    };
    let id = kinds::id(Link::Control, M::KIND, M::REVISION);
    book.put(id, values, begin, |entry, message| {
        let mut out = [0; CONTROL_FRAME_MAX];
        let len =
            frame::write(ADDRESS, SEQUENCE, message, &mut out).expect("no message is longer than a frame");
        entry.put("frame", hex(&out[..len]));
        entry.put("line", hex(&line_of(&out[..len])));
    });
}

/// What is on the line for a frame.
pub(crate) fn line_of(frame: &[u8]) -> Vec<u8> {
    let mut line = vec![0; cobs::line_len(frame.len())];
    let len = cobs::encode(frame, &mut line).expect("as long as it says");
    line.truncate(len);
    line
}

/// The payload of a frame, as the library finds it on the line.
pub(crate) fn payload_of(line: &[u8]) -> Vec<u8> {
    let mut decoder = cobs::Decoder::<CONTROL_FRAME_MAX>::new();
    let found =
        line.iter().find_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec)).expect("a frame on the line");
    let frame = Frame::parse(&found).expect("a frame");
    assert_eq!((frame.address, frame.sequence), (ADDRESS, SEQUENCE));
    frame.payload.to_vec()
}

fn identity(book: &mut Book) {
    put(book, values(IdentifyRequest {}));
    let identity = Identity {
        lanes: 60,
        max_vend_ms: 30_000,
        frame_max: 256,
        features: Features::DROP_SENSOR
            .with(Features::DOOR_CONTACT)
            .with(Features::ABORT)
            .with(Features::UPDATE),
        version: 9,
        firmware: text("vend-control 0.1.0"),
        hardware: text("vm1-control-rev-b"),
        serial: text("CB-000123"),
    };
    put(book, values(identity));
    put(book, values(Unsupported { kind: kind::LANE_SCAN, revision: 1 }));
}

const DELIVERED: Outcome =
    Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };

const EVIDENCE: Evidence = Evidence {
    run_ms: 2140,
    peak_current_ma: 610,
    lowest_supply_mv: 23_400,
    extra_quarter_turns: 0,
    beam_breaks: 1,
    first_break_ms: Some(2015),
};

const DONE: VendState = VendState::Done(VendResult { outcome: DELIVERED, evidence: EVIDENCE });

/// A result for each case of an outcome, with the name of its vector.
fn results() -> [(&'static str, VendState); 5] {
    let nothing = Evidence { beam_breaks: 0, first_break_ms: None, ..EVIDENCE };
    let done = |outcome, evidence| VendState::Done(VendResult { outcome, evidence });
    let drop = |drop, motor| Outcome { drop, motor, ..DELIVERED };
    [
        ("not_started", done(Outcome::not_started(Reason::SENSOR), Evidence::default())),
        (
            "not_seen",
            done(drop(DropReport::NotSeen, MotorCode::OK), Evidence { extra_quarter_turns: 3, ..nothing }),
        ),
        ("not_fitted", done(drop(DropReport::NotFitted, MotorCode::OK), nothing)),
        ("sensor_fault", done(drop(DropReport::SensorFault, MotorCode::TIMEOUT_RETURNING), nothing)),
        ("aborted", done(drop(DropReport::NotSeen, MotorCode::ABORTED), nothing)),
    ]
}

fn vends(book: &mut Book) {
    put(book, values(OpenRequest { nonce: NONCE, config: CONFIG }));
    let opened = OpenAnswer { refused: None };
    put(book, values(opened).and("refused", OpenAnswer { refused: Some(Refusal::CONFIG) }));
    let request = VendRequest {
        nonce: NONCE,
        vend: vend(4021),
        config: CONFIG,
        lane: slot(12),
        limits: VendLimits { max_vend_ms: 15_000, extra_quarter_turns: 3, without_sensor: false },
        label: VendLabel { authority: 18, line: 0 },
    };
    put(book, values(request));
    let running = VendAnswer::State(VendState::Running);
    let mut answers = values(running)
        .and("refused", VendAnswer::Refused(Refusal::NONCE))
        .and("done", VendAnswer::State(DONE));
    for (case, state) in results() {
        answers = answers.and(case, VendAnswer::State(state));
    }
    let answers = answers
        .and_case("value", "Refused")
        .and_cases(&[("value", "State"), ("value.State", "Done")])
        .and_cases(&[
            ("value", "State"),
            ("value.State", "Done"),
            ("value.State.Done.outcome.start", "NotStarted"),
        ]);
    put(book, answers);
    put(book, values(ForgetRequest { nonce: NONCE, vend: vend(4021) }));
    let forgotten = ForgetAnswer { refused: None };
    put(book, values(forgotten).and("refused", ForgetAnswer { refused: Some(Refusal::OTHER_VEND) }));
    put(book, values(AbortRequest { nonce: NONCE, vend: vend(4021) }));
}

fn status(book: &mut Book) {
    put(book, values(QueryRequest {}));
    let status = BoardStatus {
        boot: 0xA1B2_C3D4,
        sensor: SensorState::CLEAR,
        door_open: false,
        late_drops: 0,
        faults: 1 << FaultCode::THERMOMETER.0,
        inputs: 0b101,
        temperatures_dc: list([38, NO_TEMPERATURE, -12]),
        supply_mv: 24_100,
        newest_event: 3,
    };
    let last = |state| Some(LastVend { nonce: NONCE, vend: vend(4021), state });
    let answer = QueryAnswer { nonce: Some(NONCE), config: CONFIG, last: last(VendState::Running), status };
    let with = |last| QueryAnswer { last, ..answer };
    let started = QueryAnswer { nonce: None, last: None, ..answer };
    let mut answers = values(answer).and("just_started", started).and("done", with(last(DONE)));
    for (case, state) in results() {
        answers = answers.and(case, with(last(state)));
    }
    let done = ("last.state", "Done");
    put(book, answers.and_cases(&[done]).and_cases(&[done, ("last.state.Done.outcome.start", "NotStarted")]));

    put(book, values(EventsRequest { boot: 0xA1B2_C3D4, after: 3 }));
    let event = |number, code, fault, lane, value| Event {
        number,
        uptime_ms: 60_000 + number,
        code,
        fault,
        lane,
        value,
    };
    let events = list([
        event(4, EventCode::DOOR_OPENED, FaultCode(0), None, 0),
        event(5, EventCode::FAULT_RAISED, FaultCode::MOTOR, Some(slot(12)), 940),
        event(6, EventCode::TEMPERATURE, FaultCode(0), None, -12),
    ]);
    put(book, values(EventsAnswer { boot: 0xA1B2_C3D4, uptime_ms: 61_000, events, more: false }));
}

fn lanes(book: &mut Book) {
    let wide = LaneConfig { coupled_with: Some(slot(14)), drive: DriveKind::MATRIX, ..upkeep::lane(13) };
    let configure = ConfigureRequest {
        config: CONFIG,
        part: 0,
        parts: 1,
        sensor: upkeep::SENSOR,
        lanes: list([upkeep::lane(12), wide]),
    };
    put(book, values(configure));
    let configured = ConfigureAnswer { config: CONFIG, next: 1, refused: None };
    put(
        book,
        values(configured)
            .and("refused", ConfigureAnswer { next: 0, refused: Some(Refusal::DRIVE), ..configured }),
    );
    put(book, values(LanesRequest { from: slot(1) }));
    let report = LaneReport {
        lane: slot(12),
        drive: DriveKind::SPIRAL,
        enabled: true,
        at_home: true,
        motor: Some(MotorCode::OK),
    };
    let other = LaneReport { lane: slot(13), enabled: false, motor: None, ..report };
    put(book, values(LanesAnswer { lanes: list([report, other]), more: true }));
}

fn tasks(book: &mut Book) {
    put(
        book,
        values(LaneScanRequest { task: 7, lane: None })
            .and("one_lane", LaneScanRequest { task: 8, lane: Some(slot(12)) }),
    );
    put(book, values(HomeAllRequest { task: 9 }));
    put(book, values(SelfTestRequest { task: 10 }));
    let answer = |state| TaskAnswer { task: 7, state };
    let done = |code, lanes_failed| answer(TaskState::Done(TaskResult { code, lanes_failed }));
    let answers = values(answer(TaskState::Running))
        .and("done", done(TaskCode::OK, 0))
        .and("lanes_failed", done(TaskCode::LANES, 2))
        .and("refused", answer(TaskState::Refused(Refusal::RUNNING)))
        .and_case("state", "Refused")
        .and_case("state", "Done");
    put(book, answers);
}

fn update(book: &mut Book) {
    put(book, values(UpdateBeginRequest { image: Image { version: 9, size: 41_008, hash: run(0xB0) } }));
    let bytes = [0x7F, b'E', b'L', b'F', 0, 0, 0, 0].as_slice().try_into().unwrap();
    put(book, values(UpdateChunkRequest { offset: 192, bytes }));
    put(book, values(UpdateVerifyRequest { version: 9 }));
    put(book, values(UpdateSwapRequest { version: 9 }));
    put(book, values(UpdateConfirmRequest { version: 9 }));
    let answer = UpdateAnswer { stage: UpdateStage::RECEIVING, version: 9, next: 384, refused: None };
    let refused = UpdateAnswer { refused: Some(Refusal::OFFSET), ..answer };
    put(book, values(answer).and("refused", refused));
}
