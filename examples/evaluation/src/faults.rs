//! What goes wrong, how often, and how it is drawn.
//!
//! Draws are cards from shuffled decks, not dice: in every hundred sales (or lines) each fault turns up exactly as often as
//! its rate says, at places the seed decides. So a run of a hundred sales has met every fault.

use std::time::Duration;

use crate::options::FaultLevel;

/// Rates, in parts of a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Lines whose motor jams.
    pub(crate) jam: u32,
    /// Lines whose item hangs; half of these fall later.
    pub(crate) hang: u32,
    /// Lines whose item falls beside the beam.
    pub(crate) miss: u32,
    /// Notifications that come twice.
    pub(crate) doubled: u16,
    /// Notifications that come late.
    pub(crate) late: u16,
    /// Sales during which the machine's link is cut.
    pub(crate) link_cut: u32,
    /// Frames between the boards that lose a byte or flip a bit.
    pub(crate) garbled: u32,
    /// Sales during which a board loses power.
    pub(crate) power_cut: u32,
}

impl Rates {
    pub(crate) const fn of(level: FaultLevel) -> Self {
        let default = Self {
            jam: 50,
            hang: 20,
            miss: 10,
            doubled: 100,
            late: 30,
            link_cut: 50,
            garbled: 10,
            power_cut: 0,
        };
        match level {
            FaultLevel::None => {
                Self { jam: 0, hang: 0, miss: 0, doubled: 0, late: 0, link_cut: 0, garbled: 0, power_cut: 0 }
            }
            FaultLevel::Default => default,
            FaultLevel::Heavy => Self {
                jam: default.jam * 4,
                hang: default.hang * 4,
                miss: default.miss * 4,
                doubled: default.doubled * 4,
                late: default.late * 4,
                link_cut: default.link_cut * 4,
                garbled: default.garbled * 4,
                power_cut: 50,
            },
        }
    }
}

/// How late a late notification is.
pub(crate) const LATE: Duration = Duration::from_secs(8);
/// Cards in a deck.
const DECK: usize = 100;

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, fast, and enough for a demonstration.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Throws for one purpose; two purposes never share throws.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let salt = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self(seed ^ salt)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from((to.saturating_sub(from)).as_millis()).unwrap_or(u64::MAX);
        from + Duration::from_millis(self.below(span.saturating_add(1)))
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(at)
    }
}

/// A deck in which a given share of cards is marked, shuffled anew every hundred cards.
#[derive(Clone, Debug)]
pub(crate) struct Deck<T> {
    dice: Dice,
    /// How many of a thousand cards are which.
    marks: Vec<(T, u32)>,
    cards: Vec<Option<T>>,
}

impl<T: Copy> Deck<T> {
    pub(crate) fn new(dice: Dice, marks: &[(T, u32)]) -> Self {
        Self { dice, marks: marks.to_vec(), cards: Vec::new() }
    }

    pub(crate) fn draw(&mut self) -> Option<T> {
        if self.cards.is_empty() {
            for (mark, permille) in &self.marks {
                let count = (*permille as usize * DECK).div_ceil(1000);
                self.cards.extend(std::iter::repeat_n(Some(*mark), count));
            }
            self.cards.resize(DECK.max(self.cards.len()), None);
            for at in (1..self.cards.len()).rev() {
                let other = usize::try_from(self.dice.below(at as u64 + 1)).unwrap_or(0);
                self.cards.swap(at, other);
            }
        }
        self.cards.pop().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hundred_cards_hold_each_fault_as_often_as_its_rate() {
        let mut deck = Deck::new(Dice::new(7, "test"), &[('a', 50), ('b', 10)]);
        for _ in 0..5 {
            let cards: Vec<_> = (0..100).map(|_| deck.draw()).collect();
            assert_eq!(cards.iter().filter(|card| **card == Some('a')).count(), 5);
            assert_eq!(cards.iter().filter(|card| **card == Some('b')).count(), 1);
        }
    }

    #[test]
    fn the_seed_fixes_the_draws_and_purposes_differ() {
        let draws = |seed, purpose| {
            let mut dice = Dice::new(seed, purpose);
            [(); 4].map(|()| dice.below(1000))
        };
        assert_eq!(draws(1, "a"), draws(1, "a"));
        assert_ne!(draws(1, "a"), draws(2, "a"));
        assert_ne!(draws(1, "a"), draws(1, "b"));
    }
}
