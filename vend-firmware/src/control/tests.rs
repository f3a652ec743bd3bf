extern crate std;

use std::vec::Vec;

use vend_hal::{BoardConfig, BoardState, Instant, Outcome};
use vend_protocol::{
    ConfigHash, SlotId,
    control_link::{Answer, Exchange, Master, QueryAnswer, VendLabel, VendLimits},
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
        Self { master: Master::new(1, 7), responder, board: Board(state) }
    }

    fn ask(&mut self, exchange: Exchange) -> Answer {
        let mut line = [0; LINE_MAX];
        self.master.begin(0, exchange);
        let len = self.master.poll_transmit(0, &mut line).unwrap().unwrap();
        let mut decoder = Decoder::<CONTROL_FRAME_MAX>::new();
        let mut answers = Vec::new();
        for byte in line.into_iter().take(len) {
            let mut out = [0; LINE_MAX];
            if let Some(len) = self.responder.handle_byte(byte, &mut self.board, &mut out) {
                for byte in &out[..len] {
                    if let Some(frame) = decoder.push(*byte) {
                        answers.extend(self.master.handle_frame(frame));
                    }
                }
            }
        }
        assert_eq!(answers.len(), 1);
        answers[0].1
    }

    fn vend(&mut self, vend: u64, slot: u64, limits: VendLimits) -> VendAnswer {
        let request = VendRequest {
            nonce: vend_protocol::Nonce([1; 16]),
            vend: vend_protocol::VendId::new(vend).unwrap(),
            config: ConfigHash([0; 8]),
            lane: SlotId::new(slot).unwrap(),
            limits,
            label: VendLabel { authority: 1, line: 0 },
        };
        match self.ask(Exchange::Vend(request)) {
            Answer::Vending(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self) -> QueryAnswer {
        match self.ask(Exchange::Query) {
            Answer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, config: [u8; 8]) -> Answer {
        let nonce = vend_protocol::Nonce([1; 16]);
        self.ask(Exchange::Open(OpenRequest { nonce, config: ConfigHash(config) }))
    }
}

#[test]
fn a_vend_is_started_once_reported_and_forgotten() {
    let mut line = Line::new();
    assert_eq!(line.open([0; 8]), Answer::Opened(OpenAnswer { refused: None }));
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
    let forget = ForgetRequest { nonce: vend_protocol::Nonce([1; 16]), vend: last.vend };
    for _ in 0..2 {
        assert_eq!(line.ask(Exchange::Forget(forget)), Answer::Forgotten(ForgetAnswer { refused: None }));
    }
    assert_eq!(line.status().last, None);
}

#[test]
fn what_the_board_must_not_do_is_refused_by_name() {
    let mut line = Line::new();
    let refused = |refusal| VendAnswer::Refused(refusal);
    assert_eq!(line.vend(4, 3, VendLimits::default()), refused(Refusal::NONCE));
    assert_eq!(line.open([9; 8]), Answer::Opened(OpenAnswer { refused: Some(Refusal::CONFIG) }));
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
fn noise_and_frames_for_others_are_not_answered() {
    let mut line = Line::new();
    let mut out = [0; LINE_MAX];
    let mut rng = 1u32;
    for _ in 0..100_000 {
        rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = rng.to_le_bytes()[3];
        assert_eq!(line.responder.handle_byte(byte, &mut line.board, &mut out), None);
    }
    let mut other = Master::new(2, 7);
    other.begin(0, Exchange::Query);
    let mut request = [0; LINE_MAX];
    let len = other.poll_transmit(0, &mut request).unwrap().unwrap();
    for byte in &request[..len] {
        assert_eq!(line.responder.handle_byte(*byte, &mut line.board, &mut out), None);
    }
}
