//! Each code by its physical cause, and each bound met.

use core::cell::Cell;
use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use vend_hal::sim::{BeamCondition, Fault, ItemFault, PlantConfig, RunFault, VirtualClock};
use vend_hal::{
    Attempt, Clock, DropReport, Instant, Interlock, Mechanism, MotorCode, NoDropSensor, NotStarted, Outcome,
    SpiralMotor, Timer, VendLimits,
};

use super::{LANE, Rig, limits};

fn vend_with(fault: Fault) -> Outcome {
    let mut rig = Rig::new();
    rig.plant.inject(LANE, fault);
    rig.vend(&limits())
}

#[track_caller]
fn about(ms: u32, expected_ms: u32) {
    assert!((expected_ms..=expected_ms + 12).contains(&ms), "{ms} ms, expected {expected_ms}");
}

#[test]
fn a_good_vend_is_seen() {
    let mut rig = Rig::new();
    let outcome = rig.vend(&limits());
    assert_eq!((outcome.attempt, outcome.motor), (Attempt::Started, MotorCode::Ok));
    assert_eq!(outcome.drop, DropReport::Seen);
    assert_eq!(outcome.evidence.beam_breaks, 1);
    assert_eq!(outcome.evidence.peak_current_ma, Some(1_200));
    about(outcome.evidence.run_ms, 300);
    // Pushed after 240 ms, through the beam 100 ms later.
    about(outcome.evidence.first_break_ms.unwrap(), 340);
}

#[test]
fn a_motor_that_does_not_leave_home_times_out() {
    let outcome = vend_with(Fault::Run(RunFault::NoLeave));
    assert_eq!((outcome.motor, outcome.drop), (MotorCode::TimeoutLeavingHome, DropReport::NotSeen));
    about(outcome.evidence.run_ms, 200);
}

#[test]
fn a_motor_that_does_not_return_home_times_out() {
    let outcome = vend_with(Fault::Run(RunFault::NoReturn));
    assert_eq!(outcome.motor, MotorCode::TimeoutReturningHome);
    // 60 ms inside the cam, then the limit.
    about(outcome.evidence.run_ms, 660);
}

#[test]
fn a_jam_is_an_over_current() {
    let outcome = vend_with(Fault::Run(RunFault::Stall));
    assert_eq!(outcome.motor, MotorCode::OverCurrent);
    assert!(outcome.evidence.run_ms < 300 + 212, "the motor was left stalled for {:?}", outcome.evidence);
}

#[test]
fn a_jam_without_current_sense_is_a_time_out() {
    let mut rig = Rig::new();
    rig.plant.inject(LANE, Fault::Run(RunFault::Stall));
    let mut spiral = SpiralMotor::new(rig.plant.motor(LANE), rig.plant.home(LANE), rig.time.clone());
    let outcome = rig.clock.block_on(spiral.vend(&limits(), &mut rig.beam));
    assert_eq!(outcome.motor, MotorCode::TimeoutReturningHome);
    assert_eq!(outcome.evidence.peak_current_ma, None);
}

#[test]
fn a_broken_wire_is_an_open_load() {
    let outcome = vend_with(Fault::Run(RunFault::OpenLoad));
    assert_eq!((outcome.motor, outcome.drop), (MotorCode::OpenLoad, DropReport::NotSeen));
    about(outcome.evidence.run_ms, 150);
}

#[test]
fn a_short_ends_at_once() {
    let outcome = vend_with(Fault::Run(RunFault::Short));
    assert_eq!(outcome.motor, MotorCode::Short);
    assert!(outcome.evidence.run_ms <= 6);
}

#[test]
fn a_hanging_item_gets_three_quarter_turns_and_no_second_item() {
    let mut rig = Rig::new();
    rig.plant.inject(LANE, Fault::Item(ItemFault::Hang));
    let outcome = rig.vend(&limits());
    assert_eq!((outcome.motor, outcome.drop), (MotorCode::Ok, DropReport::NotSeen));
    assert_eq!(outcome.evidence.extra_quarter_turns, 3);
    assert_eq!(rig.truth().items.len(), 1);
    about(outcome.evidence.run_ms, 300 + 3 * 75);
}

#[test]
fn an_item_that_lags_falls_by_a_quarter_turn() {
    for seed in 0..50 {
        let mut rig = Rig::with(PlantConfig { lanes: 1, seed, ..PlantConfig::fast() });
        rig.plant.inject(LANE, Fault::Item(ItemFault::Lag));
        let outcome = rig.vend(&limits());
        assert_eq!(outcome.drop, DropReport::Seen);
        assert!((1..=2).contains(&outcome.evidence.extra_quarter_turns));
        assert_eq!(rig.truth().items.len(), 1);
        // The coil rests between homes; the next vend ends at the next one and brings one item.
        let outcome = rig.vend(&limits());
        assert_eq!((outcome.motor, outcome.drop), (MotorCode::Ok, DropReport::Seen));
        assert!(outcome.evidence.run_ms < 300);
        assert_eq!(rig.truth().items.len(), 2);
        assert!(rig.plant.state().at_home(LANE, rig.clock.now()));
    }
}

#[test]
fn an_item_beside_the_beam_is_not_seen() {
    assert_eq!(vend_with(Fault::Item(ItemFault::Miss)).drop, DropReport::NotSeen);
}

#[test]
fn a_coil_between_homes_can_be_refused() {
    let mut rig = Rig::new();
    rig.plant.inject(LANE, Fault::Run(RunFault::Stall));
    let _ = rig.vend(&limits());
    let runs = rig.truth().runs.len();
    let outcome = rig.vend(&VendLimits { require_home: true, ..limits() });
    assert_eq!(outcome, Outcome::not_started(NotStarted::NotHomed));
    assert_eq!(outcome.motor, MotorCode::NotHomed);
    assert_eq!(rig.truth().runs.len(), runs, "nothing moved");
}

#[test]
fn returning_home_is_bounded_from_between_homes_too() {
    let mut rig = Rig::new();
    rig.plant.inject(LANE, Fault::Run(RunFault::Stall));
    let _ = rig.vend(&limits());
    rig.plant.inject(LANE, Fault::Run(RunFault::NoReturn));
    let outcome = rig.vend(&limits());
    assert_eq!(outcome.motor, MotorCode::TimeoutReturningHome);
    about(outcome.evidence.run_ms, 600);
}

#[test]
fn a_sensor_that_cannot_see_refuses_the_vend() {
    for (beam, reason) in [
        (BeamCondition::Blocked, NotStarted::SensorBlocked),
        (BeamCondition::Glare, NotStarted::SensorFalsing),
    ] {
        let mut rig = Rig::new();
        rig.plant.set_beam(beam);
        assert_eq!(rig.vend(&limits()), Outcome::not_started(reason));
        assert!(rig.truth().runs.is_empty(), "nothing moved");
        rig.plant.set_beam(BeamCondition::Clear);
        assert_eq!(rig.vend(&limits()).drop, DropReport::Seen);
    }
}

#[test]
fn a_beam_that_fails_during_the_vend_is_never_a_drop() {
    for beam in [BeamCondition::Blocked, BeamCondition::Glare] {
        for at_ms in (20..700).step_by(20) {
            let mut rig = Rig::new();
            rig.plant.inject(LANE, Fault::Item(ItemFault::Hang));
            let (plant, clock) = (rig.plant.clone(), rig.clock.clone());
            let fails = async {
                clock.delay_ms(at_ms).await;
                plant.set_beam(beam);
                core::future::pending::<Infallible>().await
            };
            let limits = limits();
            let outcome = rig.clock.run_beside(rig.spiral.vend(&limits, &mut rig.beam), fails);
            assert_eq!(outcome.drop, DropReport::SensorFault, "{beam:?} after {at_ms} ms");
        }
    }
}

#[test]
fn without_a_sensor_there_is_one_turn_and_no_claim() {
    let mut rig = Rig::new();
    let limits = limits();
    let outcome = rig.clock.block_on(rig.spiral.vend(&limits, &mut NoDropSensor));
    assert_eq!((outcome.motor, outcome.drop), (MotorCode::Ok, DropReport::NotFitted));
    assert_eq!(outcome.evidence.extra_quarter_turns, 0);
}

#[test]
fn an_interlock_forbids_and_stops_motion() {
    struct OpensAt<'a>(&'a Cell<u32>);
    impl Interlock for OpensAt<'_> {
        fn permits_motion(&mut self) -> bool {
            self.0.set(self.0.get().saturating_sub(1));
            self.0.get() > 0
        }
    }
    let not_started = Attempt::NotStarted(NotStarted::Interlock);
    for (looks, expected) in
        [(1, not_started), (2, not_started), (3, Attempt::Started), (60, Attempt::Started)]
    {
        let mut rig = Rig::new();
        let looks = Cell::new(looks);
        let mut spiral = SpiralMotor::new(rig.plant.motor(LANE), rig.plant.home(LANE), rig.time.clone())
            .with_interlock(OpensAt(&looks));
        let outcome = rig.clock.block_on(spiral.vend(&limits(), &mut rig.beam));
        assert_eq!((outcome.attempt, outcome.motor), (expected, MotorCode::Interlock));
        assert!(rig.plant.running_lanes().is_empty());
        assert_eq!(rig.truth().runs.is_empty(), expected == not_started);
    }
}

#[test]
fn a_door_that_opens_while_an_item_is_waited_for_gets_no_further_pulse() {
    struct ClosedUntil<'a>(&'a VirtualClock, Instant);
    impl Interlock for ClosedUntil<'_> {
        fn permits_motion(&mut self) -> bool {
            self.0.now() < self.1
        }
    }
    // The first turn is over after 300 ms; what hangs is waited for until 700 ms.
    for opens_ms in (320..700).step_by(20) {
        let mut rig = Rig::new();
        rig.plant.inject(LANE, Fault::Item(ItemFault::Hang));
        let clock = rig.clock.clone();
        let mut spiral = SpiralMotor::new(rig.plant.motor(LANE), rig.plant.home(LANE), rig.time.clone())
            .with_interlock(ClosedUntil(&clock, Instant::from_millis(opens_ms)));
        let outcome = rig.clock.block_on(spiral.vend(&limits(), &mut rig.beam));
        assert_eq!((outcome.attempt, outcome.motor), (Attempt::Started, MotorCode::Interlock));
        assert_eq!(outcome.drop, DropReport::NotSeen);
        assert_eq!(outcome.evidence.extra_quarter_turns, 0);
        assert_eq!(rig.truth().runs.len(), 1, "a pulse with the door open since {opens_ms} ms");
    }
}

#[test]
fn power_that_goes_during_a_vend_stops_it() {
    for at_ms in (0..500).step_by(7) {
        let mut rig = Rig::new();
        let (plant, clock) = (rig.plant.clone(), rig.clock.clone());
        let cut = async {
            clock.delay_ms(at_ms).await;
            plant.cut_power();
            core::future::pending::<Infallible>().await
        };
        let limits = limits();
        let outcome = rig.clock.run_beside(rig.spiral.vend(&limits, &mut rig.beam), cut);
        assert!(rig.plant.running_lanes().is_empty());
        assert!(outcome.motor != MotorCode::Ok || outcome.drop != DropReport::NotSeen);

        // What was made before the cut stays dead; what is made afterwards works from wherever the coil rests.
        rig.plant.restore_power();
        assert_eq!(rig.vend(&limits).attempt, Attempt::NotStarted(NotStarted::Drive));
        let [mut spiral] = rig.plant.spirals::<1, _>(&rig.time);
        let mut beam = rig.plant.ir_beam(rig.time.clone());
        let outcome = rig.clock.block_on(spiral.vend(&limits, &mut beam));
        assert_eq!(outcome.motor, MotorCode::Ok, "after a cut at {at_ms} ms");
    }
}

#[test]
fn a_clock_that_stopped_does_not_keep_the_motor_on() {
    #[derive(Clone)]
    struct Stopped;
    impl Clock for Stopped {
        fn now(&self) -> Instant {
            Instant::from_millis(5)
        }
    }
    for fault in [RunFault::NoLeave, RunFault::NoReturn] {
        let mut rig = Rig::new();
        rig.plant.inject(LANE, Fault::Run(fault));
        let time = Timer::new(Stopped, rig.clock.delay());
        let mut spiral = SpiralMotor::new(rig.plant.motor(LANE), rig.plant.home(LANE), time);
        let outcome = rig.clock.block_on(spiral.vend(&limits(), &mut rig.beam));
        assert!(matches!(outcome.motor, MotorCode::TimeoutLeavingHome | MotorCode::TimeoutReturningHome));
        assert!(rig.clock.now() < Instant::from_millis(limits().worst_case_ms().into()));
    }
}

/// A pin on a bus that fails.
struct Flaky<'a, P> {
    pin: P,
    /// Successes left before it fails once.
    fails_after: &'a Cell<u32>,
}

impl<P> Flaky<'_, P> {
    fn works(&self) -> Result<(), embedded_hal::digital::ErrorKind> {
        let left = self.fails_after.get();
        self.fails_after.set(left.wrapping_sub(1));
        if left == 0 { Err(embedded_hal::digital::ErrorKind::Other) } else { Ok(()) }
    }
}

impl<P> ErrorType for Flaky<'_, P> {
    type Error = embedded_hal::digital::ErrorKind;
}

impl<P: OutputPin> OutputPin for Flaky<'_, P> {
    fn set_low(&mut self) -> Result<(), Self::Error> {
        self.works()?;
        self.pin.set_low().map_err(|_| embedded_hal::digital::ErrorKind::Other)
    }

    fn set_high(&mut self) -> Result<(), Self::Error> {
        // It fails after the fact, which is the worst time.
        self.pin.set_high().map_err(|_| embedded_hal::digital::ErrorKind::Other)?;
        self.works()
    }
}

impl<P: InputPin> InputPin for Flaky<'_, P> {
    fn is_high(&mut self) -> Result<bool, Self::Error> {
        self.works()?;
        self.pin.is_high().map_err(|_| embedded_hal::digital::ErrorKind::Other)
    }

    fn is_low(&mut self) -> Result<bool, Self::Error> {
        self.is_high().map(|high| !high)
    }
}

#[test]
fn a_pin_that_fails_at_any_use_leaves_the_motor_off() {
    for fails_at in 0..60 {
        for motor_fails in [true, false] {
            let mut rig = Rig::new();
            let (never, at) = (Cell::new(u32::MAX), Cell::new(fails_at));
            let (for_motor, for_home) = if motor_fails { (&at, &never) } else { (&never, &at) };
            let motor = Flaky { pin: rig.plant.motor(LANE), fails_after: for_motor };
            let home = Flaky { pin: rig.plant.home(LANE), fails_after: for_home };
            let mut spiral = SpiralMotor::new(motor, home, rig.time.clone());
            let outcome = rig.clock.block_on(spiral.vend(&limits(), &mut rig.beam));
            assert!(rig.plant.running_lanes().is_empty());
            if !rig.truth().runs.is_empty() {
                assert!(outcome.started(), "moved and says it did not: {outcome:?}");
            }
            if !motor_fails {
                let expected = if fails_at == 0 {
                    Attempt::NotStarted(NotStarted::HomeSwitch)
                } else {
                    Attempt::Started
                };
                assert_eq!((outcome.attempt, outcome.motor), (expected, MotorCode::Drive));
            }
        }
    }
}
