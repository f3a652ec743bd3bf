//! One vend, and at every frame boundary everything that can happen there: all single faults and all pairs.

use std::collections::BTreeMap;

use crate::{
    broken::Broken,
    chance::Chance,
    world::{Copies, Cut, Fate, Faults, Outage, Summary, World},
};

/// A fault at a frame: what becomes of the frame, and which power is cut when it has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    copies: Copies,
    cut: Cut,
}

/// Which frames meet a fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan(pub(crate) BTreeMap<u32, Fault>);

impl Faults for Plan {
    fn fate(&mut self, number: u32, _: &mut Chance) -> Fate {
        let fault = self.0.get(&number);
        fault.map_or_else(Fate::default, |Fault { copies, cut }| Fate {
            copies: *copies,
            cut: *cut,
            ..Fate::default()
        })
    }
}

/// Every fault there is; "arrives once and nothing is cut" is none.
fn faults() -> impl Iterator<Item = Fault> {
    Copies::ALL.into_iter().flat_map(|copies| Cut::ALL.map(|cut| Fault { copies, cut })).skip(1)
}

/// Runs a world of one board with this plan.
fn run(plan: &Plan, sales: u32, outage: Outage, broken: Broken) -> Result<Summary, String> {
    let mut world = World::<_, 1>::new(1, plan.clone(), sales);
    (world.outage, world.broken) = (outage, broken);
    world.run(60_000).map_err(|error| format!("{broken:?} {outage:?} {plan:?}: {error}"))
}

/// What all runs of one kind came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) runs: u32,
    starts: u32,
    unknown: u32,
    not_started: u32,
    /// What was violated, a line a run.
    pub(crate) failed: Vec<String>,
}

impl Totals {
    /// Counts a run; gives the number of its frames.
    fn count(&mut self, result: Result<Summary, String>) -> u32 {
        self.runs += 1;
        match result {
            Ok(summary) => {
                self.starts += summary.starts;
                self.unknown += summary.unknown;
                self.not_started += summary.not_started;
                summary.frames
            }
            Err(error) => {
                self.failed.push(error);
                0
            }
        }
    }
}

/// Who is back first after both were cut.
const OUTAGES: [Outage; 3] = [
    Outage { main_ms: 150, control_ms: 100 },
    Outage { main_ms: 40, control_ms: 900 },
    Outage { main_ms: 3_000, control_ms: 20 },
];

/// All single faults.
pub(crate) fn singles(sales: u32, broken: Broken) -> Totals {
    let mut totals = Totals::default();
    for outage in OUTAGES {
        let frames = totals.count(run(&Plan::default(), sales, outage, broken));
        for at in 0..frames {
            for fault in faults() {
                totals.count(run(&Plan([(at, fault)].into()), sales, outage, broken));
            }
        }
    }
    totals
}

/// All pairs: a second fault at every later frame of every run with one.
fn pairs(outage: Outage, broken: Broken) -> Totals {
    let mut totals = Totals::default();
    let mut uncounted = Totals::default();
    let calm = uncounted.count(run(&Plan::default(), 1, outage, broken));
    for (at, first) in (0..calm).flat_map(|at| faults().map(move |fault| (at, fault))) {
        let frames = uncounted.count(run(&Plan([(at, first)].into()), 1, outage, broken));
        for (later, second) in (at + 1..frames).flat_map(|at| faults().map(move |fault| (at, fault))) {
            totals.count(run(&Plan([(at, first), (later, second)].into()), 1, outage, broken));
        }
    }
    totals
}

fn check(what: &str, totals: &Totals) {
    println!(
        "{what}: {} runs, {} motor starts, {} unknown, {} not started",
        totals.runs, totals.starts, totals.unknown, totals.not_started
    );
    if let Some(first) = totals.failed.first() {
        panic!("{} of {} runs: {first}", totals.failed.len(), totals.runs);
    }
    assert!(totals.starts > totals.runs / 2 && totals.unknown > 100 && totals.not_started > 0);
}

#[test]
fn no_single_fault_starts_a_motor_twice_or_tells_a_lie() {
    check("one fault, two sales", &singles(2, Broken::Nothing));
}

#[test]
fn no_two_faults_start_a_motor_twice_or_tell_a_lie() {
    for outage in OUTAGES {
        check("two faults, one sale", &pairs(outage, Broken::Nothing));
    }
}
