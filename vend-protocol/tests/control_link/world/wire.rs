//! Frames on their way.

use crate::{chance::Chance, damage::damage};

/// Which boards lose their power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cut {
    #[default]
    None,
    Main,
    Control,
    Both,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Main, Self::Control, Self::Both];

    pub(crate) fn main(self) -> bool {
        matches!(self, Self::Main | Self::Both)
    }

    pub(crate) fn control(self) -> bool {
        matches!(self, Self::Control | Self::Both)
    }
}

/// How often a frame arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Copies {
    #[default]
    One,
    Lost,
    Two,
}

impl Copies {
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Lost, Self::Two];
}

/// What happens to a frame on the line, and to the power when it has arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) copies: Copies,
    pub(crate) cut: Cut,
    /// It is held up for so long, and all behind it, in milliseconds.
    pub(crate) stall_ms: u64,
    /// The second copy comes so much later, behind other frames, in milliseconds.
    pub(crate) late_ms: u64,
    /// The bytes of the first copy are damaged, as this number draws it.
    pub(crate) damage: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    at_ms: u64,
    /// A control board's number; `None`: the main board.
    pub(crate) from: Option<usize>,
    pub(crate) copies: Vec<Vec<u8>>,
    pub(crate) cut: Cut,
}

/// From one end of the line to the other, in milliseconds.
const FLIGHT_MS: u64 = 2;

/// The line. It keeps the order of frames, but for second copies that come late.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// In the order of their arrival.
    deliveries: Vec<Delivery>,
    /// Nothing that is put on the line arrives before this.
    free_ms: u64,
}

impl Wire {
    pub(crate) fn put(&mut self, now_ms: u64, from: Option<usize>, bytes: &[u8], fate: Fate) {
        let at_ms = (now_ms + FLIGHT_MS + fate.stall_ms).max(self.free_ms);
        self.free_ms = at_ms;
        let mut first = bytes.to_vec();
        if let Some(seed) = fate.damage {
            damage(&mut first, &mut Chance::new(seed));
        }
        let mut copies = match fate.copies {
            Copies::Lost => vec![],
            Copies::One => vec![first],
            Copies::Two => vec![first, bytes.to_vec()],
        };
        if fate.late_ms > 0 && fate.copies == Copies::Two {
            let late = copies.pop().into_iter().collect();
            self.insert(Delivery { at_ms: at_ms + fate.late_ms, from, copies: late, cut: Cut::None });
        }
        self.insert(Delivery { at_ms, from, copies, cut: fate.cut });
    }

    fn insert(&mut self, delivery: Delivery) {
        let place = self.deliveries.partition_point(|other| other.at_ms <= delivery.at_ms);
        self.deliveries.insert(place, delivery);
    }

    /// What has arrived by now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Option<Delivery> {
        (self.next_ms() <= now_ms).then(|| self.deliveries.remove(0))
    }

    pub(crate) fn next_ms(&self) -> u64 {
        self.deliveries.first().map_or(u64::MAX, |delivery| delivery.at_ms)
    }

    /// What a board had not sent to the end when it lost its power is gone.
    pub(crate) fn unplug(&mut self, from: Option<usize>) {
        self.deliveries.retain(|delivery| delivery.from != from);
    }
}
