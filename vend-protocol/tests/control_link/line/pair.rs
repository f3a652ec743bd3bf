//! A line, one board on it, and a perfect wire.

use vend_protocol::{
    ConfigHash, DropReport, List, MotorCode, Nonce, Outcome, Reason, SlotId, Start, VendId,
    control_link::{
        AbortRequest, AskError, BoardHandler, BoardLink, BoardSession, BoardStatus, Evidence, Features,
        ForgetAnswer, ForgetRequest, Identity, Line, OpenAnswer, OpenRequest, QueryAnswer, Reply, Request,
        SensorState, VendAnswer, VendEnd, VendEvent, VendGate, VendLabel, VendLimits, VendOrder, VendRequest,
        VendResult,
    },
};

pub(super) const CONFIG: ConfigHash = ConfigHash([3; 8]);

/// A board that does as it is told.
pub(super) struct Board {
    pub(super) gate: VendGate,
    pub(super) status: BoardStatus,
    pub(super) now_ms: u64,
    /// What it says to every vend, if it does not go by the rules.
    pub(super) says: Option<VendAnswer>,
    pub(super) identified: u32,
    pub(super) openings: Vec<u64>,
    pub(super) asked: Vec<u8>,
}

impl Board {
    pub(super) fn new(boot: u32) -> Self {
        let status = BoardStatus {
            boot,
            sensor: SensorState::CLEAR,
            door_open: false,
            late_drops: 0,
            faults: 0,
            inputs: 0,
            temperatures_dc: List::default(),
            supply_mv: 0,
            newest_event: 0,
        };
        let gate = VendGate::new(CONFIG);
        Self { gate, status, now_ms: 0, says: None, identified: 0, openings: vec![], asked: vec![] }
    }
}

impl BoardHandler for Board {
    fn identify(&mut self) -> Identity {
        self.identified += 1;
        let text = "test".try_into().unwrap();
        Identity {
            lanes: 6,
            max_vend_ms: 30_000,
            frame_max: 256,
            features: Features::DROP_SENSOR,
            version: 0,
            firmware: text,
            hardware: text,
            serial: text,
        }
    }

    fn query(&mut self) -> QueryAnswer {
        self.gate.query(self.now_ms, self.status)
    }

    fn open(&mut self, request: &OpenRequest) -> OpenAnswer {
        self.openings.push(self.now_ms);
        self.gate.open(self.now_ms, request)
    }

    fn vend(&mut self, request: &VendRequest) -> VendAnswer {
        let answer = self.says;
        answer.unwrap_or_else(|| self.gate.vend(self.now_ms, request, |_| Ok(())))
    }

    fn forget(&mut self, request: &ForgetRequest) -> ForgetAnswer {
        self.gate.forget(self.now_ms, request)
    }

    fn abort(&mut self, request: &AbortRequest) -> Option<VendAnswer> {
        Some(self.gate.abort(self.now_ms, request))
    }
}

pub(super) struct Pair {
    pub(super) now_ms: u64,
    pub(super) line: Line<1>,
    pub(super) session: BoardSession,
    pub(super) board: Option<Board>,
    /// The main board gives its board a nonce when it wants one.
    pub(super) opens: bool,
    pub(super) nonces: u8,
    pub(super) events: Vec<VendEvent>,
    /// There is room in the journal for the outcome of a vend.
    pub(super) journals: bool,
    /// Requests of this kind are lost.
    pub(super) loses: Option<u8>,
    /// Replies to the owner's own request, as the reader makes of them.
    pub(super) reader: fn(&Reply<'_>) -> String,
    pub(super) replies: Vec<String>,
    pub(super) unanswered: u32,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self {
            now_ms: 0,
            line: Line::new(5, [BoardLink::new(1, CONFIG, None)]),
            session: BoardSession::new(1),
            board: Some(Board::new(1)),
            opens: true,
            nonces: 0,
            events: vec![],
            journals: true,
            loses: None,
            reader: |_| String::new(),
            replies: vec![],
            unanswered: 0,
        }
    }

    /// A pair whose board is ready.
    pub(super) fn ready() -> Self {
        let mut pair = Self::new();
        pair.run(1_000);
        assert_eq!(pair.readiness(), Ok(()));
        pair
    }

    pub(super) fn run(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.unanswered += u32::from(self.line.handle_timeout(self.now_ms));
            let link = self.line.board_mut(0).unwrap();
            if self.opens && link.wants_nonce(self.now_ms) {
                self.nonces += 1;
                link.nonce_journaled(Nonce([self.nonces; 16]));
            }
            while let Some(event) = self.line.poll_vend(self.now_ms, 0) {
                self.events.push(event);
                if self.journals {
                    self.line.vend_journaled(self.now_ms, 0);
                }
            }
            while self.exchange() {}
            self.now_ms = self.line.poll_timeout().clamp(self.now_ms + 1, end_ms);
        }
    }

    /// One request and its answer, if there is one to be made.
    pub(super) fn exchange(&mut self) -> bool {
        let Some(sent) = self.line.poll_transmit(self.now_ms).map(<[u8]>::to_vec) else { return false };
        let kind = sent[3];
        let Some(board) = self.board.as_mut().filter(|_| self.loses != Some(kind)) else { return true };
        board.now_ms = self.now_ms;
        let mut answer = vec![];
        for byte in &sent {
            answer.extend_from_slice(self.session.handle_byte(*byte, board).unwrap_or_default());
        }
        board.asked.push(kind);
        for byte in answer {
            let reply = self.line.handle_byte(self.now_ms, byte).map(|reply| (self.reader)(&reply));
            self.replies.extend(reply);
        }
        true
    }

    pub(super) fn ask<R: Request>(&mut self, request: &R, reader: fn(&Reply<'_>) -> String) {
        self.reader = reader;
        // Whatever is under way ends first.
        while self.line.ask(self.now_ms, 0, request) == Err(AskError::Busy) {
            self.run(1);
        }
    }

    pub(super) fn link(&mut self) -> &mut BoardLink {
        self.line.board_mut(0).unwrap()
    }

    pub(super) fn board(&mut self) -> &mut Board {
        self.board.as_mut().unwrap()
    }

    pub(super) fn readiness(&self) -> Result<(), Reason> {
        self.line.board(0).unwrap().readiness(self.now_ms, false)
    }

    pub(super) fn start(&mut self, vend: u64) {
        let order = order(vend, self.now_ms + 60_000);
        assert!(self.line.start_vend(self.now_ms, 0, order));
    }

    /// How the only vend ended.
    pub(super) fn end(&self) -> VendEnd {
        let ends: Vec<_> = self.events.iter().filter(|event| matches!(event, VendEvent::Ended(_))).collect();
        let [VendEvent::Ended(end)] = ends[..] else { panic!("{:?}", self.events) };
        *end
    }
}

pub(super) fn number(vend: u64) -> VendId {
    VendId::new(vend).unwrap()
}

pub(super) fn order(vend: u64, not_after_ms: u64) -> VendOrder {
    VendOrder {
        vend: number(vend),
        lane: SlotId::new(2).unwrap(),
        limits: VendLimits::default(),
        label: VendLabel { authority: 9, line: 0 },
        not_after_ms,
    }
}

pub(super) fn sold() -> VendResult {
    let outcome =
        Outcome { start: Start::Started, motor: MotorCode::OK, drop: DropReport::Seen, interrupted: false };
    VendResult { outcome, evidence: Evidence { run_ms: 2_600, lowest_supply_mv: 21_900, ..Evidence::NONE } }
}
