//! What a plant is made of, and what is wrong with it.

use super::{ItemFault, RunFault};

/// The physics of a plant.
///
/// [`Default`] is a machine in real time: a turn of 2.6 s, and items that reach the beam after a fall of 0.45 m
/// (`t = sqrt(2 h / g)` = 300 ms) at 3 m/s, so that one of 120 mm darkens it for 40 ms.
///
/// ```
/// use vend_hal::sim::PlantConfig;
///
/// let demo = PlantConfig { lanes: 6, ..PlantConfig::fast() };
/// assert!(demo.turn_ms < PlantConfig::default().turn_ms);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlantConfig {
    /// How many lanes.
    pub lanes: u8,
    /// The seed of all chance.
    pub seed: u64,
    /// How long a coil takes for a turn, in milliseconds.
    pub turn_ms: u32,
    /// For how much of a turn the home switch is closed, in thousandths. The coil is home at its beginning.
    pub cam_permille: u16,
    /// Where in a turn an item is pushed off, in thousandths.
    pub push_permille: u16,
    /// From the push to the beam, in milliseconds.
    pub fall_ms: u32,
    /// How long an item darkens the beam, in milliseconds.
    pub break_ms: u32,
    /// When an item that hangs and falls later does so: after at least and at most this many milliseconds. At least
    /// must be more than a vend lasts after the push (with the drivers' defaults a turn and 7 s), or a hanging item
    /// falls in its own vend.
    pub late_fall_ms: (u32, u32),
    /// A late fall waits until no motor has been on for this long, in milliseconds; 0: it waits for nothing.
    ///
    /// One beam cannot tell whose item broke it: a late fall within another vend's window may be credited to that
    /// vend. With a rest longer than such a window (a settle time and a little more) that cannot happen.
    pub late_fall_rest_ms: u32,
    /// Current of a motor that turns, in milliamperes.
    pub run_ma: u16,
    /// Current of a motor that starts (for [`INRUSH_MS`](Self::INRUSH_MS)) or is stalled, in milliamperes.
    pub stall_ma: u16,
    /// Current into a shorted winding, in milliamperes.
    pub short_ma: u16,
    /// How likely things go wrong.
    pub faults: FaultRates,
}

impl PlantConfig {
    /// How long a starting motor draws its stall current, in milliseconds.
    pub const INRUSH_MS: u32 = 60;

    /// How long after switching on the first current can be seen, in milliseconds.
    pub const CURRENT_RISE_MS: u32 = 1;

    /// A machine in a hurry, for tests and demonstrations: a turn of 300 ms with a home switch that is closed for
    /// 60 ms of it, a fall of 100 ms, late falls after 10 to 40 s.
    pub fn fast() -> Self {
        Self {
            turn_ms: 300,
            cam_permille: 200,
            fall_ms: 100,
            late_fall_ms: (10_000, 40_000),
            ..Self::default()
        }
    }
}

impl Default for PlantConfig {
    fn default() -> Self {
        Self {
            lanes: 10,
            seed: 0,
            turn_ms: 2_600,
            cam_permille: 60,
            push_permille: 800,
            fall_ms: 300,
            break_ms: 40,
            late_fall_ms: (12_000, 45_000),
            late_fall_rest_ms: 0,
            run_ma: 180,
            stall_ma: 1_200,
            short_ma: 8_000,
            faults: FaultRates::NONE,
        }
    }
}

/// How likely things go wrong by themselves, in parts of a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// A run jams on its way: half of them stall, half do not come home.
    pub jam_ppm: u32,
    /// An item is pushed and hangs. Half of these fall later.
    pub hang_ppm: u32,
    /// An item falls beside the beam.
    pub miss_ppm: u32,
    /// An item needs up to half a turn more.
    pub lag_ppm: u32,
}

impl FaultRates {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { jam_ppm: 0, hang_ppm: 0, miss_ppm: 0, lag_ppm: 0 };
}

/// Something wrong with a lane, on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// With a run of its motor.
    Run(RunFault),
    /// With an item it pushes.
    Item(ItemFault),
}

/// How the beam fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeamCondition {
    /// Well.
    #[default]
    Clear,
    /// Fog on the lens, or something in the way: the receiver sees nothing.
    Blocked,
    /// The receiver sees light whatever the emitter does.
    Glare,
}
