//! Dropping a vend at every point at which it can be dropped.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};

use embedded_hal::digital::OutputPin;
use vend_hal::sim::{Fault, ItemFault};
use vend_hal::{Mechanism, VendLimits};

use super::{LANE, Rig, limits};

fn hanging() -> (Rig, VendLimits) {
    let rig = Rig::new();
    rig.plant.inject(LANE, Fault::Item(ItemFault::Hang));
    // Every wait of the program is in it: both tests, the turn, the quarter turns, the settling.
    (rig, VendLimits { settle_ms: 60, ..limits() })
}

#[test]
fn dropped_after_any_number_of_polls_everything_is_off() {
    let mut motor_was_on = 0;
    for times in 0.. {
        let (mut rig, limits) = hanging();
        let ended = {
            let mut future = pin!(rig.spiral.vend(&limits, &mut rig.beam));
            let mut context = Context::from_waker(Waker::noop());
            let mut ended = false;
            for _ in 0..times {
                if future.as_mut().poll(&mut context).is_ready() {
                    ended = true;
                    break;
                }
                rig.clock.advance();
            }
            motor_was_on += usize::from(!rig.plant.running_lanes().is_empty());
            ended
        };
        assert!(rig.plant.running_lanes().is_empty(), "on after being dropped at poll {times}");
        let Rig { plant, spiral, beam, .. } = rig;
        drop((spiral, beam));
        assert!(!plant.state().emitter_on(), "the emitter is lit without a driver");
        if ended {
            assert!(times > 300, "ended after {times} polls");
            break;
        }
    }
    assert!(motor_was_on > 200, "the motor was on at {motor_was_on} of the points");
}

#[test]
fn a_driver_that_takes_over_a_running_motor_stops_it() {
    let rig = Rig::new();
    rig.plant.motor(LANE).set_high().unwrap();
    assert_eq!(rig.plant.running_lanes(), [LANE]);
    let _spirals = rig.plant.spirals::<1, _>(&rig.time);
    assert!(rig.plant.running_lanes().is_empty());
}

#[test]
fn a_vend_can_follow_a_dropped_one() {
    for times in (5..200).step_by(11) {
        let (mut rig, limits) = hanging();
        let clock = rig.clock.clone();
        {
            let mut future = pin!(rig.spiral.vend(&limits, &mut rig.beam));
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..times {
                let _ = future.as_mut().poll(&mut context);
                clock.advance();
            }
        }
        let outcome = rig.vend(&limits);
        assert_eq!(outcome.motor, vend_hal::MotorCode::Ok, "dropped at poll {times}");
    }
}
