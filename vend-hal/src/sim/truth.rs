//! What really happened, run by run and item by item.

use std::vec::Vec;

use super::{EndCause, Happening, ItemFault, PlantEvent, RunFault};
use crate::{Instant, LaneId};

/// The sum of a plant's log, in the order of runs and items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Every run of a motor.
    pub runs: Vec<RunTruth>,
    /// Every item that was pushed.
    pub items: Vec<ItemTruth>,
}

/// One run of a motor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTruth {
    /// Its number.
    pub run: u64,
    /// Its lane.
    pub lane: LaneId,
    /// When the motor was switched on.
    pub started_at: Instant,
    /// When current first flowed.
    pub current_at: Option<Instant>,
    /// When and why the motor went off.
    pub ended: Option<(Instant, EndCause)>,
    /// What was wrong with it.
    pub fault: Option<RunFault>,
    /// Where the coil stood when it began, in millionths of a turn.
    pub start_angle: u64,
    /// Where the coil stood when it was last heard of.
    pub angle: u64,
}

/// One item that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemTruth {
    /// Its number.
    pub item: u64,
    /// The run that pushed it.
    pub run: u64,
    /// Its lane.
    pub lane: LaneId,
    /// When it was pushed.
    pub pushed_at: Instant,
    /// What was wrong with it. [`ItemFault::Lag`] only if nothing else was.
    pub fault: Option<ItemFault>,
    /// When it passed the beam.
    pub fell_at: Option<Instant>,
    /// When the receiver was first read while it was dark with this item.
    pub seen_at: Option<Instant>,
    /// When somebody took it out.
    pub removed_at: Option<Instant>,
}

impl Truth {
    /// Sums up a log.
    pub fn of(events: &[PlantEvent]) -> Self {
        let mut truth = Self::default();
        let mut lagged = Vec::new();
        for event in events {
            truth.add(event, &mut lagged);
        }
        truth
    }

    /// The items a run pushed.
    pub fn items_of(&self, run: u64) -> impl Iterator<Item = &ItemTruth> {
        self.items.iter().filter(move |item| item.run == run)
    }

    fn add(&mut self, event: &PlantEvent, lagged: &mut Vec<u64>) {
        let at = event.at;
        match event.what {
            Happening::RunStarted { run, lane, angle, fault, .. } => self.runs.push(RunTruth {
                run,
                lane,
                started_at: at,
                current_at: None,
                ended: None,
                fault,
                start_angle: angle,
                angle,
            }),
            Happening::CurrentFlowed { run, .. } => {
                self.run(run, |truth| truth.current_at = Some(at));
            }
            Happening::HomeOpened { run, angle, .. } | Happening::HomeClosed { run, angle, .. } => {
                self.run(run, |truth| truth.angle = angle);
            }
            Happening::ItemLagged { run, item, angle, .. } => {
                lagged.push(item);
                self.run(run, |truth| truth.angle = angle);
            }
            Happening::ItemPushed { run, lane, item, angle, fault, .. } => {
                self.run(run, |truth| truth.angle = angle);
                self.items.push(ItemTruth {
                    item,
                    run,
                    lane,
                    pushed_at: at,
                    fault: fault.or_else(|| lagged.contains(&item).then_some(ItemFault::Lag)),
                    fell_at: None,
                    seen_at: None,
                    removed_at: None,
                });
            }
            Happening::ItemFell { item, .. } => self.item(item, |truth| truth.fell_at = Some(at)),
            Happening::ItemSeen { item, .. } => self.item(item, |truth| truth.seen_at = Some(at)),
            Happening::ItemRemoved { item, .. } => self.item(item, |truth| truth.removed_at = Some(at)),
            Happening::RunEnded { run, angle, cause, .. } => self.run(run, |truth| {
                truth.angle = angle;
                truth.ended = Some((at, cause));
            }),
            Happening::Refilled { .. } | Happening::PowerCut | Happening::PowerRestored => {}
        }
    }

    // From the end: what happens now is about the newest.
    fn run(&mut self, run: u64, change: impl FnOnce(&mut RunTruth)) {
        if let Some(truth) = self.runs.iter_mut().rev().find(|truth| truth.run == run) {
            change(truth);
        }
    }

    fn item(&mut self, item: u64, change: impl FnOnce(&mut ItemTruth)) {
        if let Some(truth) = self.items.iter_mut().rev().find(|truth| truth.item == item) {
            change(truth);
        }
    }
}
