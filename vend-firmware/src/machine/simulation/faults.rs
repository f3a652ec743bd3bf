//! Random seeds with everything going wrong, and the books at the end.

use std::{format, string::String, vec::Vec};

use vend_hal::SensorState;
use vend_protocol::{Verdict, signed::ReceiptLine};

use super::*;

impl World {
    pub(super) fn inject_faults(&mut self) {
        if self.now_ms < self.next_fault_ms {
            return;
        }
        self.next_fault_ms = self.now_ms + 50 + self.rng.below(200);
        let faults = self.faults;
        let off_ms = if self.rng.chance(50) { 40_000 } else { 10 + self.rng.below(3000) };
        if self.rng.chance(faults.link_cut) {
            self.disconnect();
        }
        if self.rng.chance(faults.main_cut) && self.main.is_some() {
            self.cut_main(off_ms);
        }
        if self.rng.chance(faults.flash_cut) {
            let steps = self.rng.below(900);
            self.flash.cut_after(Some(steps));
        }
        if self.rng.chance(faults.control_cut) && self.control.is_some() {
            self.cut_control(off_ms);
        }
        if self.rng.chance(faults.both_cut) && self.main.is_some() && self.control.is_some() {
            self.cut_control(off_ms);
            self.cut_main(off_ms);
        }
        if self.faults.link_cut > 0 && self.rng.chance(5) {
            self.sensor = match self.sensor {
                SensorState::Ok => SensorState::Fault(vend_hal::SensorFault::Blocked),
                _ => SensorState::Ok,
            };
            if let Some(control) = &mut self.control {
                control.state.note_sensor(self.sensor);
            }
        }
    }

    /// Everything is calm again: all ends.
    fn calm_down(&mut self) {
        self.faults = Faults::default();
        self.flash.cut_after(None);
        self.sensor = SensorState::Ok;
        self.server.busy = false;
        if let Some(control) = &mut self.control {
            control.state.note_sensor(SensorState::Ok);
        }
        let done = self.run_until(240_000, |world| {
            world.main.as_ref().is_some_and(|main| {
                let state = main.machine.state();
                world.server.open().is_none() && state.order.is_none() && !state.has_unacknowledged()
            })
        });
        assert!(done, "open at the end: {}", self.picture());
        assert!(self.server.rejected == 0 || self.broker.has_meddled(), "a hello that was not the machine's");
    }

    fn picture(&self) -> String {
        let main = self.main.as_ref().map(|main| format!("{:?}", main.machine));
        format!("now {} server open {:?} {main:?}", self.now_ms, self.server.open())
    }

    /// What the receipts say against what the mechanism did.
    fn check_books(&self) {
        for (seq, issued) in &self.server.issued {
            let receipt = issued.receipt.as_ref().expect("every authorization ends with a receipt");
            for (line, ReceiptLine { outcome, .. }) in (0..).zip(receipt.lines.iter()) {
                let starts = self.started.get(&(*seq, line)).copied().unwrap_or(0);
                let truth = self.ended.get(&(*seq, line));
                match outcome.verdict() {
                    Verdict::NotAttempted => assert_eq!(starts, 0, "{seq}/{line}: {outcome:?}"),
                    Verdict::Unknown => {}
                    _ => {
                        assert_eq!(starts, 1, "{seq}/{line}: {outcome:?}");
                        let truth = truth.expect("a motion with an end");
                        let seen = truth.drop == vend_hal::DropReport::Seen;
                        assert_eq!(seen, outcome.verdict() == Verdict::Delivered, "{seq}/{line}");
                    }
                }
            }
            if receipt.lines.is_empty() {
                assert!(!self.started.keys().any(|(started, _)| started == seq), "a voided line moved");
            }
        }
    }
}

/// Runs a seed; gives the motor starts and the lines nobody could tell the end of.
fn run(seed: u64, faults: Faults) -> (u32, usize) {
    let mut world = World::new(seed, faults);
    world.server.busy = true;
    world.run(45_000);
    world.calm_down();
    world.check_books();
    let receipts = world.server.issued.values().filter_map(|issued| issued.receipt.as_ref());
    let outcomes: Vec<_> =
        receipts.flat_map(|receipt| receipt.lines.iter().map(|line| line.outcome)).collect();
    let unknown = outcomes.iter().filter(|outcome| outcome.verdict() == Verdict::Unknown).count();
    (world.motor_starts(), unknown)
}

fn seeds() -> u64 {
    std::env::var("VEND_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60)
}

fn run_seeds(offset: u64, faults: Faults) -> (u32, usize) {
    let one = std::env::var("VEND_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let range = one.map_or(offset..offset + seeds(), |seed| seed..seed + 1);
    let mut sum = (0, 0);
    for seed in range {
        let result = std::panic::catch_unwind(|| run(seed, faults));
        let Ok((starts, unknown)) = result else { panic!("VEND_SEED={seed} shows it") };
        sum = (sum.0 + starts, sum.1 + unknown);
    }
    std::println!("{} motor starts, {} unknown", sum.0, sum.1);
    sum
}

#[test]
fn a_calm_machine_knows_what_became_of_every_line() {
    let (starts, unknown) = run_seeds(0, Faults::default());
    assert!(starts > 100, "{starts}");
    assert_eq!(unknown, 0);
}

#[test]
fn a_bad_wire_between_the_boards_changes_nothing() {
    let faults =
        Faults { control_lost: 150, control_doubled: 150, control_garbled: 150, ..Faults::default() };
    let (starts, _) = run_seeds(10_000, faults);
    assert!(starts > 100, "{starts}");
}

#[test]
fn a_bad_link_to_the_server_changes_nothing() {
    let (starts, unknown) = run_seeds(20_000, Faults { link_cut: 60, ..Faults::default() });
    assert!(starts > 100, "{starts}");
    assert_eq!(unknown, 0);
}

#[test]
fn a_hostile_broker_changes_nothing() {
    let (starts, unknown) = run_seeds(60_000, Faults { broker: 60, ..Faults::default() });
    assert!(starts > 100, "{starts}");
    assert_eq!(unknown, 0);
}

#[test]
fn the_main_board_loses_power_at_any_moment() {
    let (starts, unknown) = run_seeds(30_000, Faults { main_cut: 25, flash_cut: 25, ..Faults::default() });
    assert!(starts > 100, "{starts}");
    assert_eq!(unknown, 0, "the control board remembers");
}

#[test]
fn the_control_board_loses_power_at_any_moment() {
    let (starts, unknown) = run_seeds(40_000, Faults { control_cut: 40, ..Faults::default() });
    assert!(starts > 100 && unknown > 10, "{starts} {unknown}");
}

#[test]
fn everything_at_once() {
    let faults = Faults {
        control_lost: 50,
        control_doubled: 50,
        control_garbled: 50,
        link_cut: 20,
        main_cut: 10,
        flash_cut: 10,
        control_cut: 10,
        both_cut: 10,
        broker: 10,
    };
    let (starts, unknown) = run_seeds(50_000, faults);
    assert!(starts > 100 && unknown > 10, "{starts} {unknown}");
}
