extern crate std;

use vend_hal::{BoardConfig, BoardState, Instant, Outcome};
use vend_protocol::{
    ConfigHash, SlotId,
    cobs::Decoder,
    control_link::{
        AbortRequest, IdentifyRequest, Master, NoAnswer, QueryRequest, Request, SelfTestRequest, VendLabel,
        VendLimits,
    },
    frame::CONTROL_FRAME_MAX,
};

use super::*;

struct Board(BoardState);

const NOW: Instant = Instant::ORIGIN;

impl Commands for Board {
    fn open(&mut self, nonce: Nonce) -> Result<Opened, OpenRefused> {
        self.0.open(NOW, nonce)
    }

    fn query(&mut self) -> BoardStatus {
        self.0.query(NOW)
    }

    fn start(&mut self, command: &VendCommand) -> Result<VendState, StartRefused> {
        self.0.start(NOW, command)
    }

    fn forget(&mut self, nonce: Nonce, vend: VendId) -> Result<(), ForgetRefused> {
        self.0.forget(NOW, nonce, vend)
    }
}

/// A master, a line and a board.
struct Line {
    master: Master,
    responder: Responder,
    board: Board,
}

impl Line {
    fn new() -> Self {
        let mut state = BoardState::new(BoardConfig::default(), 6);
        state.note_sensor(vend_hal::SensorState::Ok);
        let responder = Responder::new(ControlConfig::default());
        Self { master: Master::new(7), responder, board: Board(state) }
    }

    fn try_ask<R: Request>(&mut self, request: &R) -> Result<R::Answer, NoAnswer> {
        self.master.begin(0, 1, request).unwrap();
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        let mut answers = std::vec::Vec::new();
        for byte in self.master.poll_transmit(0).unwrap().to_vec() {
            for byte in self.responder.handle_byte(byte, &mut self.board).unwrap_or_default() {
                if let Some(frame) = decoder.push(*byte) {
                    answers.extend(self.master.handle_frame(frame).map(|reply| reply.answer::<R>()));
                }
            }
        }
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    fn ask<R: Request>(&mut self, request: &R) -> R::Answer {
        self.try_ask(request).unwrap_or_else(|error| panic!("{error}"))
    }

    fn vend(&mut self, vend: u64, slot: u64, limits: VendLimits) -> VendAnswer {
        self.ask(&VendRequest {
            nonce: vend_protocol::Nonce([1; 16]),
            vend: vend_protocol::VendId::new(vend).unwrap(),
            config: ConfigHash([0; 8]),
            lane: SlotId::new(slot).unwrap(),
            limits,
            label: VendLabel { authority: 1, line: 0 },
        })
    }

    fn status(&mut self) -> QueryAnswer {
        self.ask(&QueryRequest {})
    }

    fn open(&mut self, config: [u8; 8]) -> OpenAnswer {
        let nonce = vend_protocol::Nonce([1; 16]);
        self.ask(&OpenRequest { nonce, config: ConfigHash(config) })
    }
}

#[test]
fn a_vend_is_started_once_reported_and_forgotten() {
    let mut line = Line::new();
    assert_eq!(line.open([0; 8]), OpenAnswer { refused: None });
    let running = VendAnswer::State(vend_protocol::control_link::VendState::Running);
    assert_eq!(line.vend(4, 3, VendLimits::default()), running);
    assert_eq!(line.vend(4, 3, VendLimits::default()), running);
    let order = line.board.0.take_order(NOW).unwrap();
    assert_eq!(order.lane.index(), 2, "slot 3 is lane 2");
    assert_eq!(order.limits.extra_quarter_turns, 0, "the stricter limit");
    line.board.0.finish(order.vend_id, Outcome::interrupted());
    let last = line.status().last.unwrap();
    let vend_protocol::control_link::VendState::Done(result) = last.state else { panic!("running") };
    assert_eq!(result.outcome.verdict(), vend_protocol::Verdict::Unknown);
    let forget = ForgetRequest { nonce: last.nonce, vend: last.vend };
    for _ in 0..2 {
        assert_eq!(line.ask(&forget), ForgetAnswer { refused: None });
    }
    assert_eq!(line.status().last, None);
}

#[test]
fn what_the_board_must_not_do_is_refused_by_name() {
    let mut line = Line::new();
    let refused = |refusal| VendAnswer::Refused(refusal);
    assert_eq!(line.vend(4, 3, VendLimits::default()), refused(Refusal::NONCE));
    assert_eq!(line.open([9; 8]), OpenAnswer { refused: Some(Refusal::CONFIG) });
    line.open([0; 8]);
    assert_eq!(line.vend(4, 7, VendLimits::default()), refused(Refusal::LANE));
    assert_eq!(line.vend(4, 999, VendLimits::default()), refused(Refusal::LANE));
    let short = VendLimits { max_vend_ms: 100, ..VendLimits::default() };
    assert_eq!(line.vend(4, 3, short), refused(Refusal::LIMITS));
    line.board.0.note_sensor(vend_hal::SensorState::NotFitted);
    assert_eq!(line.vend(4, 3, VendLimits::default()), refused(Refusal::LIMITS));
    let without_sensor = VendLimits { without_sensor: true, ..VendLimits::default() };
    assert!(matches!(line.vend(4, 3, without_sensor), VendAnswer::State(_)));
}

#[test]
fn a_repeat_is_answered_with_its_state_whatever_changed_meanwhile() {
    let mut line = Line::new();
    line.open([0; 8]);
    let running = line.vend(4, 3, VendLimits::default());
    line.board.0.note_sensor(vend_hal::SensorState::NotFitted);
    assert_eq!(
        line.vend(4, 3, VendLimits::default()),
        running,
        "a refusal would say that nothing was started"
    );
}

#[test]
fn what_vend_hal_cannot_do_is_unsupported() {
    let mut line = Line::new();
    let abort =
        AbortRequest { nonce: vend_protocol::Nonce([1; 16]), vend: vend_protocol::VendId::new(4).unwrap() };
    assert_eq!(line.try_ask(&abort), Err(NoAnswer::Unsupported));
    assert_eq!(line.try_ask(&SelfTestRequest { task: 1 }), Err(NoAnswer::Unsupported));
    assert_eq!(line.ask(&IdentifyRequest {}).features, Features::DROP_SENSOR);
}

#[test]
fn noise_and_frames_for_others_are_not_answered() {
    let mut line = Line::new();
    let mut rng = 1u32;
    for _ in 0..100_000 {
        rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = rng.to_le_bytes()[3];
        assert_eq!(line.responder.handle_byte(byte, &mut line.board), None);
    }
    let mut other = Master::new(7);
    other.begin(0, 2, &QueryRequest {}).unwrap();
    for byte in other.poll_transmit(0).unwrap() {
        assert_eq!(line.responder.handle_byte(*byte, &mut line.board), None);
    }
}
