//! A spiral: one motor, one home switch that closes once a turn.

use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal_async::delay::DelayNs;

use crate::pin::Switch;
use crate::{
    Attempt, Clock, CurrentSense, DropReport, DropSensor, DropWindow, Evidence, Instant, Interlock,
    Mechanism, MotorCode, NoCurrentSense, NoInterlock, NotStarted, Outcome, VendLimits,
};

/// How often pins are read while a vend runs, in ms. A home switch of a fast spiral (300 ms a turn) is closed for
/// some 20 ms, a product darkens the beam for at least 6 ms.
const POLL_MS: u32 = 2;

/// Equal samples in a row before the home switch is believed; contacts bounce for some milliseconds.
const HOME_SAMPLES: u8 = 3;

/// A motor that turns a spiral, with a switch that is closed (its pin high) while the spiral is at home.
///
/// The motor's pin is high while it runs; [`Inverted`](crate::Inverted) serves wiring of the other sense. A vend
/// turns until the switch has opened and closed again. A coil that rests between homes (after quarter turns, or a
/// power cut) ends its next vend at the next home. Quarter turns last a quarter of the turn before, end early when
/// something falls, and never go past home: one vend cannot turn into a second product's turn.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use vend_hal::sim::{Plant, PlantConfig, VirtualClock};
/// use vend_hal::{DropReport, LaneId, Mechanism, MotorCode, Shunt, SpiralMotor, VendLimits};
///
/// let clock = VirtualClock::new();
/// let plant = Plant::new(PlantConfig::default(), clock.clone());
/// let lane = LaneId::new(2);
/// plant.refill(lane, 1);
/// let time = plant.timer(clock.delay());
/// let mut beam = plant.ir_beam(time.clone());
/// let mut spiral = SpiralMotor::new(plant.motor(lane), plant.home(lane), time)
///     .with_current(Shunt::new(plant.current(), 1_000));
///
/// let outcome = clock.block_on(spiral.vend(&VendLimits::default(), &mut beam));
/// assert_eq!((outcome.motor, outcome.drop), (MotorCode::Ok, DropReport::Seen));
/// # }
/// ```
#[derive(Debug)]
pub struct SpiralMotor<M: OutputPin, H, T, C = NoCurrentSense, I = NoInterlock> {
    motor: Switch<M>,
    home: H,
    time: T,
    current: C,
    interlock: I,
}

impl<M: OutputPin, H: InputPin, T: Clock + DelayNs> SpiralMotor<M, H, T> {
    /// Takes the pins and switches the motor off.
    pub fn new(motor: M, home: H, time: T) -> Self {
        Self { motor: Switch::new(motor), home, time, current: NoCurrentSense, interlock: NoInterlock }
    }
}

impl<M: OutputPin, H, T, C, I> SpiralMotor<M, H, T, C, I> {
    /// Supervises the motor's current.
    #[must_use = "the builder returns the motor with its current sense"]
    pub fn with_current<C2: CurrentSense>(self, current: C2) -> SpiralMotor<M, H, T, C2, I> {
        let Self { motor, home, time, interlock, .. } = self;
        SpiralMotor { motor, home, time, current, interlock }
    }

    /// Moves only while the interlock permits.
    #[must_use = "the builder returns the motor with its interlock"]
    pub fn with_interlock<I2: Interlock>(self, interlock: I2) -> SpiralMotor<M, H, T, C, I2> {
        let Self { motor, home, time, current, .. } = self;
        SpiralMotor { motor, home, time, current, interlock }
    }
}

impl<M, H, T, C, I> Mechanism for SpiralMotor<M, H, T, C, I>
where
    M: OutputPin,
    H: InputPin,
    T: Clock + DelayNs,
    C: CurrentSense,
    I: Interlock,
{
    /// # Cancel safety
    /// Dropping the future switches the motor off before the drop returns.
    async fn vend<S: DropSensor>(&mut self, limits: &VendLimits, sensor: &mut S) -> Outcome {
        let at_home = match self.ready(limits, sensor).await {
            Ok(at_home) => at_home,
            Err(reason) => return Outcome::not_started(reason),
        };
        let mut vend = Vend::new(limits, sensor, self.time.now());
        let mut code = self.turn(&mut vend, Aim::Home { at_home }).await;
        vend.settle(&mut self.time).await;

        let quarter_ms = vend.quarter_ms(at_home);
        while code == MotorCode::Ok && vend.wants_quarter_turn() {
            // Some hundred milliseconds have passed with the motor off.
            if !self.interlock.permits_motion() {
                code = MotorCode::Interlock;
                break;
            }
            vend.evidence.extra_quarter_turns += 1;
            code = self.turn(&mut vend, Aim::Drop { within_ms: quarter_ms }).await;
            vend.settle(&mut self.time).await;
        }
        let drop = vend.drop_report().await;
        Outcome {
            attempt: Attempt::Started,
            motor: code,
            drop,
            interrupted: false,
            evidence: vend.evidence(),
        }
    }
}

/// Where a turn ends.
#[derive(Clone, Copy)]
enum Aim {
    /// At the next home, having left this one.
    Home { at_home: bool },
    /// When something falls, at the next home, or after this time: whichever is first.
    Drop { within_ms: u32 },
}

impl<M, H, T, C, I> SpiralMotor<M, H, T, C, I>
where
    M: OutputPin,
    H: InputPin,
    T: Clock + DelayNs,
    C: CurrentSense,
    I: Interlock,
{
    /// Whether the coil is at home, if all is well enough to start.
    async fn ready<S: DropSensor>(
        &mut self,
        limits: &VendLimits,
        sensor: &mut S,
    ) -> Result<bool, NotStarted> {
        self.motor.off().map_err(|_| NotStarted::Drive)?;
        if !self.interlock.permits_motion() {
            return Err(NotStarted::Interlock);
        }
        sensor.self_test().await?;
        let at_home = self.home.is_high().map_err(|_| NotStarted::HomeSwitch)?;
        if limits.require_home && !at_home {
            return Err(NotStarted::NotHomed);
        }
        // The sensor's test took its time.
        if !self.interlock.permits_motion() {
            return Err(NotStarted::Interlock);
        }
        Ok(at_home)
    }

    /// Turns the motor until `aim` or a fault. It is off afterwards.
    async fn turn<S: DropSensor>(&mut self, vend: &mut Vend<'_, S>, aim: Aim) -> MotorCode {
        let mut watch = Stopwatch::start(self.time.now());
        let mut supervisor = Supervisor::default();
        let mut cam = Cam::new(match aim {
            Aim::Home { at_home } => at_home,
            // A quarter turn may begin anywhere; the switch's first readings settle where.
            Aim::Drop { .. } => self.home.is_high().unwrap_or(true),
        });
        let mut left_home_ms = None;
        if !cam.closed {
            left_home_ms = Some(0);
            vend.window.open(watch.now);
        }
        let breaks_before = vend.window.report().breaks;

        let (motor, switched) = self.motor.on();
        let code = loop {
            if switched.is_err() {
                break MotorCode::Drive;
            }
            self.time.delay_ms(POLL_MS).await;
            let elapsed_ms = watch.tick(self.time.now());
            vend.sample(watch.now);

            if !self.interlock.permits_motion() {
                break MotorCode::Interlock;
            }
            let Ok(ma) = self.current.read_ma() else { break MotorCode::Drive };
            if let Some(fault) = supervisor.check(vend.limits, elapsed_ms, ma) {
                break fault;
            }
            let Ok(closed) = self.home.is_high() else { break MotorCode::Drive };
            match cam.read(closed) {
                Some(Edge::Left) => {
                    left_home_ms = Some(elapsed_ms);
                    vend.window.open(watch.now);
                }
                Some(Edge::Reached) => break MotorCode::Ok,
                None => {}
            }
            if let Aim::Drop { within_ms } = aim
                && (elapsed_ms >= within_ms || vend.window.report().breaks > breaks_before)
            {
                break MotorCode::Ok;
            }
            match left_home_ms {
                None if elapsed_ms >= vend.limits.leave_home_ms.into() => {
                    break MotorCode::TimeoutLeavingHome;
                }
                Some(left_ms) if elapsed_ms - left_ms >= vend.limits.return_home_ms.into() => {
                    break MotorCode::TimeoutReturningHome;
                }
                _ => {}
            }
        };
        let off = motor.off();
        vend.ran(&watch, supervisor.peak_ma);
        // A motor that cannot be switched off is worse news than whatever came before.
        if off.is_err() { MotorCode::Drive } else { code }
    }
}

/// What one vend gathers.
struct Vend<'a, S> {
    limits: &'a VendLimits,
    sensor: &'a mut S,
    window: DropWindow,
    started: Instant,
    stopped: Instant,
    evidence: Evidence,
}

impl<'a, S: DropSensor> Vend<'a, S> {
    fn new(limits: &'a VendLimits, sensor: &'a mut S, now: Instant) -> Self {
        let window = DropWindow::new();
        Self { limits, sensor, window, started: now, stopped: now, evidence: Evidence::EMPTY }
    }

    fn sample(&mut self, now: Instant) {
        self.window.sample(self.sensor.sample(now));
    }

    fn ran(&mut self, watch: &Stopwatch, peak_ma: Option<u16>) {
        self.stopped = watch.now;
        let ran_ms = watch.now.millis_since(watch.start);
        self.evidence.run_ms = self.evidence.run_ms.saturating_add(ran_ms);
        self.evidence.peak_current_ma = self.evidence.peak_current_ma.max(peak_ma);
    }

    /// Watches, with the motor off, until the window closes.
    async fn settle<T: Clock + DelayNs>(&mut self, time: &mut T) {
        if !self.sensor.fitted() {
            return;
        }
        let mut watch = Stopwatch::start(self.stopped);
        loop {
            if self.window.closed(self.limits, self.stopped, watch.now) {
                return;
            }
            time.delay_ms(POLL_MS).await;
            watch.tick(time.now());
            self.sample(watch.now);
        }
    }

    fn wants_quarter_turn(&self) -> bool {
        self.sensor.fitted()
            && !self.window.seen()
            && !self.window.report().fault
            && self.evidence.extra_quarter_turns < self.limits.quarter_turns()
    }

    /// A quarter of the first turn if that was a whole one, else what the limits say.
    fn quarter_ms(&self, was_whole: bool) -> u32 {
        if was_whole { self.evidence.run_ms / 4 } else { self.limits.quarter_turn_ms.into() }
    }

    async fn drop_report(&mut self) -> DropReport {
        let report = self.window.report();
        if !self.sensor.fitted() {
            DropReport::NotFitted
        } else if report.breaks > 0 {
            DropReport::Seen
        } else if report.fault || self.sensor.self_test().await.is_err() {
            // "Nothing fell" is worth something only from a sensor that would have seen it.
            DropReport::SensorFault
        } else {
            DropReport::NotSeen
        }
    }

    fn evidence(&self) -> Evidence {
        let report = self.window.report();
        Evidence {
            beam_breaks: report.breaks,
            first_break_ms: report.first.map(|first| first.millis_since(self.started)),
            early_breaks: report.early_breaks,
            ..self.evidence
        }
    }
}

/// Time since a start, by the clock or by the delays that were waited, whichever is more: a clock that stopped must
/// not keep a motor on. Delays last at least as long as asked, so counting them never makes a time-out early.
struct Stopwatch {
    start: Instant,
    waited_ms: u32,
    /// The present moment.
    now: Instant,
}

impl Stopwatch {
    const fn start(now: Instant) -> Self {
        Self { start: now, waited_ms: 0, now }
    }

    /// Notes that [`POLL_MS`] were waited, reads the clock, and returns the milliseconds since the start.
    fn tick(&mut self, clock: Instant) -> u32 {
        self.waited_ms = self.waited_ms.saturating_add(POLL_MS);
        self.now = clock.max(self.start.after_ms(self.waited_ms));
        self.now.millis_since(self.start)
    }
}

/// The home switch, debounced.
struct Cam {
    closed: bool,
    unlike: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Left,
    Reached,
}

impl Cam {
    const fn new(closed: bool) -> Self {
        Self { closed, unlike: 0 }
    }

    fn read(&mut self, closed: bool) -> Option<Edge> {
        self.unlike = if closed == self.closed { 0 } else { self.unlike + 1 };
        if self.unlike < HOME_SAMPLES {
            return None;
        }
        *self = Self::new(closed);
        Some(if closed { Edge::Reached } else { Edge::Left })
    }
}

/// Watches a motor's current through one turn.
#[derive(Default)]
struct Supervisor {
    peak_ma: Option<u16>,
    over_since_ms: Option<u32>,
    shorts: u8,
    loaded: bool,
}

impl Supervisor {
    fn check(&mut self, limits: &VendLimits, elapsed_ms: u32, ma: Option<u16>) -> Option<MotorCode> {
        let ma = ma?;
        self.peak_ma = self.peak_ma.max(Some(ma));

        self.shorts = if ma > limits.short_ma { self.shorts + 1 } else { 0 };
        if self.shorts >= 2 {
            return Some(MotorCode::Short);
        }
        if ma > limits.over_current_ma {
            let since_ms = *self.over_since_ms.get_or_insert(elapsed_ms);
            if elapsed_ms - since_ms >= limits.over_current_ms.into() {
                return Some(MotorCode::OverCurrent);
            }
        } else {
            self.over_since_ms = None;
        }
        self.loaded |= ma >= limits.open_load_ma;
        if !self.loaded && elapsed_ms >= limits.open_load_ms.into() {
            return Some(MotorCode::OpenLoad);
        }
        None
    }
}
