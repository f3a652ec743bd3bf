//! Random seeds: three boards on one line, many sales, and everything at once.

use vend_protocol::control_link::SILENT_POLL_MAX_MS;

use crate::{
    chance::Chance,
    world::{Copies, Cut, Fate, Faults, World},
};

/// Chances out of a thousand, for each frame.
#[derive(Clone, Copy, Debug, Default)]
struct Chances {
    lost: u64,
    doubled: u64,
    damaged: u64,
    stalled: u64,
    main_cut: u64,
    control_cut: u64,
    both_cut: u64,
}

impl Faults for Chances {
    fn fate(&mut self, _: u32, chance: &mut Chance) -> Fate {
        let copies = match chance.below(1000) {
            below if below < self.lost => Copies::Lost,
            below if below < self.lost + self.doubled => Copies::Two,
            _ => Copies::One,
        };
        let cut = match chance.below(1000) {
            below if below < self.main_cut => Cut::Main,
            below if below < self.main_cut + self.control_cut => Cut::Control,
            below if below < self.main_cut + self.control_cut + self.both_cut => Cut::Both,
            _ => Cut::None,
        };
        Fate {
            copies,
            cut,
            stall_ms: if chance.permille(self.stalled) { chance.below(400) } else { 0 },
            late_ms: if chance.permille(500) { chance.below(300) } else { 0 },
            damage: chance.permille(self.damaged).then(|| chance.next()),
        }
    }
}

const SALES: u32 = 6;

/// Runs `seeds` worlds of three boards: trouble for a while, then calm until all is sold.
fn run(name: &str, seeds: core::ops::Range<u64>, chances: Chances) -> (u32, u32, u32) {
    let mut sum = (0, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut world = World::<_, 3>::new(seed, chances, SALES);
        world.outage.main_ms = 20 + world.chance.below(2_000);
        world.outage.control_ms = 20 + world.chance.below(2_000);
        let result = world.run_for(12_000).and_then(|()| {
            world.faults = Chances::default();
            world.run(120_000)
        });
        let summary = result.unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
        assert_eq!(summary.sales, 3 * SALES);
        sum = (sum.0 + summary.starts, sum.1 + summary.unknown, sum.2 + summary.not_started);
    }
    println!("{name}: {count} seeds, {} motor starts, {} unknown, {} not started", sum.0, sum.1, sum.2);
    sum
}

#[test]
fn a_calm_line_sells_everything_and_knows_it() {
    assert_eq!(run("calm", 0..20, Chances::default()), (20 * 3 * SALES, 0, 0));
}

#[test]
fn a_bad_line_sells_everything_once() {
    let chances = Chances { lost: 100, doubled: 150, damaged: 100, stalled: 50, ..Chances::default() };
    let (starts, unknown, not_started) = run("bad line", 1_000..2_000, chances);
    assert_eq!((starts, unknown), (1_000 * 3 * SALES - not_started, 0));
}

#[test]
fn a_main_board_that_restarts_finds_out_what_became_of_every_vend() {
    let chances = Chances { lost: 50, doubled: 100, damaged: 50, main_cut: 40, ..Chances::default() };
    let (starts, unknown, not_started) = run("main board cut", 2_000..3_000, chances);
    assert_eq!((starts, unknown), (1_000 * 3 * SALES - not_started, 0));
    assert!(not_started > 100, "{not_started}");
}

#[test]
fn with_everything_at_once_no_motor_starts_twice() {
    let chances = Chances {
        lost: 50,
        doubled: 100,
        damaged: 50,
        stalled: 30,
        main_cut: 10,
        control_cut: 10,
        both_cut: 10,
    };
    let (starts, unknown, _) = run("everything", 3_000..6_000, chances);
    assert!(starts > 30_000 && unknown > 1_000, "{starts} {unknown}");
}

#[test]
fn dead_boards_do_not_keep_the_others_from_selling() {
    struct FirstIsDead;

    impl Faults for FirstIsDead {
        fn fate(&mut self, _: u32, _: &mut Chance) -> Fate {
            Fate::default()
        }
    }

    let mut world = World::<_, 3>::new(1, FirstIsDead, 4);
    world.unplug(0, u64::MAX);
    world.unplug(1, u64::MAX);
    // A sale takes 200 ms alone on its line, and each dead board costs one sending now and then.
    world.run_for(10 * SILENT_POLL_MAX_MS).unwrap();
    assert_eq!(world.store.sales().filter(|sale| sale.outcome.is_some()).count(), 4);
}
