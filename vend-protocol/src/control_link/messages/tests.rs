use super::*;
use crate::{
    Bytes, ConfigHash, DropReport, List, MotorCode, Nonce, Outcome, Reason, SlotId, Start, Text, VendId,
    control_link::kind,
    frame::{self, CONTROL_FRAME_MAX, CRC_LEN, HEADER_LEN},
    machine_link::{DriveKind, FaultCode, LaneConfig, SensorPolicy},
    signed::Image,
};

extern crate std;
use std::vec::Vec;

const NONCE: Nonce = Nonce([0xFF; 16]);
const CONFIG: ConfigHash = ConfigHash([0xFF; 8]);
const REFUSED: Option<Refusal> = Some(Refusal(u8::MAX));

fn lane() -> SlotId {
    SlotId::new(999).unwrap()
}

fn vend() -> VendId {
    VendId::new(u64::from(u32::MAX)).unwrap()
}

fn text() -> Text<24> {
    Text::truncated("MMMMMMMMMMMMMMMMMMMMMMMM")
}

fn full<T: Clone, const N: usize>(item: &T) -> List<T, N> {
    let mut list = List::default();
    while list.push(item.clone()).is_ok() {}
    list
}

fn result() -> VendResult {
    let outcome = Outcome {
        start: Start::NotStarted(Reason(u8::MAX)),
        motor: MotorCode(u8::MAX),
        drop: DropReport::SensorFault,
        interrupted: true,
    };
    let evidence = Evidence {
        run_ms: u32::MAX,
        peak_current_ma: u16::MAX,
        lowest_supply_mv: u16::MAX,
        extra_quarter_turns: u8::MAX,
        beam_breaks: u16::MAX,
        first_break_ms: Some(u32::MAX),
    };
    VendResult { outcome, evidence }
}

fn status() -> QueryAnswer {
    QueryAnswer {
        nonce: Some(NONCE),
        config: CONFIG,
        last: Some(LastVend { nonce: NONCE, vend: vend(), state: VendState::Done(result()) }),
        status: BoardStatus {
            boot: u32::MAX,
            sensor: SensorState(u8::MAX),
            door_open: true,
            late_drops: u32::MAX,
            faults: u32::MAX,
            inputs: u16::MAX,
            temperatures_dc: full(&NO_TEMPERATURE),
            supply_mv: u16::MAX,
            newest_event: u32::MAX,
        },
    }
}

fn configuration() -> ConfigureRequest {
    let lane = LaneConfig {
        slot: lane(),
        enabled: true,
        drive: DriveKind(u8::MAX),
        coupled_with: Some(lane()),
        run_max_ms: u16::MAX,
        over_current_ma: u16::MAX,
        stall_ms: u16::MAX,
        open_load_ma: u16::MAX,
        cool_down_ms: u16::MAX,
    };
    ConfigureRequest {
        config: CONFIG,
        part: u8::MAX,
        parts: u8::MAX,
        sensor: SensorPolicy { without_sensor: true, extra_quarter_turns: u8::MAX, settle_ms: u16::MAX },
        lanes: full(&lane),
    }
}

fn events() -> EventsAnswer {
    let event = Event {
        number: u32::MAX,
        uptime_ms: u32::MAX,
        code: EventCode(u8::MAX),
        fault: FaultCode(u16::MAX),
        lane: Some(lane()),
        value: i32::MIN,
    };
    EventsAnswer { boot: u32::MAX, uptime_ms: u32::MAX, events: full(&event), more: true }
}

/// The length of a message's frame; it must come back from it.
fn framed<M: Message + PartialEq + core::fmt::Debug>(message: &M) -> (u8, usize) {
    let mut out = [0; 1024];
    let len = frame::write(1, u32::MAX, message, &mut out).unwrap();
    assert_eq!(frame::Frame::parse(&out[..len]).unwrap().decode::<M>().as_ref(), Ok(message));
    (M::KIND, len)
}

/// Every message at its longest: each number at its maximum, each list, text and option full.
fn largest() -> Vec<(u8, usize)> {
    let limits = VendLimits { max_vend_ms: u32::MAX, extra_quarter_turns: u8::MAX, without_sensor: true };
    let label = VendLabel { authority: u64::MAX, line: u8::MAX };
    let vend_request =
        VendRequest { nonce: NONCE, vend: vend(), config: CONFIG, lane: lane(), limits, label };
    let identity = Identity {
        lanes: u16::MAX,
        max_vend_ms: u32::MAX,
        frame_max: u16::MAX,
        features: Features(u32::MAX),
        version: u32::MAX,
        firmware: text(),
        hardware: text(),
        serial: text(),
    };
    let report = LaneReport {
        lane: lane(),
        drive: DriveKind(u8::MAX),
        enabled: true,
        at_home: true,
        motor: Some(MotorCode(u8::MAX)),
    };
    let done = TaskState::Done(TaskResult { code: TaskCode(u8::MAX), lanes_failed: u16::MAX });
    let update = UpdateAnswer {
        stage: UpdateStage(u8::MAX),
        version: u32::MAX,
        next: u32::MAX,
        refused: Some(Refusal(u8::MAX)),
    };
    let image = Image { version: u32::MAX, size: u32::MAX, hash: [0xFF; 32] };
    let bytes = Bytes::fill::<crate::Full>(|bytes| {
        bytes.fill(0xFF);
        Ok(bytes.len())
    });
    let task = u32::MAX;
    let version = u32::MAX;
    std::vec![
        framed(&IdentifyRequest {}),
        framed(&OpenRequest { nonce: NONCE, config: CONFIG }),
        framed(&vend_request),
        framed(&QueryRequest {}),
        framed(&ForgetRequest { nonce: NONCE, vend: vend() }),
        framed(&AbortRequest { nonce: NONCE, vend: vend() }),
        framed(&configuration()),
        framed(&LanesRequest { from: lane() }),
        framed(&LaneScanRequest { task, lane: Some(lane()) }),
        framed(&HomeAllRequest { task }),
        framed(&SelfTestRequest { task }),
        framed(&EventsRequest { boot: u32::MAX, after: u32::MAX }),
        framed(&UpdateBeginRequest { image }),
        framed(&UpdateChunkRequest { offset: u32::MAX, bytes: bytes.unwrap() }),
        framed(&UpdateVerifyRequest { version }),
        framed(&UpdateSwapRequest { version }),
        framed(&UpdateConfirmRequest { version }),
        framed(&identity),
        framed(&OpenAnswer { refused: REFUSED }),
        framed(&VendAnswer::State(VendState::Done(result()))),
        framed(&status()),
        framed(&ForgetAnswer { refused: REFUSED }),
        framed(&ConfigureAnswer { config: CONFIG, next: u8::MAX, refused: REFUSED }),
        framed(&LanesAnswer { lanes: full(&report), more: true }),
        framed(&TaskAnswer { task, state: done }),
        framed(&events()),
        framed(&update),
        framed(&Unsupported { kind: u8::MAX, revision: u8::MAX }),
    ]
}

#[test]
fn every_message_fits_a_frame_at_its_longest() {
    for (kind, len) in largest() {
        std::println!("{kind:#04x} {len}");
        assert!(len <= CONTROL_FRAME_MAX, "{kind:#04x} has {len} bytes");
    }
}

#[test]
fn a_kind_says_who_sends_it_and_is_given_once() {
    let mut kinds: Vec<u8> = largest().into_iter().map(|(kind, _)| kind).collect();
    let answers = kinds.iter().filter(|kind| **kind >= kind::FIRST_OF_BOARD).count();
    assert_eq!((kinds.len(), answers), (28, 11));
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 28);
    assert!(kinds.iter().all(|kind| *kind >= 0x80), "no kind of the machine link");
}

#[test]
fn an_empty_request_is_header_and_checksum() {
    assert_eq!(framed(&QueryRequest {}), (kind::QUERY, HEADER_LEN + CRC_LEN));
}

#[test]
fn answers_are_of_the_kinds_that_the_requests_say() {
    fn pair<R: Request>() -> (u8, u8) {
        (R::KIND, R::Answer::KIND)
    }
    let shared = [
        pair::<AbortRequest>(),
        pair::<HomeAllRequest>(),
        pair::<SelfTestRequest>(),
        pair::<UpdateChunkRequest>(),
        pair::<UpdateVerifyRequest>(),
        pair::<UpdateSwapRequest>(),
        pair::<UpdateConfirmRequest>(),
    ];
    let owners = [kind::VENDING, kind::TASK, kind::TASK];
    assert!(shared.iter().map(|(_, answer)| *answer).eq(owners.into_iter().chain([kind::UPDATE; 4])));
    for (request, answer) in [
        pair::<IdentifyRequest>(),
        pair::<OpenRequest>(),
        pair::<VendRequest>(),
        pair::<QueryRequest>(),
        pair::<ForgetRequest>(),
        pair::<ConfigureRequest>(),
        pair::<LanesRequest>(),
        pair::<LaneScanRequest>(),
        pair::<EventsRequest>(),
        pair::<UpdateBeginRequest>(),
    ] {
        assert_eq!(answer, request + 0x40);
    }
}
