//! Vends three items from a spiral of the simulated plant, one of which hangs, and prints what the driver reports
//! beside what really happened.

use vend_hal::sim::{Fault, ItemFault, MemoryLog, Plant, PlantConfig, Truth, VirtualClock};
use vend_hal::{LaneId, Mechanism, VendLimits};

fn main() {
    let clock = VirtualClock::new();
    let log = MemoryLog::new();
    let plant = Plant::with_log(PlantConfig::default(), clock.clone(), log.clone());
    let lane = LaneId::new(0);
    plant.refill(lane, 3);

    let time = plant.timer(clock.delay());
    let [mut spiral] = plant.spirals::<1, _>(&time);
    let mut beam = plant.ir_beam(time);
    for vend in 1..=3 {
        if vend == 2 {
            plant.inject(lane, Fault::Item(ItemFault::Hang));
        }
        let outcome = clock.block_on(spiral.vend(&VendLimits::default(), &mut beam));
        println!(
            "vend {vend}: motor {:?}, drop {:?}, ran {} ms at up to {} mA, {} quarter turns",
            outcome.motor,
            outcome.drop,
            outcome.evidence.run_ms,
            outcome.evidence.peak_current_ma.unwrap_or(0),
            outcome.evidence.extra_quarter_turns,
        );
    }

    println!("\nthe plant's log:");
    for event in log.events() {
        println!("  {event}");
    }
    let fell = Truth::of(&log.events()).items.iter().filter(|item| item.fell_at.is_some()).count();
    println!("\n{fell} of 3 items fell");
}
