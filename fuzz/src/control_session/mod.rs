//! A main board and two control boards on one line, with noise on it and with power cuts at either end.

mod control_board;
mod ledger;
mod main_board;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::script::{self, Way};
use control_board::ControlBoard;
use ledger::Ledger;
use main_board::MainBoard;

/// Control boards on the line.
const BOARDS: usize = 2;
/// After this each board was asked how it is, in milliseconds.
const ALL_ASKED_MS: u64 = 1_000;
/// Rounds over a good line in which everything has to come to its end. Most need ten; the longest wait is for another opening.
const ROUNDS_MAX: u32 = 2_000;

/// One of the boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub(crate) struct Which(pub(crate) usize);

impl From<u8> for Which {
    fn from(byte: u8) -> Self {
        Self(usize::from(byte) % BOARDS)
    }
}

impl From<Which> for u8 {
    fn from(which: Which) -> Self {
        Self::from(which.0 == 1)
    }
}

/// What may happen. [`Way::Up`] is from the main board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The frame that is due arrives.
    Deliver(Way),
    /// Four milliseconds for each, then a turn of the main board.
    Tick(u8),
    /// Time goes on to when the main board has something to do, and it does it.
    Wait,
    /// The main board wants a vend of this lane.
    Sell(Which, u8),
    /// The main board journals the outcome that it was told.
    Journal(Which),
    /// The main board makes a request of its own.
    Ask(Which, u8),
    /// The control board's loop: it begins what was accepted.
    Move(Which),
    /// The motor comes to rest.
    Rest(Which, u8),
    /// The door is opened or closed.
    Door(Which),
    /// The drop sensor is blocked or free.
    Block(Which),
    /// The motors have to rest, or may run again.
    Tire(Which),
    /// The frame that is due is lost.
    Lose(Way),
    /// A byte of it is changed.
    Damage(Way, u8, u8),
    /// A byte of it is lost.
    Cut(Way, u8),
    /// A stray byte.
    Noise(Way, u8),
    /// A copy of a frame that arrived arrives late.
    Again(Way, u8),
    /// The main board hears what it says.
    Echo,
    /// The main board loses power.
    RestartMain,
    /// A control board loses power.
    RestartBoard(Which),
}

/// The number of steps above.
pub(crate) const VARIANTS: u8 = 19;

/// The input is a list of steps.
///
/// Holds, at each step: each vend starts at most once, as it was ordered, under a nonce that was journaled before, and never when
/// the main board was told that it did not start; the outcome that the main board is told is the one that the board had for that
/// very vend, or unknown, told once; a result is forgotten after it was journaled; the reply to a request is that request's. At the
/// end, over a good line, every vend has an end and the next one sells.
///
/// A frame is changed once at most, so that its checksum must notice. A late copy is of a frame that arrived, and does not outlive
/// a power cut of the board it comes to.
pub fn control_session(data: &[u8]) {
    let mut world = World::new();
    for step in script::read::<Step>(VARIANTS, data) {
        script::show(&step);
        world.take(step);
    }
    world.end_well();
}

struct World {
    now_ms: u64,
    main: MainBoard,
    boards: [ControlBoard; BOARDS],
    ledger: Ledger,
    wires: [Wire; 2],
}

/// One direction of the line.
#[derive(Default)]
struct Wire {
    due: VecDeque<Coded>,
    arrived: Vec<Vec<u8>>,
}

/// A frame on the line.
struct Coded {
    bytes: Vec<u8>,
    damaged: bool,
}

impl World {
    fn new() -> Self {
        Self {
            now_ms: 0,
            main: MainBoard::new(),
            boards: [ControlBoard::new(0), ControlBoard::new(1)],
            ledger: Ledger::default(),
            wires: Default::default(),
        }
    }

    fn wire(&mut self, way: Way) -> &mut Wire {
        let [up, down] = &mut self.wires;
        match way {
            Way::Up => up,
            Way::Down => down,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Deliver(way) => self.deliver(way),
            Step::Tick(by) => {
                self.now_ms += u64::from(by) * 4;
                self.turn();
            }
            Step::Wait => {
                self.now_ms = self.now_ms.max(self.main.timeout());
                self.turn();
            }
            Step::Sell(which, lane) => {
                self.main.sell(self.now_ms, which.0, lane, &mut self.ledger);
            }
            Step::Journal(which) => self.main.journal(self.now_ms, which.0, &mut self.ledger),
            Step::Ask(which, what) => self.main.ask(self.now_ms, which.0, what),
            Step::Move(which) => self.boards[which.0].turn(self.now_ms, &mut self.ledger),
            Step::Rest(which, how) => self.boards[which.0].rest(how, &mut self.ledger),
            Step::Door(which) => self.boards[which.0].toggle_door(),
            Step::Block(which) => self.boards[which.0].toggle_sensor(),
            Step::Tire(which) => self.boards[which.0].toggle_tired(),
            Step::Lose(way) => drop(self.wire(way).due.pop_front()),
            Step::Damage(way, at, with) => self.damage(way, |bytes| {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
            }),
            Step::Cut(way, at) => self.damage(way, |bytes| {
                bytes.remove(usize::from(at) % bytes.len());
            }),
            Step::Noise(way, byte) => self.carry(way, &[byte]),
            Step::Again(way, which) => {
                // Counted from the last, so that a step means the same when the story before it changes.
                let copy = self.wire(way).arrived.iter().rev().nth(usize::from(which)).cloned();
                if let Some(copy) = copy {
                    self.carry(way, &copy);
                }
            }
            Step::Echo => {
                if let Some(frame) = self.wire(Way::Up).due.front() {
                    let bytes = frame.bytes.clone();
                    self.main.hear(self.now_ms, &bytes);
                }
            }
            Step::RestartMain => self.main.restart(self.now_ms),
            Step::RestartBoard(which) => {
                self.boards[which.0].restart();
                self.wire(Way::Up).arrived.clear();
            }
        }
    }

    /// The main board's loop.
    fn turn(&mut self) {
        if let Some(bytes) = self.main.turn(self.now_ms, &mut self.ledger) {
            script::show(&format_args!("  {} ms, main board: {bytes:02x?}", self.now_ms));
            self.ledger.sent(self.now_ms, &bytes);
            self.wire(Way::Up).due.push_back(Coded { bytes, damaged: false });
        }
    }

    fn deliver(&mut self, way: Way) {
        if let Some(frame) = self.wire(way).due.pop_front() {
            self.carry(way, &frame.bytes);
            self.wire(way).arrived.push(frame.bytes);
        }
    }

    /// Bytes arrive. All boards hear both ways: the line is a bus, and an answer's first zero may end a request that lost its last.
    fn carry(&mut self, way: Way, bytes: &[u8]) {
        self.boards_hear(bytes);
        if way == Way::Down {
            self.main.hear(self.now_ms, bytes);
        }
    }

    fn boards_hear(&mut self, bytes: &[u8]) {
        for board in &mut self.boards {
            for answer in board.hear(self.now_ms, bytes, &mut self.ledger) {
                script::show(&format_args!("  {} ms, control board: {answer:02x?}", self.now_ms));
                self.wires[1].due.push_back(Coded { bytes: answer, damaged: false });
            }
        }
    }

    fn damage(&mut self, way: Way, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(frame) = self.wire(way).due.front_mut().filter(|frame| !frame.damaged) {
            frame.damaged = true;
            change(&mut frame.bytes);
        }
    }

    /// The line is good, the doors are closed, and nobody is cut from power any more.
    fn end_well(&mut self) {
        self.boards.iter_mut().for_each(ControlBoard::mend);
        self.settle();
        let orders = [0, 1].map(|board| self.main.sell(self.now_ms, board, 1, &mut self.ledger));
        self.settle();
        for order in orders {
            self.ledger.has_sold(order.expect("a board with nothing to do takes an order"));
        }
    }

    /// Goes on until nothing is under way.
    fn settle(&mut self) {
        let until_ms = self.now_ms + ALL_ASKED_MS;
        for _ in 0..ROUNDS_MAX {
            self.turn();
            while let Some(frame) = self.wire(Way::Up).due.pop_front() {
                self.boards_hear(&frame.bytes);
            }
            while let Some(frame) = self.wire(Way::Down).due.pop_front() {
                self.main.hear(self.now_ms, &frame.bytes);
            }
            for board in 0..BOARDS {
                self.boards[board].turn(self.now_ms, &mut self.ledger);
                self.boards[board].rest(0, &mut self.ledger);
                self.main.journal(self.now_ms, board, &mut self.ledger);
            }
            if self.now_ms >= until_ms && self.main.is_idle(self.now_ms) {
                return;
            }
            self.now_ms = self.now_ms.max(self.main.timeout());
        }
        panic!("something never ends");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_chosen() {
        let step = |choice| postcard::from_bytes::<Step>(&[choice, 0, 0, 0, 0]);
        assert!(step(VARIANTS - 1).is_ok() && step(VARIANTS).is_err());
    }

    #[test]
    fn the_story_of_a_sale_sells() {
        let seeds = crate::seeds::control_session();
        let (_, story) = seeds.iter().find(|(name, _)| name == "sale").unwrap();
        let mut world = World::new();
        script::read(VARIANTS, story).for_each(|step| {
            script::show(&step);
            world.take(step);
        });
        assert_eq!(world.ledger.sold(), 1);
        assert!(world.main.is_idle(world.now_ms));
    }
}
