//! The handle through which pins, people and tests reach a plant.

use core::array;
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal_async::delay::DelayNs;

use super::{
    BeamCondition, BeamEmitter, BeamReceiver, CurrentAdc, EndCause, Fault, FaultRates, Happening, HomePin,
    MotorPin, NoLog, PlantConfig, PlantError, PlantEvent, PlantLog, PlantState,
};
use crate::{Clock, Instant, IrBeam, LaneId, Shunt, SpiralMotor, Timer};

/// A simulated plant. Clones are the same plant.
///
/// Its state is brought up to the present whenever it is touched; between touches nothing exists that anyone could
/// have seen.
#[derive(Clone)]
pub struct Plant {
    inner: Arc<Mutex<Inner>>,
    clock: PlantClock,
}

struct Inner {
    state: PlantState,
    log: Box<dyn PlantLog + Send>,
    /// Rises with every power cut: pins from before stay dead.
    epoch: u64,
}

impl core::fmt::Debug for Plant {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plant").field("state", &self.lock().state).finish_non_exhaustive()
    }
}

/// The clock a plant lives by. Firmware that runs against the plant must use it too.
#[derive(Clone)]
pub struct PlantClock(Arc<dyn Clock + Send + Sync>);

impl Clock for PlantClock {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

impl core::fmt::Debug for PlantClock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("PlantClock").field(&self.now()).finish()
    }
}

/// A spiral of a plant.
pub type SimSpiral<D> = SpiralMotor<MotorPin, HomePin, Timer<PlantClock, D>, Shunt<CurrentAdc>>;

/// The beam of a plant.
pub type SimBeam<D> = IrBeam<BeamEmitter, BeamReceiver, Timer<PlantClock, D>>;

/// What can be seen of a lane by opening the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Items on the coil.
    pub items: u32,
    /// Items pushed that have not fallen.
    pub hanging: usize,
    /// Where the coil stands, in millionths of a turn; whole turns are home.
    pub angle: u64,
    /// Whether the motor is on.
    pub running: bool,
}

impl Plant {
    /// A new plant whose events nobody keeps.
    pub fn new(config: PlantConfig, clock: impl Clock + Send + Sync + 'static) -> Self {
        Self::with_log(config, clock, NoLog)
    }

    /// A new plant.
    pub fn with_log(
        config: PlantConfig,
        clock: impl Clock + Send + Sync + 'static,
        log: impl PlantLog + Send + 'static,
    ) -> Self {
        Self::of(PlantState::new(config), clock, log)
    }

    /// The plant whose log holds `events`, which goes on writing to `log` (that already holds them). The clock must
    /// not be earlier than the last event. A motor that ran when the process ended is noted as
    /// [lost](EndCause::Lost), and the power is on.
    ///
    /// ```
    /// use vend_hal::sim::{FileLog, Plant, PlantConfig, RealClock};
    /// use vend_hal::{Instant, LaneId};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let directory = std::env::temp_dir().join(format!("vend-hal-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory)?;
    /// let open = || -> std::io::Result<Plant> {
    ///     let (log, events) = FileLog::open(directory.join("plant.txt"))?;
    ///     let last = events.last().map_or(Instant::ORIGIN, |event| event.at);
    ///     Ok(Plant::restore(PlantConfig::default(), RealClock::starting_at(last), log, &events))
    /// };
    /// let lane = LaneId::new(4);
    /// open()?.refill(lane, 6);
    /// assert_eq!(open()?.lane(lane).items, 6);
    /// # std::fs::remove_dir_all(&directory)
    /// # }
    /// ```
    pub fn restore(
        config: PlantConfig,
        clock: impl Clock + Send + Sync + 'static,
        log: impl PlantLog + Send + 'static,
        events: &[PlantEvent],
    ) -> Self {
        let plant = Self::of(PlantState::replay(config, events), clock, log);
        {
            // Without bringing it up to the present first: nobody held these motors on in the meantime.
            let mut inner = plant.lock();
            let last = inner.state.at();
            for lane in inner.state.running_lanes() {
                if let Some(lost) = inner.state.end_run(lane, last, EndCause::Lost) {
                    let _ = inner.note(last, lost);
                }
            }
            if !inner.state.powered() {
                let _ = inner.note(last, Happening::PowerRestored);
            }
        }
        plant
    }

    fn of(
        state: PlantState,
        clock: impl Clock + Send + Sync + 'static,
        log: impl PlantLog + Send + 'static,
    ) -> Self {
        let inner = Inner { state, log: Box::new(log), epoch: 0 };
        Self { inner: Arc::new(Mutex::new(inner)), clock: PlantClock(Arc::new(clock)) }
    }

    /// The plant's clock.
    pub fn clock(&self) -> PlantClock {
        self.clock.clone()
    }

    /// The plant's clock joined with a delay, as drivers want it.
    pub fn timer<D: DelayNs>(&self, delay: D) -> Timer<PlantClock, D> {
        Timer::new(self.clock(), delay)
    }

    /// The output that switches a lane's motor: on when high.
    pub fn motor(&self, lane: LaneId) -> MotorPin {
        MotorPin { plant: self.clone(), lane, epoch: self.lock().epoch }
    }

    /// A lane's home switch: high when closed.
    pub fn home(&self, lane: LaneId) -> HomePin {
        HomePin { plant: self.clone(), lane, epoch: self.lock().epoch }
    }

    /// The beam's emitter: lit when high.
    pub fn emitter(&self) -> BeamEmitter {
        BeamEmitter { plant: self.clone(), epoch: self.lock().epoch }
    }

    /// The beam's receiver: high when it sees light.
    pub fn receiver(&self) -> BeamReceiver {
        BeamReceiver { plant: self.clone(), epoch: self.lock().epoch }
    }

    /// The current of all motors together: 1 mV for each milliampere.
    pub fn current(&self) -> CurrentAdc {
        CurrentAdc { plant: self.clone(), epoch: self.lock().epoch }
    }

    /// Drivers for the first `LANES` lanes.
    pub fn spirals<const LANES: usize, D: DelayNs + Clone>(
        &self,
        time: &Timer<PlantClock, D>,
    ) -> [SimSpiral<D>; LANES] {
        array::from_fn(|index| {
            // A lane past the last is one that does not exist, which is what a wrong index should be.
            let lane = LaneId::new(u8::try_from(index).unwrap_or(u8::MAX));
            SpiralMotor::new(self.motor(lane), self.home(lane), time.clone())
                .with_current(Shunt::new(self.current(), 1_000))
        })
    }

    /// A driver for the beam.
    pub fn ir_beam<D: DelayNs>(&self, time: Timer<PlantClock, D>) -> SimBeam<D> {
        IrBeam::new(self.emitter(), self.receiver(), time)
    }

    /// Puts `items` more on a lane's coil and takes out what hangs there for good.
    pub fn refill(&self, lane: LaneId, items: u32) {
        self.with(|inner, now| {
            for removed in inner.state.removable(lane) {
                let _ = inner.note(now, removed);
            }
            let _ = inner.note(now, Happening::Refilled { lane, items });
        });
    }

    /// How likely things go wrong by themselves from now on.
    pub fn set_rates(&self, rates: FaultRates) {
        self.with(|inner, _| inner.state.set_rates(rates));
    }

    /// Makes something go wrong once: with a lane's next run, or the next item it pushes. Not remembered when the
    /// plant is restored.
    pub fn inject(&self, lane: LaneId, fault: Fault) {
        self.with(|inner, _| inner.state.set_once(lane, fault));
    }

    /// Makes something go wrong with every run, or item, of a lane until it is taken back. Not remembered when the
    /// plant is restored.
    pub fn set_defect(&self, lane: LaneId, fault: Option<Fault>) {
        self.with(|inner, _| inner.state.set_always(lane, fault));
    }

    /// How the beam fares from now on. Not remembered when the plant is restored.
    pub fn set_beam(&self, beam: BeamCondition) {
        self.with(|inner, _| inner.state.set_beam(beam));
    }

    /// All motors off at once, the emitter dark, every pin dead. Pins made before stay dead for ever: the firmware's
    /// drivers are to be dropped and made again after [`restore_power`](Self::restore_power).
    pub fn cut_power(&self) {
        self.with(|inner, now| {
            inner.epoch += 1;
            for lane in inner.state.running_lanes() {
                if let Some(ended) = inner.state.end_run(lane, now, EndCause::Power) {
                    let _ = inner.note(now, ended);
                }
            }
            if inner.state.powered() {
                let _ = inner.note(now, Happening::PowerCut);
            }
        });
    }

    /// Gives the power back.
    pub fn restore_power(&self) {
        self.with(|inner, now| {
            if !inner.state.powered() {
                let _ = inner.note(now, Happening::PowerRestored);
            }
        });
    }

    /// What can be seen of a lane.
    pub fn lane(&self, lane: LaneId) -> LaneView {
        self.with(|inner, now| LaneView {
            items: inner.state.items(lane),
            hanging: inner.state.hanging(lane),
            angle: inner.state.angle(lane, now),
            running: inner.state.running(lane),
        })
    }

    /// The lanes whose motors are on.
    pub fn running_lanes(&self) -> std::vec::Vec<LaneId> {
        self.with(|inner, _| inner.state.running_lanes())
    }

    /// A copy of the whole state, as of now.
    pub fn state(&self) -> PlantState {
        self.with(|inner, _| inner.state.clone())
    }

    /// Brings the plant up to the present and does something with it.
    fn with<R>(&self, f: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        let mut inner = self.lock();
        // A clock that was set back must not make the log run backwards.
        let now = self.clock.now().max(inner.state.at());
        inner.advance(now);
        f(&mut inner, now)
    }

    /// As [`with`](Self::with), for a pin, which is dead without power.
    pub(super) fn pin<R>(
        &self,
        epoch: u64,
        f: impl FnOnce(PinAccess<'_>) -> Result<R, PlantError>,
    ) -> Result<R, PlantError> {
        self.with(|inner, now| {
            if inner.epoch != epoch || !inner.state.powered() {
                return Err(PlantError::NoPower);
            }
            f(PinAccess { inner, now })
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn advance(&mut self, now: Instant) {
        while let Some(event) = self.state.next_event(now) {
            if self.note(event.at, event.what).is_err() {
                return;
            }
        }
    }

    /// The one way in which anything happens: first written, then true.
    fn note(&mut self, at: Instant, what: Happening) -> Result<(), PlantError> {
        let event = PlantEvent { at, what };
        if self.log.append(&event).is_err() {
            self.epoch += 1;
            self.state.go_dead();
            return Err(PlantError::Log);
        }
        self.state.apply(&event);
        Ok(())
    }
}

/// What pins may do to a plant that is up to date and has power.
pub(super) struct PinAccess<'a> {
    inner: &'a mut Inner,
    now: Instant,
}

impl PinAccess<'_> {
    pub(super) fn switch_motor(&mut self, lane: LaneId, on: bool) -> Result<(), PlantError> {
        let what = if on {
            self.inner.state.start_run(lane, self.now)
        } else {
            self.inner.state.end_run(lane, self.now, EndCause::Switched)
        };
        what.map_or(Ok(()), |what| self.inner.note(self.now, what))
    }

    pub(super) fn switch_emitter(&mut self, on: bool) {
        self.inner.state.set_emitter(on);
    }

    pub(super) fn receiver_sees_light(&mut self) -> Result<bool, PlantError> {
        let (light, seen) = self.inner.state.receiver(self.now);
        if let Some(seen) = seen {
            self.inner.note(self.now, seen)?;
        }
        Ok(light)
    }

    pub(super) fn state(&self) -> &PlantState {
        &self.inner.state
    }

    pub(super) const fn now(&self) -> Instant {
        self.now
    }
}
