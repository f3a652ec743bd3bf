//! A plant whose process was killed, at every moment at which it could have been.

use std::io;

use embedded_hal::digital::OutputPin;
use vend_hal::sim::{
    FaultRates, FileLog, Happening, MemoryLog, Plant, PlantConfig, PlantError, PlantEvent, PlantLog, Truth,
    VirtualClock,
};
use vend_hal::{Clock, Instant, Mechanism};

use super::{LANE, Rig, limits};

fn faulty() -> PlantConfig {
    let faults = FaultRates { jam_ppm: 100_000, hang_ppm: 150_000, miss_ppm: 50_000, lag_ppm: 150_000 };
    PlantConfig { lanes: 1, seed: 7, faults, ..PlantConfig::fast() }
}

/// The log of some thirty vends.
fn log() -> Vec<PlantEvent> {
    let mut rig = Rig::with(faulty());
    for _ in 0..30 {
        let _ = rig.vend(&limits());
        rig.clock.block_on(rig.clock.delay_ms(1_700));
    }
    rig.log.events()
}

#[test]
fn every_event_survives_as_text() {
    for event in log() {
        assert_eq!(event.to_string().parse(), Ok(event));
    }
    for line in [
        "",
        "7",
        "x power-cut",
        "7 power-cut now",
        "7 refilled lane=300 items=1",
        "7 item-seen run=18446744073709551615 lane=0 item=1",
        "7 item-seen run=1 lane=0",
    ] {
        assert!(line.parse::<PlantEvent>().is_err(), "{line:?}");
    }
}

#[test]
fn killed_after_any_event_the_plant_goes_on() {
    let events = log();
    for known in 1..=events.len() {
        let known = &events[..known];
        let last = known.last().unwrap().at;
        let clock = VirtualClock::starting_at(last.after_ms(250));
        let log = MemoryLog::new();
        let plant = Plant::restore(faulty(), clock.clone(), log.clone(), known);
        assert!(plant.running_lanes().is_empty());

        let time = plant.timer(clock.delay());
        let [mut spiral] = plant.spirals::<1, _>(&time);
        let mut beam = plant.ir_beam(time);
        let _ = clock.block_on(spiral.vend(&limits(), &mut beam));
        clock.block_on(clock.delay_ms(45_000));
        let view = plant.lane(LANE);

        let all: Vec<_> = known.iter().copied().chain(log.events()).collect();
        let truth = Truth::of(&all);
        assert!(truth.runs.windows(2).all(|pair| pair[0].run < pair[1].run), "run numbers rise");
        assert!(truth.runs.iter().all(|run| run.ended.is_some()), "every run has an end");
        let mut items: Vec<_> = truth.items.iter().map(|item| item.item).collect();
        items.sort_unstable();
        items.dedup();
        assert_eq!(items.len(), truth.items.len(), "no item is pushed twice");
        let lagging = lagging(&all);
        assert_eq!(view.items as usize + truth.items.len() + lagging, 50, "no item is lost");
        let fell = truth.items.iter().filter(|item| item.fell_at.is_some()).count();
        assert_eq!(fell + view.hanging, truth.items.len(), "what was pushed fell or hangs");
    }
}

fn lagging(events: &[PlantEvent]) -> usize {
    let count =
        |wanted: fn(&Happening) -> Option<u64>| events.iter().filter_map(move |event| wanted(&event.what));
    let pushed: Vec<_> = count(|what| match what {
        Happening::ItemPushed { item, .. } => Some(*item),
        _ => None,
    })
    .collect();
    count(|what| match what {
        Happening::ItemLagged { item, .. } => Some(*item),
        _ => None,
    })
    .filter(|item| !pushed.contains(item))
    .count()
}

#[test]
fn an_item_that_hung_falls_after_the_restart() {
    let pushed = "500 item-pushed run=1 lane=0 item=1 angle=800000 fault=hang falls=20000";
    let events = ["0 refilled lane=0 items=2", "1 run-started run=1 lane=0 angle=0 fault=- stop=-", pushed]
        .map(|line| line.parse().unwrap());
    let clock = VirtualClock::starting_at(Instant::from_millis(600));
    let log = MemoryLog::new();
    let plant = Plant::restore(faulty(), clock.clone(), log.clone(), &events);
    clock.block_on(clock.delay_ms(30_000));
    assert_eq!(plant.lane(LANE).hanging, 0);
    let fell = "20000 item-fell run=1 lane=0 item=1 missed=false".parse().unwrap();
    assert!(log.events().contains(&fell), "it belongs to the run that pushed it");
}

#[test]
fn a_line_that_was_cut_off_never_happened() {
    let directory = std::env::temp_dir().join(format!("vend-hal-plant-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("plant.txt");
    let events = log();
    let lines: Vec<_> = events[..20].iter().map(ToString::to_string).collect();
    let text = lines.join("\n") + "\n";
    let cuts = [text.len(), text.len() - 1, text.len() - 10];
    for (cut, whole) in cuts.into_iter().zip([20, 19, 19]) {
        std::fs::write(&path, &text[..cut]).unwrap();
        let (mut log, read) = FileLog::open(&path).unwrap();
        assert_eq!(read, events[..whole]);
        log.append(&events[whole]).unwrap();
        let (_, read) = FileLog::open(&path).unwrap();
        assert_eq!(read, events[..=whole]);
    }
    std::fs::write(&path, "nonsense\n").unwrap();
    assert!(FileLog::open(&path).is_err());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_cannot_be_logged_does_not_happen() {
    struct Full(u32);
    impl PlantLog for Full {
        fn append(&mut self, _: &PlantEvent) -> io::Result<()> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("full"))?;
            Ok(())
        }
    }
    for room in 1..9 {
        let clock = VirtualClock::new();
        let plant =
            Plant::with_log(PlantConfig { lanes: 1, ..PlantConfig::fast() }, clock.clone(), Full(room));
        plant.refill(LANE, 1);
        let time = plant.timer(clock.delay());
        let [mut spiral] = plant.spirals::<1, _>(&time);
        let mut beam = plant.ir_beam(time);
        let _ = clock.block_on(spiral.vend(&limits(), &mut beam));
        assert!(plant.running_lanes().is_empty());
        if room < 7 {
            assert_eq!(plant.motor(LANE).set_high().unwrap_err(), PlantError::NoPower, "room {room}");
        }
    }
}

#[test]
fn what_a_pin_shows_is_in_the_log() {
    // Each look at the home switch during a vend agrees with a plant that was restored from the log at that moment.
    let rig = Rig::new();
    let mut motor = rig.plant.motor(LANE);
    motor.set_high().unwrap();
    for _ in 0..700 {
        rig.clock.block_on(rig.clock.delay_ms(1));
        let home = rig.plant.state().at_home(LANE, rig.clock.now());
        let restored = vend_hal::sim::PlantState::replay(PlantConfig::fast(), &rig.log.events());
        let angle = restored.angle(LANE, restored.at());
        assert_eq!(home, angle % 1_000_000 < 200_000);
    }
}
