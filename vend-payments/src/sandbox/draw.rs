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

/// Whether a fault is drawn for an attempt: `permille` of 1,000, by seed, attempt and kind of fault only.
pub(super) fn fault(seed: u64, attempt: &str, kind: &str, permille: u16) -> bool {
    let mut text = Vec::from(seed.to_be_bytes());
    text.extend_from_slice(kind.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(attempt.as_bytes());
    let hash = digest::digest(&digest::SHA256, &text);
    let number = hash.as_ref()[..8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    number % 1000 < u64::from(permille)
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn faults_are_drawn_by_seed_and_attempt_only() {
        let drawn = |seed, permille| -> Vec<bool> {
            (0..2000).map(|i| fault(seed, &format!("A{i:05}"), "double", permille)).collect()
        };
        assert_eq!(drawn(1, 100), drawn(1, 100));
        assert_ne!(drawn(1, 100), drawn(2, 100));
        let hits = drawn(1, 100).iter().filter(|hit| **hit).count();
        assert!((150..250).contains(&hits), "{hits} of 2,000 at 100 permille");
        assert!(drawn(1, 0).iter().all(|hit| !hit));
        assert!(drawn(1, 1000).iter().all(|hit| *hit));
    }
}
