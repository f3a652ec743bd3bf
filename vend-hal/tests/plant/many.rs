//! Thousands of vends with faults by chance: what the board reports against what the plant did.

use vend_hal::sim::{FaultRates, ItemTruth, MemoryLog, Plant, PlantConfig, Truth, VirtualClock};
use vend_hal::{
    Attempt, BoardConfig, BoardHandle, Clock, ConfigHash, DropReport, Instant, LaneId, LocalBoard, MotorCode,
    Nonce, NotStarted, Outcome, VendCommand, VendId, VendState,
};

use super::limits;

const LANES: usize = 4;
const VENDS: u32 = 250;

/// How long after a fall it may still be told apart from nothing: the darkness, and the next look at it.
const EDGE_MS: u32 = 60;

struct Sale {
    lane: LaneId,
    from: Instant,
    to: Instant,
    outcome: Outcome,
}

struct Day {
    sales: Vec<Sale>,
    truth: Truth,
    late_drops: u32,
}

fn day(seed: u64, faults: FaultRates) -> Day {
    day_of(PlantConfig { seed, faults, ..PlantConfig::fast() })
}

fn day_of(config: PlantConfig) -> Day {
    let seed = config.seed;
    let clock = VirtualClock::new();
    let log = MemoryLog::new();
    let lanes = u8::try_from(LANES).unwrap();
    let config = PlantConfig { lanes, ..config };
    let plant = Plant::with_log(config, clock.clone(), log.clone());
    for lane in 0..lanes {
        plant.refill(LaneId::new(lane), VENDS);
    }
    let time = plant.timer(clock.delay());
    let mut board = LocalBoard::new(
        BoardConfig::default(),
        plant.spirals::<LANES, _>(&time),
        plant.ir_beam(time.clone()),
        time.clone(),
    );
    let (handle, mut motion) = board.split();
    let customers = customers(seed, &clock, handle, &plant);
    let (sales, late_drops) = clock.run_beside(customers, motion.run());
    Day { sales, truth: Truth::of(&log.events()), late_drops }
}

async fn customers<T: Clock>(
    seed: u64,
    clock: &VirtualClock,
    handle: BoardHandle<'_, T>,
    plant: &Plant,
) -> (Vec<Sale>, u32) {
    let nonce = Nonce([u8::try_from(seed).unwrap(); 16]);
    handle.open(nonce).unwrap();
    let mut sales = Vec::new();
    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for number in 0..VENDS {
        // xorshift64: any sequence will do.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        clock.delay_ms(u32::try_from(chance % 2_500).unwrap()).await;
        let lane = LaneId::new(u8::try_from((chance >> 32) % 4).unwrap());
        let command = VendCommand {
            nonce,
            vend_id: VendId(number),
            config_hash: ConfigHash::default(),
            lane,
            limits: limits(),
        };
        let from = clock.now();
        handle.start(&command).unwrap();
        let outcome = loop {
            clock.delay_ms(10).await;
            assert!(plant.running_lanes().len() <= 1, "two motors at once");
            if let VendState::Done { vend_id, outcome, .. } = handle.poll() {
                assert_eq!(vend_id, command.vend_id);
                break outcome;
            }
            // A command that is repeated changes nothing.
            assert!(handle.start(&command).is_ok());
        };
        assert!(plant.running_lanes().is_empty());
        sales.push(Sale { lane, from, to: clock.now(), outcome });
        handle.forget(nonce, command.vend_id).unwrap();
    }
    // The last late falls.
    clock.delay_ms(45_000).await;
    (sales, handle.query().late_drops)
}

#[test]
fn reports_agree_with_the_truth() {
    let faults = FaultRates { jam_ppm: 40_000, hang_ppm: 80_000, miss_ppm: 30_000, lag_ppm: 60_000 };
    let (mut sold, mut delivered, mut foreign, mut darkened, mut counted) = (0, 0, 0, 0, 0);
    for seed in 1..=12 {
        let day = day(seed, faults);
        for sale in &day.sales {
            sold += 1;
            let own = check(sale, &day.truth);
            delivered += u32::from(sale.outcome.drop == DropReport::Seen);
            foreign += u32::from(sale.outcome.drop == DropReport::Seen && own == 0);
            counted += u32::from(sale.outcome.evidence.beam_breaks);
        }
        counted += day.late_drops;
        darkened +=
            u32::try_from(day.truth.items.iter().filter(|item| item.seen_at.is_some()).count()).unwrap();
        no_overlap(&day.truth);
    }
    println!(
        "{sold} sold, {delivered} delivered, {foreign} by a foreign fall; {counted} of {darkened} falls counted"
    );
    assert_eq!(sold, 3_000);
    assert!(delivered > 2_200, "{delivered} delivered");
    assert!(foreign < 60, "{foreign} sales were credited a foreign fall");
    // Every fall is counted once, in a window or as a late one; two that overlap are one break, and a test of the
    // beam is blind for some milliseconds.
    assert!(counted <= darkened && counted * 1_000 >= darkened * 995, "{counted} of {darkened}");
}

/// Holds a sale's outcome against the truth. How many items of the sale's own broke the beam while it ran.
fn check(sale: &Sale, truth: &Truth) -> usize {
    let during = |at: Instant| sale.from <= at && at <= sale.to;
    let runs: Vec<_> = truth.runs.iter().filter(|run| during(run.started_at)).collect();
    let outcome = &sale.outcome;
    assert!(runs.iter().all(|run| run.lane == sale.lane), "another lane turned");
    assert!(sale.to.millis_since(sale.from) <= limits().worst_case_ms());
    let evidence = &outcome.evidence;
    match outcome.attempt {
        Attempt::Started => assert_eq!(runs.len(), 1 + usize::from(evidence.extra_quarter_turns)),
        Attempt::NotStarted(reason) => {
            assert_eq!(reason, NotStarted::SensorBlocked, "only a falling item can have been in the way");
            assert!(runs.is_empty());
            return 0;
        }
    }
    // No fault is invented, and none of a first turn is overlooked. A quarter turn can be over before its coil
    // reaches the place where it would jam, or before a stall has lasted long enough to be one.
    let fault = runs.last().and_then(|run| run.fault);
    assert!(outcome.motor == MotorCode::Ok || fault.is_some(), "{outcome:?}");
    assert!(outcome.motor != MotorCode::Ok || fault.is_none() || runs.len() > 1, "{outcome:?} {fault:?}");
    let turned = runs.iter().map(|run| run.angle - run.start_angle).sum::<u64>();
    assert!(turned < 2_000_000, "more than a turn and three quarters");

    let breaks = |item: &&ItemTruth| item.seen_at.is_some() && item.fell_at.is_some_and(during);
    let (own, others): (Vec<&ItemTruth>, Vec<&ItemTruth>) =
        truth.items.iter().filter(breaks).partition(|item| runs.iter().any(|run| run.run == item.run));
    match outcome.drop {
        DropReport::Seen => {
            let after_start = |at: Instant| runs.first().is_some_and(|run| run.started_at <= at);
            let foreign = others.iter().any(|item| item.fell_at.is_some_and(after_start));
            assert!(!own.is_empty() || foreign, "nothing broke the beam: {outcome:?}");
        }
        DropReport::NotSeen => {
            assert!(own.is_empty(), "an item of the sale broke the beam: {outcome:?}");
        }
        DropReport::SensorFault => {
            // Something fell during the test at the end.
            let near = |at: Instant| sale.to.millis_since(at) <= EDGE_MS;
            assert!(others.iter().any(|item| item.fell_at.is_some_and(near)), "{outcome:?}");
        }
        DropReport::NotFitted => panic!("a beam is fitted"),
    }
    own.len()
}

fn no_overlap(truth: &Truth) {
    for pair in truth.runs.windows(2) {
        let (ended, _) = pair[0].ended.expect("every run ended");
        assert!(pair[0].run < pair[1].run);
        assert!(ended <= pair[1].started_at, "two motors at once");
    }
}

#[test]
fn late_falls_that_wait_for_rest_are_credited_to_nobody() {
    let faults = FaultRates { jam_ppm: 40_000, hang_ppm: 200_000, ..FaultRates::NONE };
    let mut late = 0;
    for seed in 1..=4 {
        let day = day_of(PlantConfig { seed, faults, late_fall_rest_ms: 3_000, ..PlantConfig::fast() });
        for sale in &day.sales {
            let own = check(sale, &day.truth);
            assert!(sale.outcome.drop != DropReport::Seen || own > 0, "{:?}", sale.outcome);
        }
        late += day.late_drops;
    }
    assert!(late > 10, "only {late} late falls");
}

#[test]
fn without_faults_everything_is_delivered() {
    let day = day(9, FaultRates::NONE);
    assert!(day.sales.iter().all(|sale| sale.outcome.drop == DropReport::Seen));
    assert_eq!(day.truth.items.len(), day.sales.len());
    assert_eq!(day.late_drops, 0);
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let faults = FaultRates { jam_ppm: 50_000, hang_ppm: 50_000, miss_ppm: 50_000, lag_ppm: 50_000 };
    assert_eq!(day(3, faults).truth, day(3, faults).truth);
    assert_ne!(day(3, faults).truth, day(4, faults).truth);
}
