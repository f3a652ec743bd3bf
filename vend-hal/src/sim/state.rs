//! What a plant is at a moment, and what happens to it next. Pure: events in, events out.

use std::vec::Vec;

use super::dice::{MILLION, Throw, throw};
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

    /// The item that darkens the beam now.
    pub(super) fn darkness(&self, now: Instant) -> Option<Happening> {
        self.passing
            .iter()
            .find(|item| item.darkens(now, self.config.break_ms))
            .map(|item| Happening::ItemSeen { run: item.run, lane: item.lane, item: item.item })
    }

    /// Whether the receiver sees light, and the event that must be logged before it shows that it does not.
    pub(super) fn receiver(&self, now: Instant) -> (bool, Option<Happening>) {
        match (self.beam, self.emitter_on) {
            (BeamCondition::Glare, _) => (true, None),
            (BeamCondition::Blocked, _) | (_, false) => (false, None),
            (BeamCondition::Clear, true) => match self.darkness(now) {
                None => (true, None),
                Some(seen) => {
                    let Happening::ItemSeen { item, .. } = seen else { return (false, None) };
                    let new = self.passing.iter().any(|passing| passing.item == item && !passing.seen);
                    (false, new.then_some(seen))
                }
            },
        }
    }

    /// The next event up to `now`, if there is one. It has happened once it is [applied](Self::apply).
    pub(super) fn next_event(&self, now: Instant) -> Option<PlantEvent> {
        let falls = self.dropping.iter().filter_map(|item| {
            let missed = item.fault == Some(ItemFault::Miss);
            let what = Happening::ItemFell { run: item.run, lane: item.lane, item: item.item, missed };
            item.falls_at.map(|at| PlantEvent { at, what })
        });
        let lanes = (0..).map(LaneId::new).zip(&self.lanes).filter_map(|(id, lane)| self.next_of(id, lane));
        falls.chain(lanes).min_by_key(|event| event.at).filter(|event| event.at <= now)
    }

    /// Switching a lane's motor on, with whatever goes wrong with that run.
    pub(super) fn start_run(&self, id: LaneId, now: Instant) -> Option<Happening> {
        let lane = self.lane(id)?;
        if !self.powered || lane.run.is_some() {
            return None;
        }
        let run = self.runs + 1;
        let fault = match lane.once.or(lane.always) {
            Some(Fault::Run(fault)) => Some(fault),
            _ => self.run_fault_by_chance(run),
        };
        let angle = self.lane_angle(lane, now);
        let stop_angle = fault.map(|fault| match fault {
            RunFault::Stall | RunFault::NoReturn => {
                // Past the home switch and before the next home, so that it cannot arrive.
                let cam = self.cam();
                let from = angle - angle % TURN + (angle % TURN).max(cam);
                let room = (angle - angle % TURN + TURN - 1).saturating_sub(from);
                let room = u32::try_from(room).unwrap_or(MILLION);
                from + u64::from(throw(self.config.seed, Throw::StopAngle, run, room))
            }
            RunFault::NoLeave | RunFault::OpenLoad | RunFault::Short => angle,
        });
        Some(Happening::RunStarted { run, lane: id, angle, fault, stop_angle })
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

    fn next_of(&self, id: LaneId, lane: &Lane) -> Option<PlantEvent> {
        let run = lane.run?;
        let base = lane.angle - lane.angle % TURN;
        let after = |part: u64| if lane.angle % TURN < part { base + part } else { base + TURN + part };

        let flows = (!run.current_flowed && run.fault != Some(RunFault::OpenLoad)).then(|| PlantEvent {
            at: run.started.after_ms(PlantConfig::CURRENT_RISE_MS),
            what: Happening::CurrentFlowed { run: run.id, lane: id },
        });
        let turning =
            |angle: u64, what: Happening| self.reaches(run, angle).map(|at| PlantEvent { at, what });
        let opened = after(self.cam());
        let opens = turning(opened, Happening::HomeOpened { run: run.id, lane: id, angle: opened });
        let closed = base + TURN;
        let closes = turning(closed, Happening::HomeClosed { run: run.id, lane: id, angle: closed });
        let pushes = match lane.lagging {
            Some((item, angle)) => self
                .reaches(run, angle)
                .map(|at| PlantEvent { at, what: self.push(run.id, id, lane, item, angle, at) }),
            None if lane.items > 0 => {
                let angle = after(u64::from(self.config.push_permille) * TURN / 1_000);
                let item = self.items + 1;
                self.reaches(run, angle).map(|at| PlantEvent {
                    at,
                    what: self
                        .lag(run.id, id, lane, item, angle)
                        .unwrap_or_else(|| self.push(run.id, id, lane, item, angle, at)),
                })
            }
            None => None,
        };
        [flows, opens, closes, pushes].into_iter().flatten().min_by_key(|event| event.at)
    }

    /// When a run's coil reaches an angle.
    fn reaches(&self, run: Run, angle: u64) -> Option<Instant> {
        if run.stop_angle.is_some_and(|stop| stop < angle) {
            return None;
        }
        let way = angle.saturating_sub(run.start_angle);
        let ms = (way * u64::from(self.config.turn_ms)).div_ceil(TURN);
        Some(run.started.after_ms(u32::try_from(ms).ok()?))
    }

    fn push(&self, run: u64, id: LaneId, lane: &Lane, item: u64, angle: u64, at: Instant) -> Happening {
        let fault = self.item_fault(lane, item);
        let seed = self.config.seed;
        let falls_at = match fault {
            Some(ItemFault::Hang) => {
                let (least_ms, most_ms) = self.config.late_fall_ms;
                let extra_ms = throw(seed, Throw::FallDelay, item, most_ms.saturating_sub(least_ms));
                let later = throw(seed, Throw::FallsLater, item, 2) == 0;
                later.then(|| at.after_ms(least_ms.saturating_add(extra_ms)))
            }
            _ => Some(at.after_ms(self.config.fall_ms)),
        };
        Happening::ItemPushed { run, lane: id, item, angle, fault, falls_at }
    }

    fn lag(&self, run: u64, id: LaneId, lane: &Lane, item: u64, angle: u64) -> Option<Happening> {
        let lags = match lane.once.or(lane.always) {
            Some(Fault::Item(fault)) => fault == ItemFault::Lag,
            _ => throw(self.config.seed, Throw::Lag, item, MILLION) < self.config.faults.lag_ppm,
        };
        // Past the next home, within two quarter turns of it.
        let home = angle - angle % TURN + TURN;
        let further = throw(self.config.seed, Throw::StopAngle, item, 350_000);
        let push_angle = home + 100_000 + u64::from(further);
        lags.then_some(Happening::ItemLagged { run, lane: id, item, angle, push_angle })
    }

    fn item_fault(&self, lane: &Lane, item: u64) -> Option<ItemFault> {
        match lane.once.or(lane.always) {
            Some(Fault::Item(fault)) if fault != ItemFault::Lag => return Some(fault),
            Some(Fault::Item(_)) => return None,
            _ => {}
        }
        let rates = self.config.faults;
        let thrown = throw(self.config.seed, Throw::ItemFault, item, MILLION);
        if thrown < rates.hang_ppm {
            Some(ItemFault::Hang)
        } else if thrown < rates.hang_ppm.saturating_add(rates.miss_ppm) {
            Some(ItemFault::Miss)
        } else {
            None
        }
    }

    fn run_fault_by_chance(&self, run: u64) -> Option<RunFault> {
        let thrown = throw(self.config.seed, Throw::RunFault, run, MILLION);
        if thrown >= self.config.faults.jam_ppm {
            None
        } else if thrown.is_multiple_of(2) {
            Some(RunFault::Stall)
        } else {
            Some(RunFault::NoReturn)
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
