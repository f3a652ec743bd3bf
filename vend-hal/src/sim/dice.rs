//! Chance without a generator: each throw is a function of the seed and of what it is for.

/// What a throw is for.
#[derive(Clone, Copy)]
pub(super) enum Throw {
    RunFault = 1,
    StopAngle = 2,
    Lag = 3,
    ItemFault = 4,
    FallsLater = 5,
    FallDelay = 6,
}

/// Out of a million.
pub(super) const MILLION: u32 = 1_000_000;

/// A number below `bound` (0 if that is 0).
pub(super) fn throw(seed: u64, throw: Throw, number: u64, bound: u32) -> u32 {
    let mixed = mix(mix(mix(seed) ^ throw as u64) ^ number);
    let high = (mixed >> 32) * u64::from(bound);
    // The product of two 32-bit numbers, shifted by 32, fits.
    u32::try_from(high >> 32).unwrap_or(0)
}

/// One step of `SplitMix64` (Steele, Lea and Flood, 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
