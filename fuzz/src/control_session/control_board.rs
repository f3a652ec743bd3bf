//! A control board: the session and the gate, and a motor of which only the ends of its turns are looked at.

use vend_protocol::{
    ConfigHash, DropReport, List, MotorCode, Outcome, Start, Text,
    control_link::{
        AbortRequest, BoardHandler, BoardSession, BoardStatus, EventsAnswer, EventsRequest, Evidence,
        Features, ForgetAnswer, ForgetRequest, Identity, OpenAnswer, OpenRequest, QueryAnswer, Refusal,
        SensorState, VendAnswer, VendGate, VendRequest, VendResult,
    },
};

use super::ledger::Ledger;

/// The configuration that every board has.
pub(super) const CONFIG: ConfigHash = ConfigHash([3; 8]);
/// Its longest vend.
pub(super) const MAX_VEND_MS: u32 = 400;
/// Its lanes; orders name one more.
pub(super) const LANES: u16 = 3;

/// The address of a board.
pub(super) fn address(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(0) + 1
}

pub(super) struct ControlBoard {
    session: BoardSession,
    inner: Inner,
}

/// What is not the session.
struct Inner {
    number: usize,
    gate: VendGate,
    boot: u32,
    door_open: bool,
    blocked: bool,
    tired: bool,
    /// The vend that moves.
    motor: Option<VendRequest>,
    /// Each vend is measured otherwise, so that one result is not taken for another.
    measured: u32,
}

impl ControlBoard {
    pub(super) fn new(number: usize) -> Self {
        Self {
            session: BoardSession::new(address(number)),
            inner: Inner {
                number,
                gate: VendGate::new(CONFIG),
                boot: 1,
                door_open: false,
                blocked: false,
                tired: false,
                motor: None,
                measured: 0,
            },
        }
    }

    /// Power comes back. What was in RAM is gone, and a motor that ran has stopped.
    pub(super) fn restart(&mut self) {
        self.session = BoardSession::new(address(self.inner.number));
        self.inner.gate = VendGate::new(CONFIG);
        self.inner.boot += 1;
        self.inner.motor = None;
    }

    pub(super) const fn toggle_door(&mut self) {
        self.inner.door_open = !self.inner.door_open;
    }

    pub(super) const fn toggle_sensor(&mut self) {
        self.inner.blocked = !self.inner.blocked;
    }

    pub(super) const fn toggle_tired(&mut self) {
        self.inner.tired = !self.inner.tired;
    }

    pub(super) const fn mend(&mut self) {
        (self.inner.door_open, self.inner.blocked, self.inner.tired) = (false, false, false);
    }

    /// Takes bytes of the line and gives its answers.
    pub(super) fn hear(&mut self, now_ms: u64, bytes: &[u8], ledger: &mut Ledger) -> Vec<Vec<u8>> {
        let mut handler = Handler { board: &mut self.inner, now_ms, ledger };
        let answer = |byte: &u8| self.session.handle_byte(*byte, &mut handler).map(<[u8]>::to_vec);
        bytes.iter().filter_map(answer).collect()
    }

    /// Its loop: begins what was accepted.
    pub(super) fn turn(&mut self, now_ms: u64, ledger: &mut Ledger) {
        let board = &mut self.inner;
        if let Some(request) = board.gate.poll_start(now_ms) {
            assert_eq!(board.motor, None, "two motors at once");
            ledger.started(board.number, &request);
            board.motor = Some(request);
        }
    }

    /// The motor comes to rest, with something seen to fall or not.
    pub(super) fn rest(&mut self, how: u8, ledger: &mut Ledger) {
        let board = &mut self.inner;
        let Some(request) = board.motor.take() else { return };
        board.measured += 1;
        let outcome = Outcome {
            start: Start::Started,
            motor: if board.gate.is_aborted() { MotorCode::ABORTED } else { MotorCode(how / 2) },
            drop: if how.is_multiple_of(2) { DropReport::Seen } else { DropReport::NotSeen },
            interrupted: false,
        };
        let evidence = Evidence { run_ms: board.measured, ..Evidence::default() };
        let result = VendResult { outcome, evidence };
        ledger.rested(&request, result);
        board.gate.finish(request.vend, result);
    }
}

/// Answers the main board.
struct Handler<'a> {
    board: &'a mut Inner,
    now_ms: u64,
    ledger: &'a mut Ledger,
}

impl BoardHandler for Handler<'_> {
    fn identify(&mut self) -> Identity {
        Identity {
            lanes: LANES,
            max_vend_ms: MAX_VEND_MS,
            frame_max: 256,
            features: Features::default(),
            version: 1,
            firmware: Text::default(),
            hardware: Text::default(),
            serial: Text::default(),
        }
    }

    fn query(&mut self) -> QueryAnswer {
        let status = BoardStatus {
            boot: self.board.boot,
            sensor: if self.board.blocked { SensorState::BLOCKED } else { SensorState::CLEAR },
            door_open: self.board.door_open,
            late_drops: 0,
            faults: 0,
            inputs: 0,
            temperatures_dc: List::default(),
            supply_mv: 0,
            newest_event: 0,
        };
        self.board.gate.query(self.now_ms, status)
    }

    fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
        self.ledger.opened(request);
        self.board.gate.open(self.now_ms, request)
    }

    fn vend(&mut self, request: &VendRequest) -> VendAnswer {
        let (blocked, tired) = (self.board.blocked, self.board.tired);
        let answer = self.board.gate.vend(self.now_ms, request, |vend| {
            if vend.lane.number() > LANES {
                Err(Refusal::LANE)
            } else if blocked && !vend.limits.without_sensor {
                Err(Refusal::LIMITS)
            } else if tired {
                Err(Refusal::COOLING_DOWN)
            } else {
                Ok(())
            }
        });
        if let VendAnswer::Refused(_) = answer {
            self.ledger.refused(request);
        }
        answer
    }

    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
        let held = self.query().last;
        let answer = self.board.gate.forget(self.now_ms, request);
        if let (Some(held), None) = (held, self.query().last) {
            self.ledger.forgot(held.vend.number());
        }
        answer
    }

    fn abort(&mut self, request: &AbortRequest) -> Option<VendAnswer> {
        Some(self.board.gate.abort(self.now_ms, request))
    }

    /// The answer names the request and the board, so that no other passes for it.
    fn events(&mut self, request: &EventsRequest) -> Option<EventsAnswer> {
        let uptime_ms = u32::from(address(self.board.number));
        Some(EventsAnswer { boot: request.boot, uptime_ms, events: List::default(), more: false })
    }
}
