//! What happens next, and what goes wrong with it.

use super::{Lane, PlantState, Run, TURN};
use crate::sim::dice::{MILLION, Throw, throw};
use crate::sim::{Fault, Happening, ItemFault, PlantConfig, PlantEvent, RunFault};
use crate::{Instant, LaneId};

impl PlantState {
    /// The next event up to `now`, if there is one. It has happened once it is [applied](Self::apply).
    pub(in crate::sim) fn next_event(&self, now: Instant) -> Option<PlantEvent> {
        let falls = self.dropping.iter().filter_map(|item| {
            let missed = item.fault == Some(ItemFault::Miss);
            let what = Happening::ItemFell { run: item.run, lane: item.lane, item: item.item, missed };
            let late = item.fault == Some(ItemFault::Hang);
            item.falls_at
                .and_then(|at| if late { self.at_rest(at) } else { Some(at) })
                .map(|at| PlantEvent { at, what })
        });
        let lanes =
            (0..=u8::MAX).map(LaneId::new).zip(&self.lanes).filter_map(|(id, lane)| self.next_of(id, lane));
        falls.chain(lanes).min_by_key(|event| event.at).filter(|event| event.at <= now)
    }

    /// When a late fall that is due at `due` may happen; `None` while a motor keeps it waiting.
    fn at_rest(&self, due: Instant) -> Option<Instant> {
        let rest_ms = self.config.late_fall_rest_ms;
        if rest_ms == 0 {
            return Some(due);
        }
        let running = self.lanes.iter().any(|lane| lane.run.is_some());
        (!running).then(|| self.last_off.map_or(due, |off| due.max(off.after_ms(rest_ms))))
    }

    /// Switching a lane's motor on, with whatever goes wrong with that run.
    pub(in crate::sim) fn start_run(&self, id: LaneId, now: Instant) -> Option<Happening> {
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
