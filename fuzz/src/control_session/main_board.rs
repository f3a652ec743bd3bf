//! The main board: its end of the line, and the journal behind it.

use vend_protocol::{
    Nonce, SlotId, VendId,
    control_link::{
        AbortRequest, BoardLink, EventsAnswer, EventsRequest, LanesRequest, Line, NoAnswer, Reply, VendEnd,
        VendEvent, VendLabel, VendLimits, VendOrder,
    },
};

use super::{
    BOARDS,
    control_board::{CONFIG, LANES, MAX_VEND_MS, address},
    ledger::Ledger,
};
use crate::sample::mix;

/// How long an order may wait to be sent, in milliseconds.
const PATIENCE_MS: u64 = 1_500;

pub(super) struct MainBoard {
    line: Line<BOARDS>,
    asked: Option<Asked>,
    journals: [Journal; BOARDS],
    /// Nonces, vends and requests are numbered, each differently.
    drawn: u32,
}

/// What is in flash about one board.
#[derive(Clone, Copy, Default)]
struct Journal {
    nonce: Option<Nonce>,
    /// The vend without an outcome.
    open: Option<VendId>,
    /// The outcome that is to be journaled: in RAM.
    told: Option<VendEnd>,
}

/// A request of the owner's own.
#[derive(Clone, Copy)]
enum Asked {
    Events(EventsRequest, usize),
    Lanes,
    Abort,
}

impl MainBoard {
    pub(super) fn new() -> Self {
        let journals = [Journal::default(); BOARDS];
        Self { line: line(0, &journals), asked: None, journals, drawn: 0 }
    }

    /// Power comes back: what was not journaled is gone.
    pub(super) fn restart(&mut self, now_ms: u64) {
        self.drawn += 1;
        self.line = line(self.drawn, &self.journals);
        self.asked = None;
        for (board, journal) in self.journals.iter_mut().enumerate() {
            journal.told = None;
            if let Some(vend) = journal.open {
                assert!(self.line.recover_vend(now_ms, board, vend, MAX_VEND_MS));
            }
        }
    }

    /// Orders a vend, if the board has none; gives its number.
    pub(super) fn sell(&mut self, now_ms: u64, board: usize, lane: u8, ledger: &mut Ledger) -> Option<u32> {
        if self.line.board(board).is_none_or(BoardLink::is_vending) {
            return None;
        }
        self.drawn += 1;
        let order = VendOrder {
            vend: VendId::new(self.drawn.into()).expect("from 1"),
            lane: SlotId::new(u64::from(u16::from(lane) % (LANES + 1) + 1)).expect("few lanes"),
            limits: VendLimits {
                max_vend_ms: MAX_VEND_MS,
                extra_quarter_turns: lane >> 6,
                without_sensor: lane & 0x20 != 0,
            },
            label: VendLabel { authority: self.drawn.into(), line: lane },
            not_after_ms: now_ms + PATIENCE_MS,
        };
        self.journals[board].open = Some(order.vend);
        ledger.ordered(board, order);
        assert!(self.line.start_vend(now_ms, board, order), "a board without a vend takes one");
        Some(self.drawn)
    }

    /// Journals the outcome that was told.
    pub(super) fn journal(&mut self, now_ms: u64, board: usize, ledger: &mut Ledger) {
        if let Some(end) = self.journals[board].told.take() {
            self.journals[board].open = None;
            ledger.journaled(&end);
            self.line.vend_journaled(now_ms, board);
        }
    }

    pub(super) fn ask(&mut self, now_ms: u64, board: usize, what: u8) {
        self.drawn += 1;
        let nonce = self.journals[board].nonce.unwrap_or(Nonce([0; 16]));
        let vend = self.journals[board].open;
        let (asked, begun) = match (what % 3, vend) {
            (0, Some(vend)) => (Asked::Abort, self.line.ask(now_ms, board, &AbortRequest { nonce, vend })),
            (1, _) => {
                let from = SlotId::new(1).expect("a lane");
                (Asked::Lanes, self.line.ask(now_ms, board, &LanesRequest { from }))
            }
            _ => {
                let request = EventsRequest { boot: self.drawn, after: 0 };
                (Asked::Events(request, board), self.line.ask(now_ms, board, &request))
            }
        };
        if begun.is_ok() {
            assert!(self.asked.replace(asked).is_none(), "two requests at once");
        }
    }

    /// Takes bytes of the line.
    pub(super) fn hear(&mut self, now_ms: u64, bytes: &[u8]) {
        for byte in bytes {
            if let Some(reply) = self.line.handle_byte(now_ms, *byte) {
                check(self.asked.take().expect("a reply to nothing"), &reply);
            }
        }
    }

    /// Its loop; gives what is to be put on the line.
    pub(super) fn turn(&mut self, now_ms: u64, ledger: &mut Ledger) -> Option<Vec<u8>> {
        if self.line.handle_timeout(now_ms) {
            assert!(self.asked.take().is_some(), "no reply to nothing");
        }
        for board in 0..BOARDS {
            if self.line.board(board).is_some_and(|link| link.wants_nonce(now_ms)) {
                self.drawn += 1;
                let nonce = nonce(self.drawn);
                ledger.journaled_nonce(nonce);
                self.journals[board].nonce = Some(nonce);
                self.line.board_mut(board).expect("it was there").nonce_journaled(nonce);
            }
            while let Some(event) = self.line.poll_vend(now_ms, board) {
                match event {
                    VendEvent::Ended(end) => {
                        assert_eq!(self.journals[board].open, Some(end.vend), "the end of another vend");
                        ledger.told(&end);
                        assert!(self.journals[board].told.replace(end).is_none(), "two ends at once");
                    }
                    VendEvent::Over(vend) => ledger.over(vend.number()),
                }
            }
        }
        let bytes = self.line.poll_transmit(now_ms).map(<[u8]>::to_vec);
        assert!(self.line.poll_timeout() > now_ms, "its own time does not come");
        bytes
    }

    pub(super) fn timeout(&self) -> u64 {
        self.line.poll_timeout()
    }

    /// Whether every board waits for an order.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        (0..BOARDS)
            .all(|board| self.line.board(board).is_some_and(|link| link.readiness(now_ms, false).is_ok()))
    }
}

fn line(drawn: u32, journals: &[Journal; BOARDS]) -> Line<BOARDS> {
    let [first, second] = journals;
    let boards =
        [BoardLink::new(address(0), CONFIG, first.nonce), BoardLink::new(address(1), CONFIG, second.nonce)];
    // As good as random.
    Line::new(u32::try_from(mix(drawn.into()) >> 32).unwrap_or(0), boards)
}

fn nonce(drawn: u32) -> Nonce {
    let mut nonce = [0; 16];
    nonce[..4].copy_from_slice(&drawn.to_le_bytes());
    Nonce(nonce)
}

/// The reply is to what was asked.
fn check(asked: Asked, reply: &Reply<'_>) {
    match asked {
        Asked::Events(EventsRequest { boot, .. }, board) => {
            let answer: EventsAnswer = reply.answer::<EventsRequest>().expect("every board serves it");
            assert_eq!(
                (answer.boot, answer.uptime_ms),
                (boot, u32::from(address(board))),
                "another's answer"
            );
        }
        Asked::Lanes => assert_eq!(reply.answer::<LanesRequest>(), Err(NoAnswer::Unsupported)),
        Asked::Abort => drop(reply.answer::<AbortRequest>().expect("every board serves it")),
    }
}
