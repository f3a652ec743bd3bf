//! Operation lists as bytes: each step is a byte that chooses it, and a byte for each of its arguments.
//!
//! Not the `arbitrary` crate: with this coding any bytes are a list, a change of one byte changes one step, and a list can be
//! written, which the seeds need.

use std::{fmt::Debug, sync::OnceLock};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A story longer than this is no better, only slower.
const STEPS_MAX: usize = 250;
/// A step with its arguments.
const STEP_BYTES: usize = 5;

/// The way of a frame on a link, and with it the end that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub(crate) enum Way {
    /// From the end that calls: the machine, or the main board.
    Up,
    /// From the end that is called: the server, or a control board.
    Down,
}

impl Way {
    /// The other way.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl From<u8> for Way {
    fn from(byte: u8) -> Self {
        if byte.is_multiple_of(2) { Self::Up } else { Self::Down }
    }
}

impl From<Way> for u8 {
    fn from(way: Way) -> Self {
        way as Self
    }
}

/// The steps in these bytes. `variants` is the number of an `S`'s variants; each takes at most four bytes.
pub(crate) fn read<S: DeserializeOwned>(variants: u8, mut bytes: &[u8]) -> impl Iterator<Item = S> + '_ {
    let next = move || {
        let (first, arguments) = bytes.split_first()?;
        let mut step = [0; STEP_BYTES];
        step[0] = first % variants;
        step.iter_mut().skip(1).zip(arguments).for_each(|(place, byte)| *place = *byte);
        let (read, rest) = postcard::take_from_bytes(&step).ok()?;
        bytes = bytes.get(STEP_BYTES - rest.len()..).unwrap_or(&[]);
        Some(read)
    };
    std::iter::from_fn(next).take(STEPS_MAX)
}

/// The bytes of these steps.
pub(crate) fn write<S: Serialize>(steps: &[S]) -> Vec<u8> {
    steps.iter().flat_map(|step| postcard::to_allocvec(step).unwrap_or_default()).collect()
}

/// Prints a step when `VEND_FUZZ_STEPS` is set: what a failed input was about.
pub(crate) fn show(step: &impl Debug) {
    static WANTED: OnceLock<bool> = OnceLock::new();
    if *WANTED.get_or_init(|| std::env::var_os("VEND_FUZZ_STEPS").is_some()) {
        println!("{step:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Step {
        Rest,
        Go(u8, u8),
    }

    #[test]
    fn a_list_comes_back_and_any_bytes_are_one() {
        let list = [Step::Go(1, 200), Step::Rest, Step::Go(255, 0)];
        assert_eq!(read::<Step>(2, &write(&list)).collect::<Vec<_>>(), list);
        assert_eq!(read::<Step>(2, &[7, 9]).collect::<Vec<_>>(), [Step::Go(9, 0)]);
    }
}
