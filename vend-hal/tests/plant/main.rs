//! The drivers and the board against the simulated plant, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is the report of a test")]

mod board;
mod cancel;
mod codes;
mod many;
mod restore;

use vend_hal::sim::{
    MemoryLog, Plant, PlantClock, PlantConfig, SimBeam, SimSpiral, Truth, VirtualClock, VirtualDelay,
};
use vend_hal::{LaneId, Mechanism, Outcome, Timer, VendLimits};

const LANE: LaneId = LaneId::new(0);

/// One lane of a fast plant with its drivers.
struct Rig {
    clock: VirtualClock,
    log: MemoryLog,
    plant: Plant,
    time: Timer<PlantClock, VirtualDelay>,
    spiral: SimSpiral<VirtualDelay>,
    beam: SimBeam<VirtualDelay>,
}

impl Rig {
    fn new() -> Self {
        Self::with(PlantConfig { lanes: 1, ..PlantConfig::fast() })
    }

    fn with(config: PlantConfig) -> Self {
        let clock = VirtualClock::new();
        let log = MemoryLog::new();
        let plant = Plant::with_log(config, clock.clone(), log.clone());
        plant.refill(LANE, 50);
        let time = plant.timer(clock.delay());
        let [spiral] = plant.spirals::<1, _>(&time);
        let beam = plant.ir_beam(time.clone());
        Self { clock, log, plant, time, spiral, beam }
    }

    fn vend(&mut self, limits: &VendLimits) -> Outcome {
        let outcome = self.clock.block_on(self.spiral.vend(limits, &mut self.beam));
        assert!(self.plant.running_lanes().is_empty(), "a motor is on after {outcome:?}");
        outcome
    }

    fn truth(&self) -> Truth {
        Truth::of(&self.log.events())
    }
}

/// Limits for a plant whose turn takes 300 ms.
fn limits() -> VendLimits {
    VendLimits {
        leave_home_ms: 200,
        return_home_ms: 600,
        settle_ms: 400,
        quarter_turn_ms: 75,
        ..VendLimits::default()
    }
}
