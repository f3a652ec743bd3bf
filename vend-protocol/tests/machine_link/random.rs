//! Random seeds with each kind of trouble, and all of them at once.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use crate::{
    env::{Counts, Trace},
    faults::{BACKLOG, BAD_LINE, BUSY_DAY, CUTS, EVERYTHING, Faults, HISTORY, HOSTILE, POWER},
    world::World,
};

/// Steps of a run before it calms down.
const STEPS: u64 = 300;
/// Seeds of each kind of trouble, unless `VEND_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;
/// Lines of a failed run's trace that are shown.
const SHOWN: usize = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, faults: Faults, trace: Trace) -> Counts {
    World::new(seed, faults, trace).run(STEPS)
}

/// Plays the seeds of a kind of trouble. What failed is played again and told.
fn play(name: &str, faults: Faults, expected: &[&str]) -> Counts {
    let seeds = number("VEND_SEED").map_or(0..number("VEND_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let all = seeds.end - seeds.start > 100;
    let mut sum = Counts::default();
    for seed in seeds {
        match catch_unwind(|| run(seed, faults, None)) {
            Ok(counts) => sum.add(&counts),
            Err(_) => fail(name, seed, faults),
        }
    }
    let named = sum.named();
    let lines = named.chunks(8).map(|chunk| {
        chunk.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
    });
    println!("{name}:\n  {}", lines.collect::<Vec<_>>().join("\n  "));
    for expected in DAILY.iter().chain(expected).filter(|_| all) {
        let (_, count) = named.iter().find(|(what, _)| what == expected).expect("a counter of that name");
        assert!(*count > 0, "{name}: nothing was seen of {expected}");
    }
    sum
}

fn fail(name: &str, seed: u64, faults: Faults) {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let trace = Some(Rc::clone(&lines));
    let _ = catch_unwind(AssertUnwindSafe(|| run(seed, faults, trace)));
    let lines = lines.borrow();
    println!("{}", lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
    panic!(
        "to repeat: VEND_SEED={seed} cargo test -p vend-protocol --test machine_link -- --nocapture --exact random::{name}"
    );
}

/// What happens on any day.
const DAILY: [&str; 8] =
    ["sessions", "starts", "receipts", "acknowledgements", "delivered", "refunded", "taken", "clocks"];

#[test]
fn on_a_good_line_nothing_is_refused_and_no_connection_ends() {
    let counts = play(
        "on_a_good_line_nothing_is_refused_and_no_connection_ends",
        BUSY_DAY,
        &["later", "unable", "commands", "plans", "not_ready"],
    );
    let refused =
        [counts.gaps, counts.forged, counts.damaged, counts.silent, counts.unanswered, counts.repeats];
    assert_eq!(refused, [0; 6]);
}

#[test]
fn a_bad_line_changes_nothing() {
    play(
        "a_bad_line_changes_nothing",
        BAD_LINE,
        &["lost", "doubled", "swapped", "flipped", "stalled", "repeats", "gaps", "damaged", "silent"],
    );
}

#[test]
fn a_hostile_broker_is_not_believed() {
    play(
        "a_hostile_broker_is_not_believed",
        HOSTILE,
        &["altered", "replayed", "reflected", "forged", "forged_handshakes", "repeats"],
    );
}

#[test]
fn a_connection_may_end_at_any_moment_or_seem_not_to() {
    play(
        "a_connection_may_end_at_any_moment_or_seem_not_to",
        CUTS,
        &["cuts", "half_open", "silent", "unanswered", "pending", "rejected", "late_hellos", "on_its_way"],
    );
}

#[test]
fn either_end_may_lose_power_at_any_moment() {
    play(
        "either_end_may_lose_power_at_any_moment",
        POWER,
        &["machine_reboots", "server_reboots", "amendments", "given_away", "busy", "voids", "settled"],
    );
}

#[test]
fn databases_are_restored_boards_replaced_and_peers_are_of_other_versions() {
    play(
        "databases_are_restored_boards_replaced_and_peers_are_of_other_versions",
        HISTORY,
        &["restores", "replacements", "unsupported", "given_away"],
    );
}

#[test]
fn receipts_that_pile_up_go_a_window_at_a_time() {
    play(
        "receipts_that_pile_up_go_a_window_at_a_time",
        BACKLOG,
        &["window_full", "unsupported", "cuts", "not_ready"],
    );
}

#[test]
fn everything_at_once() {
    let every = Counts::default().named();
    // For so many receipts there is no time: see above.
    let seen: Vec<_> = every.iter().map(|(name, _)| *name).filter(|name| *name != "window_full").collect();
    play("everything_at_once", EVERYTHING, &seen);
}
