//! The board's two sides together.

use core::convert::Infallible;
use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use embedded_hal_async::delay::DelayNs;
use vend_hal::sim::{BeamCondition, Fault, ItemFault, Plant, PlantConfig, RealClock, VirtualClock};
use vend_hal::{
    Attempt, BoardConfig, BoardHandle, Clock, ConfigHash, ControlBoard, DropReport, DropSensor, Instant,
    LaneId, LocalBoard, Mechanism, MotorCode, NoDropSensor, Nonce, NotStarted, OpenRefused, Outcome,
    SensorState, Timer, VendCommand, VendId, VendLimits, VendState,
};

use super::{LANE, limits};

const NONCE: Nonce = Nonce([9; 16]);

fn command(number: u32) -> VendCommand {
    VendCommand {
        nonce: NONCE,
        vend_id: VendId(number),
        config_hash: ConfigHash::default(),
        lane: LANE,
        limits: limits(),
    }
}

async fn result(clock: &VirtualClock, handle: &BoardHandle<'_, impl Clock>) -> Outcome {
    loop {
        clock.delay_ms(10).await;
        if let VendState::Done { outcome, .. } = handle.poll() {
            return outcome;
        }
    }
}

fn plant() -> (VirtualClock, Plant) {
    let clock = VirtualClock::new();
    let plant = Plant::new(PlantConfig { lanes: 1, ..PlantConfig::fast() }, clock.clone());
    plant.refill(LANE, 50);
    (clock, plant)
}

macro_rules! board {
    ($clock:ident, $plant:ident) => {{
        let time = $plant.timer($clock.delay());
        LocalBoard::new(
            BoardConfig::default(),
            $plant.spirals::<1, _>(&time),
            $plant.ir_beam(time.clone()),
            time,
        )
    }};
}

#[test]
fn commands_are_answered_while_the_motor_turns() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    let (handle, mut motion) = board.split();
    let machine = async {
        handle.open(NONCE).unwrap();
        handle.start(&command(1)).unwrap();
        let mut answered_while_turning = 0;
        while let VendState::Running { vend_id, .. } = handle.poll() {
            assert_eq!(vend_id, VendId(1));
            assert_eq!(handle.open(Nonce([1; 16])), Err(OpenRefused::Running));
            assert!(handle.open(NONCE).is_ok(), "the same opening is answered again");
            answered_while_turning += usize::from(!plant.running_lanes().is_empty());
            clock.delay_ms(10).await;
        }
        assert!(answered_while_turning > 25, "{answered_while_turning}");
    };
    clock.run_beside(machine, motion.run());
}

#[test]
fn dropping_the_machines_side_stops_nothing() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    let (handle, mut motion) = board.split();
    let machine = async {
        let mut dropped = handle.clone();
        ControlBoard::open(&mut dropped, NONCE).await.unwrap().unwrap();
        ControlBoard::start(&mut dropped, &command(1)).await.unwrap().unwrap();
        clock.delay_ms(50).await;
        drop(dropped);
        assert_eq!(plant.running_lanes(), [LANE]);
        result(&clock, &handle).await
    };
    assert_eq!(clock.run_beside(machine, motion.run()).drop, DropReport::Seen);
}

#[test]
fn a_dropped_motion_side_leaves_an_interrupted_result_and_the_motor_off() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    {
        let (handle, mut motion) = board.split();
        let machine = async {
            handle.open(NONCE).unwrap();
            handle.start(&command(1)).unwrap();
            clock.delay_ms(100).await;
            assert_eq!(plant.running_lanes(), [LANE]);
        };
        clock.run_beside(machine, motion.run());
        assert!(plant.running_lanes().is_empty());
        let VendState::Done { outcome, .. } = handle.poll() else { panic!("the vend has no result") };
        assert!(outcome.interrupted && outcome.started());
        assert!(handle.start(&command(1)).is_ok(), "the same number is answered");
    }
    // The board remembers, and goes on when its sides are taken again.
    let (handle, mut motion) = board.split();
    let machine = async {
        handle.forget(NONCE, VendId(1)).unwrap();
        handle.start(&command(2)).unwrap();
        result(&clock, &handle).await
    };
    assert_eq!(clock.run_beside(machine, motion.run()).motor, MotorCode::Ok);
}

#[test]
fn a_vend_nobody_runs_never_starts_late() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    let (handle, mut motion) = board.split();
    handle.open(NONCE).unwrap();
    handle.start(&command(1)).unwrap();
    clock.block_on(clock.delay_ms(1_000));
    clock.run_beside(clock.delay_ms(3_000), motion.run());
    let VendState::Done { outcome, .. } = handle.poll() else { panic!("the vend has no result") };
    assert_eq!(outcome.attempt, Attempt::NotStarted(NotStarted::TooLate));
    assert_eq!(plant.lane(LANE).angle, 0);
}

#[test]
fn a_mechanism_that_never_ends_is_ended_in_time() {
    struct Endless;
    impl Mechanism for Endless {
        async fn vend<S: DropSensor>(&mut self, _: &VendLimits, _: &mut S) -> Outcome {
            pending::<Infallible>().await;
            Outcome::interrupted()
        }
    }
    let clock = VirtualClock::new();
    let config = BoardConfig { max_vend_ms: 9_000, ..BoardConfig::default() };
    let time = Timer::new(clock.clone(), clock.delay());
    let mut board = LocalBoard::new(config, [Endless], NoDropSensor, time);
    let (handle, mut motion) = board.split();
    let machine = async {
        handle.open(NONCE).unwrap();
        handle.start(&command(1)).unwrap();
        let started = clock.now();
        let outcome = result(&clock, &handle).await;
        assert!(outcome.interrupted);
        assert!((9_000..9_020).contains(&clock.now().millis_since(started)));
    };
    clock.run_beside(machine, motion.run());
}

#[test]
fn a_late_fall_names_the_vend_before_it() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    let (handle, mut motion) = board.split();
    let machine = async {
        handle.open(NONCE).unwrap();
        assert_eq!(handle.query().late_drop_after, None);
        let mut number = 0;
        // Half of the hanging items fall later.
        while handle.query().late_drops == 0 {
            number += 1;
            plant.inject(LANE, Fault::Item(ItemFault::Hang));
            handle.start(&command(number)).unwrap();
            assert_eq!(result(&clock, &handle).await.drop, DropReport::NotSeen);
            handle.forget(NONCE, VendId(number)).unwrap();
            clock.delay_ms(45_000).await;
        }
        let status = handle.query();
        assert_eq!((status.late_drops, status.late_drop_after), (1, Some((NONCE, VendId(number)))));
        assert_eq!(status.sensor, SensorState::Ok);
    };
    clock.run_beside(machine, motion.run());
}

#[test]
fn the_sensor_is_known_before_a_sale() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    let (handle, mut motion) = board.split();
    assert_eq!(handle.query().sensor, SensorState::Untested);
    let machine = async {
        clock.delay_ms(100).await;
        assert_eq!(handle.query().sensor, SensorState::Ok);
        plant.set_beam(BeamCondition::Blocked);
        clock.delay_ms(2_100).await;
        assert!(matches!(handle.query().sensor, SensorState::Fault(_)));
        plant.set_beam(BeamCondition::Clear);
        clock.delay_ms(2_100).await;
        assert_eq!(handle.query().sensor, SensorState::Ok);
        assert_eq!(handle.query().late_drops, 0, "fog is no product");
    };
    clock.run_beside(machine, motion.run());
}

#[test]
fn a_lane_the_board_does_not_have_is_refused() {
    let (clock, plant) = plant();
    let mut board = board!(clock, plant);
    let (handle, _motion) = board.split();
    handle.open(NONCE).unwrap();
    let refused = handle.start(&VendCommand { lane: LaneId::new(1), ..command(1) });
    assert_eq!(refused, Err(vend_hal::StartRefused::NoSuchLane));
}

/// Waits in real time, for an executor that polls all the time.
#[derive(Clone)]
struct RealDelay;

impl DelayNs for RealDelay {
    async fn delay_ns(&mut self, ns: u32) {
        let end = std::time::Instant::now() + std::time::Duration::from_nanos(ns.into());
        poll_fn(|_| if std::time::Instant::now() >= end { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

#[test]
fn it_runs_in_real_time_on_an_executor_that_stumbles() {
    let clock = RealClock::starting_at(Instant::ORIGIN);
    let plant = Plant::new(PlantConfig { lanes: 1, ..PlantConfig::fast() }, clock);
    plant.refill(LANE, 1);
    let time = plant.timer(RealDelay);
    let mut board = LocalBoard::new(
        BoardConfig::default(),
        plant.spirals::<1, _>(&time),
        plant.ir_beam(time.clone()),
        time,
    );
    let (handle, mut motion) = board.split();
    handle.open(NONCE).unwrap();
    handle.start(&command(1)).unwrap();
    let mut run = pin!(motion.run());
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0_u32;
    let outcome = loop {
        assert!(run.as_mut().poll(&mut context).is_pending());
        if let VendState::Done { outcome, .. } = handle.poll() {
            break outcome;
        }
        // Much longer than the home switch is closed, now and then.
        polls += 1;
        let stumbles = polls.is_multiple_of(40);
        std::thread::sleep(std::time::Duration::from_millis(if stumbles { 150 } else { 1 }));
    };
    assert_eq!((outcome.motor, outcome.drop), (MotorCode::Ok, DropReport::Seen));
    assert_eq!(plant.lane(LANE).items, 0);
}
