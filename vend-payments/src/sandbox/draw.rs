//! Randomness: unguessable for numbers and codes, repeatable for faults.

use std::prelude::v1::*;
use std::vec;

use aws_lc_rs::digest;

pub(super) const DIGITS: &[u8] = b"0123456789";
pub(super) const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `len` random characters; `None` only when the system has no random numbers. A byte's remainder favours
/// the first characters a little, which no use here minds.
pub(super) fn text(alphabet: &[u8], len: usize) -> Option<String> {
    let mut bytes = vec![0; len];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect())
}

/// A name that depends on its parts only: the same after a restart.
pub(super) fn name(parts: &[&str]) -> String {
    let hash = digest::digest(&digest::SHA256, parts.join("\n").as_bytes());
    hash.as_ref()[..16]
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|d| char::from(b"0123456789abcdef"[usize::from(d)]))
        .collect()
}

/// Payments among which a fault turns up exactly as often as its rate says.
const DECK: u64 = 100;

/// Whether the `number`th payment (from 0) draws a fault: of every hundred payments `permille` of 1,000 do, rounded up, at
/// places that the seed and the kind of fault decide. So a run of a hundred payments has met every fault.
pub(super) fn fault(seed: u64, number: u64, kind: &str, permille: u16) -> bool {
    let marked = (u64::from(permille) * DECK).div_ceil(1000);
    let place = |at: u64| {
        let parts = [seed.to_be_bytes(), (number / DECK).to_be_bytes(), at.to_be_bytes()].concat();
        let hash = digest::digest(&digest::SHA256, &[parts.as_slice(), kind.as_bytes()].concat());
        (Vec::from(hash.as_ref()), at)
    };
    let own = place(number % DECK);
    let before = (0..DECK).filter(|at| place(*at) < own).count();
    u64::try_from(before).is_ok_and(|before| before < marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_hundred_payments_as_many_draw_a_fault_as_its_rate_says() {
        let drawn = |seed, permille| -> Vec<bool> {
            (0..300).map(|number| fault(seed, number, "double", permille)).collect()
        };
        assert_eq!(drawn(1, 100), drawn(1, 100));
        assert_ne!(drawn(1, 100), drawn(2, 100));
        for (permille, marked) in [(0, 0), (1, 1), (30, 3), (100, 10), (1000, 100)] {
            for hundred in drawn(1, permille).chunks(100) {
                assert_eq!(hundred.iter().filter(|hit| **hit).count(), marked, "{permille}");
            }
        }
        assert_ne!(drawn(1, 100)[..100], drawn(1, 100)[100..200], "each hundred is shuffled anew");
    }
}
