//! A main board, control boards, a line between them, and power that fails.

mod control;
mod main_board;
mod wire;

use vend_protocol::{Verdict, control_link::FIRST_ADDRESS};

use crate::{broken::Broken, chance::Chance};

pub(crate) use control::{ControlBoard, Truth};
pub(crate) use main_board::{MainBoard, Store};
pub(crate) use wire::{Copies, Cut, Fate, Wire};

/// How long a board is without power when it is cut, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) main_ms: u64,
    pub(crate) control_ms: u64,
}

/// Decides what happens to the frame of that number.
pub(crate) trait Faults {
    fn fate(&mut self, number: u32, chance: &mut Chance) -> Fate;
}

/// What became of a world.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// Frames that were put on the line.
    pub(crate) frames: u32,
    pub(crate) starts: u32,
    pub(crate) sales: u32,
    pub(crate) unknown: u32,
    pub(crate) not_started: u32,
}

pub(crate) struct World<F, const BOARDS: usize> {
    pub(crate) now_ms: u64,
    pub(crate) chance: Chance,
    pub(crate) faults: F,
    pub(crate) broken: Broken,
    pub(crate) outage: Outage,
    /// What survives a cut of the main board.
    pub(crate) store: Store<BOARDS>,
    main: Result<MainBoard<BOARDS>, u64>,
    boards: [Result<ControlBoard, u64>; BOARDS],
    truth: Truth,
    wire: Wire,
    frames: u32,
    restarts: u32,
    control_cut: bool,
}

impl<F: Faults, const BOARDS: usize> World<F, BOARDS> {
    /// A world in which each board is to sell `sales` times.
    pub(crate) fn new(seed: u64, faults: F, sales: u32) -> Self {
        Self {
            now_ms: 0,
            chance: Chance::new(seed),
            faults,
            broken: Broken::default(),
            outage: Outage { main_ms: 150, control_ms: 100 },
            store: Store::new(sales),
            // Both are switched on at once.
            main: Err(0),
            boards: core::array::from_fn(|_| Err(0)),
            truth: Truth::default(),
            wire: Wire::default(),
            frames: 0,
            restarts: 0,
            control_cut: false,
        }
    }

    /// Runs until all sales are over, or fails when a rule does not hold or `limit_ms` have passed.
    pub(crate) fn run(&mut self, limit_ms: u64) -> Result<Summary, String> {
        let end_ms = self.now_ms + limit_ms;
        while !self.is_over() {
            if self.now_ms >= end_ms {
                return Err(format!("not over after {limit_ms} ms: {:?}", self.store));
            }
            self.step()?;
            self.now_ms = self.next_ms().max(self.now_ms + 1);
        }
        self.check()
    }

    /// Runs for a while, with whatever faults there are.
    pub(crate) fn run_for(&mut self, ms: u64) -> Result<(), String> {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.step()?;
            self.now_ms = self.next_ms().max(self.now_ms + 1);
        }
        Ok(())
    }

    /// This board has no power until then.
    pub(crate) fn unplug(&mut self, board: usize, until_ms: u64) {
        self.boards[board] = Err(until_ms);
    }

    fn is_over(&self) -> bool {
        self.store.is_over() && self.main.as_ref().is_ok_and(MainBoard::is_idle)
    }

    fn step(&mut self) -> Result<(), String> {
        self.power_up();
        while let Some(delivery) = self.wire.due(self.now_ms) {
            for bytes in &delivery.copies {
                self.deliver(delivery.from, bytes);
            }
            self.cut(delivery.cut);
        }
        for (address, board) in (FIRST_ADDRESS..).zip(&mut self.boards) {
            if let Ok(board) = board {
                board.turn(self.now_ms, address, &mut self.truth)?;
            }
        }
        let mut sent = vec![];
        if let Ok(main) = &mut self.main {
            main.turn(self.now_ms, &mut self.store, &mut self.chance, self.broken);
            sent.extend(main.poll_transmit(self.now_ms).map(<[u8]>::to_vec));
        }
        for bytes in &sent {
            self.put(None, bytes);
        }
        Ok(())
    }

    fn power_up(&mut self) {
        if matches!(self.main, Err(on_ms) if self.now_ms >= on_ms) {
            self.main = Ok(MainBoard::new(self.now_ms, &mut self.store, &mut self.chance, self.broken));
        }
        for (number, board) in (0..).zip(&mut self.boards) {
            if matches!(board, Err(on_ms) if self.now_ms >= *on_ms) {
                self.restarts += 1;
                *board =
                    Ok(ControlBoard::new(FIRST_ADDRESS + number, self.restarts, &self.truth, self.broken));
            }
        }
    }

    /// All who listen hear it, but who sent it.
    fn deliver(&mut self, from: Option<usize>, bytes: &[u8]) {
        let mut answers = vec![];
        for (number, board) in self.boards.iter_mut().enumerate() {
            let Ok(board) = board else { continue };
            if from == Some(number) {
                continue;
            }
            for byte in bytes {
                answers.extend(board.handle_byte(self.now_ms, *byte).map(|answer| (number, answer.to_vec())));
            }
        }
        for (number, answer) in &answers {
            self.put(Some(*number), answer);
        }
        if let (Some(_), Ok(main)) = (from, &mut self.main) {
            main.handle_bytes(self.now_ms, bytes);
        }
    }

    fn put(&mut self, from: Option<usize>, bytes: &[u8]) {
        let fate = self.faults.fate(self.frames, &mut self.chance);
        self.frames += 1;
        self.wire.put(self.now_ms, from, bytes, fate);
    }

    fn cut(&mut self, cut: Cut) {
        if cut.main() {
            self.main = Err(self.now_ms + self.outage.main_ms);
            self.wire.unplug(None);
        }
        if cut.control() {
            self.control_cut = true;
            for (number, board) in self.boards.iter_mut().enumerate() {
                *board = Err(self.now_ms + self.outage.control_ms);
                self.wire.unplug(Some(number));
            }
        }
    }

    fn next_ms(&self) -> u64 {
        let main = match &self.main {
            Ok(main) => main.poll_timeout(),
            Err(on_ms) => *on_ms,
        };
        let boards = self.boards.iter().map(|board| match board {
            Ok(board) => board.poll_timeout(),
            Err(on_ms) => *on_ms,
        });
        boards.chain([main, self.wire.next_ms()]).min().unwrap_or(u64::MAX)
    }

    /// What the main board journaled against what the motors did.
    fn check(&self) -> Result<Summary, String> {
        let mut summary = Summary { frames: self.frames, starts: self.truth.starts(), ..Summary::default() };
        for sale in self.store.sales() {
            let outcome = sale.outcome.ok_or("a sale without an outcome")?;
            let starts = self.truth.starts_of(sale.label);
            summary.sales += 1;
            match outcome.verdict() {
                Verdict::NotAttempted if starts > 0 => {
                    return Err(format!("{sale:?} was not attempted, and the motor started"));
                }
                Verdict::NotAttempted => summary.not_started += 1,
                Verdict::Unknown if !self.control_cut => {
                    return Err(format!("{sale:?}: the board was never cut, so it could tell"));
                }
                Verdict::Unknown => summary.unknown += 1,
                _ if self.truth.end_of(sale.label) != Some(outcome) => {
                    return Err(format!("{sale:?}, but the motor did {:?}", self.truth.end_of(sale.label)));
                }
                _ => {}
            }
        }
        Ok(summary)
    }
}
