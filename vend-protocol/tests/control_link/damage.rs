//! What noise does to the bytes of a line.

use crate::chance::Chance;

/// Changes one to four places: bits flipped, bytes lost, doubled, inserted or overwritten, delimiters among them.
pub(crate) fn damage(line: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        if line.is_empty() {
            return;
        }
        let at = chance.index(line.len());
        match chance.below(6) {
            0 | 1 => line[at] ^= 1 << chance.below(8),
            2 => drop(line.remove(at)),
            3 => line.insert(at, line[at]),
            4 => line.insert(at, chance.byte()),
            _ => line[at] = chance.byte(),
        }
    }
}
