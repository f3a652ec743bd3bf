//! What neither end can change or lose: time, chance, the wallet, the motors, and what was counted.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use vend_protocol::{DropReport, EnrolmentId, MotorCode, Outcome, Start};

use crate::{chance::Rng, faults::Faults};

/// The server's time when a run begins, in milliseconds since 1970.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;

pub(crate) struct Env {
    pub(crate) now_ms: u64,
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    pub(crate) trace: Trace,
    pub(crate) wallet: Wallet,
    pub(crate) motors: Motors,
}

impl Env {
    pub(crate) fn new(seed: u64, faults: Faults, trace: Trace) -> Self {
        Self {
            now_ms: 0,
            rng: Rng::new(seed),
            faults,
            counts: Counts::default(),
            trace,
            wallet: Wallet::default(),
            motors: Motors::default(),
        }
    }

    pub(crate) const fn server_time_ms(&self) -> u64 {
        EPOCH_MS + self.now_ms
    }

    /// Writes a line into the trace, if there is one.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.trace {
            lines.borrow_mut().push(format!("{:>9} ms  {}", self.now_ms, line()));
        }
    }
}

/// The lines of a run that is told.
pub(crate) type Trace = Option<Rc<RefCell<Vec<String>>>>;

/// The customers' money, at the wallet's. It survives everything.
#[derive(Default)]
pub(crate) struct Wallet {
    /// Prices of the lines of each order that was paid, and whether the server has booked the payment.
    pub(crate) paid: BTreeMap<u64, (Vec<u32>, bool)>,
    /// By order and line: the refund's number. The same number again is the same refund.
    pub(crate) refunds: BTreeMap<(u64, u8), u32>,
}

impl Wallet {
    pub(crate) fn pay(&mut self, prices: &[u32]) -> u64 {
        let order = self.paid.len() as u64 + 1;
        self.paid.insert(order, (prices.to_vec(), false));
        order
    }

    pub(crate) fn refund(&mut self, order: u64, line: u8, amount: u32) {
        self.refunds.insert((order, line), amount);
    }

    pub(crate) fn is_refunded(&self, order: u64, line: u8) -> bool {
        self.refunds.contains_key(&(order, line))
    }
}

/// A line of an authorization, for ever.
pub(crate) type LineKey = (EnrolmentId, u64, u8);

/// What the motors did. The control board ends a vend by itself, so the truth is known when a motor starts.
#[derive(Default)]
pub(crate) struct Motors {
    pub(crate) ran: BTreeMap<LineKey, Outcome>,
}

impl Motors {
    /// Starts a motor and gives what will come of it.
    pub(crate) fn start(&mut self, line: LineKey, rng: &mut Rng) -> Outcome {
        let drop = if rng.chance(800) { DropReport::Seen } else { DropReport::NotSeen };
        let outcome = Outcome { start: Start::Started, motor: MotorCode::OK, drop, interrupted: false };
        let before = self.ran.insert(line, outcome);
        assert!(before.is_none(), "I2: a second motor start for line {line:?}");
        outcome
    }
}

macro_rules! counts {
    ($($name:ident),* $(,)?) => {
        /// How often what happened.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Counts { $(pub(crate) $name: u64,)* }

        impl Counts {
            pub(crate) const fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counts! {
    steps, sessions, starts, receipts, amendments, acknowledgements, delivered, refunded, given_away,
    taken, busy, settled, voids, expired, unable, on_its_way, not_ready,
    repeats, gaps, forged, damaged, forged_handshakes, silent, unanswered, out_of_turn,
    lost, doubled, swapped, flipped, altered, stalled, replayed, reflected,
    cuts, half_open, machine_reboots, server_reboots, restores, replacements,
    pending, rejected, late_hellos, unsupported, later, window_full, no_room, dropped, clocks, commands, plans,
}
