//! What a plant is at a moment, and what happens to it next. Pure: events in, events out.

mod next;

use std::vec::Vec;

use super::{BeamCondition, EndCause, Fault, Happening, ItemFault, PlantConfig, PlantEvent, RunFault};
use crate::{Instant, LaneId};

/// A turn, in the unit of angles.
const TURN: u64 = 1_000_000;

/// The state of a plant: a fold of its events.
///
/// ```
/// use vend_hal::LaneId;
/// use vend_hal::sim::{PlantConfig, PlantState};
///
/// let log = ["0 refilled lane=0 items=5", "9 run-started run=1 lane=0 angle=0 fault=- stop=-"];
/// let events = log.map(|line| line.parse().unwrap());
/// let state = PlantState::replay(PlantConfig::default(), &events);
/// assert_eq!(state.items(LaneId::new(0)), 5);
/// ```
#[derive(Clone, Debug)]
pub struct PlantState {
    config: PlantConfig,
    at: Instant,
    lanes: Vec<Lane>,
    runs: u64,
    items: u64,
    /// Pushed and not yet fallen or removed.
    dropping: Vec<Dropping>,
    /// When a motor was last switched off.
    last_off: Option<Instant>,
    /// Fallen a moment ago, perhaps darkening the beam.
    passing: Vec<Passing>,
    powered: bool,
    emitter_on: bool,
    beam: BeamCondition,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    /// Where the coil stood at the last event of this lane.
    angle: u64,
    items: u32,
    lagging: Option<(u64, u64)>,
    run: Option<Run>,
    once: Option<Fault>,
    always: Option<Fault>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    id: u64,
    started: Instant,
    start_angle: u64,
    stop_angle: Option<u64>,
    fault: Option<RunFault>,
    current_flowed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Dropping {
    run: u64,
    lane: LaneId,
    item: u64,
    fault: Option<ItemFault>,
    falls_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Passing {
    run: u64,
    lane: LaneId,
    item: u64,
    fell_at: Instant,
    missed: bool,
    seen: bool,
}

impl PlantState {
    /// A new plant: coils at home, lanes empty.
    pub fn new(config: PlantConfig) -> Self {
        Self {
            config,
            at: Instant::ORIGIN,
            lanes: (0..config.lanes).map(|_| Lane::default()).collect(),
            runs: 0,
            items: 0,
            dropping: Vec::new(),
            last_off: None,
            passing: Vec::new(),
            powered: true,
            emitter_on: false,
            beam: BeamCondition::Clear,
        }
    }

    /// The plant after these events.
    pub fn replay(config: PlantConfig, events: &[PlantEvent]) -> Self {
        let mut state = Self::new(config);
        for event in events {
            state.apply(event);
        }
        state
    }

    /// When the last event was.
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// How many items a lane still has.
    pub fn items(&self, lane: LaneId) -> u32 {
        self.lane(lane).map_or(0, |lane| lane.items)
    }

    /// How many of a lane's items were pushed and have not fallen.
    pub fn hanging(&self, lane: LaneId) -> usize {
        self.dropping.iter().filter(|item| item.lane == lane).count()
    }

    /// Whether a lane's motor is on.
    pub fn running(&self, lane: LaneId) -> bool {
        self.lane(lane).is_some_and(|lane| lane.run.is_some())
    }

    /// Whether the emitter is on.
    pub const fn emitter_on(&self) -> bool {
        self.emitter_on
    }

    /// The lanes whose motors are on.
    pub fn running_lanes(&self) -> Vec<LaneId> {
        (0..self.config.lanes).map(LaneId::new).filter(|lane| self.running(*lane)).collect()
    }

    /// Where a lane's coil stands, in millionths of a turn; whole turns are home.
    pub fn angle(&self, lane: LaneId, now: Instant) -> u64 {
        self.lane(lane).map_or(0, |lane| self.lane_angle(lane, now))
    }

    /// Whether a lane's home switch is closed.
    pub fn at_home(&self, lane: LaneId, now: Instant) -> bool {
        self.angle(lane, now) % TURN < self.cam()
    }

    /// The current of all motors, in milliamperes.
    pub fn current_ma(&self, now: Instant) -> u16 {
        self.lanes.iter().fold(0, |sum, lane| sum.saturating_add(self.lane_current_ma(lane, now)))
    }

    /// Whether the receiver sees light, and the event that must be logged before it shows that it does not.
    pub(super) fn receiver(&self, now: Instant) -> (bool, Option<Happening>) {
        match (self.beam, self.emitter_on) {
            (BeamCondition::Glare, _) => (true, None),
            (BeamCondition::Blocked, _) | (_, false) => (false, None),
            (BeamCondition::Clear, true) => {
                let mut dark = self.passing.iter().filter(|item| item.darkens(now, self.config.break_ms));
                let light = dark.clone().next().is_none();
                let seen = dark.find(|item| !item.seen).map(|item| Happening::ItemSeen {
                    run: item.run,
                    lane: item.lane,
                    item: item.item,
                });
                (light, seen)
            }
        }
    }

    /// Switching a lane's motor off.
    pub(super) fn end_run(&self, id: LaneId, now: Instant, cause: EndCause) -> Option<Happening> {
        let lane = self.lane(id)?;
        let run = lane.run?;
        // A process that ended took its motor's last moments with it: the coil stands where it was last heard of.
        let angle = if cause == EndCause::Lost { lane.angle } else { self.lane_angle(lane, now) };
        Some(Happening::RunEnded { run: run.id, lane: id, angle, cause })
    }

    /// The items of a lane that hang for good.
    pub(super) fn removable(&self, lane: LaneId) -> Vec<Happening> {
        let hangs = |item: &&Dropping| item.lane == lane && item.falls_at.is_none();
        let removed = |item: &Dropping| Happening::ItemRemoved { run: item.run, lane, item: item.item };
        self.dropping.iter().filter(hangs).map(removed).collect()
    }

    /// Makes an event part of the state.
    pub(super) fn apply(&mut self, event: &PlantEvent) {
        self.at = self.at.max(event.at);
        match event.what {
            Happening::RunStarted { run, lane, angle, fault, stop_angle } => {
                self.runs = self.runs.max(run);
                if let Some(lane) = self.lane_mut(lane) {
                    lane.angle = angle;
                    if matches!(lane.once, Some(Fault::Run(_))) {
                        lane.once = None;
                    }
                    lane.run = Some(Run {
                        id: run,
                        started: event.at,
                        start_angle: angle,
                        stop_angle,
                        fault,
                        current_flowed: false,
                    });
                }
            }
            Happening::CurrentFlowed { lane, .. } => {
                if let Some(run) = self.lane_mut(lane).and_then(|lane| lane.run.as_mut()) {
                    run.current_flowed = true;
                }
            }
            Happening::HomeOpened { lane, angle, .. } | Happening::HomeClosed { lane, angle, .. } => {
                if let Some(lane) = self.lane_mut(lane) {
                    lane.angle = angle;
                }
            }
            Happening::ItemLagged { lane, item, angle, push_angle, .. } => {
                self.items = self.items.max(item);
                if let Some(lane) = self.lane_mut(lane) {
                    lane.angle = angle;
                    lane.items = lane.items.saturating_sub(1);
                    lane.lagging = Some((item, push_angle));
                    lane.forget_item_fault();
                }
            }
            Happening::ItemPushed { run, lane: id, item, angle, fault, falls_at } => {
                self.items = self.items.max(item);
                if let Some(lane) = self.lane_mut(id) {
                    lane.angle = angle;
                    if lane.lagging.is_some_and(|(lagging, _)| lagging == item) {
                        lane.lagging = None;
                    } else {
                        lane.items = lane.items.saturating_sub(1);
                        lane.forget_item_fault();
                    }
                }
                self.dropping.push(Dropping { run, lane: id, item, fault, falls_at });
            }
            Happening::ItemFell { run, lane, item, missed } => {
                self.dropping.retain(|dropping| dropping.item != item);
                let break_ms = self.config.break_ms;
                self.passing.retain(|passing| passing.fell_at.after_ms(break_ms) > event.at);
                self.passing.push(Passing { run, lane, item, fell_at: event.at, missed, seen: false });
            }
            Happening::ItemSeen { item, .. } => {
                for passing in self.passing.iter_mut().filter(|passing| passing.item == item) {
                    passing.seen = true;
                }
            }
            Happening::RunEnded { lane, angle, .. } => {
                self.last_off = Some(event.at);
                if let Some(lane) = self.lane_mut(lane) {
                    lane.angle = angle;
                    lane.run = None;
                }
            }
            Happening::Refilled { lane, items } => {
                if let Some(lane) = self.lane_mut(lane) {
                    lane.items = lane.items.saturating_add(items);
                }
            }
            Happening::ItemRemoved { item, .. } => self.dropping.retain(|dropping| dropping.item != item),
            Happening::PowerCut => {
                self.powered = false;
                self.emitter_on = false;
            }
            Happening::PowerRestored => self.powered = true,
        }
    }

    pub(super) const fn powered(&self) -> bool {
        self.powered
    }

    /// Cuts the power without an event: for a log that cannot be written.
    pub(super) fn go_dead(&mut self) {
        self.powered = false;
        self.emitter_on = false;
        for lane in &mut self.lanes {
            lane.run = None;
        }
    }

    pub(super) fn set_emitter(&mut self, on: bool) {
        self.emitter_on = on;
    }

    pub(super) fn set_beam(&mut self, beam: BeamCondition) {
        self.beam = beam;
    }

    pub(super) fn set_rates(&mut self, rates: super::FaultRates) {
        self.config.faults = rates;
    }

    pub(super) fn set_once(&mut self, lane: LaneId, fault: Fault) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.once = Some(fault);
        }
    }

    pub(super) fn set_always(&mut self, lane: LaneId, fault: Option<Fault>) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.always = fault;
        }
    }

    fn lane(&self, lane: LaneId) -> Option<&Lane> {
        self.lanes.get(usize::from(lane.index()))
    }

    fn lane_mut(&mut self, lane: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(usize::from(lane.index()))
    }

    fn cam(&self) -> u64 {
        u64::from(self.config.cam_permille) * TURN / 1_000
    }

    fn lane_angle(&self, lane: &Lane, now: Instant) -> u64 {
        let Some(run) = lane.run else { return lane.angle };
        let turned = u64::from(now.millis_since(run.started)) * TURN / u64::from(self.config.turn_ms.max(1));
        let angle = run.start_angle + turned;
        // What an event has said stays true, whatever rounding does.
        run.stop_angle.map_or(angle, |stop| angle.min(stop)).max(lane.angle)
    }

    fn lane_current_ma(&self, lane: &Lane, now: Instant) -> u16 {
        let Some(run) = lane.run else { return 0 };
        let on_ms = now.millis_since(run.started);
        let jammed = run.fault == Some(RunFault::Stall)
            && run.stop_angle.is_some_and(|stop| self.lane_angle(lane, now) >= stop);
        match run.fault {
            _ if on_ms < PlantConfig::CURRENT_RISE_MS => 0,
            Some(RunFault::OpenLoad) => 0,
            Some(RunFault::Short) => self.config.short_ma,
            _ if jammed || on_ms < PlantConfig::INRUSH_MS => self.config.stall_ma,
            _ => self.config.run_ma,
        }
    }
}

impl Lane {
    fn forget_item_fault(&mut self) {
        if matches!(self.once, Some(Fault::Item(_))) {
            self.once = None;
        }
    }
}

impl Passing {
    fn darkens(&self, now: Instant, break_ms: u32) -> bool {
        !self.missed && self.fell_at <= now && now < self.fell_at.after_ms(break_ms)
    }
}
